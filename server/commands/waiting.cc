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

// How many other nodes certainly hold all that this connection has been answered for, on their disks: of a majority all
// but the one that answered. Single nodes have none.
int64_t certain_replicas(Worker& worker) {
  const cluster::ReplicaPlacement* const placement = worker.executor().placement();
  return placement != nullptr ? static_cast<int64_t>(placement->replicas(0).size() / 2) : 0;
}

// How safe writes are, or should be.
struct Copies {
  bool local = false;  // on this node's own disk
  int64_t replicas = 0;
};

enum class Form : uint8_t { kNumber, kPair };  // WAIT's reply, WAITAOF's

void write_copies(resp::Writer& writer, Form form, const Copies& copies) {
  if (form == Form::kPair) {
    writer.array(2);
    writer.integer(copies.local ? 1 : 0);
  }
  writer.integer(copies.replicas);
}

class WaitForCopies;

// What has been found out. Shared with those who are asked; touched on the session's worker alone.
struct Progress {
  WaitForCopies* waiting = nullptr;
  unsigned unsynced = 0;               // workers whose journal is not known to be synced yet
  std::vector<HoldersRequest> shards;  // as their leaders know it
  size_t unanswered = 0;               // of the shards that were asked last
};

class WaitForCopies : public Waiting {
 public:
  WaitForCopies(Session& session, int64_t timeout_ms, Form form, const Copies& wanted, const CommandSpec& spec)
      : Waiting(session, timeout_ms),
        worker_(session.worker),
        client_(session.id),
        form_(form),
        wanted_(wanted),
        spec_(spec),
        progress_(std::make_shared<Progress>()) {
    progress_->waiting = this;
    found_.replicas = certain_replicas(worker_);
    again_ = evtimer_new(
        worker_.base(), [](evutil_socket_t, short, void* self) { static_cast<WaitForCopies*>(self)->ask_leaders(); },
        this);
    CHECK(again_ != nullptr);
  }
  ~WaitForCopies() override {
    progress_->waiting = nullptr;
    event_free(again_);
  }

  void begin() {
    if (form_ == Form::kPair) ask_for_sync();
    if (found_.replicas < wanted_.replicas && worker_.node().peers() != nullptr) ask_leaders();
  }

 protected:
  void write(resp::Writer& writer) override { write_copies(writer, form_, found_); }

 private:
  static constexpr timeval kPause{0, 5'000};
  static constexpr int64_t kPatienceMs = 1000;

  // Every worker's journal: the connection may have written to the shards of any.
  void ask_for_sync() {
    progress_->unsynced = worker_.node().workers();
    for (unsigned i = 0; i < worker_.node().workers(); ++i) {
      worker_.post(i, [progress = progress_, to = worker_.index()](Worker& worker) {
        worker.when_synced([progress, to](Worker& synced) {
          synced.post(to, [progress](Worker&) {
            if (--progress->unsynced == 0 && progress->waiting != nullptr) progress->waiting->synced();
          });
        });
      });
    }
  }

  // Of all shards: the connection may have written to any.
  void ask_leaders() {
    const Dispatcher& dispatcher = worker_.dispatcher();
    progress_->shards.resize(dispatcher.shard_map().shards());
    progress_->unanswered = progress_->shards.size();
    for (ShardId shard = 0; shard < progress_->shards.size(); ++shard) {
      auto task = std::make_unique<Task>();
      task->reply_to = {worker_.index(), 0, client_, 0};
      task->shard = shard;
      task->spec = &spec_;
      task->timeout_ms = kPatienceMs;
      task->holders = std::make_unique<HoldersRequest>(HoldersRequest{progress_->shards[shard].index, 0});
      task->on_done = [progress = progress_](Worker&, Task& done, std::string_view) {
        progress->shards[done.shard] = *done.holders;
        if (--progress->unanswered == 0 && progress->waiting != nullptr) progress->waiting->counted();
      };
      worker_.submit(dispatcher.owner(shard), std::move(task));
    }
  }

  void synced() {
    found_.local = true;
    end_if_enough();
  }

  void counted() {
    const auto least = std::min_element(progress_->shards.begin(), progress_->shards.end(),
                                        [](const auto& a, const auto& b) { return a.holders < b.holders; });
    found_.replicas = std::max<int64_t>(found_.replicas, least->holders);
    if (!end_if_enough()) CHECK(event_add(again_, &kPause) == 0);
  }

  // True: this is no more.
  bool end_if_enough() {
    if ((wanted_.local && !found_.local) || found_.replicas < wanted_.replicas) return false;
    unblock(false);
    return true;
  }

  Worker& worker_;
  const uint64_t client_;
  const Form form_;
  const Copies wanted_;
  const CommandSpec& spec_;
  Copies found_;
  std::shared_ptr<Progress> progress_;
  event* again_ = nullptr;
};

Outcome wait_for(Call& call, int64_t timeout_ms, Form form, const Copies& wanted) {
  auto waiting = std::make_unique<WaitForCopies>(*call.session, timeout_ms, form, wanted, *call.spec);
  WaitForCopies& begun = *waiting;
  call.session->blocked = std::move(waiting);
  begun.begin();
  return Outcome::kLater;
}

// ---- WAIT

Outcome wait(Call& call) {
  const std::optional<int64_t> replicas = integer_argument(call, 1);
  if (!replicas) return Outcome::kDone;
  const std::optional<int64_t> timeout_ms = timeout_argument(call, 2);
  if (!timeout_ms) return Outcome::kDone;
  const Copies certain{false, certain_replicas(call.session->worker)};
  if (*replicas > certain.replicas && !in_transaction(*call.session)) {
    return wait_for(call, *timeout_ms, Form::kNumber, {false, *replicas});
  }
  write_copies(call.reply(), Form::kNumber, certain);
  return Outcome::kDone;
}

// ---- WAITAOF (Redis 7.2): the journals of this node, and of the others

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
        write_copies(writer, Form::kPair, {synced, certain});
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
  const bool nothing_to_wait_for = *local == 0 && *replicas <= certain_replicas(call.session->worker);
  if (nothing_to_wait_for || in_transaction(*call.session)) return tell_synced(call);
  return wait_for(call, *timeout_ms, Form::kPair, {*local == 1, *replicas});
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
