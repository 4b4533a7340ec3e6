// TTLs: EXPIRE and its relatives, TTL and its relatives, PERSIST.
#include <algorithm>
#include <string>

#include "server/commands/arguments.h"
#include "server/commands/expire_options.h"
#include "server/commands/expiry_time.h"

namespace capstan {
namespace {

Outcome reply_refused_option(Call& call, const ExpireOptions& options) {
  switch (options.refusal) {
    case ExpireOptions::Refusal::kUnknown:
      return reply_error(call, std::string("ERR Unsupported option ").append(options.unknown));
    case ExpireOptions::Refusal::kMissingAndOther:
      return reply_error(call, "ERR NX and XX, GT or LT options at the same time are not compatible");
    default:
      return reply_error(call, "ERR GT and LT options at the same time are not compatible");
  }
}

Outcome expire_in_form(Call& call, TimeForm form) {
  const ExpireOptions options = parse_expire_options(call.args.subspan(3));
  if (options.refusal != ExpireOptions::Refusal::kNone) return reply_refused_option(call, options);
  const std::optional<int64_t> amount = integer_argument(call, 2);
  if (!amount) return Outcome::kDone;
  const std::optional<int64_t> at_ms = expiry_at_ms(*amount, form, call.eval().now_ms());
  if (!at_ms) return reply_invalid_expiry(call);
  const KeyRef key = call.key(1);
  const bool sets = call.eval().exists(key) && options.allow(call.eval().expire_at_ms(key), *at_ms);
  if (sets) expire_at(call, key, *at_ms);
  call.reply().integer(sets);
  return Outcome::kDone;
}

Outcome expire(Call& call) { return expire_in_form(call, {.seconds = true, .absolute = false}); }

Outcome pexpire(Call& call) { return expire_in_form(call, {.seconds = false, .absolute = false}); }

Outcome expireat(Call& call) { return expire_in_form(call, {.seconds = true, .absolute = true}); }

Outcome pexpireat(Call& call) { return expire_in_form(call, {.seconds = false, .absolute = true}); }

// Rounded to the nearest second.
int64_t to_seconds(int64_t time_ms) { return static_cast<int64_t>((static_cast<uint64_t>(time_ms) + 500) / 1000); }

Outcome reply_ttl(Call& call, TimeForm form) {
  constexpr int64_t kNoKey = -2;
  constexpr int64_t kNoTtl = -1;
  call.eval().without_use();
  const KeyRef key = call.key(1);
  int64_t time = kNoKey;
  if (call.eval().exists(key)) {
    const int64_t at_ms = call.eval().expire_at_ms(key);
    if (at_ms == kNeverExpires) {
      time = kNoTtl;
    } else {
      const int64_t time_ms = form.absolute ? at_ms : std::max<int64_t>(at_ms - call.eval().now_ms(), 0);
      time = form.seconds ? to_seconds(time_ms) : time_ms;
    }
  }
  call.reply().integer(time);
  return Outcome::kDone;
}

Outcome ttl(Call& call) { return reply_ttl(call, {.seconds = true, .absolute = false}); }

Outcome pttl(Call& call) { return reply_ttl(call, {.seconds = false, .absolute = false}); }

Outcome expiretime(Call& call) { return reply_ttl(call, {.seconds = true, .absolute = true}); }

Outcome pexpiretime(Call& call) { return reply_ttl(call, {.seconds = false, .absolute = true}); }

Outcome persist(Call& call) {
  const KeyRef key = call.key(1);
  const bool had_ttl = call.eval().exists(key) && call.eval().expire_at_ms(key) != kNeverExpires;
  if (had_ttl) call.eval().set_expiry(key, kNeverExpires);
  call.reply().integer(had_ttl);
  return Outcome::kDone;
}

constexpr KeyPositions kOneKey = {1, 1, 1};

constexpr CommandSpec kCommands[] = {
    {.name = "expire",
     .arity = -3,
     .flags = kWrite | kFast | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = expire,
     .categories = "keyspace",
     .key_use = "RW UPDATE",
     .group = "generic",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Lets a key expire in some seconds",
     .syntax = "<key:key> <seconds:integer> [NX|XX|GT|LT]"},
    {.name = "pexpire",
     .arity = -3,
     .flags = kWrite | kFast | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = pexpire,
     .categories = "keyspace",
     .key_use = "RW UPDATE",
     .group = "generic",
     .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Lets a key expire in some milliseconds",
     .syntax = "<key:key> <milliseconds:integer> [NX|XX|GT|LT]"},
    {.name = "expireat",
     .arity = -3,
     .flags = kWrite | kFast | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = expireat,
     .categories = "keyspace",
     .key_use = "RW UPDATE",
     .group = "generic",
     .since = "1.2.0",
     .complexity = "O(1)",
     .summary = "Lets a key expire at a Unix time in seconds",
     .syntax = "<key:key> <unix-time-seconds:unix-time> [NX|XX|GT|LT]"},
    {.name = "pexpireat",
     .arity = -3,
     .flags = kWrite | kFast | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = pexpireat,
     .categories = "keyspace",
     .key_use = "RW UPDATE",
     .group = "generic",
     .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Lets a key expire at a Unix time in milliseconds",
     .syntax = "<key:key> <unix-time-milliseconds:unix-time> [NX|XX|GT|LT]"},
    {.name = "ttl",
     .arity = 2,
     .flags = kReadonly | kFast | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = ttl,
     .categories = "keyspace",
     .key_use = "RO ACCESS",
     .group = "generic",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Replies in how many seconds a key expires",
     .syntax = "<key:key>",
     .tips = "nondeterministic_output"},
    {.name = "pttl",
     .arity = 2,
     .flags = kReadonly | kFast | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = pttl,
     .categories = "keyspace",
     .key_use = "RO ACCESS",
     .group = "generic",
     .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Replies in how many milliseconds a key expires",
     .syntax = "<key:key>",
     .tips = "nondeterministic_output"},
    {.name = "expiretime",
     .arity = 2,
     .flags = kReadonly | kFast | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = expiretime,
     .categories = "keyspace",
     .key_use = "RO ACCESS",
     .group = "generic",
     .since = "7.0.0",
     .complexity = "O(1)",
     .summary = "Replies the Unix time in seconds at which a key expires",
     .syntax = "<key:key>"},
    {.name = "pexpiretime",
     .arity = 2,
     .flags = kReadonly | kFast | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = pexpiretime,
     .categories = "keyspace",
     .key_use = "RO ACCESS",
     .group = "generic",
     .since = "7.0.0",
     .complexity = "O(1)",
     .summary = "Replies the Unix time in milliseconds at which a key expires",
     .syntax = "<key:key>"},
    {.name = "persist",
     .arity = 2,
     .flags = kWrite | kFast | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = persist,
     .categories = "keyspace",
     .key_use = "RW UPDATE",
     .group = "generic",
     .since = "2.2.0",
     .complexity = "O(1)",
     .summary = "Removes a key's TTL",
     .syntax = "<key:key>"},
};

}  // namespace

std::span<const CommandSpec> expiry_commands() { return kCommands; }

}  // namespace capstan
