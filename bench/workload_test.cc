#include "bench/workload.h"

#include <boost/test/unit_test.hpp>
#include <set>

namespace capstan::bench {

BOOST_AUTO_TEST_SUITE(workload_test)

BOOST_AUTO_TEST_CASE(a_command_is_resp_with_a_key_of_twelve_digits) {
  WorkloadOptions options{.operation = Operation::kIncr, .sequential = true, .keys = 1000};
  std::string out = "before";
  CommandWriter(options, 1).append(42, out);
  BOOST_TEST(out == "before*2\r\n$4\r\nINCR\r\n$16\r\nkey:000000000042\r\n");
}

BOOST_AUTO_TEST_CASE(values_have_their_size_and_differ) {
  WorkloadOptions options{.operation = Operation::kSet, .sequential = true, .keys = 3, .value_bytes = 5};
  CommandWriter writer(options, 1);
  std::set<std::string> values;
  for (uint64_t i = 0; i < 10; ++i) {
    std::string out;
    writer.append(i, out);
    std::string head = "*3\r\n$3\r\nSET\r\n$16\r\nkey:00000000000" + std::to_string(i % 3) + "\r\n$5\r\n";
    BOOST_TEST(out.substr(0, head.size()) == head);
    BOOST_TEST(out.size() == head.size() + 7);
    values.insert(out.substr(head.size()));
  }
  BOOST_TEST(values.size() > 5u);
}

BOOST_AUTO_TEST_CASE(a_budget_hands_out_every_command_once) {
  Budget budget(10);
  uint64_t next = 0;
  for (Budget::Share share = budget.take(4); share.count > 0; share = budget.take(4)) {
    BOOST_TEST(share.first == next);
    next += share.count;
  }
  BOOST_TEST(next == 10u);
  Budget endless;
  BOOST_TEST(endless.take(7).count == 7u);
  endless.stop();
  BOOST_TEST(endless.take(7).count == 0u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::bench
