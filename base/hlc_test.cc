#include "base/hlc.h"

#include <boost/test/unit_test.hpp>

namespace capstan {

BOOST_AUTO_TEST_SUITE(hlc_test)

BOOST_AUTO_TEST_CASE(stamps_grow_when_the_wall_clock_stands_or_goes_back) {
  HybridClock clock;
  const Hlc first = clock.next(1000), second = clock.next(1000), third = clock.next(10);
  BOOST_TEST((first < second && second < third));
  BOOST_TEST(first.ms() == 1000);
  BOOST_TEST(clock.next(2000).ms() == 2000);
}

BOOST_AUTO_TEST_CASE(a_stamp_from_elsewhere_moves_the_clock_unless_it_is_too_far_ahead) {
  HybridClock clock;
  BOOST_TEST(clock.observe(Hlc::at_ms(1500), 1000, 500));
  BOOST_TEST(clock.next(1000).ms() == 1500);
  BOOST_TEST(!clock.observe(Hlc::at_ms(9000), 1000, 500));
  BOOST_TEST(clock.last().ms() == 1500);
}

BOOST_AUTO_TEST_CASE(a_recovered_stamp_moves_the_clock_with_its_counter) {
  HybridClock before;
  before.next(1000);
  const Hlc last = before.next(1000);
  HybridClock after;
  after.advance_to(last);
  BOOST_TEST((after.next(10) > last));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
