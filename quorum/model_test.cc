// The model's properties over the real code (quality.md, "Properties"), and the proof that they would notice a broken
// rule: every mutant is caught. A longer run, with seeds never used before:
//   CAPSTAN_MODEL_RUNS=100000 quorum-testing-tests --run_test=model_test/new_seeds_do_too
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "quorum/model_world.h"
#include "quorum/mutant.h"

namespace capstan {

namespace {

constexpr int kSteps = 250;
constexpr uint64_t kRuns = 3000;
constexpr uint64_t kNewRuns = 500;

void add(ModelStatistics& sum, const ModelStatistics& one) {
  sum.records += one.records;
  sum.agreed += one.agreed;
  sum.siblings += one.siblings;
  sum.reads += one.reads;
  sum.rebuilds += one.rebuilds;
  sum.power_losses += one.power_losses;
  sum.expired += one.expired;
  sum.resolved += one.resolved;
}

// The violation, or nothing.
std::string run(uint64_t seed, ModelStatistics* statistics = nullptr) {
  ModelWorld world(seed);
  try {
    world.run(kSteps);
  } catch (const std::exception& violation) {
    return "seed " + std::to_string(seed) + ": " + violation.what();
  }
  if (statistics != nullptr) add(*statistics, world.statistics());
  return {};
}

struct MutantCase {
  Mutant mutant;
  const char* name;
  uint64_t limit;  // runs within which it must be caught
};
constexpr MutantCase kMutants[] = {
    {Mutant::kNoNetEffect, "no net effect", 100},
    {Mutant::kNoGate, "no gate", 100},
    {Mutant::kLateTtl, "late TTL", 400},
    {Mutant::kReplayAmendmentTwice, "replay amendment twice", 400},
    {Mutant::kRemoveIgnoresContext, "remove ignores context", 100},
    {Mutant::kPutKeepsCovered, "put keeps covered versions", 100},
    {Mutant::kPutDropsConcurrent, "put drops concurrent versions", 100},
    {Mutant::kContributionOfAgreed, "contribution of R", 100},
    {Mutant::kOlderAdditiveCounts, "older additive counts", 400},
    {Mutant::kDigestWithoutAmendments, "digest without amendments", 100},
    {Mutant::kOverAsContext, "over as context", 400},
    {Mutant::kSingleKeyRepair, "single key repair", 100},
    {Mutant::kReuseWriterIdentity, "reuse writer identity", 400},
    {Mutant::kNoTtlRepeat, "no TTL repeat", 400},
    {Mutant::kRebuildAtMaximum, "rebuild at maximum", 400},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(model_test)

BOOST_AUTO_TEST_CASE(every_run_keeps_the_models_promises) {
  ModelStatistics sum;
  for (uint64_t seed = 1; seed <= kRuns; ++seed) BOOST_REQUIRE_EQUAL(run(seed, &sum), "");
  std::printf(
      "%lu records (%lu of R), %lu siblings met, %lu reads of R replicas, %lu rebuilds, %lu power losses, "
      "%lu expired, %lu resolved\n",
      sum.records, sum.agreed, sum.siblings, sum.reads, sum.rebuilds, sum.power_losses, sum.expired, sum.resolved);
  // What is not met is not tested.
  for (const uint64_t met :
       {sum.agreed, sum.siblings, sum.reads, sum.rebuilds, sum.power_losses, sum.expired, sum.resolved}) {
    BOOST_TEST(met > kRuns / 10);
  }
}

BOOST_AUTO_TEST_CASE(new_seeds_do_too) {
  const char* const wanted = std::getenv("CAPSTAN_MODEL_RUNS");
  const uint64_t runs = wanted == nullptr ? kNewRuns : std::stoull(wanted);
  const auto first = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
  std::printf("new seeds from %lu on\n", first);
  for (uint64_t seed = first; seed < first + runs; ++seed) BOOST_REQUIRE_EQUAL(run(seed), "");
}

BOOST_AUTO_TEST_CASE(every_mutant_is_caught) {
  for (const MutantCase& broken : kMutants) {
    set_mutant(broken.mutant);
    std::string caught;
    uint64_t seed = 0;
    while (caught.empty() && seed < broken.limit) caught = run(++seed);
    set_mutant(Mutant::kNone);
    BOOST_TEST(!caught.empty(), broken.name << " is not caught in " << broken.limit << " runs");
    std::printf("%-30s caught in run %lu: %.100s\n", broken.name, seed, caught.c_str());
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
