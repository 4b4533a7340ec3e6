// What a connection remembers between commands, as commands see it: database, protocol, transaction, level, name.
// Belongs to the connection's worker.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "resp/writer.h"
#include "server/command.h"
#include "server/level.h"
#include "server/subscriptions.h"
#include "server/task.h"

namespace capstan {

class Connection;
class Worker;

// One word that is zero for a connection in the ordinary state; everything else takes the slow path of dispatcher.cc.
enum SessionFlag : uint32_t {
  kStranger = 1u << 0,  // has to authenticate first
  kInMulti = 1u << 1,
  kReplyOff = 1u << 2,       // CLIENT REPLY OFF
  kReplySkipNext = 1u << 3,  // CLIENT REPLY SKIP was just executed
  kReplySkip = 1u << 4,      // … and this is the command it meant
  kStalled = 1u << 6,        // no command is taken before all replies are out
  kPostponed = 1u << 7,      // CLIENT PAUSE: no command is taken before the pause is over
  kMonitoring = 1u << 8,
  kOwnLevel = 1u << 9,     // Session::consistency is set
  kLocalReads = 1u << 10,  // READONLY
  kClosing = 1u << 11,     // no command is taken; closed when the output is sent (or at once, if it is dead)
  kSubscribed = 1u << 12,  // Session::subscriber is set
};

// A command that keeps its connection waiting for something to happen (WAIT). Destroyed with the session, or when it
// has replied.
class BlockedCommand {
 public:
  virtual ~BlockedCommand() = default;
  // CLIENT UNBLOCK: replies what a timeout would, or an error.
  virtual void unblock(bool with_error) = 0;
};

class Session {
 public:
  Session(Connection& owner, Worker& its_worker, uint64_t its_id) : connection(owner), worker(its_worker), id(its_id) {}

  Connection& connection;
  Worker& worker;
  const uint64_t id;  // CLIENT ID: unique in the life of the process, ascending

  uint32_t flags = 0;
  bool has(SessionFlag flag) const { return (flags & flag) != 0; }
  void set(SessionFlag flag, bool on = true) { flags = on ? flags | flag : flags & ~flag; }

  Database database = 0;
  resp::Protocol protocol = resp::Protocol::kResp2;
  // Where the reply of the command that runs goes if it returns Outcome::kLater.
  ReplyAddress reply_address;

  std::unique_ptr<BlockedCommand> blocked;

  // While it listens to anything (Worker::subscribe).
  std::unique_ptr<Subscriber> subscriber;
  size_t subscriptions(TopicKind kind) const { return subscriber ? subscriber->count(kind) : 0; }

  // CLIENT SETNAME, SETINFO, NO-EVICT.
  std::string name;
  std::string library_name;
  std::string library_version;
  bool no_evict = false;

  // "127.0.0.1:40384", "[::1]:40384", "/path:0".
  std::string peer_address;
  std::string local_address;
  bool unix_socket = false;
  int64_t created_ms = 0;
  int64_t last_interaction_ms = 0;
  const CommandSpec* last_command = nullptr;

  // MULTI … EXEC.
  std::vector<TransactionCommand> queue;
  size_t queue_bytes = 0;
  size_t exec_commands = 0;   // the command that runs is one of so many of an EXEC; 0: it is not part of any
  bool queue_failed = false;  // a command was refused: EXEC answers EXECABORT
  std::vector<WatchedKey> watched;
  void leave_multi() {
    queue.clear();
    queue_bytes = 0;
    queue_failed = false;
    set(kInMulti, false);
  }

  // CONSISTENCY <level> without a command; valid while kOwnLevel is set.
  Consistency consistency;
  // What the command that runs was asked to be (its prefix, the connection, a pattern, the default).
  Consistency effective;
};

// The reply that a command owes when it has returned Outcome::kLater. Call it once, on the worker of the session that
// the command ran for; the session may be gone by then. Until then the session takes no further command.
class LaterReply {
 public:
  explicit LaterReply(const Session& session)
      : worker_(&session.worker), address_(session.reply_address), protocol_(session.protocol) {}

  resp::Protocol protocol() const { return protocol_; }
  // A whole reply.
  void send(std::string_view bytes) const;

 private:
  Worker* worker_;
  ReplyAddress address_;
  resp::Protocol protocol_;
};

}  // namespace capstan
