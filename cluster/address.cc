#include "cluster/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>
#include <thread>

#include "base/check.h"

namespace capstan::cluster {
namespace {

using Addresses = std::vector<SocketAddress>;

constexpr int kListenBacklog = 128;

// AI_NUMERICHOST in `flags`: fails at once for a name.
Result<Addresses> get_addresses(const std::string& host, uint16_t port, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) return Error{ErrorCode::kNotFound, "cannot resolve " + host + ": " + gai_strerror(error)};
  Addresses addresses;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    SocketAddress& address = addresses.emplace_back();
    CHECK(one->ai_addrlen <= sizeof address.storage);
    std::memcpy(&address.storage, one->ai_addr, one->ai_addrlen);
    address.size = one->ai_addrlen;
  }
  freeaddrinfo(found);
  CHECK(!addresses.empty());
  return addresses;
}

Result<int> make_socket(const SocketAddress& address) {
  const int descriptor = socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return system_error(errno, "cannot make a socket");
  return descriptor;
}

// What the system takes beyond what it may send now: more would only delay what is urgent (link.h).
constexpr int kMaxUnsentBytes = 128 << 10;

void set_option(int descriptor, int level, int option, int value = 1) {
  setsockopt(descriptor, level, option, &value, sizeof value);
}

Error close_with_error(int descriptor, const char* what) {
  const int error = errno;
  close(descriptor);
  Error failed = system_error(error, what);
  if (error == EADDRINUSE) failed.code = ErrorCode::kExists;
  return failed;
}

}  // namespace

std::string SocketAddress::host() const {
  char text[INET6_ADDRSTRLEN] = "?";
  if (storage.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(&storage)->sin_addr, text, sizeof text);
  } else if (storage.ss_family == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_addr, text, sizeof text);
  }
  return text;
}

std::string host_and_port(const std::string& host, uint16_t port) {
  const bool brackets = host.find(':') != std::string::npos;
  return (brackets ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<Addresses> resolve(const std::string& host, uint16_t port) { return get_addresses(host, port, 0); }

struct Lookup::State {
  std::atomic<bool> done{false};
  std::optional<Result<Addresses>> addresses;  // set before done

  void finish(Result<Addresses> found) {
    addresses.emplace(std::move(found));
    done.store(true, std::memory_order_release);
  }
};

Lookup::Lookup(const std::string& host, uint16_t port) : state_(std::make_shared<State>()) {
  Result<Addresses> numeric = get_addresses(host, port, AI_NUMERICHOST);
  if (numeric) {
    state_->finish(std::move(numeric));
    return;
  }
  try {
    std::thread([state = state_, host, port] { state->finish(resolve(host, port)); }).detach();
  } catch (const std::system_error& error) {
    state_->finish(Error{ErrorCode::kNotFound, "cannot resolve " + host + ": " + error.what()});
  }
}

bool Lookup::done() const { return state_->done.load(std::memory_order_acquire); }

const Result<Addresses>& Lookup::addresses() const {
  CHECK(done());
  return *state_->addresses;
}

Result<int> listen_at(const SocketAddress& address) {
  Result<int> made = make_socket(address);
  if (!made) return made;
  set_option(*made, SOL_SOCKET, SO_REUSEADDR);
  if (address.storage.ss_family == AF_INET6) set_option(*made, IPPROTO_IPV6, IPV6_V6ONLY);
  if (bind(*made, address.get(), address.size) != 0) return close_with_error(*made, "cannot bind");
  if (listen(*made, kListenBacklog) != 0) return close_with_error(*made, "cannot listen");
  return made;
}

Result<int> connect_to(const SocketAddress& address) {
  Result<int> made = make_socket(address);
  if (!made) return made;
  prepare_socket(*made);
  if (connect(*made, address.get(), address.size) != 0 && errno != EINPROGRESS) {
    return close_with_error(*made, "cannot connect");
  }
  return made;
}

void prepare_socket(int descriptor) {
  set_option(descriptor, IPPROTO_TCP, TCP_NODELAY);
  set_option(descriptor, IPPROTO_TCP, TCP_NOTSENT_LOWAT, kMaxUnsentBytes);
}

}  // namespace capstan::cluster
