// Strings as arrays of bits: SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP.
#include <absl/container/inlined_vector.h>

#include <algorithm>
#include <string>

#include "base/bytes.h"
#include "server/commands/arguments.h"
#include "server/commands/bits.h"
#include "server/commands/string_reply.h"

namespace capstan {
namespace {

Outcome reply_bad_offset(Call& call) { return reply_error(call, "ERR bit offset is not an integer or out of range"); }

Outcome setbit(Call& call) {
  const std::optional<uint64_t> offset = parse_bit_offset(call.args[2], call.max_string_bytes);
  if (!offset) return reply_bad_offset(call);
  const std::string_view bit = call.args[3];
  if (bit != "0" && bit != "1") return reply_error(call, "ERR bit is not an integer or out of range");
  const KeyRef key = call.key(1);
  const StringRead read = call.eval().string_range(key, *offset / 8, 1);
  if (!is_usable(read.lookup)) return refuse(call, read.lookup);
  char byte = read.value.empty() ? '\0' : read.value.front();
  const uint64_t old = load_bits({&byte, 1}, *offset % 8, 1);
  // A bit that has its value already is no write: WATCH does not see it.
  if (read.value.empty() || old != uint64_t{bit == "1"}) {
    store_bits(&byte, *offset % 8, 1, bit == "1");
    const Lookup spliced = call.eval().splice(key, *offset / 8, call.eval().keep({&byte, 1}));
    if (spliced == Lookup::kNotResident) return refuse(call, spliced);
  }
  call.reply().integer(static_cast<int64_t>(old));
  return Outcome::kDone;
}

Outcome getbit(Call& call) {
  const std::optional<uint64_t> offset = parse_bit_offset(call.args[2], call.max_string_bytes);
  if (!offset) return reply_bad_offset(call);
  const StringRead read = call.eval().string_range(call.key(1), *offset / 8, 1);
  if (!is_usable(read.lookup)) return refuse(call, read.lookup);
  call.reply().integer(static_cast<int64_t>(load_bits(read.value, *offset % 8, 1)));
  return Outcome::kDone;
}

// The bits that BITCOUNT's or BITPOS' words [start [end [BYTE|BIT]]] name, and the bytes that hold them.
struct BitRange {
  uint64_t first = 0;
  uint64_t last = 0;
  bool empty = false;

