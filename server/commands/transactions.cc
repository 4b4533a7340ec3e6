// MULTI … EXEC: commands wait in the session's queue; EXEC runs those that need the shard as one atomic record, if no
// watched key's digest has changed, and those that need none on the connection's worker.
#include <algorithm>

#include "resp/number.h"
#include "server/connection.h"
#include "server/dispatcher.h"
#include "server/finishing_transaction.h"
#include "server/worker.h"

namespace capstan {
namespace {

constexpr uint32_t kFlags = kNoscript | kLoading | kStale | kFast | kAllowBusy | kNotQueued;

bool needs_shard(const CommandSpec& spec) { return spec.scope != Scope::kConnection; }

// The one shard of all keys of the queue and of those watched; nullopt if there are several.
std::optional<ShardId> only_shard(const Session& session, const ShardMap& map) {
  std::optional<ShardId> only;
  const auto meet = [&only](ShardId shard) { return *(only = only.value_or(shard)) == shard; };
  for (const TransactionCommand& command : session.queue) {
    if (!needs_shard(*command.spec)) continue;
    if (command.spec->scope == Scope::kEveryShard && map.shards() > 1) return std::nullopt;
    const Placement placement = place(map, *command.spec, command.arguments.words());
    if (placement.several || !meet(placement.shard)) return std::nullopt;
  }
  for (const WatchedKey& key : session.watched) {
    if (!meet(map.shard_of(key.name))) return std::nullopt;
  }
  return only.value_or(0);
}

// SELECT runs after the shard part, but the commands behind it are meant for its database.
void follow_selects(std::vector<TransactionCommand>& queue, Database database) {
  for (TransactionCommand& command : queue) {
    command.database = database;
    if (command.spec->name != "select") continue;
    const std::optional<int64_t> index = resp::parse_integer(command.arguments.words()[1]);
    if (index && *index >= 0 && *index < kUserDatabases) database = static_cast<Database>(*index);
  }
}

std::unique_ptr<Task> make_task(const Call& call, ShardId shard, std::vector<TransactionCommand> commands) {
  Session& session = *call.session;
  auto task = std::make_unique<Task>();
  task->reply_to = session.reply_address;
  task->shard = shard;
  task->protocol = session.protocol;
  session.worker.dispatcher().set_level(*task, session.effective);
  task->spec = call.spec;
  task->database = session.database;
  task->transaction = std::make_unique<Transaction>();
  const bool writes = std::any_of(commands.begin(), commands.end(),
                                  [](const TransactionCommand& c) { return (c.spec->flags & kWrite) != 0; });
  task->transaction->instead = Dispatcher::refusal(session.effective, writes);
  task->transaction->commands = std::move(commands);
  task->transaction->watched = std::move(session.watched);
  return task;
}

// MONITOR sees the commands of a transaction that was not aborted when they have run, then EXEC itself.
void feed_monitors(const Session& session, const Task& task) {
  if (task.transaction->aborted) return;
  for (const TransactionCommand& command : task.transaction->commands) {
    session.worker.dispatcher().feed_monitors(session, *command.spec, command.database, command.arguments.words());
  }
}

void feed_exec(const Session& session, const CommandSpec& exec) {
  session.worker.dispatcher().feed_monitors(session, exec, session.database, std::span(&exec.name, 1));
}

// The reply of a transaction of shard commands alone.
void write_outcome(resp::Writer& writer, const Task& task, std::string_view replies) {
  const Transaction& transaction = *task.transaction;
  if (transaction.aborted) return writer.null_array();
  if (transaction.refused) return writer.raw(replies);
  if (!transaction.instead.empty()) return writer.raw(transaction.instead);
  writer.array(transaction.commands.size());
  writer.raw(replies);
}

void finish_shard_part(Worker& worker, Task& task, std::string_view replies) {
  resp::OutputBuffer out;
  resp::Writer writer(out, task.protocol);
  write_outcome(writer, task, replies);
  if (const Connection* const connection = worker.find_connection(task.reply_to.client)) {
    feed_monitors(connection->session, task);
    feed_exec(connection->session, *task.spec);
  }
  worker.deliver(task.reply_to, out.view(), 0);
}

// All commands need the shard: one task. Where it can run at once, the reply is written in place.
Outcome run_on_shard(Call& call, ShardId shard, std::vector<TransactionCommand> queue) {
  Worker& worker = call.session->worker;
  std::unique_ptr<Task> task = make_task(call, shard, std::move(queue));
  task->on_done = finish_shard_part;
  if (worker.executor().shard(shard) == nullptr) {
    worker.submit(worker.dispatcher().owner(shard), std::move(task));
    return Outcome::kLater;
  }
  resp::OutputBuffer replies;
  const Outcome outcome = worker.executor().try_now(*task, replies);
  if (outcome == Outcome::kDone) {
    write_outcome(call.reply(), *task, replies.view());
    feed_monitors(*call.session, *task);
    return Outcome::kDone;
  }
  if (outcome == Outcome::kHeld) {
    worker.executor().hold(std::move(task), replies.view());
  } else {
    worker.executor().park(std::move(task), outcome);
  }
  return Outcome::kLater;
}

void begin_finishing(Worker& worker, const ReplyAddress& address, std::unique_ptr<FinishingTransaction> finishing) {
  Connection* const connection = worker.find_connection(address.client);
  if (connection == nullptr) return;
  resp::Writer(finishing->reply, connection->session.protocol).array(finishing->queue.size());
  connection->session.exec_commands = finishing->queue.size();
  connection->finish_at(address.place, std::move(finishing));
  continue_transaction(*connection, address.place, {});
}

// Commands that need no shard are among them: first the shard part, then these.
Outcome run_mixed(Call& call, ShardId shard, std::vector<TransactionCommand> queue) {
  Worker& worker = call.session->worker;
  std::vector<TransactionCommand> for_shard;
  for (TransactionCommand& command : queue) {
    if (!needs_shard(*command.spec)) continue;
    for_shard.push_back({command.spec, command.database, std::move(command.arguments)});
  }
  auto finishing = std::make_unique<FinishingTransaction>();
  finishing->exec = call.spec;
  finishing->queue = std::move(queue);
  std::unique_ptr<Task> task = make_task(call, shard, std::move(for_shard));
  task->on_done = [finishing = std::move(finishing)](Worker& origin, Task& done, std::string_view replies) mutable {
    const Transaction& transaction = *done.transaction;
    if (transaction.aborted || transaction.refused) return finish_shard_part(origin, done, replies);
    auto from_shard = done.transaction->commands.begin();
    for (TransactionCommand& command : finishing->queue) {
      if (needs_shard(*command.spec)) command.arguments = std::move((from_shard++)->arguments);
    }
    finishing->shard_replies = replies;
    finishing->shard_reply_ends = transaction.reply_ends;
    finishing->instead = transaction.instead;
    begin_finishing(origin, done.reply_to, std::move(finishing));
  };
  const unsigned owner = worker.dispatcher().owner(shard);
  // Later in this turn, or at the owner: the place of the reply is not open yet.
  worker.post(worker.index(),
              [owner, task = std::move(task)](Worker& self) mutable { self.submit(owner, std::move(task)); });
  return Outcome::kLater;
}

Outcome multi(Call& call) {
  if (call.session->has(kInMulti)) return reply_error(call, "ERR MULTI calls can not be nested");
  call.session->set(kInMulti);
  call.reply().ok();
  return Outcome::kDone;
}

Outcome exec(Call& call) {
  Session& session = *call.session;
  if (!session.has(kInMulti)) return reply_error(call, "ERR EXEC without MULTI");
  const bool failed = session.queue_failed;
  const std::optional<ShardId> shard = only_shard(session, session.worker.dispatcher().shard_map());
  std::vector<TransactionCommand> queue = std::move(session.queue);
  session.leave_multi();
  if (failed || !shard) session.watched.clear();
  if (failed) return reply_error(call, "EXECABORT Transaction discarded because of previous errors.");
  if (!shard) return reply_error(call, "CROSSSLOT Keys in request don't hash to the same slot");
  follow_selects(queue, session.database);
  const bool all_on_shard =
      std::all_of(queue.begin(), queue.end(), [](const TransactionCommand& c) { return needs_shard(*c.spec); });
  if (queue.empty() && session.watched.empty()) {
    call.reply().array(0);
    return Outcome::kDone;
  }
  return all_on_shard ? run_on_shard(call, *shard, std::move(queue)) : run_mixed(call, *shard, std::move(queue));
}

Outcome discard(Call& call) {
  if (!call.session->has(kInMulti)) return reply_error(call, "ERR DISCARD without MULTI");
  call.session->leave_multi();
  call.session->watched.clear();
  call.reply().ok();
  return Outcome::kDone;
}

void add_watched(Session& session, const std::vector<WatchedKey>& keys) {
  for (const WatchedKey& key : keys) {
    // A key that is watched already keeps the digest of the first time.
    const bool known = std::any_of(session.watched.begin(), session.watched.end(), [&key](const WatchedKey& watched) {
      return watched.database == key.database && watched.name == key.name;
    });
    if (!known) session.watched.push_back(key);
  }
}

Outcome watch(Call& call) {
  Session& session = *call.session;
  Worker& worker = session.worker;
  if (session.has(kInMulti)) return reply_error(call, "ERR WATCH inside MULTI is not allowed");
  const Placement placement = place(worker.dispatcher().shard_map(), *call.spec, call.args);
  if (placement.several) return reply_error(call, "CROSSSLOT Keys in request don't hash to the same slot");
  auto task = std::make_unique<Task>();
  task->reply_to = session.reply_address;
  task->shard = placement.shard;
  task->timeout_ms = worker.dispatcher().timeout_of({});
  task->digests = std::make_unique<DigestRequest>();
  for (size_t i = 1; i < call.args.size(); ++i) {
    task->digests->keys.push_back({session.database, std::string(call.args[i]), 0});
  }
  task->on_done = [](Worker& origin, Task& done, std::string_view) {
    Connection* const connection = origin.find_connection(done.reply_to.client);
    if (connection != nullptr) add_watched(connection->session, done.digests->keys);
    origin.deliver(done.reply_to, resp::kOk, 0);
  };
  if (worker.executor().shard(placement.shard) == nullptr) {
    worker.submit(worker.dispatcher().owner(placement.shard), std::move(task));
    return Outcome::kLater;
  }
  resp::OutputBuffer nothing;
  const Outcome outcome = worker.executor().try_now(*task, nothing);
  if (outcome == Outcome::kDone) {
    add_watched(session, task->digests->keys);
    call.reply().ok();
    return Outcome::kDone;
  }
  worker.executor().park(std::move(task), outcome);
  return Outcome::kLater;
}

Outcome unwatch(Call& call) {
  call.session->watched.clear();
  call.reply().ok();
  return Outcome::kDone;
}

constexpr CommandSpec kCommands[] = {
    {.name = "multi",
     .arity = 1,
     .flags = kFlags,
     .run = multi,
     .categories = "transaction",
     .group = "transactions",
     .since = "1.2.0",
     .complexity = "O(1)",
     .summary = "Starts a transaction: the commands that follow wait for EXEC"},
    {.name = "exec",
     .arity = 1,
     .flags = kNoscript | kLoading | kStale | kSkipSlowlog | kNotQueued,
     .run = exec,
     .categories = "transaction",
     .group = "transactions",
     .since = "1.2.0",
     .complexity = "that of the commands",
     .summary = "Runs the commands that wait as one atomic step, unless a watched key has changed"},
    {.name = "discard",
     .arity = 1,
     .flags = kFlags,
     .run = discard,
     .categories = "transaction",
     .group = "transactions",
     .since = "2.0.0",
     .complexity = "O(N) for N commands that wait",
     .summary = "Forgets the transaction"},
    {.name = "watch",
     .arity = -2,
     .flags = kFlags,
     .keys = {1, -1, 1},
     .run = watch,
     .categories = "transaction",
     .key_use = "RO",
     .group = "transactions",
     .since = "2.2.0",
     .complexity = "O(N) for N keys",
     .summary = "Makes the next EXEC depend on these keys being unchanged",
     .syntax = "<key:key> …"},
    {.name = "unwatch",
     .arity = 1,
     .flags = kNoscript | kLoading | kStale | kFast | kAllowBusy,
     .run = unwatch,
     .categories = "transaction",
     .group = "transactions",
     .since = "2.2.0",
     .complexity = "O(1)",
     .summary = "Forgets all watched keys"},
};

}  // namespace

void continue_transaction(Connection& connection, uint64_t place, std::string_view reply) {
  FinishingTransaction& finishing = *connection.finishing_at(place);
  Session& session = connection.session;
  Dispatcher& dispatcher = session.worker.dispatcher();
  finishing.reply.append(reply);
  while (finishing.next < finishing.queue.size()) {
    const TransactionCommand& command = finishing.queue[finishing.next++];
    if (needs_shard(*command.spec)) {
      const size_t begin = finishing.next_shard == 0 ? 0 : finishing.shard_reply_ends[finishing.next_shard - 1];
      const size_t end = finishing.shard_reply_ends[finishing.next_shard++];
      finishing.reply.append(std::string_view(finishing.shard_replies).substr(begin, end - begin));
      dispatcher.feed_monitors(session, *command.spec, command.database, command.arguments.words());
      continue;
    }
    const size_t before = finishing.reply.size();
    const Outcome outcome =
        dispatcher.run_on_connection(connection, *command.spec, command.arguments.words(), finishing.reply, place);
    dispatcher.feed_monitors(session, *command.spec, session.database, command.arguments.words());
    if (session.has(kReplyOff)) finishing.reply.truncate(before);
    if (outcome == Outcome::kLater) return;
  }
  session.exec_commands = 0;
  feed_exec(session, *finishing.exec);
  resp::OutputBuffer whole = std::move(finishing.reply);
  const std::string instead = std::move(finishing.instead);
  connection.finish_at(place, nullptr);
  connection.deliver(place, 0, instead.empty() ? whole.view() : instead, 0);
}

std::span<const CommandSpec> transaction_commands() { return kCommands; }

}  // namespace capstan
