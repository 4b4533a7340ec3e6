// Bits of byte strings. Bit 0 is the highest one of the first byte, as Redis counts. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace capstan {

// The bit offset that a command was given: up to the last bit of a string of max_bytes. With field_bits > 0 also
// "#<n>": n fields of so many bits. nullopt: refused.
std::optional<uint64_t> parse_bit_offset(std::string_view text, uint64_t max_bytes, unsigned field_bits = 0);

uint64_t count_bits(std::string_view bytes);
// Of the bits first … last. Precondition: first ≤ last, both within the bytes.
uint64_t count_bits(std::string_view bytes, uint64_t first, uint64_t last);
// The first one that is `bit` of the bits first … last. Precondition: as above.
std::optional<uint64_t> find_bit(std::string_view bytes, bool bit, uint64_t first, uint64_t last);

// 1 to 64 bits from `offset` on, as the lower bits of the result. Bits behind the end are zero.
uint64_t load_bits(std::string_view bytes, uint64_t offset, unsigned bits);
// Precondition: the bytes hold them all.
void store_bits(char* bytes, uint64_t offset, unsigned bits, uint64_t value);

}  // namespace capstan
