// BITFIELD's integers of any width within a string. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace capstan {

struct FieldType {
  bool is_signed = false;
  unsigned bits = 0;  // 1 to 64, unsigned 1 to 63
  bool operator==(const FieldType&) const = default;
};
// "i8", "u63", …
std::optional<FieldType> parse_field_type(std::string_view text);

// What becomes of a value that the field cannot hold: its lowest bits, the nearest bound, or nothing.
enum class Overflow : uint8_t { kWrap, kSaturate, kFail };
std::optional<Overflow> parse_overflow(std::string_view word);

// The value of the field that lies at bit `offset`; behind the end are zeros.
int64_t load_field(std::string_view bytes, uint64_t offset, FieldType type);

// What the field holds after `value` was stored there, or `addend` added to `value`, which it holds. nullopt: it fails.
std::optional<int64_t> field_value(int64_t value, FieldType type, Overflow overflow);
std::optional<int64_t> field_sum(int64_t value, int64_t addend, FieldType type, Overflow overflow);

}  // namespace capstan
