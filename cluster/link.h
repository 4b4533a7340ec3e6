// One connection to another node, from its handshake on (handshake.h): framing, one receive per readiness, one send per
// turn, bounds. What it is made of is the matter of channel.h, which links there are that of links.h.
//
// Messages keep their order, except that urgent ones go first: a large value on its way must not delay heartbeats and
// votes. Of more than kPartBytes each turn sends one piece, as a message of its own, and before it what is urgent; the
// pieces, one behind the other, are whole messages again:
//
//   part <bytes>
//
// Thread: the owner's, which turns the event base and calls send() once per turn; that also sends what the handshake
// says. A link that is broken stays dead and calls nobody any more; the owner frees it, but not in a call that it got
// from that link.
#pragma once

#include <event2/event.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cluster/channel.h"
#include "cluster/handshake.h"
#include "resp/output_buffer.h"
#include "resp/parser.h"

namespace capstan::cluster {

struct LinkLimits {
  // Of one message, received. A larger one breaks the link.
  uint64_t max_message_bytes = (uint64_t{512} << 20) + (uint64_t{1} << 20);
  // Of output that waits, besides the largest message in it: a single message may be larger than all that may wait
  // behind it. More breaks the link: a peer that does not read is as good as gone.
  size_t max_backlog_bytes = size_t{64} << 20;
  // From the start of the connection to the last proof; TLS's handshake is part of it.
  int64_t handshake_timeout_ms = 2000;
};

class Link {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    // A buffer that all links receive in; what is in it is done with before any of them receives again.
    virtual std::span<char> receive_room() = 0;
    // The peer has proved who it is. What it sends comes to on_message() from now on.
    virtual void on_proven(Link& link) = 0;
    // The words live during the call. It may close the link.
    virtual void on_message(Link& link, std::span<const std::string_view> words) = 0;
    // The link is dead, its socket closed; also by close().
    virtual void on_broken(Link& link, const Error& why) = 0;
  };
  enum class State : uint8_t { kConnecting, kConnected };
  enum class Lane : uint8_t { kOrdered, kUrgent };
  // At 1 Gbit/s an urgent message waits 1 ms for a piece.
  static constexpr size_t kPartBytes = size_t{128} << 10;
  static constexpr std::string_view kPartMessage = "part";

  // The channel is over a socket that is being connected, or one that was accepted. `where`: for the log.
  Link(event_base* base, Owner& owner, const LinkLimits& limits, Channel channel, State state, std::string where,
       Handshake handshake);
  // Says nothing to the owner.
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // Where a message is to be appended, whole, before the next call of begin() or send(). nullptr: too much waits, and
  // the next send() breaks the link. Urgent messages are small, and keep their order among each other. Precondition:
  // proven().
  resp::OutputBuffer* begin(Lane lane = Lane::kOrdered);
  // Sends what the socket takes.
  void send();
  // Breaks the link. The owner's on_broken() is called before this returns.
  void close(const Error& why);

  bool dead() const { return channel_.descriptor() < 0; }
  bool proven() const { return handshake_.done(); }
  const std::string& peer() const { return handshake_.peer(); }
  uint64_t peer_process() const { return handshake_.peer_process(); }
  const std::string& where() const { return where_; }
  size_t backlog() const { return output_.size() + urgent_.size() + ordered_.size() + channel_.unsent(); }
  // The other side has sent at least a byte.
  bool heard() const { return channel_.heard(); }

 private:
  struct Stream {
    explicit Stream(const resp::Limits& limits) : parser(limits) {}
    resp::Parser parser;
    resp::Arguments words;
    resp::OutputBuffer input;  // a message that is not complete
  };

  static void on_readable(evutil_socket_t, short, void* self);
  static void on_writable(evutil_socket_t, short, void* self);
  static void on_deadline(evutil_socket_t, short, void* self);
  void finish_connecting();
  void receive();
  void receive_into_own();
  bool received(ssize_t result);
  size_t process(Stream& stream, std::string_view input);
  bool take(Stream& stream, size_t bytes);
  void take_part(const resp::Arguments& words);
  void advance_handshake(size_t bytes);
  uint64_t max_bytes() const;
  void note_frame();
  void fill_output();
  void take_piece();
  bool overflows() const { return backlog() > limits_.max_backlog_bytes + largest_frame_bytes_; }
  void want_writes(bool wanted);
  Error ended(Error why) const;

  Owner& owner_;
  const LinkLimits& limits_;
  Channel channel_;  // closed: dead
  State state_;
  const std::string where_;
  Handshake handshake_;
  size_t handshake_bytes_ = 0;  // received in whole messages
  event* read_event_;
  event* write_event_;
  event* deadline_;
  bool writing_ = false;

  resp::Limits parser_limits_;
  Stream received_;            // from the socket
  Stream pieced_;              // from parts
  resp::OutputBuffer output_;  // what the socket gets next, whole messages at its end
  resp::OutputBuffer urgent_;  // what overtakes ordered_
  resp::OutputBuffer ordered_;
  size_t in_parts_ = 0;             // so much at the front of ordered_ leaves in parts
  size_t frame_begin_ = 0;          // of the latest message, in ordered_
  size_t largest_frame_bytes_ = 0;  // of those since nothing waited
  bool overflowed_ = false;
};

}  // namespace capstan::cluster
