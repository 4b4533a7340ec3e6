#include "bench/histogram.h"

#include <boost/test/unit_test.hpp>
#include <vector>

#include "base/random.h"

namespace capstan::bench {

BOOST_AUTO_TEST_SUITE(histogram_test)

BOOST_AUTO_TEST_CASE(small_values_are_exact) {
  Histogram histogram;
  for (int64_t ns = 1; ns <= 100; ++ns) histogram.record(ns);
  BOOST_TEST(histogram.count() == 100u);
  BOOST_TEST(histogram.quantile_ns(0.5) == 50u);
  BOOST_TEST(histogram.quantile_ns(0.99) == 99u);
  BOOST_TEST(histogram.quantile_ns(1) == 100u);
  BOOST_TEST(histogram.mean_ns() == 50.5);
}

BOOST_AUTO_TEST_CASE(quantiles_of_random_values_are_within_a_sixty_fourth) {
  const uint64_t seed = 42;
  Random random(seed);
  Histogram low, high, all;
  std::vector<uint64_t> values;
  for (int i = 0; i < 20'000; ++i) {
    values.push_back(random.next() >> (24 + random.below(40)));
    (i % 2 == 0 ? low : high).record(static_cast<int64_t>(values.back()));
  }
  all.merge(low);
  all.merge(high);
  std::sort(values.begin(), values.end());
  for (double share : {0.1, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    uint64_t exact = values[static_cast<size_t>(std::ceil(share * 20'000)) - 1];
    BOOST_TEST_INFO("seed " << seed << ", share " << share);
    BOOST_TEST(all.quantile_ns(share) >= exact);
    BOOST_TEST(all.quantile_ns(share) <= exact + exact / 64 + 1);
  }
  BOOST_TEST(all.max_ns() == values.back());
}

BOOST_AUTO_TEST_CASE(extremes_are_kept_in_bounds) {
  Histogram histogram;
  BOOST_TEST(histogram.quantile_ns(0.5) == 0u);
  histogram.record(-5);
  BOOST_TEST(histogram.max_ns() == 0u);
  histogram.record(int64_t{1} << 50, 3);
  BOOST_TEST(histogram.count() == 4u);
  BOOST_TEST(histogram.max_ns() == uint64_t{1} << 50);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::bench
