#include "server/commands/bits.h"

#include <algorithm>
#include <bit>

#include "base/bytes.h"
#include "resp/number.h"

namespace capstan {
namespace {

constexpr size_t kWordBytes = sizeof(uint64_t);

constexpr uint64_t repeat(uint8_t byte) { return 0x0101010101010101u * byte; }

// In each byte of the result, how many bits that byte of the word has set.
uint64_t count_per_byte(uint64_t word) {
  word -= (word >> 1) & repeat(0x55);
  word = (word & repeat(0x33)) + ((word >> 2) & repeat(0x33));
  return (word + (word >> 4)) & repeat(0x0f);
}

uint64_t sum_of_bytes(uint64_t word) {
  constexpr uint64_t kEven = 0x00ff00ff00ff00ffu;
  const uint64_t pairs = (word & kEven) + ((word >> 8) & kEven);
  return (pairs * 0x0001000100010001u) >> 48;
}

uint8_t byte_at(std::string_view bytes, uint64_t index) { return static_cast<uint8_t>(bytes[index]); }

// The bits of one byte from `first` on, and those up to `last`, counted from the highest.
uint8_t mask_from(uint64_t first) { return static_cast<uint8_t>(0xff >> (first % 8)); }
uint8_t mask_to(uint64_t last) { return static_cast<uint8_t>(0xff << (7 - last % 8)); }

// Index of the first byte from `begin` on that is not `skipped`; `end` if there is none before it.
uint64_t skip_bytes(std::string_view bytes, uint8_t skipped, uint64_t begin, uint64_t end) {
  const uint64_t skipped_word = repeat(skipped);
  while (begin + kWordBytes <= end && load_le<uint64_t>(bytes.data() + begin) == skipped_word) begin += kWordBytes;
  while (begin < end && byte_at(bytes, begin) == skipped) ++begin;
  return begin;
}

}  // namespace

std::optional<uint64_t> parse_bit_offset(std::string_view text, uint64_t max_bytes, unsigned field_bits) {
  const bool in_fields = field_bits > 0 && text.starts_with('#');
  if (in_fields) text.remove_prefix(1);
  std::optional<int64_t> offset = resp::parse_integer(text);
  if (!offset || *offset < 0) return std::nullopt;
  if (in_fields && __builtin_mul_overflow(*offset, int64_t{field_bits}, &*offset)) return std::nullopt;
  if (static_cast<uint64_t>(*offset) / 8 >= max_bytes) return std::nullopt;
  return static_cast<uint64_t>(*offset);
}

uint64_t count_bits(std::string_view bytes) {
  // A byte of the running sum holds at most 255, so so many words of at most 8 per byte go into it.
  constexpr size_t kWordsPerSum = 255 / 8;
  uint64_t count = 0;
  while (bytes.size() >= kWordBytes) {
    const size_t words = std::min(bytes.size() / kWordBytes, kWordsPerSum);
    uint64_t sums = 0;
    for (size_t i = 0; i < words; ++i) sums += count_per_byte(load_le<uint64_t>(bytes.data() + i * kWordBytes));
    count += sum_of_bytes(sums);
    bytes.remove_prefix(words * kWordBytes);
  }
  for (const char c : bytes) count += static_cast<uint64_t>(std::popcount(static_cast<uint8_t>(c)));
  return count;
}

uint64_t count_bits(std::string_view bytes, uint64_t first, uint64_t last) {
  const uint64_t first_byte = first / 8;
  const uint64_t last_byte = last / 8;
  uint64_t count = count_bits(bytes.substr(first_byte, last_byte - first_byte + 1));
  // What stands in the first and the last byte outside the range.
  const auto before = static_cast<uint8_t>(byte_at(bytes, first_byte) & ~mask_from(first));
  const auto behind = static_cast<uint8_t>(byte_at(bytes, last_byte) & ~mask_to(last));
  count -= static_cast<uint64_t>(std::popcount(before));
  return count - static_cast<uint64_t>(std::popcount(behind));
}

std::optional<uint64_t> find_bit(std::string_view bytes, bool bit, uint64_t first, uint64_t last) {
  // Looks for a set bit; where a clear one is wanted, in the inverted bytes.
  const uint8_t inverted = bit ? 0x00 : 0xff;
  const uint64_t first_byte = first / 8;
  const uint64_t last_byte = last / 8;
  uint64_t at = first_byte;
  auto candidates = static_cast<uint8_t>((byte_at(bytes, at) ^ inverted) & mask_from(first));
  if (candidates == 0 && at < last_byte) {
    at = skip_bytes(bytes, inverted, at + 1, last_byte);
    candidates = static_cast<uint8_t>(byte_at(bytes, at) ^ inverted);
  }
  if (at == last_byte) candidates &= mask_to(last);
  if (candidates == 0) return std::nullopt;
  return at * 8 + static_cast<uint64_t>(std::countl_zero(candidates));
}

uint64_t load_bits(std::string_view bytes, uint64_t offset, unsigned bits) {
  // Up to 64 bits lie in up to 9 bytes.
  unsigned __int128 window = 0;
  const uint64_t first_byte = offset / 8;
  const uint64_t last_byte = (offset + bits - 1) / 8;
  for (uint64_t i = first_byte; i <= last_byte; ++i) window = window << 8 | (i < bytes.size() ? byte_at(bytes, i) : 0);
  const auto value = static_cast<uint64_t>(window >> (7 - (offset + bits - 1) % 8));
  return bits == 64 ? value : value & ((uint64_t{1} << bits) - 1);
}

void store_bits(char* bytes, uint64_t offset, unsigned bits, uint64_t value) {
  const unsigned __int128 mask = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
  const unsigned shift = 7 - (offset + bits - 1) % 8;
  const unsigned __int128 cleared = mask << shift;
  const unsigned __int128 set = (value & mask) << shift;
  const uint64_t first_byte = offset / 8;
  unsigned distance = 0;
  for (uint64_t i = (offset + bits - 1) / 8 + 1; i-- > first_byte; distance += 8) {
    const auto kept = static_cast<uint8_t>(~(cleared >> distance));
    bytes[i] = static_cast<char>((static_cast<uint8_t>(bytes[i]) & kept) | static_cast<uint8_t>(set >> distance));
  }
}

}  // namespace capstan
