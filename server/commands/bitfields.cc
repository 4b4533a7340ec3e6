// BITFIELD and BITFIELD_RO.
#include <absl/container/inlined_vector.h>

#include <algorithm>
#include <limits>
#include <string>

#include "server/commands/arguments.h"
#include "server/commands/bitfield.h"
#include "server/commands/bits.h"
#include "server/commands/string_reply.h"

namespace capstan {
namespace {

struct Operation {
  enum class Kind : uint8_t { kGet, kSet, kIncrement };
  Kind kind = Kind::kGet;
  FieldType type;
  Overflow overflow = Overflow::kWrap;
  uint64_t offset = 0;   // in bits
  int64_t argument = 0;  // the new value, or what is added

  bool writes() const { return kind != Kind::kGet; }
  uint64_t first_byte() const { return offset / 8; }
  uint64_t end_byte() const { return (offset + type.bits - 1) / 8 + 1; }
};

using Operations = absl::InlinedVector<Operation, 4>;

std::optional<Operation::Kind> parse_kind(std::string_view word) {
  if (same_word(word, "get")) return Operation::Kind::kGet;
  if (same_word(word, "set")) return Operation::Kind::kSet;
  if (same_word(word, "incrby")) return Operation::Kind::kIncrement;
  return std::nullopt;
}

// Reads the operation that begins at args[index] and moves behind it. False: refused, the error is replied.
bool read_operation(Call& call, size_t& index, Operation& operation) {
  const std::optional<Operation::Kind> kind = parse_kind(call.args[index]);
  const size_t words = kind == Operation::Kind::kGet ? 3 : 4;
  if (!kind || call.args.size() - index < words) {
    reply_syntax_error(call);
    return false;
  }
  operation.kind = *kind;
  const std::optional<FieldType> type = parse_field_type(call.args[index + 1]);
  if (!type) {
    reply_error(call,
                "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.");
    return false;
  }
  operation.type = *type;
  const std::optional<uint64_t> offset = parse_bit_offset(call.args[index + 2], call.max_string_bytes, type->bits);
  if (!offset) {
    reply_error(call, "ERR bit offset is not an integer or out of range");
    return false;
  }
  operation.offset = *offset;
  if (operation.writes()) {
    const std::optional<int64_t> argument = integer_argument(call, index + 3);
    if (!argument) return false;
    operation.argument = *argument;
  }
  index += words;
  return true;
}

// nullopt: refused, the error is replied.
std::optional<Operations> read_operations(Call& call) {
  Operations operations;
  Overflow overflow = Overflow::kWrap;
  for (size_t i = 2; i < call.args.size();) {
    if (same_word(call.args[i], "overflow") && i + 1 < call.args.size()) {
      const std::optional<Overflow> parsed = parse_overflow(call.args[i + 1]);
      if (!parsed) {
        reply_error(call, "ERR Invalid OVERFLOW type specified");
        return std::nullopt;
      }
      overflow = *parsed;
      i += 2;
      continue;
    }
    Operation operation{.overflow = overflow};
    if (!read_operation(call, i, operation)) return std::nullopt;
    operations.push_back(operation);
  }
  return operations;
}

// Which bytes of the string the operations touch.
struct Extent {
  uint64_t first = std::numeric_limits<uint64_t>::max();
  uint64_t end = 0;
  void add(const Operation& operation) {
    first = std::min(first, operation.first_byte());
    end = std::max(end, operation.end_byte());
  }
  bool empty() const { return end == 0; }
};

using Results = absl::InlinedVector<std::optional<int64_t>, 4>;

// Executes the operations on the bytes that the string has from byte `base` on. Bytes that are written are all there.
Results execute(const Operations& operations, char* bytes, size_t size, uint64_t base) {
  Results results;
  for (const Operation& operation : operations) {
    const uint64_t offset = operation.offset - base * 8;
    const int64_t old = load_field({bytes, size}, offset, operation.type);
    if (!operation.writes()) {
      results.push_back(old);
      continue;
    }
    const bool sets = operation.kind == Operation::Kind::kSet;
    const std::optional<int64_t> value = sets ? field_value(operation.argument, operation.type, operation.overflow)
                                              : field_sum(old, operation.argument, operation.type, operation.overflow);
    if (value) store_bits(bytes, offset, operation.type.bits, static_cast<uint64_t>(*value));
    results.push_back(value && sets ? old : value);
  }
  return results;
}

Outcome run_operations(Call& call, const Operations& operations) {
  const KeyRef key = call.key(1);
  uint64_t size = 0;
  const Lookup lookup = call.eval().string_size(key, size);
  if (!is_usable(lookup)) return refuse(call, lookup);
  Extent touched;
  Extent written;
  for (const Operation& operation : operations) {
    touched.add(operation);
    if (operation.writes()) written.add(operation);
  }
  Results results;
  if (!operations.empty()) {
    const StringRead read = call.eval().string_range(key, touched.first, touched.end - touched.first);
    if (!is_usable(read.lookup)) return refuse(call, read.lookup);
    std::string bytes(read.value);
    // The string grows to what is written, even if an operation then fails. What lies behind is zero.
    if (!written.empty()) bytes.resize(std::max<size_t>(bytes.size(), written.end - touched.first));
    results = execute(operations, bytes.data(), bytes.size(), touched.first);
    // What leaves every byte as it was is no write: WATCH does not see it.
    if (!written.empty() && bytes != read.value) {
      const std::string_view changed =
          std::string_view(bytes).substr(written.first - touched.first, written.end - written.first);
      const Lookup spliced = call.eval().splice(key, written.first, call.eval().keep(changed));
      if (spliced == Lookup::kNotResident) return refuse(call, spliced);
    }
  }
  call.reply().array(results.size());
  for (const std::optional<int64_t>& result : results) {
    if (result) {
      call.reply().integer(*result);
    } else {
      call.reply().null();
    }
  }
  return Outcome::kDone;
}

Outcome bitfield(Call& call) {
  const std::optional<Operations> operations = read_operations(call);
  return operations ? run_operations(call, *operations) : Outcome::kDone;
}

Outcome bitfield_ro(Call& call) {
  const std::optional<Operations> operations = read_operations(call);
  if (!operations) return Outcome::kDone;
  for (const Operation& operation : *operations) {
    if (operation.writes()) return reply_error(call, "ERR BITFIELD_RO only supports the GET subcommand");
  }
  return run_operations(call, *operations);
}

constexpr KeyPositions kOneKey = {1, 1, 1};

constexpr CommandSpec kCommands[] = {
    {.name = "bitfield",
     .arity = -2,
     .flags = kWrite | kDenyOom,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = bitfield,
     .categories = "bitmap",
     .key_use = "RW ACCESS UPDATE VARIABLE_FLAGS",
     .group = "bitmap",
     .since = "3.2.0",
     .complexity = "O(1) for each operation",
     .summary = "Reads and changes integers of any width within a string",
     .syntax = "<key:key> [GET <encoding:string> <offset:integer>|[OVERFLOW (WRAP|SAT|FAIL)] "
               "SET <encoding:string> <offset:integer> <value:integer>|[OVERFLOW (WRAP|SAT|FAIL)] "
               "INCRBY <encoding:string> <offset:integer> <increment:integer>]…"},
    {.name = "bitfield_ro",
     .arity = -2,
     .flags = kReadonly | kFast,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = bitfield_ro,
     .categories = "bitmap",
     .key_use = "RO ACCESS",
     .group = "bitmap",
     .since = "6.0.0",
     .complexity = "O(1) for each operation",
     .summary = "Reads integers of any width within a string",
     .syntax = "<key:key> [GET <encoding:string> <offset:integer>]…"},
};

}  // namespace

std::span<const CommandSpec> bitfield_commands() { return kCommands; }

}  // namespace capstan
