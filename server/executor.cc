#include "server/executor.h"

#include <absl/container/flat_hash_set.h>

#include "server/stopwatch.h"
#include "server/worker.h"

namespace capstan {
namespace {

// Of arguments of commands that wait. A client that sends and leaves, over and over, keeps some of its writes here;
// from this on writes that have to wait for memory are refused.
constexpr size_t kMaxWaitingBytes = 256 << 20;

}  // namespace

Executor::Executor(Worker& worker) : worker_(worker), last_call_(worker.random() >> (64 - kCallNumberBits + 1)) {}

Executor::~Executor() = default;

size_t Executor::argument_bytes(const Task& task) {
  size_t bytes = task.arguments.bytes();
  if (!task.transaction) return bytes;
  for (const TransactionCommand& command : task.transaction->commands) bytes += command.arguments.bytes();
  return bytes;
}

bool Executor::is_write(const Task& task) {
  if (!task.transaction) return task.spec != nullptr && (task.spec->flags & kWrite) != 0;
  for (const TransactionCommand& command : task.transaction->commands) {
    if ((command.spec->flags & kWrite) != 0) return true;
  }
  return false;
}

Outcome Executor::refuse(Task& task, resp::OutputBuffer& out, std::string_view message) {
  if (task.transaction) {
    task.transaction->refused = true;
    task.transaction->aborted = false;  // also what a record that is not there was to remember
    task.transaction->reply_ends.clear();
  }
  resp::Writer(out, task.protocol).error(message);
  return Outcome::kDone;
}

void Executor::add_shard(std::unique_ptr<Shard> shard) {
  if (by_id_.size() <= shard->id()) by_id_.resize(shard->id() + 1, nullptr);
  by_id_[shard->id()] = shard.get();
  held_.resize(by_id_.size());
  leaderships_.resize(by_id_.size());
  heard_.resize(by_id_.size());
  seen_.resize(by_id_.size());
  shards_.push_back(std::move(shard));
}

Outcome Executor::try_now(Task& task, resp::OutputBuffer& out) {
  if (waits(task.reply_to.client, task.shard)) return Outcome::kAgain;
  return attempt(task, out);
}

Outcome Executor::attempt(Task& task, resp::OutputBuffer& out) {
  Shard& shard = *by_id_[task.shard];
  if (shard.clustered()) {
    resp::Writer writer(out, task.protocol);
    const Admission admission = admit(shard, task.level, is_write(task), writer);
    if (admission == Admission::kAnswered && task.transaction) task.transaction->refused = true;
    if (admission != Admission::kRun) return admission == Admission::kWait ? Outcome::kWait : Outcome::kDone;
  }
  if (!recent_enough(task, shard)) return shard.clustered() ? Outcome::kWait : refuse(task, out, too_late(task));
  if (writes_parked_ && is_write(task)) {
    if (!overdue(task)) return Outcome::kAgain;
    return refuse(task, out, "OVERLOADED no memory for writes, the disk does not keep up");
  }
  if (task.digests) return run_digests(task, shard);
  if (task.holders) return count_holders(task, shard);
  return task.transaction ? run_transaction(task, shard, out) : run_command(task, shard, out);
}

Outcome Executor::run_command(Task& task, Shard& shard, resp::OutputBuffer& out) {
  resp::Writer writer(out, task.protocol);
  Call call = worker_.make_call(*task.spec, task.arguments.words(), task.database, writer, &task.state);
  call.once = task.once.get();
  Stopwatch watch;
  const size_t before = out.size();
  const Outcome outcome = shard.run(*task.spec, call, task.level);
  task.elapsed_ns += watch.lap_ns();
  if (outcome == Outcome::kDone || outcome == Outcome::kHeld) {
    account(task, *task.spec, call.args, task.elapsed_ns, out.view().substr(before));
  }
  return outcome;
}

void Executor::account(const Task& task, const CommandSpec& spec, std::span<const std::string_view> words,
                       int64_t elapsed_ns, std::string_view reply) {
  // Of another node's client nothing is known here.
  const unsigned of_client = task.remote ? worker_.index() : task.reply_to.worker;
  worker_.account(spec, words, elapsed_ns, reply, task.reply_to.client, of_client);
}

bool Executor::watched_keys_unchanged(Task& task, Shard& shard, bool& missing) {
  for (const WatchedKey& key : task.transaction->watched) {
    const std::optional<uint64_t> digest = shard.digest(KeyRef(key.database, key.name), worker_.now_ms());
    if (!digest) {
      missing = true;
      return false;
    }
    if (*digest != key.digest) return false;
  }
  return true;
}

Outcome Executor::run_transaction(Task& task, Shard& shard, resp::OutputBuffer& out) {
  Transaction& transaction = *task.transaction;
  bool missing = false;
  const bool unchanged = watched_keys_unchanged(task, shard, missing);
  if (missing) return Outcome::kFetch;
  if (!unchanged && !task.once) {
    transaction.aborted = true;
    return Outcome::kDone;
  }
  resp::Writer writer(out, task.protocol);
  for (const TransactionCommand& command : transaction.commands) {
    const Call call = worker_.make_call(*command.spec, command.arguments.words(), command.database, writer, nullptr);
    if (!shard.resident(*command.spec, call)) return Outcome::kFetch;
  }
  Result<> begun = shard.begin_transaction(task.level, worker_.now_ms(), is_write(task) || task.once);
  Result<Outcome> done = begun ? Result<Outcome>(Outcome::kDone) : Result<Outcome>(begun.error());
  if (done) {
    if (!task.once) {
      run_commands(task, shard, out);
    } else if (!repeat_transaction(task, shard, out)) {
      run_transaction_once(task, shard, unchanged, out);
    }
    done = shard.end_transaction(task.level);
  }
  if (!done) {
    // Nothing took effect, so what the commands replied is not true.
    out.clear();
    return refuse(task, out, done.error().message);
  }
  return *done;
}

void Executor::run_commands(Task& task, Shard& shard, resp::OutputBuffer& out) {
  for (const TransactionCommand& command : task.transaction->commands) {
    run_in_transaction(task, shard, command, out);
    task.transaction->reply_ends.push_back(out.size());
  }
}

void Executor::run_transaction_once(Task& task, Shard& shard, bool unchanged, resp::OutputBuffer& out) {
  if (unchanged) run_commands(task, shard, out);
  Remembered result{.serial = task.once->serial, .protocol = task.protocol};
  result.aborted = task.transaction->aborted = !unchanged;
  result.reply_ends = task.transaction->reply_ends;
  result.reply = out.view();
  shard.remember(*task.once, result);
}

// True: it is not to be executed.
bool Executor::repeat_transaction(Task& task, Shard& shard, resp::OutputBuffer& out) {
  const std::optional<Remembered> last = shard.recall(*task.once);
  const std::optional<std::string> error =
      last ? check_repetition(*last, task.once->serial, task.protocol) : std::nullopt;
  if (!error) return false;
  if (!error->empty()) {
    refuse(task, out, *error);
  } else if (!last->aborted && last->reply_ends.size() != task.transaction->commands.size()) {
    refuse(task, out, "ERR ID: the command of this serial was another one");
  } else {
    task.transaction->aborted = last->aborted;
    task.transaction->reply_ends = last->reply_ends;
    out.append(last->reply);
  }
  return true;
}

void Executor::run_in_transaction(Task& task, Shard& shard, const TransactionCommand& command,
                                  resp::OutputBuffer& out) {
  resp::Writer writer(out, task.protocol);
  Call call = worker_.make_call(*command.spec, command.arguments.words(), command.database, writer, nullptr);
  const size_t before = out.size();
  Stopwatch watch;
  CHECK(shard.run_in_transaction(*command.spec, call) == Outcome::kDone);
  account(task, *command.spec, call.args, watch.lap_ns(), out.view().substr(before));
}

Outcome Executor::run_digests(Task& task, Shard& shard) {
  for (WatchedKey& key : task.digests->keys) {
    const std::optional<uint64_t> digest = shard.digest(KeyRef(key.database, key.name), worker_.now_ms());
    if (!digest) return Outcome::kFetch;
    key.digest = *digest;
  }
  return Outcome::kDone;
}

Outcome Executor::count_holders(Task& task, Shard& shard) {
  CHECK(shard.member() != nullptr);
  if (task.holders->index == 0) task.holders->index = agreed(shard);
  task.holders->holders = shard.member()->others_with(task.holders->index);
  return Outcome::kDone;
}

void Executor::park(std::unique_ptr<Task> task, Outcome why) {
  const bool first = !waits(task->reply_to.client, task->shard);
  if (why == Outcome::kWait && first && send_on(task)) return;
  const LaneKey key{task->reply_to.client, task->shard};
  Shard& shard = *by_id_[task->shard];
  task->parked_since_ms = worker_.now_ms();
  Lane& lane = lanes_[key];
  task->argument_bytes = argument_bytes(*task);
  waiting_bytes_ += task->argument_bytes;
  lane.tasks.push_back(std::move(task));
  ++waiting_tasks_;
  if (lane.tasks.size() > 1) return prefetch(*lane.tasks.back());
  if (why == Outcome::kFetch) return wait_for_rows(key, shard);
  if (why == Outcome::kWait) return wait_for_group(key, lane);
  ready_.push_back(key);
}

void Executor::submit(std::unique_ptr<Task> task) {
  if (waits(task->reply_to.client, task->shard)) return park(std::move(task), Outcome::kAgain);
  scratch_.clear();
  const Outcome outcome = attempt(*task, scratch_);
  if (outcome == Outcome::kHeld) return hold(std::move(task), scratch_.view());
  if (outcome != Outcome::kDone) return park(std::move(task), outcome);
  complete(std::move(task), scratch_.view());
}

void Executor::run_forwarded(const ForwardedCommand& command, std::span<const std::string_view> arguments) {
  Outcome outcome = Outcome::kAgain;
  if (!waits(command.reply_to.client, command.shard)) {
    Shard& shard = *by_id_[command.shard];
    std::unique_ptr<CommandState> state;
    scratch_.clear();
    resp::Writer writer(scratch_, command.protocol);
    Call call = worker_.make_call(*command.spec, arguments, command.database, writer, &state);
    Stopwatch watch;
    outcome = run(shard, *command.spec, call, command.level);
    if (outcome == Outcome::kDone || outcome == Outcome::kHeld) {
      worker_.account(*command.spec, arguments, watch.lap_ns(), scratch_.view(), command.reply_to.client,
                      command.reply_to.worker);
    }
    if (outcome == Outcome::kHeld) {
      return hold(shard, command.reply_to, command.database, command.protocol, scratch_.view());
    }
    if (outcome == Outcome::kDone) {
      return worker_.deliver(command.reply_to, scratch_.view(), shard.keyspace().keys(command.database));
    }
  }
  auto task = std::make_unique<Task>();
  task->reply_to = command.reply_to;
  task->shard = command.shard;
  task->protocol = command.protocol;
  task->level = command.level;
  task->timeout_ms = command.timeout_ms;
  task->spec = command.spec;
  task->database = command.database;
  task->arguments = OwnedArguments(arguments);
  park(std::move(task), outcome);
}

void Executor::wait_for_rows(const LaneKey& key, Shard& shard) {
  lanes_[key].fetching = true;
  shard.fetch([this, key] {
    const auto lane = lanes_.find(key);
    CHECK(lane != lanes_.end() && lane->second.fetching);
    lane->second.fetching = false;
    ready_.push_back(key);
  });
}

// The rows of a task behind others are read meanwhile, so that a client's pipelined reads wait for the disk together.
void Executor::prefetch(const Task& task) {
  if (task.transaction || task.digests || task.holders || writes_parked_) return;
  scratch_.clear();
  resp::Writer writer(scratch_, task.protocol);
  const Call call = worker_.make_call(*task.spec, task.arguments.words(), task.database, writer, nullptr);
  Shard& shard = *by_id_[task.shard];
  if (!shard.resident(*task.spec, call)) shard.fetch([] {});
}

bool Executor::run_ready() {
  running_.swap(ready_);
  for (const LaneKey& key : running_) run_lane(key);
  running_.clear();
  return !ready_.empty() && !writes_parked_;
}

void Executor::run_lane(const LaneKey& key) {
  while (true) {
    auto lane = lanes_.find(key);
    // A task that another node has sent back may have woken it besides.
    if (lane == lanes_.end() || lane->second.fetching) return;
    CHECK(!lane->second.tasks.empty());
    Task& task = *lane->second.tasks.front();
    scratch_.clear();
    Outcome outcome = attempt(task, scratch_);
    if (outcome == Outcome::kWait && overdue_for_good(task)) {
      outcome = refuse(task, scratch_, too_late(task));
    }
    if (outcome == Outcome::kFetch) return wait_for_rows(key, *by_id_[key.shard]);
    if (outcome == Outcome::kWait && !can_send_on(task)) return wait_for_group(key, lane->second);
    if (outcome == Outcome::kAgain) return ready_.push_back(key);
    std::unique_ptr<Task> done = std::move(lane->second.tasks.front());
    lane->second.tasks.pop_front();
    const bool last = lane->second.tasks.empty();
    if (last) lanes_.erase(lane);
    --waiting_tasks_;
    waiting_bytes_ -= done->argument_bytes;
    if (outcome == Outcome::kWait) {
      CHECK(send_on(done));
    } else if (outcome == Outcome::kHeld) {
      hold(std::move(done), scratch_.view());
    } else {
      complete(std::move(done), scratch_.view());
    }
    if (last) return;
  }
}

bool Executor::overdue(const Task& task) const {
  if (task.parked_since_ms == 0) return false;
  return waiting_bytes_ > kMaxWaitingBytes ||
         worker_.now_ms() - task.parked_since_ms > worker_.settings().overload_timeout_ms;
}

void Executor::complete(std::unique_ptr<Task> task, std::string_view reply) {
  const uint64_t weight = by_id_[task->shard]->keyspace().keys(task->database);
  complete(std::move(task), reply, weight);
}

void Executor::complete(std::unique_ptr<Task> task, std::string_view reply, uint64_t weight) {
  if (task->remote) {
    return encode_answer(*task, reply, weight, agreed(*by_id_[task->shard]), worker_.to_peer(task->reply_to.worker));
  }
  if (!task->on_done) return worker_.deliver(task->reply_to, reply, weight);
  const uint32_t to = task->reply_to.worker;
  worker_.post(to, [task = std::move(task), bytes = std::string(reply)](Worker& origin) mutable {
    task->on_done(origin, *task, bytes);
  });
}

bool Executor::turn(int64_t now_ms) {
  bool more = false;
  bool parked = false;
  for (const auto& shard : shards_) {
    more |= shard->turn(now_ms);
    parked |= shard->overloaded();
  }
  more |= writes_parked_ && !parked;
  writes_parked_ = parked;
  return more;
}

}  // namespace capstan
