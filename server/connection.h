// A client's socket on its worker: receiving, the order of replies, sending, limits. What the commands mean is
// dispatcher.h's matter.
//
// Replies leave in the order of requests. While nothing is outstanding, commands write straight into the output buffer.
// A command that cannot be answered at once opens a place; from then on every reply has a place, and the first place
// that is filled moves to the output.
#pragma once

#include <event2/event.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lmdb-store/journal_format.h"
#include "resp/output_buffer.h"
#include "resp/parser.h"
#include "server/gather.h"
#include "server/session.h"

namespace capstan {

// The rest of EXEC when its queue holds commands that need no shard: they run here, in order, after the shard part.
struct FinishingTransaction;

class Connection {
 public:
  // Takes the descriptor over.
  Connection(Worker& worker, int descriptor, uint64_t id);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Session session;
  resp::Parser parser;

  // Once: addresses, socket options, whether the client may be here at all.
  void open();
  // Whether AUTH has to come first.
  void require_authentication(bool required);

  // --- replies
  // Where a reply goes that is written now: the output, or a new place at the end. end_reply() when it is written.
  resp::OutputBuffer& begin_reply() {
    if (places_.empty() && (session.flags & (kReplyOff | kReplySkip)) == 0) [[likely]]
      return output_;
    return begin_reply_slowly();
  }
  void end_reply(const resp::OutputBuffer& reply) {
    if (&reply != &output_) [[unlikely]]
      end_reply_slowly();
  }
  resp::OutputBuffer& output() { return output_; }

  // The number that open_place() will return.
  uint64_t next_place() const { return first_place_ + (places_.size() - head_); }
  // A reply to come.
  uint64_t open_place();
  // The place waits for several parts.
  void gather_at(uint64_t place, std::unique_ptr<Gather> gather);
  // Sent instead of a reply that is no error (a write that too few replicas have).
  void override_at(uint64_t place, std::string reply);
  // The place's command is counted when its reply is there.
  struct Unaccounted {
    const CommandSpec* spec = nullptr;
    OwnedArguments arguments;
    int64_t elapsed_ns = 0;
  };
  void account_at(uint64_t place, Unaccounted command);
  void finish_at(uint64_t place, std::unique_ptr<FinishingTransaction> finishing);
  FinishingTransaction* finishing_at(uint64_t place);
  // weight: for Join::kPick. Ignored if the place is no more.
  void deliver(uint64_t place, uint32_t part, std::string_view reply, uint64_t weight);
  size_t outstanding() const { return places_.size() - head_; }
  // Argument bytes of outstanding commands (for back-pressure).
  void add_outstanding_bytes(size_t bytes) { outstanding_bytes_ += bytes; }
  // Sends bytes that are no reply (MONITOR's feed), behind the replies of all commands so far.
  void push(std::string_view bytes);

  // --- input
  // Commands as they came from the socket. They are taken at once, or kept.
  void process(std::string_view bytes);
  // Takes commands up again after something kept it from that.
  void resume();
  bool takes_commands() const {
    return (session.flags & (kStalled | kPostponed | kClosing)) == 0 && !too_much_outstanding();
  }
  size_t input_bytes() const { return input_.size(); }

  // --- sending
  // Sends what may leave. Called once per turn for a connection with new output.
  void send();
  // What is in the output now may leave only when the journal is synced up to `position`.
  void hold(lmdb_store::Position position);
  // The journal is synced up to here. True if nothing is held any more.
  bool release(lmdb_store::Position synced);
  bool has_output() const { return !output_.empty(); }
  // Replies that wait to be sent, those behind an outstanding one included.
  size_t output_bytes() const { return output_.size() + place_bytes_; }
  // Closes the connection if it is above its limit (client-output-buffer-limit).
  void check_output_limit(int64_t now_ms);
  bool holding() const { return !held_.empty(); }

  // --- the end
  // After the output was sent; no further command is taken.
  void close_after_output();
  // At once, without sending anything.
  void close_now();
  bool dead() const { return dead_; }

  // Called about once per second: idle time, clients that have gone, output limits.
  void check_limits(int64_t now_ms);

  // One line of CLIENT LIST, Redis 7.0's fields, without the newline.
  std::string describe(int64_t now_ms) const;
  int descriptor() const { return descriptor_; }

  // Is on the worker's list of connections to send at the end of the turn.
  bool listed = false;

 private:
  struct Place {
    bool ready = false;
    bool discard = false;  // CLIENT REPLY OFF or SKIP
    resp::OutputBuffer bytes;
    std::string pushed;  // sent behind it
    std::string override_reply;
    std::unique_ptr<Gather> gather;
    std::unique_ptr<FinishingTransaction> finishing;
    std::unique_ptr<Unaccounted> unaccounted;
  };
  struct Held {
    lmdb_store::Position position;
    uint64_t end;  // in bytes ever put out
  };
  static constexpr size_t kMaxOutstanding = 1024;
  static constexpr size_t kMaxOutstandingBytes = 1 << 20;
  // While no command is taken, this much input is read nevertheless: a client that goes is noticed at once.
  static constexpr size_t kReadAhead = 64 << 10;

  static void on_readable(evutil_socket_t, short, void* self);
  static void on_writable(evutil_socket_t, short, void* self);
  void receive();
  void receive_into_own(size_t bytes);
  bool received(ssize_t result);
  void end_of_input();
  void give_up_waiting();
  // Of a client whose input is not read now.
  void notice_hangup();
  void want_reads(bool wanted);
  void want_writes(bool wanted);
  bool too_much_outstanding() const {
    return outstanding() >= kMaxOutstanding || outstanding_bytes_ >= kMaxOutstandingBytes;
  }
  resp::OutputBuffer& begin_reply_slowly();
  void end_reply_slowly();
  Place& place(uint64_t number) { return places_[head_ + (number - first_place_)]; }
  void fill(uint64_t number, std::string_view reply);
  void move_ready_places();
  void keep(Place& place, std::string_view reply);

  Worker& worker_;
  const int descriptor_;
  event* read_event_;
  event* write_event_ = nullptr;
  bool reading_ = false;
  bool ended_ = false;  // the client sends no more
  bool writing_ = false;
  bool dead_ = false;
  resp::OutputBuffer output_;
  resp::OutputBuffer input_;  // an incomplete command, or what came while none was taken

  std::vector<Place> places_;  // from head_ on
  size_t head_ = 0;
  uint64_t first_place_ = 0;  // the number of places_[head_]
  size_t outstanding_bytes_ = 0;
  size_t place_bytes_ = 0;  // of what places_ hold

  uint64_t sent_ = 0;  // bytes ever sent
  std::vector<Held> held_;
  uint64_t released_ = 0;  // while anything is held: bytes up to here may leave
  int64_t over_soft_limit_since_ms_ = 0;
};

}  // namespace capstan
