#include "quorum/clock.h"

#include <boost/test/unit_test.hpp>
#include <map>
#include <string>

#include "base/random.h"

namespace capstan {

namespace {

constexpr LogId kA{1}, kB{2}, kC{3};
constexpr LogId kR{LogId::kAgreedBit | 1};

std::string encoded(const Clock& clock) {
  std::string out;
  Encoder encoder(out);
  clock.encode(encoder);
  return out;
}

// A clock and the plain map that it stands for.
std::pair<Clock, std::map<LogId, uint64_t>> random_clock(Random& random) {
  Clock clock;
  std::map<LogId, uint64_t> map;
  for (uint64_t i = random.below(8); i > 0; --i) {
    const LogId log{random.below(5) + 1};
    const uint64_t number = random.below(4);
    clock.set(log, number);
    map[log] = number;
  }
  return {clock, map};
}

bool fails(const std::string& bytes) {
  Decoder in(bytes);
  Clock::decode(in);
  return !in.ok();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(clock_test)

BOOST_AUTO_TEST_CASE(names_only_what_it_was_set_to) {
  Clock clock{{kB, 4}, {kA, 2}};
  BOOST_TEST(clock[kA] == 2u);
  BOOST_TEST(clock[kB] == 4u);
  BOOST_TEST(clock[kC] == 0u);
  BOOST_TEST(clock.covers(Dot{kB, 4}));
  BOOST_TEST(!clock.covers(Dot{kB, 5}));
  BOOST_TEST(!clock.covers(Dot{kC, 1}));
  clock.set(kB, 1);
  BOOST_TEST(clock[kB] == 1u);
}

BOOST_AUTO_TEST_CASE(entries_of_number_zero_are_never_kept) {
  Clock clock{{kA, 2}, {kB, 0}};
  clock.set(kA, 0);
  clock.set(kC, 0);
  BOOST_TEST(clock.empty());
  BOOST_TEST((clock == Clock()));
}

BOOST_AUTO_TEST_CASE(equal_clocks_are_equal_bytes_however_they_came_about) {
  const Clock one{{kA, 1}, {kR, 7}, {kB, 2}};
  Clock other{{kR, 7}, {kC, 9}};
  other.merge({{kB, 2}, {kA, 1}});
  other.set(kC, 0);
  BOOST_TEST((one == other));
  BOOST_TEST(encoded(one) == encoded(other));
}

BOOST_AUTO_TEST_CASE(order_merge_and_intersection_are_those_of_plain_maps) {
  Random random(1);
  for (int run = 0; run < 20000; ++run) {
    auto [a, a_map] = random_clock(random);
    auto [b, b_map] = random_clock(random);
    Clock merged = a;
    Clock common = a;
    merged.merge(b);
    common.intersect(b);
    bool covers = true;
    for (uint64_t log = 1; log <= 5; ++log) {
      const uint64_t x = a_map[LogId{log}];
      const uint64_t y = b_map[LogId{log}];
      covers &= x >= y;
      BOOST_REQUIRE_EQUAL(merged[LogId{log}], std::max(x, y));
      BOOST_REQUIRE_EQUAL(common[LogId{log}], std::min(x, y));
    }
    BOOST_REQUIRE_EQUAL(a.covers(b), covers);
    BOOST_REQUIRE(merged.covers(a) && merged.covers(b) && a.covers(common) && b.covers(common));
    const std::string bytes = encoded(merged);
    Decoder in(bytes);
    BOOST_REQUIRE(Clock::decode(in) == merged);
    BOOST_REQUIRE(in.done());
  }
}

BOOST_AUTO_TEST_CASE(malformed_clocks_are_refused) {
  const std::string good = encoded({{kA, 300}, {kB, 2}});
  for (size_t size = 0; size < good.size(); ++size) BOOST_TEST(fails(good.substr(0, size)));
  const auto entries = [](std::initializer_list<Dot> dots) {
    std::string out;
    Encoder encoder(out);
    encoder.varint(dots.size());
    for (const Dot& dot : dots) {
      encoder.u64(dot.log.value);
      encoder.varint(dot.number);
    }
    return out;
  };
  BOOST_TEST(!fails(entries({{kA, 1}, {kB, 1}})));
  BOOST_TEST(fails(entries({{kB, 1}, {kA, 1}})));  // unsorted
  BOOST_TEST(fails(entries({{kA, 1}, {kA, 2}})));  // twice
  BOOST_TEST(fails(entries({{kA, 0}})));           // number zero names no record
  BOOST_TEST(fails(entries({{LogId{0}, 1}})));     // identity zero names no log
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