  uint64_t first_byte() const { return first / 8; }
  uint64_t bytes() const { return last / 8 - first / 8 + 1; }
  // Where the range lies in its bytes.
  uint64_t first_in_bytes() const { return first % 8; }
  uint64_t last_in_bytes() const { return last - first / 8 * 8; }
};

// When an unknown unit is refused, if other words are malformed too. (Redis has it differently in BITCOUNT and BITPOS.)
enum class UnitCheck : uint8_t { kBeforeEnd, kLast };

// Of a string of `size` bytes; an end that is not given is the string's. nullopt: refused, the error is replied.
std::optional<BitRange> bit_range(Call& call, size_t index, uint64_t size, UnitCheck unit_check) {
  std::optional<int64_t> start = 0;
  std::optional<int64_t> end = -1;
  if (call.args.size() > index) start = integer_argument(call, index);
  if (!start) return std::nullopt;
  const std::string_view unit = call.args.size() > index + 2 ? call.args[index + 2] : "byte";
  const bool in_bits = same_word(unit, "bit");
  const bool is_unit = in_bits || same_word(unit, "byte");
  const bool refused_early = !is_unit && unit_check == UnitCheck::kBeforeEnd;
  if (call.args.size() > index + 1 && !refused_early) end = integer_argument(call, index + 1);
  if (!end) return std::nullopt;
  if (!is_unit) {
    reply_syntax_error(call);
    return std::nullopt;
  }
  const uint64_t bits_per_unit = in_bits ? 1 : 8;
  const std::optional<IndexRange> range = clip_range(*start, *end, size * 8 / bits_per_unit);
  if (!range) return BitRange{.empty = true};
  return BitRange{.first = range->first * bits_per_unit, .last = (range->last + 1) * bits_per_unit - 1};
}

Outcome bitcount(Call& call) {
  const KeyRef key = call.key(1);
  uint64_t size = 0;
  const Lookup lookup = call.eval().string_size(key, size);
  if (!is_usable(lookup)) return refuse(call, lookup);
  uint64_t count = 0;
  // The other words of a missing key are not even looked at.
  if (lookup == Lookup::kFound) {
    if (call.args.size() == 3 || call.args.size() > 5) return reply_syntax_error(call);
    const std::optional<BitRange> range = bit_range(call, 2, size, UnitCheck::kLast);
    if (!range) return Outcome::kDone;
    if (!range->empty) {
      const StringRead read = call.eval().string_range(key, range->first_byte(), range->bytes());
      if (read.lookup != Lookup::kFound) return refuse(call, read.lookup);
      count = count_bits(read.value, range->first_in_bytes(), range->last_in_bytes());
    }
  }
  call.reply().integer(static_cast<int64_t>(count));
  return Outcome::kDone;
}

Outcome reply_position(Call& call, int64_t position) {
  call.reply().integer(position);
  return Outcome::kDone;
}

Outcome bitpos(Call& call) {
  constexpr int64_t kNone = -1;
  const std::optional<int64_t> bit = integer_argument(call, 2);
  if (!bit) return Outcome::kDone;
  if (*bit != 0 && *bit != 1) return reply_error(call, "ERR The bit argument must be 1 or 0.");
  const KeyRef key = call.key(1);
  uint64_t size = 0;
  const Lookup lookup = call.eval().string_size(key, size);
  if (!is_usable(lookup)) return refuse(call, lookup);
  // A missing key is an endless row of zeros; its other words are not even looked at.
  if (lookup == Lookup::kMissing) return reply_position(call, *bit == 1 ? kNone : 0);
  if (call.args.size() > 6) return reply_syntax_error(call);
  const std::optional<BitRange> range = bit_range(call, 3, size, UnitCheck::kBeforeEnd);
  if (!range) return Outcome::kDone;
  if (range->empty) return reply_position(call, kNone);
  const StringRead read = call.eval().string_range(key, range->first_byte(), range->bytes());
  if (read.lookup != Lookup::kFound) return refuse(call, read.lookup);
  const std::optional<uint64_t> found =
      find_bit(read.value, *bit == 1, range->first_in_bytes(), range->last_in_bytes());
  if (found) return reply_position(call, static_cast<int64_t>(range->first_byte() * 8 + *found));
  // Where no end is given, zeros follow the string.
  const bool has_end = call.args.size() > 4;
  return reply_position(call, *bit == 1 || has_end ? kNone : static_cast<int64_t>(size * 8));
}

enum class BitOperation : uint8_t { kAnd, kOr, kXor, kNot };

std::optional<BitOperation> parse_operation(std::string_view word) {
  if (same_word(word, "and")) return BitOperation::kAnd;
  if (same_word(word, "or")) return BitOperation::kOr;
  if (same_word(word, "xor")) return BitOperation::kXor;
  if (same_word(word, "not")) return BitOperation::kNot;
  return std::nullopt;
}

// Replaces each byte of `to` by what combine makes of it and the byte of `from`. Precondition: from is not longer.
template <typename Combine>
void combine_bytes(std::string& to, std::string_view from, Combine combine) {
  size_t i = 0;
  for (; i + sizeof(uint64_t) <= from.size(); i += sizeof(uint64_t)) {
    store_le(&to[i], combine(load_le<uint64_t>(&to[i]), load_le<uint64_t>(&from[i])));
  }
  for (; i < from.size(); ++i)
    to[i] = static_cast<char>(combine(static_cast<uint64_t>(to[i]), static_cast<uint64_t>(from[i])));
}

void combine_into(std::string& to, BitOperation operation, std::string_view from) {
  switch (operation) {
    case BitOperation::kAnd:
      combine_bytes(to, from, [](uint64_t a, uint64_t b) { return a & b; });
      std::fill(to.begin() + static_cast<ptrdiff_t>(from.size()), to.end(), '\0');
      break;
    case BitOperation::kOr:
      combine_bytes(to, from, [](uint64_t a, uint64_t b) { return a | b; });
      break;
    case BitOperation::kXor:
      combine_bytes(to, from, [](uint64_t a, uint64_t b) { return a ^ b; });
      break;
    case BitOperation::kNot:
      combine_bytes(to, from, [](uint64_t, uint64_t b) { return ~b; });
      break;
  }
}

Outcome bitop(Call& call) {
  constexpr size_t kFirstSource = 3;
  const std::optional<BitOperation> operation = parse_operation(call.args[1]);
  if (!operation) return reply_syntax_error(call);
  if (*operation == BitOperation::kNot && call.args.size() != kFirstSource + 1) {
    return reply_error(call, "ERR BITOP NOT must be called with a single source key.");
  }
  absl::InlinedVector<std::string_view, 8> sources;
  size_t size = 0;
  for (size_t i = kFirstSource; i < call.args.size(); ++i) {
    const StringRead read = call.eval().string(call.key(i));
    if (!is_usable(read.lookup)) return refuse(call, read.lookup);
    sources.push_back(read.value);
    size = std::max(size, read.value.size());
  }
  const KeyRef destination = call.key(2);
  if (size == 0) {
    call.eval().remove(destination);
  } else {
    std::string result(sources.front());
    result.resize(size);
    if (*operation == BitOperation::kNot) combine_into(result, *operation, sources.front());
    for (size_t i = 1; i < sources.size(); ++i) combine_into(result, *operation, sources[i]);
    call.eval().set_string(destination, call.eval().keep(result));
  }
  call.reply().integer(static_cast<int64_t>(size));
  return Outcome::kDone;
}

constexpr KeyPositions kOneKey = {1, 1, 1};

constexpr CommandSpec kCommands[] = {
    {.name = "setbit",
     .arity = 4,
     .flags = kWrite | kDenyOom | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = setbit,
     .categories = "bitmap",
     .key_use = "RW ACCESS UPDATE",
     .group = "bitmap",
     .since = "2.2.0",
     .complexity = "O(1)",
     .summary = "Sets or clears a bit of a string, which grows where needed, and replies what it was",
     .syntax = "<key:key> <offset:integer> <value:integer>"},
    {.name = "getbit",
     .arity = 3,
     .flags = kReadonly | kFast | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = getbit,
     .categories = "bitmap",
     .key_use = "RO ACCESS",
     .group = "bitmap",
     .since = "2.2.0",
     .complexity = "O(1)",
     .summary = "Replies a bit of a string",
     .syntax = "<key:key> <offset:integer>"},
    {.name = "bitcount",
     .arity = -2,
     .flags = kReadonly,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = bitcount,
     .categories = "bitmap",
     .key_use = "RO ACCESS",
     .group = "bitmap",
     .since = "2.6.0",
     .complexity = "O(N) for N bytes",
     .summary = "Counts the bits that are set in a string or a part of it",
     .syntax = "<key:key> [<start:integer> <end:integer> [BYTE|BIT]]"},
    {.name = "bitpos",
     .arity = -3,
     .flags = kReadonly,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = bitpos,
     .categories = "bitmap",
     .key_use = "RO ACCESS",
     .group = "bitmap",
     .since = "2.8.7",
     .complexity = "O(N) for N bytes",
     .summary = "Finds the first bit that is set, or clear, in a string or a part of it",
     .syntax = "<key:key> <bit:integer> [<start:integer> [<end:integer> [BYTE|BIT]]]"},
    {.name = "bitop",
     .arity = -4,
     .flags = kWrite | kDenyOom,
     .keys = {2, -1, 1},
     .scope = Scope::kShard,
     .run = bitop,
     .categories = "bitmap",
     .key_use = "OW UPDATE; RO ACCESS",
     .group = "bitmap",
     .since = "2.6.0",
     .complexity = "O(N) for N bytes",
     .summary = "Combines strings bit by bit and stores the result",
     .syntax = "<operation:string> <destkey:key> <key:key>…"},
};

}  // namespace

std::span<const CommandSpec> bitmap_commands() { return kCommands; }

}  // namespace capstan
