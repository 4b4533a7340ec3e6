// Keys of any type, one or several by name.
#include "server/commands/arguments.h"
#include "server/commands/kind_name.h"
#include "server/commands/version_text.h"

namespace capstan {
namespace {

Outcome del(Call& call) {
  int64_t removed = 0;
  for (size_t i = 1; i < call.args.size(); ++i) removed += call.eval().remove(call.key(i));
  call.reply().integer(removed);
  return Outcome::kDone;
}

Outcome count_existing(Call& call) {
  int64_t found = 0;
  for (size_t i = 1; i < call.args.size(); ++i) found += call.eval().exists(call.key(i));
  call.reply().integer(found);
  return Outcome::kDone;
}

Outcome exists(Call& call) {
  call.eval().without_use();
  return count_existing(call);
}

Outcome touch(Call& call) { return count_existing(call); }

Outcome type(Call& call) {
  call.eval().without_use();
  const std::optional<ElementKind> kind = call.eval().kind(call.key(1));
  call.reply().simple(kind ? kind_name(*kind) : "none");
  return Outcome::kDone;
}

// Makes args[2] what args[1] is. Precondition: both are different keys and the first exists.
Outcome rename_key(Call& call) {
  const KeyRef from = call.key(1);
  const Lookup copied = call.eval().copy(from, call.key(2));
  if (copied != Lookup::kFound) return refuse(call, copied);
  call.eval().remove(from);
  return Outcome::kDone;
}

Outcome reply_no_such_key(Call& call) { return reply_error(call, "ERR no such key"); }

Outcome rename(Call& call) {
  if (!call.eval().exists(call.key(1))) return reply_no_such_key(call);
  if (call.args[1] != call.args[2] && rename_key(call) == Outcome::kFetch) return Outcome::kFetch;
  call.reply().ok();
  return Outcome::kDone;
}

Outcome renamenx(Call& call) {
  if (!call.eval().exists(call.key(1))) return reply_no_such_key(call);
  const bool renames = call.args[1] != call.args[2] && !call.eval().exists(call.key(2));
  if (renames && rename_key(call) == Outcome::kFetch) return Outcome::kFetch;
  call.reply().integer(renames);
  return Outcome::kDone;
}

Outcome reply_same_key(Call& call) { return reply_error(call, "ERR source and destination objects are the same"); }

struct CopyOptions {
  Database database = 0;
  bool replace = false;
};

// nullopt: refused, the error is replied.
std::optional<CopyOptions> copy_options(Call& call) {
  CopyOptions options{.database = call.database};
  for (size_t i = 3; i < call.args.size(); ++i) {
    if (same_word(call.args[i], "replace")) {
      options.replace = true;
    } else if (same_word(call.args[i], "db") && i + 1 < call.args.size()) {
      const std::optional<Database> database = database_argument(call, ++i);
      if (!database) return std::nullopt;
      options.database = *database;
    } else {
      reply_syntax_error(call);
      return std::nullopt;
    }
  }
  return options;
}

Outcome copy(Call& call) {
  const std::optional<CopyOptions> options = copy_options(call);
  if (!options) return Outcome::kDone;
  const KeyRef from = call.key(1);
  const KeyRef to(options->database, call.args[2]);
  if (from.database == to.database && from.name == to.name) return reply_same_key(call);
  if (!call.eval().resident(to)) return Outcome::kFetch;
  const bool copies = call.eval().exists(from) && (options->replace || !call.eval().exists(to));
  if (copies) {
    const Lookup copied = call.eval().copy(from, to);
    if (copied != Lookup::kFound) return refuse(call, copied);
  }
  call.reply().integer(copies);
  return Outcome::kDone;
}

Outcome move(Call& call) {
  const std::optional<Database> database = database_argument(call, 2);
  if (!database) return Outcome::kDone;
  if (*database == call.database) return reply_same_key(call);
  const KeyRef from = call.key(1);
  const KeyRef to(*database, call.args[1]);
  if (!call.eval().resident(to)) return Outcome::kFetch;
  const bool moves = call.eval().exists(from) && !call.eval().exists(to);
  if (moves) {
    const Lookup copied = call.eval().copy(from, to);
    if (copied != Lookup::kFound) return refuse(call, copied);
    call.eval().remove(from);
  }
  call.reply().integer(moves);
  return Outcome::kDone;
}

Outcome version(Call& call) {
  call.eval().without_use();
  const KeyRef key = call.key(1);
  if (call.eval().exists(key)) {
    call.reply().bulk(VersionText(call.eval().digest(key)).view());
  } else {
    call.reply().null();
  }
  return Outcome::kDone;
}

constexpr KeyPositions kOneKey = {1, 1, 1};
constexpr KeyPositions kTwoKeys = {1, 2, 1};
constexpr KeyPositions kAllKeys = {1, -1, 1};

constexpr CommandSpec kCommands[] = {
    {.name = "del",
     .arity = -2,
     .flags = kWrite,
     .keys = kAllKeys,
     .scope = Scope::kSplit,
     .run = del,
     .categories = "keyspace",
     .key_use = "RM DELETE",
     .group = "generic",
     .since = "1.0.0",
     .complexity = "O(N) for N keys, whatever their size",
     .summary = "Removes keys",
     .syntax = "<key:key>…",
     .join = Join::kSum,
     .tips = "request_policy:multi_shard response_policy:agg_sum"},
    {.name = "unlink",
     .arity = -2,
     .flags = kWrite | kFast,
     .keys = kAllKeys,
     .scope = Scope::kSplit,
     .run = del,
     .categories = "keyspace",
     .key_use = "RM DELETE",
     .group = "generic",
     .since = "4.0.0",
     .complexity = "O(N) for N keys, whatever their size",
     .summary = "Removes keys, as DEL does: what large keys hold is always collected in the background",
     .syntax = "<key:key>…",
     .join = Join::kSum,
     .tips = "request_policy:multi_shard response_policy:agg_sum"},
    {.name = "exists",
     .arity = -2,
     .flags = kReadonly | kFast,
     .keys = kAllKeys,
     .scope = Scope::kSplit,
     .run = exists,
     .categories = "keyspace",
     .key_use = "RO",
     .group = "generic",
     .since = "1.0.0",
     .complexity = "O(N) for N keys",
     .summary = "Counts which of the named keys are there",
     .syntax = "<key:key>…",
     .join = Join::kSum,
     .tips = "request_policy:multi_shard response_policy:agg_sum"},
    {.name = "touch",
     .arity = -2,
     .flags = kReadonly | kFast,
     .keys = kAllKeys,
     .scope = Scope::kSplit,
     .run = touch,
     .categories = "keyspace",
     .key_use = "RO",
     .group = "generic",
     .since = "3.2.1",
     .complexity = "O(N) for N keys",
     .summary = "Counts which of the named keys are there, and counts that as their use",
     .syntax = "<key:key>…",
     .join = Join::kSum,
     .tips = "request_policy:multi_shard response_policy:agg_sum"},
    {.name = "type",
     .arity = 2,
     .flags = kReadonly | kFast | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = type,
     .categories = "keyspace",
     .key_use = "RO",
     .group = "generic",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Replies what a key is: string, list, set, zset, hash, stream or none",
     .syntax = "<key:key>"},
    {.name = "rename",
     .arity = 3,
     .flags = kWrite | kTrailingLevel,
     .keys = kTwoKeys,
     .scope = Scope::kShard,
     .run = rename,
     .categories = "keyspace",
     .key_use = "RW ACCESS DELETE; OW UPDATE",
     .group = "generic",
     .since = "1.0.0",
     .complexity = "O(N) for N elements",
     .summary = "Gives a key another name, replacing what has that name",
     .syntax = "<key:key> <newkey:key>"},
    {.name = "renamenx",
     .arity = 3,
     .flags = kWrite | kFast | kTrailingLevel,
     .keys = kTwoKeys,
     .scope = Scope::kShard,
     .run = renamenx,
     .categories = "keyspace",
     .key_use = "RW ACCESS DELETE; OW INSERT",
     .group = "generic",
     .since = "1.0.0",
     .complexity = "O(N) for N elements",
     .summary = "Gives a key another name, unless another key has it",
     .syntax = "<key:key> <newkey:key>"},
    {.name = "copy",
     .arity = -3,
     .flags = kWrite | kDenyOom,
     .keys = kTwoKeys,
     .scope = Scope::kShard,
     .run = copy,
     .categories = "keyspace",
     .key_use = "RO ACCESS; OW UPDATE",
     .group = "generic",
     .since = "6.2.0",
     .complexity = "O(N) for N elements",
     .summary = "Copies a key with its TTL, also into another database",
     .syntax = "<source:key> <destination:key> [DB <destination-db:integer>] [REPLACE]"},
    {.name = "move",
     .arity = 3,
     .flags = kWrite | kFast | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = move,
     .categories = "keyspace",
     .key_use = "RW ACCESS UPDATE",
     .group = "generic",
     .since = "1.0.0",
     .complexity = "O(N) for N elements",
     .summary = "Moves a key into another database, unless it has a key of that name",
     .syntax = "<key:key> <db:integer>"},
    {.name = "version",
     .arity = 2,
     .flags = kReadonly | kFast | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = version,
     .categories = "keyspace",
     .key_use = "RO",
     .group = "generic",
     .since = "capstan",
     .complexity = "O(1)",
     .summary = "Replies a key's version, an opaque word that changes whenever the key does (see SET's IFVERSION)",
     .syntax = "<key:key>"},
};

}  // namespace

std::span<const CommandSpec> key_commands() { return kCommands; }

}  // namespace capstan
