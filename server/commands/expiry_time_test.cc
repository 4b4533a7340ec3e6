#include "server/commands/expiry_time.h"

#include <boost/test/unit_test.hpp>
#include <limits>

namespace capstan {

BOOST_AUTO_TEST_SUITE(expiry_time_test)

namespace {

constexpr int64_t kNow = 1'700'000'000'123;
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr TimeForm kSeconds = {.seconds = true, .absolute = false};
constexpr TimeForm kMilliseconds = {.seconds = false, .absolute = false};
constexpr TimeForm kUnixSeconds = {.seconds = true, .absolute = true};
constexpr TimeForm kUnixMilliseconds = {.seconds = false, .absolute = true};

}  // namespace

BOOST_AUTO_TEST_CASE(relative_times_count_from_now) {
  BOOST_TEST(*expiry_at_ms(10, kSeconds, kNow) == kNow + 10'000);
  BOOST_TEST(*expiry_at_ms(10, kMilliseconds, kNow) == kNow + 10);
  BOOST_TEST(*expiry_at_ms(-10, kSeconds, kNow) == kNow - 10'000);
  BOOST_TEST(*expiry_at_ms(10, kUnixSeconds, kNow) == 10'000);
  BOOST_TEST(*expiry_at_ms(10, kUnixMilliseconds, kNow) == 10);
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_refused) {
  BOOST_TEST(!expiry_at_ms(kMax, kSeconds, kNow));
  BOOST_TEST(!expiry_at_ms(kMax / 1000, kSeconds, kNow));
  BOOST_TEST(!expiry_at_ms(kMax, kMilliseconds, kNow));
  BOOST_TEST(!expiry_at_ms(kMax, kUnixSeconds, kNow));
  BOOST_TEST(!expiry_at_ms(kMin, kSeconds, kNow));
  BOOST_TEST(*expiry_at_ms(kMax - kNow, kMilliseconds, kNow) == kMax);
  BOOST_TEST(*expiry_at_ms(kMax, kUnixMilliseconds, kNow) == kMax);
  BOOST_TEST(*expiry_at_ms(kMin, kMilliseconds, kNow) == kMin + kNow);
}

BOOST_AUTO_TEST_CASE(set_takes_no_time_before_1) {
  BOOST_TEST(!positive_expiry_at_ms(0, kSeconds, kNow));
  BOOST_TEST(!positive_expiry_at_ms(-1, kUnixMilliseconds, kNow));
  BOOST_TEST(*positive_expiry_at_ms(1, kUnixMilliseconds, kNow) == 1);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
