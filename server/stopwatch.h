// Time spent in commands, for SLOWLOG, LATENCY and commandstats.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace capstan {

class Stopwatch {
 public:
  Stopwatch() : since_ns_(monotonic_ns()) {}
  // Since the last lap, or the start.
  int64_t lap_ns() {
    const int64_t now_ns = monotonic_ns();
    const int64_t elapsed_ns = now_ns - since_ns_;
    since_ns_ = now_ns;
    return elapsed_ns;
  }

 private:
  int64_t since_ns_;
};

}  // namespace capstan
