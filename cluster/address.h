// Where a node listens, and sockets for it. All sockets are non-blocking, closed on exec and without Nagle's delay.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace capstan::cluster {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_storage);

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  // "127.0.0.1", "::1"
  std::string host() const;
};

// "127.0.0.1:7001", "[::1]:7001"
std::string host_and_port(const std::string& host, uint16_t port);

// The addresses of a host: of a numeric one itself, of a name what the system's resolver says, which may take seconds.
// Never empty. kNotFound: unknown, or the resolver cannot say now.
Result<std::vector<SocketAddress>> resolve(const std::string& host, uint16_t port);

// resolve() that no loop waits for: a name is looked up by a thread of its own, which may outlive this. Asked by one
// thread.
class Lookup {
 public:
  Lookup(const std::string& host, uint16_t port);

  bool done() const;
  // Once done.
  const Result<std::vector<SocketAddress>>& addresses() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// A socket that listens there; the caller owns it. kExists: the address is in use; kIo otherwise.
Result<int> listen_at(const SocketAddress& address);
// A socket that is being connected, or is already; the caller owns it, and learns how it ended when it is writable.
Result<int> connect_to(const SocketAddress& address);
// An accepted one is made like the others.
void prepare_socket(int descriptor);

}  // namespace capstan::cluster
