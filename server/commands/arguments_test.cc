#include "server/commands/arguments.h"

#include <boost/test/unit_test.hpp>
#include <limits>

namespace capstan {

BOOST_AUTO_TEST_SUITE(arguments_test)

namespace {

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

bool names(std::optional<IndexRange> range, uint64_t first, uint64_t last) {
  return range == IndexRange{.first = first, .last = last};
}

}  // namespace

BOOST_AUTO_TEST_CASE(positions_count_from_0_or_from_the_end) {
  BOOST_TEST(names(clip_range(0, -1, 12), 0, 11));
  BOOST_TEST(names(clip_range(0, 0, 12), 0, 0));
  BOOST_TEST(names(clip_range(3, -3, 12), 3, 9));
  BOOST_TEST(names(clip_range(-5, -1, 12), 7, 11));
}

BOOST_AUTO_TEST_CASE(a_range_is_cut_at_both_ends) {
  BOOST_TEST(names(clip_range(7, 100, 12), 7, 11));
  BOOST_TEST(names(clip_range(-100, 4, 12), 0, 4));
  BOOST_TEST(names(clip_range(kMin, kMax, 12), 0, 11));
}

BOOST_AUTO_TEST_CASE(what_names_nothing_is_empty) {
  BOOST_TEST(!clip_range(0, -1, 0));
  BOOST_TEST(!clip_range(5, 2, 12));
  BOOST_TEST(!clip_range(-1, -5, 12));
  BOOST_TEST(!clip_range(12, 20, 12));
  BOOST_TEST(!clip_range(kMax, kMax, 12));
}

BOOST_AUTO_TEST_CASE(an_end_before_the_first_part_names_it_as_in_redis) {
  BOOST_TEST(names(clip_range(-100, -50, 12), 0, 0));
  BOOST_TEST(names(clip_range(0, -100, 12), 0, 0));
  BOOST_TEST(names(clip_range(kMin, kMin, 12), 0, 0));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
