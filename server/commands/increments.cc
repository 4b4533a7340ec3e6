// Strings that are numbers: INCR and its relatives. The record carries what was added, not the sum, so that concurrent
// increments all count (model, "Join").
#include <charconv>
#include <cmath>
#include <limits>
#include <string>

#include "quorum/number.h"
#include "server/commands/arguments.h"
#include "server/commands/string_reply.h"

namespace capstan {
namespace {

constexpr size_t kMaxIntegerBytes = 20;  // "-9223372036854775808"

Outcome increment(Call& call, int64_t addend) {
  const KeyRef key = call.key(1);
  const StringRead read = call.eval().string(key);
  int64_t sum = 0;
  if (read.lookup == Lookup::kFound) {
    const std::optional<int64_t> value = resp::parse_integer(read.value);
    if (!value) return reply_not_integer(call);
    sum = *value;
  } else if (read.lookup != Lookup::kMissing) {
    return refuse(call, read.lookup);
  }
  if (__builtin_add_overflow(sum, addend, &sum)) {
    return reply_error(call, "ERR increment or decrement would overflow");
  }
  char digits[kMaxIntegerBytes];
  const char* const end = std::to_chars(digits, digits + sizeof digits, sum).ptr;
  const std::string_view text(digits, static_cast<size_t>(end - digits));
  const Lookup added = call.eval().add(key, Number::integer(addend), text);
  if (added == Lookup::kNotResident) return refuse(call, added);
  call.reply().integer(sum);
  return Outcome::kDone;
}

Outcome incr(Call& call) { return increment(call, 1); }

Outcome decr(Call& call) { return increment(call, -1); }

Outcome incrby(Call& call) {
  const std::optional<int64_t> addend = integer_argument(call, 2);
  return addend ? increment(call, *addend) : Outcome::kDone;
}

Outcome decrby(Call& call) {
  const std::optional<int64_t> subtrahend = integer_argument(call, 2);
  if (!subtrahend) return Outcome::kDone;
  if (*subtrahend == std::numeric_limits<int64_t>::min()) return reply_error(call, "ERR decrement would overflow");
  return increment(call, -*subtrahend);
}

Outcome incrbyfloat(Call& call) {
  const KeyRef key = call.key(1);
  const StringRead read = call.eval().string(key);
  if (!is_usable(read.lookup)) return refuse(call, read.lookup);
  const std::optional<Number> value = read.lookup == Lookup::kFound ? Number::parse(read.value) : Number::integer(0);
  const std::optional<Number> addend = Number::parse(call.args[2]);
  if (!value || !addend) return reply_error(call, "ERR value is not a valid float");
  // In floating point even where both are integers: their sum may exceed 64 bits.
  const long double sum = value->as_real() + addend->as_real();
  if (!std::isfinite(sum)) return reply_error(call, "ERR increment would produce NaN or Infinity");
  std::string text;
  Number::real(sum).append_to(text);
  const Lookup added = call.eval().add(key, Number::real(addend->as_real()), text);
  if (added == Lookup::kNotResident) return refuse(call, added);
  call.reply().bulk(text);
  return Outcome::kDone;
}

constexpr KeyPositions kOneKey = {1, 1, 1};
constexpr uint32_t kFlags = kWrite | kDenyOom | kFast | kTrailingLevel;

constexpr CommandSpec kCommands[] = {
    {.name = "incr",
     .arity = 2,
     .flags = kFlags,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = incr,
     .categories = "string",
     .key_use = "RW ACCESS UPDATE",
     .group = "string",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Adds one to an integer; a missing key counts as 0",
     .syntax = "<key:key>"},
    {.name = "decr",
     .arity = 2,
     .flags = kFlags,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = decr,
     .categories = "string",
     .key_use = "RW ACCESS UPDATE",
     .group = "string",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Subtracts one from an integer; a missing key counts as 0",
     .syntax = "<key:key>"},
    {.name = "incrby",
     .arity = 3,
     .flags = kFlags,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = incrby,
     .categories = "string",
     .key_use = "RW ACCESS UPDATE",
     .group = "string",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Adds to an integer; a missing key counts as 0",
     .syntax = "<key:key> <increment:integer>"},
    {.name = "decrby",
     .arity = 3,
     .flags = kFlags,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = decrby,
     .categories = "string",
     .key_use = "RW ACCESS UPDATE",
     .group = "string",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Subtracts from an integer; a missing key counts as 0",
     .syntax = "<key:key> <decrement:integer>"},
    {.name = "incrbyfloat",
     .arity = 3,
     .flags = kFlags,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = incrbyfloat,
     .categories = "string",
     .key_use = "RW ACCESS UPDATE",
     .group = "string",
     .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Adds to a number with a fraction; a missing key counts as 0",
     .syntax = "<key:key> <increment:double>"},
};

}  // namespace

std::span<const CommandSpec> increment_commands() { return kCommands; }

}  // namespace capstan
