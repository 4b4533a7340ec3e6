#include "bench/driver.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/check.h"
#include "base/clock.h"

namespace capstan::bench {

namespace {

uint64_t number(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string wait_command(uint32_t replicas) {
  const std::string digits = std::to_string(replicas);
  return "*3\r\n$4\r\nWAIT\r\n$" + std::to_string(digits.size()) + "\r\n" + digits + "\r\n$1\r\n0\r\n";
}

}  // namespace

Driver::Driver(const DriverOptions& options, Budget& budget)
    : options_(options),
      budget_(budget),
      writer_(options.workload, options.seed),
      wait_(wait_command(options.wait_replicas)),
      received_(kReceiveBytes) {}

Driver::~Driver() {
  for (Client& client : clients_)
    if (client.fd >= 0) ::close(client.fd);
  if (epoll_fd_ >= 0) ::close(epoll_fd_);
}

Result<> Driver::connect() {
  epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd_ < 0) return system_error(errno, "epoll_create1");
  clients_.resize(options_.clients);
  for (uint32_t i = 0; i < options_.clients; ++i) {
    int fd = socket(options_.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return system_error(errno, "socket");
    clients_[i].fd = fd;
    if (::connect(fd, reinterpret_cast<sockaddr*>(&options_.address), options_.address_bytes) != 0)
      return system_error(errno, "connect");
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) return system_error(errno, "fcntl");
    epoll_event event{.events = EPOLLIN, .data = {.u32 = i}};
    if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) return system_error(errno, "epoll_ctl");
  }
  return {};
}

void Driver::run(int64_t start_ns) {
  start_ns_ = start_ns;
  for (Client& client : clients_) next_batch(client);
  std::array<epoll_event, 128> events;
  while (busy_ > 0) {
    int ready = epoll_wait(epoll_fd_, events.data(), static_cast<int>(events.size()), kPatience_ms);
    if (ready < 0 && errno == EINTR) continue;
    CHECK(ready >= 0);
    if (ready == 0) {
      for (Client& client : clients_) close(client, "no reply within a minute");
      return;
    }
    for (int i = 0; i < ready; ++i) {
      Client& client = clients_[events[static_cast<size_t>(i)].data.u32];
      uint32_t what = events[static_cast<size_t>(i)].events;
      if (client.fd >= 0 && (what & EPOLLOUT)) flush(client);
      if (client.fd >= 0 && (what & (EPOLLIN | EPOLLHUP | EPOLLERR))) receive(client);
    }
  }
}

void Driver::next_batch(Client& client) {
  Budget::Share share = budget_.take(options_.pipeline);
  if (share.count == 0) return;
  client.out.clear();
  client.written = 0;
  for (uint32_t i = 0; i < share.count; ++i) writer_.append(share.first + i, client.out);
  client.commands = client.waiting = share.count;
  if (options_.wait_replicas > 0) {
    client.out += wait_;
    ++client.waiting;
  }
  client.busy = true;
  ++busy_;
  client.sent_ns = monotonic_ns();
  flush(client);
}

void Driver::flush(Client& client) {
  while (client.written < client.out.size()) {
    ssize_t sent =
        send(client.fd, client.out.data() + client.written, client.out.size() - client.written, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return watch_writable(client, true);
    if (sent < 0) return close(client, std::strerror(errno));
    client.written += static_cast<size_t>(sent);
  }
  watch_writable(client, false);
}

void Driver::watch_writable(Client& client, bool on) {
  if (client.watches_writable == on) return;
  client.watches_writable = on;
  epoll_event event{.events = EPOLLIN | (on ? EPOLLOUT : 0u),
                    .data = {.u32 = static_cast<uint32_t>(&client - clients_.data())}};
  CHECK(epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, client.fd, &event) == 0);
}

void Driver::receive(Client& client) {
  ssize_t size = recv(client.fd, received_.data(), received_.size(), 0);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) return close(client, size == 0 ? "the server closed the connection" : std::strerror(errno));
  std::string_view input(received_.data(), static_cast<size_t>(size));
  if (!client.received.empty()) input = client.received.append(input);
  if (!read_replies(client, input)) return close(client, "not the replies asked for");
  if (client.busy && client.waiting == 0) {
    client.busy = false;
    --busy_;
    next_batch(client);
  }
}

bool Driver::read_replies(Client& client, std::string_view input) {
  using Outcome = resp::ReplyParser::Outcome;
  int64_t now_ns = monotonic_ns();
  resp::Reply reply;
  Outcome outcome = Outcome::kIncomplete;
  while (!input.empty() && (outcome = client.parser.next(input, reply)) == Outcome::kReply) {
    input.remove_prefix(reply.bytes.size());
    if (reply.is_push()) continue;
    if (client.waiting == 0) return false;
    --client.waiting;
    count(client, reply, now_ns);
  }
  client.received = std::string(input);
  return input.empty() || outcome == Outcome::kIncomplete;
}

void Driver::count(Client& client, const resp::Reply& reply, int64_t now_ns) {
  auto second = static_cast<size_t>((now_ns - start_ns_) / 1'000'000'000);
  if (second >= seconds_.size()) seconds_.resize(second + 1);
  const bool waits = options_.wait_replicas > 0;
  const uint32_t done = !waits ? 1 : client.waiting == 0 ? client.commands : 0;
  for (uint32_t i = 0; i < done; ++i) seconds_[second].latency.record(now_ns - client.sent_ns);
  const bool too_few = waits && client.waiting == 0 && number(reply.text) < options_.wait_replicas;
  if (!reply.is_error() && !too_few) return;
  ++seconds_[second].errors;
  if (first_error_.empty()) first_error_ = too_few ? "too few replicas: " + std::string(reply.text) : reply.text;
}

void Driver::close(Client& client, const std::string& why) {
  if (client.fd < 0) return;
  ::close(client.fd);
  client.fd = -1;
  if (!client.busy) return;
  client.busy = false;
  --busy_;
  lost_ += std::max(client.waiting, 1u);
  if (first_error_.empty()) first_error_ = why;
}

}  // namespace capstan::bench
