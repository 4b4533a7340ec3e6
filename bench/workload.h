// What the load generator sends: which command on which key with which value, and how much of it in all.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <string>

#include "base/random.h"

namespace capstan::bench {

enum class Operation { kSet, kGet, kIncr, kMixed };

struct WorkloadOptions {
  Operation operation = Operation::kSet;
  bool sequential = false;  // every key once, in order, instead of random ones
  uint64_t keys = 100'000;
  size_t value_bytes = 64;
  uint32_t get_percent = 50;  // of a mixed workload; the rest are SETs
  std::string key_prefix = "key:";
};

// Appends commands to output buffers. One per thread; shares nothing.
class CommandWriter {
 public:
  CommandWriter(const WorkloadOptions& options, uint64_t seed);

  // Appends command number `index` of the run; the number is its key where keys are taken in order.
  void append(uint64_t index, std::string& out);

 private:
  // A command whose key digits, and value if it has one, are overwritten after copying.
  struct Template {
    std::string text;
    size_t digits_at = 0;
    size_t value_at = 0;
  };
  static constexpr size_t kDigits = 12;
  static constexpr size_t kNoise = size_t{1} << 20;

  Template make_template(const std::string& name, bool with_value) const;
  void fill_value(char* at);

  WorkloadOptions options_;
  Random random_;
  std::string noise_;  // values are random windows of it, so that they do not compress into one another
  Template set_, get_, incr_;
};

// Hands out the commands of a run to all threads, until they are used up or stop() is called.
class Budget {
 public:
  explicit Budget(uint64_t commands = std::numeric_limits<uint64_t>::max()) : commands_(commands) {}

  struct Share {
    uint64_t first = 0;
    uint32_t count = 0;  // 0: the run is over
  };
  Share take(uint32_t wanted) {
    if (stopped_.load(std::memory_order_relaxed)) return {};
    uint64_t first = next_.fetch_add(wanted, std::memory_order_relaxed);
    if (first >= commands_) return {};
    return {first, static_cast<uint32_t>(std::min<uint64_t>(wanted, commands_ - first))};
  }
  void stop() { stopped_.store(true, std::memory_order_relaxed); }

 private:
  const uint64_t commands_;
  std::atomic<uint64_t> next_{0};
  std::atomic<bool> stopped_{false};
};

}  // namespace capstan::bench
