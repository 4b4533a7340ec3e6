// Random tests: besides the seeds that every run repeats, some that were never used before, and in longer runs more.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

namespace capstan {

// Calls run(seed) for `usual` new seeds in a row, times the environment's CAPSTAN_RUNS, and prints the first.
template <typename Run>
void with_new_seeds(uint64_t usual, Run&& run) {
  const char* const wanted = std::getenv("CAPSTAN_RUNS");
  const uint64_t runs = usual * (wanted == nullptr ? 1 : std::stoull(wanted));
  const uint64_t first = std::random_device()();
  std::printf("%lu new seeds from %lu on\n", runs, first);
  for (uint64_t seed = first; seed < first + runs; ++seed) run(seed);
}

}  // namespace capstan
