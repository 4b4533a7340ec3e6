// What a link sends and receives through: a non-blocking socket, plain or with TLS (tls_context.h) over it. The calls
// mean what recv() and send() mean, so that a link need not know which of the two it has; a plain one is these calls.
//
// With TLS the socket is asked once per readiness and what it says is kept, so that neither direction ever waits for
// the other; close() is no more polite than that of a socket, and the end of the other side's bytes is its end, however
// it comes: links break at any time, and messages are whole or not there.
//
// Belongs to one thread. Failures are told by the calls, with a text for the log; nothing raises SIGPIPE.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cluster/tls_context.h"

namespace capstan::cluster {

class Channel {
 public:
  // Which end of the connection this is.
  enum class Side : uint8_t { kConnecting, kAccepting };

  // Takes the descriptor over. nullptr: plain. The context is needed during this call alone. The TLS handshake begins
  // with the first call of send() or receive(), and goes on in both.
  Channel(int descriptor, const TlsContext* tls, Side side);
  Channel(Channel&& other) noexcept;
  ~Channel();
  Channel& operator=(Channel&&) = delete;

  // −1: closed. For nothing but to wait for it.
  int descriptor() const { return descriptor_; }
  void close();

  // How many bytes were received, of those that there is room for; 0: the other side has closed the connection. −1:
  // errno is EAGAIN where the call would block, else failure() says what is wrong, and the channel is of no use any
  // more. Precondition: the room is not empty.
  ssize_t receive(std::span<char> room);
  // How many of the bytes were taken; they need not have left (unsent()). −1: the same. TLS takes a bounded number of
  // them at once. Without bytes: sends what is unsent.
  ssize_t send(std::string_view bytes);
  // Of the call that has just returned −1. kInvalid: TLS has failed, and the message says all; else the system's error,
  // which "cannot receive", say, stands before.
  Error failure(std::string_view what) const;

  // The last receive() has returned bytes, and there may be more of them here already, which make no socket readable:
  // receive() again, until it would block. It does not ask the socket meanwhile, so that comes soon.
  bool holds_more() const;
  // Bytes, taken by send() or of TLS itself, that the socket had no room for.
  size_t unsent() const;
  // The TLS handshake is not done: until something is received, send() takes nothing.
  bool handshaking() const;
  // Why nothing came of the TLS handshake, for the log, if the other side closes the connection or says no more.
  Error unfinished() const;
  // The other side has sent at least a byte.
  bool heard() const;
  // Bytes that both ends of this very connection know, and nobody else: the "tls-exporter" of RFC 9266. Empty if it is
  // plain. Precondition: not handshaking().
  std::string binding() const;

 private:
  struct Tls;

  int descriptor_;
  bool heard_ = false;        // of a plain one
  std::unique_ptr<Tls> tls_;  // nullptr: plain
};

// Whether a connection's first bytes are of TLS, as far as they say. They are not of RESP then.
bool begins_as_tls(std::string_view bytes);

}  // namespace capstan::cluster
