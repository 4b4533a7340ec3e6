// WAIT and WAITAOF: reply when the connection's writes are as safe as was asked for, or when the time is over.
#include <event2/event.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "resp/number.h"
#include "server/commands/arguments.h"
#include "server/connection.h"
#include "server/node.h"
#include "server/worker.h"

namespace capstan {
namespace {

// Runs inside EXEC, where nothing blocks: the place of EXEC's reply is open already.
bool in_transaction(const Session& session) { return session.reply_address.place < session.connection.next_place(); }

// nullopt: the error is replied. 0: no end.
std::optional<int64_t> timeout_argument(Call& call, size_t index) {
  const std::optional<int64_t> timeout_ms = resp::parse_integer(call.args[index]);
  if (!timeout_ms || *timeout_ms > INT64_MAX - call.now_ms) {
    reply_error(call, "ERR timeout is not an integer or out of range");
    return std::nullopt;
  }
  if (*timeout_ms >= 0) return timeout_ms;
  reply_error(call, "ERR timeout is negative");
  return std::nullopt;
}

// Waits for a time. What the reply is then, the derived class knows.
class Waiting : public BlockedCommand {
 public:
  Waiting(Session& session, int64_t timeout_ms) : session_(session), later_(session) {
    if (timeout_ms == 0) return;
    timer_ = evtimer_new(session.worker.base(), &Waiting::on_timeout, this);
    const timeval time{timeout_ms / 1000, timeout_ms % 1000 * 1000};
    CHECK(timer_ != nullptr && event_add(timer_, &time) == 0);
  }
  ~Waiting() override {
    if (timer_ != nullptr) event_free(timer_);
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

  void unblock(bool with_error) override {
    resp::OutputBuffer out;
    resp::Writer writer(out, later_.protocol());
    if (with_error) {
      writer.error("UNBLOCKED client unblocked via CLIENT UNBLOCK");
    } else {
      write(writer);
    }
    const LaterReply later = later_;
    session_.blocked.reset();  // and with it this
    later.send(out.view());
  }

 protected:
  virtual void write(resp::Writer& writer) = 0;

 private:
  static void on_timeout(evutil_socket_t, short, void* self) { static_cast<Waiting*>(self)->unblock(false); }

  Session& session_;
  LaterReply later_;
  event* timer_ = nullptr;
};

// How many other nodes certainly hold all that this connection has been answered for (and have synced it): of a
// majority all but the one that answered. Single nodes have none.
int64_t certain_replicas(const Worker& worker) {
  const auto& cluster = worker.settings().cluster;
  return cluster ? static_cast<int64_t>(cluster->all.size() / 2) : 0;
}

// ---- WAIT

class WaitForReplicas : public Waiting {
 public:
  WaitForReplicas(Session& session, int64_t timeout_ms)
      : Waiting(session, timeout_ms), certain_(certain_replicas(session.worker)) {}

 protected:
  void write(resp::Writer& writer) override { writer.integer(certain_); }

 private:
  const int64_t certain_;
};

Outcome wait(Call& call) {
  const std::optional<int64_t> replicas = integer_argument(call, 1);
  if (!replicas) return Outcome::kDone;
  const std::optional<int64_t> timeout_ms = timeout_argument(call, 2);
  if (!timeout_ms) return Outcome::kDone;
  const int64_t certain = certain_replicas(call.session->worker);
  if (*replicas <= certain || in_transaction(*call.session)) {
    call.reply().integer(certain);
    return Outcome::kDone;
  }
  call.session->blocked = std::make_unique<WaitForReplicas>(*call.session, *timeout_ms);
  return Outcome::kLater;
}

// ---- WAITAOF (Redis 7.2): the journals of this node

class WaitForSync;

// Shared with the workers that are asked; touched on the session's worker alone.
struct SyncProgress {
  unsigned left = 0;  // workers whose journal is not known to be synced yet
  WaitForSync* waiting = nullptr;
};

class WaitForSync : public Waiting {
 public:
  WaitForSync(Session& session, int64_t timeout_ms, std::shared_ptr<SyncProgress> progress, bool enough)
      : Waiting(session, timeout_ms),
        progress_(std::move(progress)),
        enough_(enough),
        certain_(certain_replicas(session.worker)) {
    progress_->waiting = this;
  }
  ~WaitForSync() override { progress_->waiting = nullptr; }

