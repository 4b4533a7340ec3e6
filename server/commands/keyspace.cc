// Databases as a whole.
#include "lmdb-store/keyspace.h"

#include <charconv>

#include "server/commands/arguments.h"
#include "server/commands/key_walk.h"

namespace capstan {
namespace {

Outcome keys(Call& call) {
  KeyFilter filter;
  if (call.args[1] != "*") filter.pattern = call.args[1];
  return walk_keys(call, 0, KeyWalk::kToTheEnd, filter, [](uint64_t) {});
}

Outcome scan(Call& call) {
  const std::optional<uint64_t> cursor = parse_cursor(call.args[1]);
  if (!cursor) return reply_error(call, "ERR invalid cursor");
  const ScanOptions options = parse_scan_options(call.args.subspan(2));
  if (options.refusal == ScanOptions::Refusal::kNotInteger) return reply_not_integer(call);
  if (options.refusal == ScanOptions::Refusal::kSyntax) return reply_syntax_error(call);
  const auto write_cursor = [&call](uint64_t next) {
    call.reply().array(2);
    char digits[20];
    const char* const end = std::to_chars(digits, digits + sizeof digits, next).ptr;
    call.reply().bulk({digits, static_cast<size_t>(end - digits)});
  };
  if (*cursor >> lmdb_store::Keyspace::kPositionBits != 0) {
    // No cursor of ours; it lies behind all keys.
    write_cursor(0);
    call.reply().array(0);
    return Outcome::kDone;
  }
  return walk_keys(call, *cursor, options.count, options.filter, write_cursor);
}

Outcome randomkey(Call& call) {
  std::string_view key;
  const Lookup lookup = call.eval().random_key(call.database, key);
  if (lookup == Lookup::kFound) {
    call.reply().bulk(key);
  } else if (lookup == Lookup::kMissing) {
    call.reply().null();
  } else {
    return refuse(call, lookup);
  }
  return Outcome::kDone;
}

Outcome dbsize(Call& call) {
  call.reply().integer(static_cast<int64_t>(call.eval().count(call.database)));
  return Outcome::kDone;
}

// ASYNC and SYNC mean the same here: clearing is immediate, what was cleared is collected in the background.
bool has_valid_flush_mode(const Call& call) {
  if (call.args.size() == 1) return true;
  return call.args.size() == 2 && (same_word(call.args[1], "async") || same_word(call.args[1], "sync"));
}

Outcome flushdb(Call& call) {
  if (!has_valid_flush_mode(call)) return reply_syntax_error(call);
  call.eval().clear(call.database);
  call.reply().ok();
  return Outcome::kDone;
}

Outcome flushall(Call& call) {
  if (!has_valid_flush_mode(call)) return reply_syntax_error(call);
  for (Database database = 0; database < kUserDatabases; ++database) call.eval().clear(database);
  call.reply().ok();
  return Outcome::kDone;
}

// Databases are part of the order in which keys are stored, so two of them cannot change places in one step.
Outcome swapdb(Call& call) {
  const std::optional<int64_t> first = resp::parse_integer(call.args[1]);
  if (!first || *first != static_cast<int>(*first)) return reply_error(call, "ERR invalid first DB index");
  const std::optional<int64_t> second = resp::parse_integer(call.args[2]);
  if (!second || *second != static_cast<int>(*second)) return reply_error(call, "ERR invalid second DB index");
  for (const int64_t database : {*first, *second}) {
    if (database < 0 || database >= kUserDatabases) return reply_error(call, "ERR DB index is out of range");
  }
  if (*first != *second) return reply_error(call, "ERR SWAPDB is not supported; use MOVE or COPY, key by key");
  call.reply().ok();
  return Outcome::kDone;
}

constexpr CommandSpec kCommands[] = {
    {.name = "keys",
     .arity = 2,
     .flags = kReadonly | kTrailingLevel,
     .scope = Scope::kEveryShard,
     .run = keys,
     .categories = "keyspace dangerous",
     .group = "generic",
     .since = "1.0.0",
     .complexity = "O(N) for N keys in the database; works in pieces, so that others are served in between",
     .summary = "Lists the keys whose names match a pattern",
     .syntax = "<pattern:pattern>",
     .join = Join::kConcat,
     .tips = "request_policy:all_shards nondeterministic_output_order"},
    {.name = "scan",
     .arity = -2,
     .flags = kReadonly,
     .scope = Scope::kEveryShard,
     .run = scan,
     .categories = "keyspace",
     .group = "generic",
     .since = "2.8.0",
     .complexity = "O(COUNT) for a call, O(N) for all N keys",
     .summary = "Lists keys piece by piece; what is there all the time is listed exactly once",
     .syntax = "<cursor:integer> [MATCH <pattern:pattern>] [COUNT <count:integer>] [TYPE <type:string>]",
     .join = Join::kCursor,
     .tips = "nondeterministic_output request_policy:special"},
    {.name = "randomkey",
     .arity = 1,
     .flags = kReadonly | kTrailingLevel,
     .scope = Scope::kEveryShard,
     .run = randomkey,
     .categories = "keyspace",
     .group = "generic",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Replies a key of the database drawn at random",
     .join = Join::kPick,
     .tips = "request_policy:all_shards nondeterministic_output"},
    {.name = "dbsize",
     .arity = 1,
     .flags = kReadonly | kFast | kTrailingLevel,
     .scope = Scope::kEveryShard,
     .run = dbsize,
     .categories = "keyspace",
     .group = "server",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Counts the keys of the database, with those that expired but are not yet removed",
     .join = Join::kSum,
     .tips = "request_policy:all_shards response_policy:agg_sum"},
    {.name = "flushdb",
     .arity = -1,
     .flags = kWrite,
     .scope = Scope::kEveryShard,
     .run = flushdb,
     .categories = "keyspace dangerous",
     .group = "server",
     .since = "1.0.0",
     .complexity = "O(N) for N keys in memory",
     .summary = "Removes every key of the database",
     .syntax = "[ASYNC|SYNC]",
     .join = Join::kOk,
     .tips = "request_policy:all_shards response_policy:all_succeeded"},
    {.name = "flushall",
     .arity = -1,
     .flags = kWrite,
     .scope = Scope::kEveryShard,
     .run = flushall,
     .categories = "keyspace dangerous",
     .group = "server",
     .since = "1.0.0",
     .complexity = "O(N) for N keys in memory",
     .summary = "Removes every key of every database",
     .syntax = "[ASYNC|SYNC]",
     .join = Join::kOk,
     .tips = "request_policy:all_shards response_policy:all_succeeded"},
    {.name = "swapdb",
     .arity = 3,
     .flags = kWrite | kFast,
     .scope = Scope::kConnection,
     .run = swapdb,
     .categories = "keyspace dangerous",
     .group = "server",
     .since = "4.0.0",
     .complexity = "O(1)",
     .summary = "Not supported: replies an error for two different databases",
     .syntax = "<index1:integer> <index2:integer>"},
};

}  // namespace

std::span<const CommandSpec> keyspace_commands() { return kCommands; }

}  // namespace capstan
