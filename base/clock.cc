#include "base/clock.h"

#include <ctime>

namespace capstan {
namespace {

int64_t read_ns(clockid_t id) {
  timespec t{};
  clock_gettime(id, &t);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

}  // namespace

int64_t wall_ms() { return read_ns(CLOCK_REALTIME) / 1'000'000; }
int64_t wall_us() { return read_ns(CLOCK_REALTIME) / 1'000; }
int64_t monotonic_ns() { return read_ns(CLOCK_MONOTONIC); }
int64_t boot_ns() { return read_ns(CLOCK_BOOTTIME); }

}  // namespace capstan
