#include "server/commands/bitfield.h"

#include "resp/number.h"
#include "server/commands/bits.h"
#include "server/text.h"

namespace capstan {
namespace {

// Wide enough for any sum.
using Wide = __int128;

// The lowest bits of `value` as the field reads them.
int64_t wrap(uint64_t value, FieldType type) {
  const unsigned unused = 64 - type.bits;
  return type.is_signed ? static_cast<int64_t>(value << unused) >> unused
                        : static_cast<int64_t>(value << unused >> unused);
}

std::optional<int64_t> fit(Wide value, FieldType type, Overflow overflow) {
  const Wide range = Wide{1} << type.bits;
  const Wide min = type.is_signed ? -range / 2 : 0;
  const Wide max = min + range - 1;
  if (value >= min && value <= max) return static_cast<int64_t>(value);
  switch (overflow) {
    case Overflow::kWrap:
      return wrap(static_cast<uint64_t>(value), type);
    case Overflow::kSaturate:
      return static_cast<int64_t>(value < min ? min : max);
    case Overflow::kFail:
      break;
  }
  return std::nullopt;
}

}  // namespace

std::optional<FieldType> parse_field_type(std::string_view text) {
  constexpr int64_t kMaxSignedBits = 64;
  constexpr int64_t kMaxUnsignedBits = 63;
  const bool is_signed = text.starts_with('i');
  if (!is_signed && !text.starts_with('u')) return std::nullopt;
  const std::optional<int64_t> bits = resp::parse_integer(text.substr(1));
  if (!bits || *bits < 1 || *bits > (is_signed ? kMaxSignedBits : kMaxUnsignedBits)) return std::nullopt;
  return FieldType{.is_signed = is_signed, .bits = static_cast<unsigned>(*bits)};
}

std::optional<Overflow> parse_overflow(std::string_view word) {
  if (same_word(word, "wrap")) return Overflow::kWrap;
  if (same_word(word, "sat")) return Overflow::kSaturate;
  if (same_word(word, "fail")) return Overflow::kFail;
  return std::nullopt;
}

int64_t load_field(std::string_view bytes, uint64_t offset, FieldType type) {
  return wrap(load_bits(bytes, offset, type.bits), type);
}

std::optional<int64_t> field_value(int64_t value, FieldType type, Overflow overflow) {
  // A negative number is a very large one to an unsigned field.
  return fit(type.is_signed ? Wide{value} : Wide{static_cast<uint64_t>(value)}, type, overflow);
}

std::optional<int64_t> field_sum(int64_t value, int64_t addend, FieldType type, Overflow overflow) {
  return fit(Wide{value} + addend, type, overflow);
}

}  // namespace capstan