  void synced() {
    if (enough_) unblock(false);
  }

 protected:
  void write(resp::Writer& writer) override {
    writer.array(2);
    writer.integer(progress_->left == 0 ? 1 : 0);
    writer.integer(certain_);
  }

 private:
  std::shared_ptr<SyncProgress> progress_;
  const bool enough_;  // as many replicas as are waited for have it
  const int64_t certain_;
};

// Every worker's journal: the connection may have written to the shards of any.
void ask_for_sync(Worker& caller, const std::shared_ptr<SyncProgress>& progress) {
  progress->left = caller.node().workers();
  for (unsigned i = 0; i < caller.node().workers(); ++i) {
    caller.post(i, [progress, to = caller.index()](Worker& worker) {
      worker.when_synced([progress, to](Worker& synced) {
        synced.post(to, [progress](Worker&) {
          if (--progress->left == 0 && progress->waiting != nullptr) progress->waiting->synced();
        });
      });
    });
  }
}

// What is so far, without waiting.
Outcome tell_synced(Call& call) {
  auto unsynced = std::make_shared<std::vector<char>>(call.node->workers());
  const LaterReply later(*call.session);
  const int64_t certain = certain_replicas(call.session->worker);
  call.session->worker.on_every_worker(
      [unsynced](Worker& worker) { (*unsynced)[worker.index()] = worker.journal().synced() < worker.journal().end(); },
      [unsynced, later, certain](Worker&) {
        const bool synced = std::find(unsynced->begin(), unsynced->end(), 1) == unsynced->end();
        resp::OutputBuffer out;
        resp::Writer writer(out, later.protocol());
        writer.array(2);
        writer.integer(synced ? 1 : 0);
        writer.integer(certain);
        later.send(out.view());
      });
  return Outcome::kLater;
}

Outcome waitaof(Call& call) {
  const std::optional<int64_t> local = integer_argument(call, 1);
  if (!local) return Outcome::kDone;
  if (*local < 0 || *local > 1) return reply_error(call, "ERR value is out of range, value must between 0 and 1");
  const std::optional<int64_t> replicas = integer_argument(call, 2);
  if (!replicas) return Outcome::kDone;
  if (*replicas < 0) return reply_error(call, "ERR value is out of range, must be positive");
  const std::optional<int64_t> timeout_ms = timeout_argument(call, 3);
  if (!timeout_ms) return Outcome::kDone;
  const bool enough_replicas = *replicas <= certain_replicas(call.session->worker);
  const bool nothing_to_wait_for = *local == 0 && enough_replicas;
  if (nothing_to_wait_for || in_transaction(*call.session)) return tell_synced(call);
  auto progress = std::make_shared<SyncProgress>();
  call.session->blocked = std::make_unique<WaitForSync>(*call.session, *timeout_ms, progress, enough_replicas);
  ask_for_sync(call.session->worker, progress);
  return Outcome::kLater;
}

constexpr CommandSpec kCommands[] = {
    {.name = "wait",
     .arity = 3,
     .flags = kNoscript | kAfterOthers,
     .run = wait,
     .categories = "connection",
     .group = "generic",
     .since = "3.0.0",
     .complexity = "O(1)",
     .summary = "Waits until that many other nodes hold the writes of this connection; those of a majority do already",
     .syntax = "<numreplicas:integer> <timeout:integer>",
     .tips = "request_policy:all_shards response_policy:agg_min"},
    {.name = "waitaof",
     .arity = 4,
     .flags = kNoscript | kAfterOthers,
     .run = waitaof,
     .categories = "connection",
     .group = "generic",
     .since = "7.2.0",
     .complexity = "O(1)",
     .summary = "Waits until the writes of this connection are durable",
     .syntax = "<numlocal:integer> <numreplicas:integer> <timeout:integer>",
     .tips = "request_policy:all_shards response_policy:agg_min"},
};

}  // namespace

std::span<const CommandSpec> waiting_commands() { return kCommands; }

}  // namespace capstan
