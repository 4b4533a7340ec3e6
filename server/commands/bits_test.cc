#include "server/commands/bits.h"

#include <boost/test/unit_test.hpp>
#include <string>

#include "base/random.h"

namespace capstan {

BOOST_AUTO_TEST_SUITE(bits_test)

namespace {

bool bit_at(std::string_view bytes, uint64_t offset) {
  return offset / 8 < bytes.size() && (static_cast<uint8_t>(bytes[offset / 8]) >> (7 - offset % 8) & 1) != 0;
}

uint64_t slow_count(std::string_view bytes, uint64_t first, uint64_t last) {
  uint64_t count = 0;
  for (uint64_t i = first; i <= last; ++i) count += bit_at(bytes, i);
  return count;
}

std::optional<uint64_t> slow_find(std::string_view bytes, bool bit, uint64_t first, uint64_t last) {
  for (uint64_t i = first; i <= last; ++i) {
    if (bit_at(bytes, i) == bit) return i;
  }
  return std::nullopt;
}

// Random bytes, or runs of equal ones.
std::string random_bytes(Random& random, size_t size) {
  std::string bytes(size, random.chance(0.5) ? '\xff' : '\0');
  const uint64_t changes = random.chance(0.5) ? random.below(3) : size;
  for (uint64_t i = 0; i < changes; ++i) bytes[random.below(size)] = static_cast<char>(random.next());
  return bytes;
}

}  // namespace

BOOST_AUTO_TEST_CASE(offsets_reach_to_the_last_bit_of_the_longest_string) {
  constexpr uint64_t kMaxBytes = 64 << 20;
  BOOST_TEST(*parse_bit_offset("0", kMaxBytes) == 0u);
  BOOST_TEST(*parse_bit_offset("536870911", kMaxBytes) == 536870911u);
  BOOST_TEST(!parse_bit_offset("536870912", kMaxBytes));
  for (const std::string_view text : {"-1", "a", "", "1.5", "#1", "9223372036854775808"}) {
    BOOST_TEST(!parse_bit_offset(text, kMaxBytes), text);
  }
}

BOOST_AUTO_TEST_CASE(offsets_can_count_fields) {
  constexpr uint64_t kMaxBytes = 64 << 20;
  BOOST_TEST(*parse_bit_offset("#3", kMaxBytes, 5) == 15u);
  BOOST_TEST(*parse_bit_offset("3", kMaxBytes, 5) == 3u);
  BOOST_TEST(*parse_bit_offset("#67108863", kMaxBytes, 8) == 536870904u);
  BOOST_TEST(!parse_bit_offset("#67108864", kMaxBytes, 8));
  BOOST_TEST(!parse_bit_offset("#9223372036854775807", kMaxBytes, 63));
  for (const std::string_view text : {"#", "#-1", "##1", "#a"}) BOOST_TEST(!parse_bit_offset(text, kMaxBytes, 8), text);
}

BOOST_AUTO_TEST_CASE(counting_and_finding_agree_with_going_bit_by_bit) {
  constexpr uint64_t kSeed = 4711;
  BOOST_TEST_MESSAGE("seed " << kSeed);
  Random random(kSeed);
  for (int round = 0; round < 2000; ++round) {
    const std::string bytes = random_bytes(random, 1 + random.below(60));
    const uint64_t first = random.below(bytes.size() * 8);
    const uint64_t last = first + random.below(bytes.size() * 8 - first);
    BOOST_REQUIRE_EQUAL(count_bits(bytes, first, last), slow_count(bytes, first, last));
    BOOST_REQUIRE_EQUAL(count_bits(bytes), slow_count(bytes, 0, bytes.size() * 8 - 1));
    for (const bool bit : {false, true}) {
      BOOST_REQUIRE((find_bit(bytes, bit, first, last) == slow_find(bytes, bit, first, last)));
    }
  }
}

BOOST_AUTO_TEST_CASE(many_set_bits_do_not_overflow_the_sums) {
  const std::string bytes(100'003, '\xff');
  BOOST_TEST(count_bits(bytes) == 800'024u);
}

BOOST_AUTO_TEST_CASE(what_is_stored_is_loaded_and_nothing_else_changes) {
  constexpr uint64_t kSeed = 815;
  BOOST_TEST_MESSAGE("seed " << kSeed);
  Random random(kSeed);
  for (int round = 0; round < 5000; ++round) {
    const std::string before = random_bytes(random, 20);
    const auto bits = static_cast<unsigned>(1 + random.below(64));
    const uint64_t offset = random.below(20 * 8 - bits + 1);
    const uint64_t value = random.next();
    std::string after = before;
    store_bits(after.data(), offset, bits, value);
    BOOST_REQUIRE_EQUAL(load_bits(after, offset, bits), bits == 64 ? value : value & ((uint64_t{1} << bits) - 1));
    for (uint64_t i = 0; i < 20 * 8; ++i) {
      const bool inside = i >= offset && i < offset + bits;
      const bool expected = inside ? (value >> (offset + bits - 1 - i) & 1) != 0 : bit_at(before, i);
      BOOST_REQUIRE_EQUAL(bit_at(after, i), expected);
    }
  }
}

BOOST_AUTO_TEST_CASE(behind_the_end_are_zeros) {
  BOOST_TEST(load_bits("\xff", 4, 8) == 0xf0u);
  BOOST_TEST(load_bits("\xff", 8, 64) == 0u);
  BOOST_TEST(load_bits("", 0, 1) == 0u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
