// Whole groups in simulated time (simulator.h). A longer run, with seeds never used before:
//   CAPSTAN_RUNS=100 consensus-testing-tests --run_test=simulation_test/new_seeds_do_too
#include <boost/test/unit_test.hpp>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "base/random_testing.h"
#include "consensus/mutant.h"
#include "consensus/simulator.h"

namespace capstan::consensus {

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)  // some ten times slower
constexpr uint64_t kRunsOfThree = 40;
constexpr uint64_t kRunsOfFive = 15;
constexpr uint64_t kNewRuns = 10;
constexpr bool kMutantsToo = false;  // they say something about the checks, not about memory
#else
constexpr uint64_t kRunsOfThree = 1500;
constexpr uint64_t kRunsOfFive = 500;
constexpr uint64_t kNewRuns = 50;
constexpr bool kMutantsToo = true;
#endif

struct Met {
  const char* what;
  uint64_t SimulatorStatistics::*count;
};
constexpr Met kMet[] = {
    {"events", &SimulatorStatistics::events},
    {"elections", &SimulatorStatistics::elections},
    {"commits", &SimulatorStatistics::commits},
    {"acknowledged writes", &SimulatorStatistics::acknowledged_writes},
    {"reads under a lease", &SimulatorStatistics::reads_by_lease},
    {"reads by a round", &SimulatorStatistics::reads_by_round},
    {"crashes", &SimulatorStatistics::crashes},
    {"lost writes to journals", &SimulatorStatistics::lost_writes},
    {"lost disks", &SimulatorStatistics::lost_disks},
    {"cuts", &SimulatorStatistics::cuts},
    {"rebuilds", &SimulatorStatistics::rebuilds},
    {"that kept the log", &SimulatorStatistics::rebuilds_that_kept_the_log},
    {"that started over", &SimulatorStatistics::rebuilds_started_over},
    {"truncations", &SimulatorStatistics::truncations},
    {"joint changes", &SimulatorStatistics::joint_changes},
    {"transfers", &SimulatorStatistics::transfers},
    {"learned prefixes", &SimulatorStatistics::learned_prefixes},
    {"closed gates", &SimulatorStatistics::closed_gates},
    {"stalled disks", &SimulatorStatistics::disk_stalls},
    {"stalled loops", &SimulatorStatistics::loop_stalls},
    {"that do not want to lead", &SimulatorStatistics::unwilling},
    {"closed connections", &SimulatorStatistics::resets},
};

struct MutantCase {
  Mutant mutant;
  const char* name;
  uint64_t limit;  // runs within which it must be caught
};
// Those that chance hardly ever finds: mutant_test.cc.
constexpr MutantCase kMutants[] = {
    {Mutant::kCommitConfirmsRead, "commit confirms read", 400},
    {Mutant::kReadBeforeFirstCommit, "read before first commit", 400},
    {Mutant::kLeaseFromAnswer, "lease from answer", 400},
    {Mutant::kLeaseSurvivesTransfer, "lease survives transfer", 400},
    {Mutant::kVoteTwice, "vote twice", 400},
    {Mutant::kVoteForShorterLog, "vote for shorter log", 400},
    {Mutant::kVoteBeforeDurable, "vote before durable", 400},
    {Mutant::kAcknowledgeBeforeDurable, "acknowledge before durable", 400},
    {Mutant::kOwnCopyBeforeDurable, "own copy before durable", 400},
    {Mutant::kCommitBeyondVerified, "commit beyond verified", 400},
    {Mutant::kTruncateBehind, "truncate behind", 400},
    {Mutant::kRebuiltKeepsTerm, "rebuilt keeps term", 400},
    {Mutant::kSameVoterAfterLostDisk, "same voter after lost disk", 400},
};

struct Outcome {
  std::string violation;  // empty: none
  uint64_t trace = 0;
};

Outcome run(uint64_t seed, size_t voters, SimulatorStatistics* sum = nullptr, std::ostream* story = nullptr) {
  BOOST_TEST_CONTEXT("seed " << seed << ", " << voters << " voters") {
    Simulator simulator(seed, voters, story);
    Outcome outcome;
    try {
      simulator.run();
    } catch (const std::exception& violation) {
      outcome.violation = violation.what();
      // Of a CHECK.
      if (!outcome.violation.starts_with("seed")) {
        outcome.violation =
            "seed " + std::to_string(seed) + ", " + std::to_string(voters) + " voters: " + outcome.violation;
      }
    }
    outcome.trace = simulator.trace();
    if (sum != nullptr) {
      for (const Met& met : kMet) sum->*met.count += simulator.statistics().*met.count;
    }
    return outcome;
  }
  return {};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(simulation_test)

BOOST_AUTO_TEST_CASE(every_run_keeps_what_raft_promises_and_finishes) {
  SimulatorStatistics sum;
  for (uint64_t seed = 1; seed <= kRunsOfThree; ++seed) BOOST_REQUIRE_EQUAL(run(seed, 3, &sum).violation, "");
  for (uint64_t seed = 1; seed <= kRunsOfFive; ++seed) BOOST_REQUIRE_EQUAL(run(seed, 5, &sum).violation, "");
  for (const Met& met : kMet) {
    const uint64_t count = sum.*met.count;
    std::printf("%10lu %s\n", count, met.what);
    BOOST_TEST(count > 0u, met.what << ": what is not met is not tested");
  }
}

BOOST_AUTO_TEST_CASE(every_mutant_is_caught) {
  for (const MutantCase& broken : kMutants) {
    if (!kMutantsToo) break;
    set_mutant(broken.mutant);
    std::string caught;
    uint64_t seed = 1;
    while ((caught = run(seed, 3 + seed % 2 * 2).violation).empty() && seed < broken.limit) ++seed;
    set_mutant(Mutant::kNone);
    BOOST_TEST(!caught.empty(), broken.name << " is not caught in " << broken.limit << " runs");
    BOOST_TEST(run(seed, 3 + seed % 2 * 2).violation == "");  // so it was the mutant
    std::printf("%-28s caught by %.100s\n", broken.name, caught.substr(0, caught.find('\n')).c_str());
  }
}

BOOST_AUTO_TEST_CASE(the_same_seed_gives_the_same_run) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    BOOST_TEST(run(seed, 3).trace == run(seed, 3).trace, "seed " << seed);
    BOOST_TEST(run(seed, 5).trace == run(seed, 5).trace, "seed " << seed);
  }
  BOOST_TEST(run(1, 3).trace != run(2, 3).trace);
}

BOOST_AUTO_TEST_CASE(new_seeds_do_too) {
  with_new_seeds(kNewRuns, [](uint64_t seed) {
    BOOST_REQUIRE_EQUAL(run(seed, 3).violation, "");
    BOOST_REQUIRE_EQUAL(run(seed, 5).violation, "");
  });
}

// To look at one: CAPSTAN_SEED and CAPSTAN_VOTERS; CAPSTAN_STORY prints its events.
BOOST_AUTO_TEST_CASE(the_seed_that_is_asked_for) {
  const char* const seed = std::getenv("CAPSTAN_SEED");
  const char* const voters = std::getenv("CAPSTAN_VOTERS");
  std::ostream* const story = std::getenv("CAPSTAN_STORY") == nullptr ? nullptr : &std::cout;
  BOOST_TEST(run(seed == nullptr ? 1 : std::stoull(seed), voters == nullptr ? 3 : std::stoull(voters), nullptr, story)
                 .violation == "");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::consensus
