// How connections are opened and described: addresses, socket options, CLIENT LIST's line.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>

#include "server/connection.h"
#include "server/worker.h"

namespace capstan {
namespace {

struct Address {
  std::string text;
  bool unix_socket = false;
  bool loopback = false;
};

Address describe_address(const sockaddr_storage& storage, const std::string& unix_path) {
  char text[INET6_ADDRSTRLEN] = {};
  if (storage.ss_family == AF_INET) {
    const auto& ipv4 = reinterpret_cast<const sockaddr_in&>(storage);
    inet_ntop(AF_INET, &ipv4.sin_addr, text, sizeof text);
    return {std::string(text) + ":" + std::to_string(ntohs(ipv4.sin_port)), false,
            (ntohl(ipv4.sin_addr.s_addr) >> 24) == 127};
  }
  if (storage.ss_family == AF_INET6) {
    const auto& ipv6 = reinterpret_cast<const sockaddr_in6&>(storage);
    inet_ntop(AF_INET6, &ipv6.sin6_addr, text, sizeof text);
    return {"[" + std::string(text) + "]:" + std::to_string(ntohs(ipv6.sin6_port)), false,
            IN6_IS_ADDR_LOOPBACK(&ipv6.sin6_addr) != 0};
  }
  return {unix_path + ":0", true, true};
}

void set_option(int descriptor, int level, int option, int value) {
  setsockopt(descriptor, level, option, &value, sizeof value);
}

// The connection is found dead after about tcp-keepalive seconds: three probes at a third of it.
void keep_alive(int descriptor, int seconds) {
  if (seconds <= 0) return;
  set_option(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, seconds);
  set_option(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, std::max(1, seconds / 3));
  set_option(descriptor, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

}  // namespace

void Connection::open() {
  const Settings& settings = worker_.settings();
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  getpeername(descriptor_, reinterpret_cast<sockaddr*>(&storage), &size);
  const Address peer = describe_address(storage, settings.unix_socket);
  size = sizeof storage;
  getsockname(descriptor_, reinterpret_cast<sockaddr*>(&storage), &size);
  session.peer_address = peer.text;
  session.local_address = describe_address(storage, settings.unix_socket).text;
  session.unix_socket = peer.unix_socket;
  session.created_ms = session.last_interaction_ms = worker_.now_ms();
  if (!peer.unix_socket) {
    set_option(descriptor_, IPPROTO_TCP, TCP_NODELAY, 1);
    keep_alive(descriptor_, settings.tcp_keepalive_s);
  }
  require_authentication(!settings.require_pass.empty());
  if (settings.protected_mode && settings.require_pass.empty() && !peer.loopback) {
    push(
        "-DENIED this server has no password and is in protected mode: it serves clients of this machine only. "
        "Set requirepass, or protected-mode no where the network is trusted.\r\n");
    close_after_output();
  }
}

void Connection::require_authentication(bool required) {
  session.set(kStranger, required);
  parser.set_authenticated(!required);
}

std::string Connection::describe(int64_t now_ms) const {
  std::string flags;
  if (session.has(kMonitoring)) flags += 'O';
  if (session.has(kSubscribed)) flags += 'P';
  if (session.blocked) flags += 'b';
  const bool transaction = session.has(kInMulti) || session.exec_commands > 0;
  if (transaction) flags += 'x';
  if (session.unix_socket) flags += 'U';
  if (session.has(kLocalReads)) flags += 'r';
  if (session.no_evict) flags += 'e';
  if (session.has(kClosing)) flags += 'c';
  if (flags.empty()) flags = "N";
  std::string events = "r";
  if (writing_) events += 'w';
  const size_t input = input_.capacity();
  const size_t total = sizeof(Connection) + input + output_.capacity() + session.queue_bytes + parser.memory();
  std::string line;
  const auto field = [&line](std::string_view name, const auto& value) {
    if (!line.empty()) line += ' ';
    line.append(name).append("=");
    if constexpr (std::is_convertible_v<decltype(value), std::string_view>) {
      line.append(value);
    } else {
      line.append(std::to_string(value));
    }
  };
  field("id", session.id);
  field("addr", session.peer_address);
  field("laddr", session.local_address);
  field("fd", descriptor_);
  field("name", session.name);
  field("age", (now_ms - session.created_ms) / 1000);
  field("idle", (now_ms - session.last_interaction_ms) / 1000);
  field("flags", flags);
  field("db", static_cast<int>(session.database));
  field("sub", session.subscriptions(TopicKind::kChannel));
  field("psub", session.subscriptions(TopicKind::kPattern));
  field("ssub", session.subscriptions(TopicKind::kShardChannel));
  field("multi", transaction ? static_cast<int64_t>(std::max(session.queue.size(), session.exec_commands)) : -1);
  field("qbuf", input_.size());
  field("qbuf-free", input_.capacity() - input_.size());
  field("argv-mem", 0);
  field("multi-mem", session.queue_bytes);
  field("rbs", output_.capacity());
  field("rbp", output_.capacity());
  field("obl", output_.size());
  field("oll", 0);
  field("omem", output_.size());
  field("tot-mem", total);
  field("events", events);
  field("cmd", session.last_command == nullptr ? std::string("NULL") : command_full_name(*session.last_command));
  field("user", "default");
  field("redir", -1);
  field("resp", static_cast<int>(session.protocol));
  return line;
}

}  // namespace capstan
