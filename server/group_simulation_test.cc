// Histories of clients of simulated clusters (group_simulator.h) are linearizable, and nothing acknowledged is lost.
#include <boost/test/unit_test.hpp>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/random_testing.h"
#include "server/group_simulator.h"

namespace capstan {

BOOST_AUTO_TEST_SUITE(group_simulation_test)

namespace {

constexpr int kMilliseconds = 5000;

void simulate(uint64_t seed, GroupSimulator::Statistics& sum) {
  const size_t nodes = seed % 4 == 0 ? 5 : 3;
  BOOST_TEST_CHECKPOINT("seed " << seed);  // for a CHECK that fails
  GroupSimulator world(seed, nodes);
  const std::string violation = world.run(kMilliseconds);
  BOOST_REQUIRE_MESSAGE(violation.empty(), "seed " << seed << ", " << nodes << " nodes: " << violation);
  sum.add(world.statistics());
}

void tell(const GroupSimulator::Statistics& s) {
  std::printf(
      "%lu turns, %lu records, commands: %lu applied, %lu unknown, %lu refused; %lu leaders, %lu crashes, "
      "%lu of them with loss of power, %lu lost disks, %lu rebuilds\n",
      s.turns, s.records, s.applied, s.unknown, s.refused, s.leaders, s.crashes, s.power_losses, s.lost_disks,
      s.rebuilds);
}

}  // namespace

BOOST_AUTO_TEST_CASE(histories_are_linearizable) {
  GroupSimulator::Statistics sum;
  for (uint64_t seed = 1; seed <= 100; ++seed) simulate(seed, sum);
  tell(sum);
  BOOST_TEST(sum.applied > 1000u);
  BOOST_TEST(sum.unknown > 0u);
  BOOST_TEST(sum.lost_disks > 0u);
  BOOST_TEST(sum.rebuilds > 0u);
  BOOST_TEST(sum.power_losses > 0u);
}

BOOST_AUTO_TEST_CASE(new_seeds_are_too) {
  GroupSimulator::Statistics sum;
  with_new_seeds(50, [&sum](uint64_t seed) { simulate(seed, sum); });
  tell(sum);
}

// CAPSTAN_SEED, event by event as far as members log them.
BOOST_AUTO_TEST_CASE(the_seed_that_is_asked_for) {
  const char* const seed = std::getenv("CAPSTAN_SEED");
  if (seed == nullptr) return;
  GroupSimulator::Statistics sum;
  simulate(std::stoull(seed), sum);
  tell(sum);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
