#include "server/commands/hyperloglog.h"

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "base/random.h"
#include "base/random_testing.h"

namespace capstan::hyperloglog {
namespace {

std::string element(uint64_t number) { return "element " + std::to_string(number); }

void add(Registers& registers, std::string_view what) {
  const Place place = place_of(what);
  registers[place.index] = std::max(registers[place.index], place.rank);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(hyperloglog_test)

BOOST_AUTO_TEST_CASE(an_empty_one_counts_nothing) {
  const Registers none{};
  BOOST_TEST(count(none) == 0u);
  BOOST_TEST(encode(none, true) == std::string("HYLL\1\0\0\0\0\0\0\0\0\0\0\x80\x7f\xff", 18));
}

// The standard error is 0.81 %.
BOOST_AUTO_TEST_CASE(the_estimate_is_close) {
  Registers registers{};
  uint64_t next = 100;
  for (uint64_t added = 1; added <= 1'000'000; ++added) {
    add(registers, element(added));
    if (added != next) continue;
    next *= 10;
    const auto estimate = static_cast<double>(count(registers));
    BOOST_TEST(std::abs(estimate / static_cast<double>(added) - 1) < 0.03, added << " are counted as " << estimate);
  }
}

BOOST_AUTO_TEST_CASE(both_forms_hold_the_same) {
  with_new_seeds(50, [](uint64_t seed) {
    Random random(seed);
    Registers registers{};
    for (uint64_t left = random.below(2000); left > 0; --left) add(registers, element(random.next()));
    for (const bool sparse : {true, false}) {
      const std::string value = encode(registers, sparse);
      BOOST_TEST_REQUIRE(is_value(value));
      BOOST_TEST_REQUIRE((sparse || is_dense(value)));
      Registers back{};
      BOOST_TEST_REQUIRE(merge(value, back));
      BOOST_TEST_REQUIRE((back == registers), "seed " << seed);
      for (int i = 0; i < 100; ++i) {
        const size_t index = random.below(kRegisters);
        BOOST_TEST_REQUIRE(*register_at(value, index) == registers[index]);
      }
    }
  });
}

BOOST_AUTO_TEST_CASE(a_sparse_one_becomes_dense_when_it_is_long_or_a_rank_is_large) {
  Registers registers{};
  registers[7] = 32;
  BOOST_TEST(!is_dense(encode(registers, true)));
  registers[7] = 33;
  BOOST_TEST(is_dense(encode(registers, true)));
  registers[7] = 1;
  for (size_t i = 0; i < kRegisters; i += 10) registers[i] = 2;
  BOOST_TEST(is_dense(encode(registers, true)));
}

BOOST_AUTO_TEST_CASE(a_patch_changes_one_register) {
  with_new_seeds(20, [](uint64_t seed) {
    Random random(seed);
    Registers registers{};
    std::string value = encode(registers, false);
    for (int i = 0; i < 500; ++i) {
      const Place place{random.chance(0.1) ? kRegisters - 1 - random.below(3) : random.below(kRegisters),
                        static_cast<uint8_t>(1 + random.below(51))};
      registers[place.index] = place.rank;
      const Patch patch = dense_patch(value, place);
      value.replace(patch.offset, patch.bytes.size(), patch.bytes);
    }
    BOOST_TEST((value == encode(registers, false)), "seed " << seed);
  });
}

BOOST_AUTO_TEST_CASE(any_bytes_are_read_or_refused) {
  with_new_seeds(3000, [](uint64_t seed) {
    Random random(seed);
    std::string value = "HYLL";
    value.push_back(static_cast<char>(random.below(3)));
    value.resize(16, '\0');
    for (uint64_t left = random.below(60); left > 0; --left) {
      value.push_back(static_cast<char>(random.chance(0.3) ? 0x7f : random.next()));
    }
    value.resize(value.size() - std::min<size_t>(value.size(), random.chance(0.1) ? random.below(30) : 0));
    if (!is_value(value)) return;
    Registers registers{};
    const bool whole = merge(value, registers);
    BOOST_TEST_REQUIRE(register_at(value, random.below(kRegisters)).has_value() == whole);
  });
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::hyperloglog
