#include "server/forwarding.h"

#include <string>

#include "server/arity.h"
#include "server/words.h"

namespace capstan {
namespace {

constexpr std::string_view kVersion = "1";
constexpr std::string_view kCommand = "command";
constexpr std::string_view kExec = "exec";
constexpr std::string_view kWatch = "watch";
constexpr std::string_view kHolders = "holders";
constexpr std::string_view kOnce = "once";
constexpr std::string_view kAfter = "after";
constexpr std::string_view kMaxAge = "maxage";
constexpr std::string_view kSession = "session";
constexpr std::string_view kDone = "done";
constexpr std::string_view kRefused = "refused";
constexpr std::string_view kAborted = "aborted";

Error malformed(std::string_view what) { return {ErrorCode::kInvalid, "malformed " + std::string(what)}; }

void write_transaction(MessageWriter& message, const Transaction& transaction) {
  message.word(kExec);
  message.number(transaction.watched.size());
  for (const WatchedKey& key : transaction.watched) {
    message.number(key.database);
    message.word(key.name);
    message.number(key.digest);
  }
  for (const TransactionCommand& command : transaction.commands) {
    message.number(command.database);
    message.word(command_full_name(*command.spec));
    message.number(command.arguments.words().size());
    for (const std::string_view word : command.arguments.words()) message.word(word);
  }
}

bool valid_database(Database database) { return database < kUserDatabases; }

// nullptr: this node knows no such command for shards, or it does not take so many words.
const CommandSpec* find_for_shard(std::string_view name, size_t words) {
  const CommandSpec* const spec = find_by_full_name(name);
  return spec != nullptr && spec->scope != Scope::kConnection && arity_fits(*spec, words) ? spec : nullptr;
}

bool read_command(WordReader& words, Task& task) {
  task.database = words.number<Database>();
  const std::string_view name = words.next();
  task.arguments = OwnedArguments(words.rest());
  task.spec = find_for_shard(name, task.arguments.words().size());
  return task.spec != nullptr && valid_database(task.database);
}

bool read_transaction(WordReader& words, Task& task) {
  task.transaction = std::make_unique<Transaction>();
  for (auto watched = words.number<uint32_t>(); watched > 0 && words.ok(); --watched) {
    WatchedKey& key = task.transaction->watched.emplace_back();
    key.database = words.number<Database>();
    key.name = words.next();
    key.digest = words.number<uint64_t>();
    if (!valid_database(key.database)) return false;
  }
  while (words.more()) {
    TransactionCommand& command = task.transaction->commands.emplace_back();
    command.database = words.number<Database>();
    const std::string_view name = words.next();
    command.arguments = OwnedArguments(words.take(words.number<uint32_t>()));
    command.spec = find_for_shard(name, command.arguments.words().size());
    if (command.spec == nullptr || !valid_database(command.database)) return false;
  }
  task.spec = find_by_full_name(kExec);
  return true;
}

bool read_watch(WordReader& words, Task& task) {
  task.digests = std::make_unique<DigestRequest>();
  while (words.more()) {
    WatchedKey& key = task.digests->keys.emplace_back();
    key.database = words.number<Database>();
    key.name = words.next();
    if (!valid_database(key.database)) return false;
  }
  return true;
}

bool read_holders(WordReader& words, Task& task) {
  task.holders = std::make_unique<HoldersRequest>();
  task.holders->index = words.number<uint64_t>();
  task.spec = find_by_full_name("wait");
  return true;
}

// What is asked besides the command. False: `kind` is no such thing.
bool read_option(WordReader& words, std::string_view kind, Task& task) {
  if (kind == kOnce) {
    task.once = std::make_unique<RequestId>();
    task.once->client = words.next();
    task.once->serial = words.number<uint64_t>();
  } else if (kind == kAfter) {
    task.after = words.next();
  } else if (kind == kMaxAge) {
    task.max_age_ms = words.number<int64_t>();
  } else if (kind == kSession) {
    task.session = true;
    task.seen = words.number<uint64_t>();
  } else {
    return false;
  }
  return words.ok();
}

}  // namespace

void encode_call(uint64_t id, const Task& task, resp::OutputBuffer& out) {
  MessageWriter message(out);
  message.word(kCallMessage);
  message.word(kVersion);
  message.number(id);
  message.number(task.reply_to.client);
  message.number(task.shard);
  message.word(level_name(task.level));
  message.number(static_cast<uint64_t>(task.protocol));
  message.number(static_cast<uint64_t>(task.timeout_ms));
  if (task.once) {
    message.word(kOnce);
    message.word(task.once->client);
    message.number(task.once->serial);
  }
  if (!task.after.empty()) {
    message.word(kAfter);
    message.word(task.after);
  }
  if (task.max_age_ms >= 0) {
    message.word(kMaxAge);
    message.number(static_cast<uint64_t>(task.max_age_ms));
  }
  if (task.session) {
    message.word(kSession);
    message.number(task.seen);
  }
  if (task.transaction) return write_transaction(message, *task.transaction);
  if (task.digests) {
    message.word(kWatch);
    for (const WatchedKey& key : task.digests->keys) {
      message.number(key.database);
      message.word(key.name);
    }
    return;
  }
  if (task.holders) {
    message.word(kHolders);
    message.number(task.holders->index);
    return;
  }
  message.word(kCommand);
  message.number(task.database);
  message.word(command_full_name(*task.spec));
  for (const std::string_view word : task.arguments.words()) message.word(word);
}

Result<std::unique_ptr<Task>> decode_call(std::span<const std::string_view> given) {
  WordReader words(given);
  if (words.next() != kCallMessage || words.next() != kVersion) return malformed("call: its version is not 1");
  auto task = std::make_unique<Task>();
  task->remote = true;
  task->reply_to.place = words.number<uint64_t>();
  task->reply_to.client = words.number<uint64_t>();
  task->shard = words.number<ShardId>();
  const std::optional<Level> level = parse_level(words.next());
  const auto protocol = words.number<unsigned>();
  task->timeout_ms = words.number<int64_t>();
  if (!words.ok() || !level || (protocol != 2 && protocol != 3)) return malformed("call: its head");
  task->level = *level;
  task->protocol = static_cast<resp::Protocol>(protocol);
  std::string_view kind = words.next();
  while (read_option(words, kind, *task)) kind = words.next();
  const bool known = kind == kCommand   ? read_command(words, *task)
                     : kind == kExec    ? read_transaction(words, *task)
                     : kind == kWatch   ? read_watch(words, *task)
                     : kind == kHolders ? read_holders(words, *task)
                                        : false;
  if (!words.ok()) return malformed("call");
  if (!known) return Error{ErrorCode::kNotFound, "a call of a command that this node does not know"};
  return task;
}

void encode_answer(const Task& task, std::string_view reply, uint64_t weight, uint64_t seen, resp::OutputBuffer& out) {
  MessageWriter message(out);
  message.word(kAnswerMessage);
  message.word(kVersion);
  message.number(task.reply_to.place);
  message.word(kDone);
  message.number(weight);
  message.number(seen);
  message.word(reply);
  if (task.digests) {
    for (const WatchedKey& key : task.digests->keys) message.number(key.digest);
  }
  if (task.holders) {
    message.number(task.holders->index);
    message.number(task.holders->holders);
  }
  if (!task.transaction) return;
  if (task.transaction->aborted) return message.word(kAborted);
  if (task.transaction->refused) return message.word(kRefused);
  for (const size_t end : task.transaction->reply_ends) message.number(end);
}

void encode_refusal(const Task& task, resp::OutputBuffer& out) {
  MessageWriter message(out);
  message.word(kAnswerMessage);
  message.word(kVersion);
  message.number(task.reply_to.place);
  message.word(kRefused);
}

Result<Answer> decode_answer(std::span<const std::string_view> given) {
  WordReader words(given);
  if (words.next() != kAnswerMessage || words.next() != kVersion) return malformed("answer: its version is not 1");
  Answer answer;
  answer.id = words.number<uint64_t>();
  const std::string_view kind = words.next();
  answer.refused = kind == kRefused;
  if (!words.ok() || (!answer.refused && kind != kDone)) return malformed("answer");
  if (answer.refused) return answer;
  answer.weight = words.number<uint64_t>();
  answer.seen = words.number<uint64_t>();
  answer.reply = words.next();
  if (!words.ok()) return malformed("answer");
  answer.more = words.rest();
  return answer;
}

bool take_answer(const Answer& answer, Task& task) {
  WordReader words(answer.more);
  if (task.digests) {
    for (WatchedKey& key : task.digests->keys) key.digest = words.number<uint64_t>();
    return words.ok() && !words.more();
  }
  if (task.holders) {
    task.holders->index = words.number<uint64_t>();
    task.holders->holders = words.number<uint32_t>();
    return words.ok() && !words.more();
  }
  if (!task.transaction) return true;
  Transaction& transaction = *task.transaction;
  transaction.aborted = answer.more.size() == 1 && answer.more[0] == kAborted;
  transaction.refused = answer.more.size() == 1 && answer.more[0] == kRefused;
  if (transaction.aborted || transaction.refused) return true;
  while (words.more()) transaction.reply_ends.push_back(words.number<size_t>());
  if (!words.ok() || transaction.reply_ends.size() != transaction.commands.size()) return false;
  size_t before = 0;
  for (const size_t end : transaction.reply_ends) {
    if (end < before || end > answer.reply.size()) return false;
    before = end;
  }
  return true;
}

}  // namespace capstan
