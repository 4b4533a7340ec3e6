// Strings as a whole: GET, SET and their relatives.
#include <array>
#include <charconv>

#include "server/commands/arguments.h"
#include "server/commands/expiry_time.h"
#include "server/commands/set_options.h"
#include "server/commands/string_reply.h"
#include "server/commands/version_text.h"

namespace capstan {
namespace {

using Condition = SetOptions::Condition;
using Ttl = SetOptions::Ttl;

// The time at which SET's or GETEX's key expires; nullopt: refused, the error is replied. Precondition: Ttl::kSet.
std::optional<int64_t> requested_expiry(Call& call, const SetOptions& options) {
  const std::optional<int64_t> amount = resp::parse_integer(options.time_text);
  if (!amount) {
    reply_not_integer(call);
    return std::nullopt;
  }
  const std::optional<int64_t> at_ms = positive_expiry_at_ms(*amount, options.form, call.eval().now_ms());
  if (!at_ms) reply_invalid_expiry(call);
  return at_ms;
}

void set_expiring(Call& call, const KeyRef& key, std::string_view value, int64_t at_ms) {
  call.eval().set_string(key, value);
  expire_at(call, key, at_ms);
}

Outcome get(Call& call) { return reply_string(call, call.eval().string(call.key(1))); }

// Whether SET's condition holds. `old` is the value, read where GET or IFEQ need it.
bool holds(Call& call, const KeyRef& key, const SetOptions& options, const StringRead& old) {
  switch (options.condition) {
    case Condition::kNone:
      return true;
    case Condition::kMissing:
      return !call.eval().exists(key);
    case Condition::kExists:
      return call.eval().exists(key);
    case Condition::kValue:
      return old.lookup == Lookup::kFound && old.value == options.operand;
    case Condition::kVersion:
      return call.eval().exists(key) && VersionText(call.eval().digest(key)).view() == options.operand;
  }
  return false;
}

Outcome set_with_options(Call& call) {
  const std::optional<SetOptions> options = parse_set_options(call.args.subspan(3));
  if (!options) return reply_syntax_error(call);
  int64_t at_ms = kNeverExpires;
  if (options->ttl == Ttl::kSet) {
    const std::optional<int64_t> requested = requested_expiry(call, *options);
    if (!requested) return Outcome::kDone;
    at_ms = *requested;
  }
  const KeyRef key = call.key(1);
  StringRead old;
  if (options->get || options->condition == Condition::kValue) old = call.eval().string(key);
  if (!is_usable(old.lookup)) return refuse(call, old.lookup);
  const bool sets = holds(call, key, *options, old);
  if (options->get) {
    reply_string(call, old);
  } else if (sets) {
    call.reply().ok();
  } else {
    call.reply().null();
  }
  if (!sets) return Outcome::kDone;
  if (options->ttl == Ttl::kSet) {
    set_expiring(call, key, call.args[2], at_ms);
  } else {
    call.eval().set_string(key, call.args[2], options->ttl == Ttl::kKeep);
  }
  return Outcome::kDone;
}

Outcome set(Call& call) {
  if (call.args.size() > 3) return set_with_options(call);
  call.eval().set_string(call.key(1), call.args[2]);
  call.reply().ok();
  return Outcome::kDone;
}

Outcome setnx(Call& call) {
  const KeyRef key = call.key(1);
  const bool sets = !call.eval().exists(key);
  if (sets) call.eval().set_string(key, call.args[2]);
  call.reply().integer(sets);
  return Outcome::kDone;
}

Outcome set_for(Call& call, TimeForm form) {
  const std::optional<int64_t> amount = integer_argument(call, 2);
  if (!amount) return Outcome::kDone;
  const std::optional<int64_t> at_ms = positive_expiry_at_ms(*amount, form, call.eval().now_ms());
  if (!at_ms) return reply_invalid_expiry(call);
  set_expiring(call, call.key(1), call.args[3], *at_ms);
  call.reply().ok();
  return Outcome::kDone;
}

Outcome setex(Call& call) { return set_for(call, {.seconds = true}); }

Outcome psetex(Call& call) { return set_for(call, {.seconds = false}); }

Outcome getset(Call& call) {
  const KeyRef key = call.key(1);
  const StringRead old = call.eval().string(key);
  const Outcome outcome = reply_string(call, old);
  if (is_usable(old.lookup)) call.eval().set_string(key, call.args[2]);
  return outcome;
}

Outcome getdel(Call& call) {
  const KeyRef key = call.key(1);
  const StringRead old = call.eval().string(key);
  const Outcome outcome = reply_string(call, old);
  if (old.lookup == Lookup::kFound) call.eval().remove(key);
  return outcome;
}

Outcome getex(Call& call) {
  const std::optional<SetOptions> options = parse_getex_options(call.args.subspan(2));
  if (!options) return reply_syntax_error(call);
  const KeyRef key = call.key(1);
  const StringRead read = call.eval().string(key);
  if (read.lookup != Lookup::kFound || options->ttl == Ttl::kUnspecified) return reply_string(call, read);
  if (options->ttl == Ttl::kPersist) {
    reply_string(call, read);
    if (call.eval().expire_at_ms(key) != kNeverExpires) call.eval().set_expiry(key, kNeverExpires);
    return Outcome::kDone;
  }
  const std::optional<int64_t> at_ms = requested_expiry(call, *options);
  if (!at_ms) return Outcome::kDone;
  reply_string(call, read);
  expire_at(call, key, *at_ms);
  return Outcome::kDone;
}

Outcome mget(Call& call) {
  // Nothing may be replied before all values are known to be in memory.
  const size_t position = call.reply().position();
  call.reply().array(call.args.size() - 1);
  for (size_t i = 1; i < call.args.size(); ++i) {
    const StringRead read = call.eval().string(call.key(i));
    if (read.lookup == Lookup::kNotResident) {
      call.reply().out().truncate(position);
      return Outcome::kFetch;
    }
    if (read.lookup == Lookup::kFound) {
      call.reply().bulk(read.value);
    } else {
      call.reply().null();
    }
  }
  return Outcome::kDone;
}

bool has_whole_pairs(const Call& call) { return call.args.size() % 2 == 1; }

Outcome reply_odd_arguments(Call& call) {
  return reply_error(call, "ERR wrong number of arguments for '" + lower(call.args[0]) + "' command");
}

void set_pairs(Call& call) {
  for (size_t i = 1; i < call.args.size(); i += 2) call.eval().set_string(call.key(i), call.args[i + 1]);
}

Outcome mset(Call& call) {
  if (!has_whole_pairs(call)) return reply_odd_arguments(call);
  set_pairs(call);
  call.reply().ok();
  return Outcome::kDone;
}

Outcome msetnx(Call& call) {
  if (!has_whole_pairs(call)) return reply_odd_arguments(call);
  bool sets = true;
  for (size_t i = 1; i < call.args.size() && sets; i += 2) sets = !call.eval().exists(call.key(i));
  if (sets) set_pairs(call);
  call.reply().integer(sets);
  return Outcome::kDone;
}

constexpr KeyPositions kOneKey = {1, 1, 1};
constexpr KeyPositions kAllKeys = {1, -1, 1};
constexpr KeyPositions kPairs = {1, -1, 2};

constexpr CommandSpec kCommands[] = {
    {.name = "get",
     .arity = 2,
     .flags = kReadonly | kFast | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = get,
     .categories = "string",
     .key_use = "RO ACCESS",
     .group = "string",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Replies the string at a key",
     .syntax = "<key:key>"},
    {.name = "set",
     .arity = -3,
     .flags = kWrite | kDenyOom | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = set,
     .categories = "string",
     .key_use = "RW ACCESS UPDATE VARIABLE_FLAGS",
     .group = "string",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Makes a key a string with this value, whatever it was, under conditions and with a TTL if told",
     .syntax = "<key:key> <value:string> [NX|XX|IFEQ <comparison:string>|IFVERSION <version:string>] [GET] "
               "[EX <seconds:integer>|PX <milliseconds:integer>|EXAT <unix-time-seconds:unix-time>|"
               "PXAT <unix-time-milliseconds:unix-time>|KEEPTTL]"},
    {.name = "setnx",
     .arity = 3,
     .flags = kWrite | kDenyOom | kFast | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = setnx,
     .categories = "string",
     .key_use = "OW INSERT",
     .group = "string",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Sets a string only where the key is missing",
     .syntax = "<key:key> <value:string>"},
    {.name = "setex",
     .arity = 4,
     .flags = kWrite | kDenyOom | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = setex,
     .categories = "string",
     .key_use = "OW UPDATE",
     .group = "string",
     .since = "2.0.0",
     .complexity = "O(1)",
     .summary = "Sets a string that lives for some seconds",
     .syntax = "<key:key> <seconds:integer> <value:string>"},
    {.name = "psetex",
     .arity = 4,
     .flags = kWrite | kDenyOom | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = psetex,
     .categories = "string",
     .key_use = "OW UPDATE",
     .group = "string",
     .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Sets a string that lives for some milliseconds",
     .syntax = "<key:key> <milliseconds:integer> <value:string>"},
    {.name = "getset",
     .arity = 3,
     .flags = kWrite | kDenyOom | kFast | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = getset,
     .categories = "string",
     .key_use = "RW ACCESS UPDATE",
     .group = "string",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Sets a string and replies the one it replaces",
     .syntax = "<key:key> <value:string>"},
    {.name = "getdel",
     .arity = 2,
     .flags = kWrite | kFast | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = getdel,
     .categories = "string",
     .key_use = "RW ACCESS DELETE",
     .group = "string",
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Replies the string at a key and removes the key",
     .syntax = "<key:key>"},
    {.name = "getex",
     .arity = -2,
     .flags = kWrite | kFast | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = getex,
     .categories = "string",
     .key_use = "RW ACCESS UPDATE",
     .group = "string",
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Replies the string at a key and sets or removes the key's TTL",
     .syntax = "<key:key> [EX <seconds:integer>|PX <milliseconds:integer>|EXAT <unix-time-seconds:unix-time>|"
               "PXAT <unix-time-milliseconds:unix-time>|PERSIST]"},
    {.name = "mget",
     .arity = -2,
     .flags = kReadonly | kFast,
     .keys = kAllKeys,
     .scope = Scope::kSplit,
     .run = mget,
     .categories = "string",
     .key_use = "RO ACCESS",
     .group = "string",
     .since = "1.0.0",
     .complexity = "O(N) for N keys",
     .summary = "Replies the strings at several keys",
     .syntax = "<key:key>…",
     .join = Join::kArray,
     .tips = "request_policy:multi_shard"},
    {.name = "mset",
     .arity = -3,
     .flags = kWrite | kDenyOom,
     .keys = kPairs,
     .scope = Scope::kSplit,
     .run = mset,
     .categories = "string",
     .key_use = "OW UPDATE",
     .group = "string",
     .since = "1.0.1",
     .complexity = "O(N) for N keys",
     .summary = "Sets several strings at once",
     .syntax = "(<key:key> <value:string>)…",
     .join = Join::kOk,
     .tips = "request_policy:multi_shard response_policy:all_succeeded"},
    {.name = "msetnx",
     .arity = -3,
     .flags = kWrite | kDenyOom,
     .keys = kPairs,
     .scope = Scope::kShard,
     .run = msetnx,
     .categories = "string",
     .key_use = "OW INSERT",
     .group = "string",
     .since = "1.0.1",
     .complexity = "O(N) for N keys",
     .summary = "Sets several strings at once, or none if one of the keys is there",
     .syntax = "(<key:key> <value:string>)…",
     .tips = "request_policy:multi_shard response_policy:agg_min"},
};

}  // namespace

std::span<const CommandSpec> string_commands() { return kCommands; }

}  // namespace capstan
