// A log-linear histogram of latencies: 64 buckets per power of two, so a quantile is off by at most 1/64 of its value.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace capstan::bench {

class Histogram {
 public:
  // Counts `times` events that took `ns` nanoseconds each. Values from 2^40 ns (18 minutes) on share the last bucket.
  void record(int64_t ns, uint32_t times = 1) {
    auto value = static_cast<uint64_t>(std::max<int64_t>(ns, 0));
    buckets_[bucket_of(value)] += times;
    count_ += times;
    sum_ += value * times;
    max_ = std::max(max_, value);
  }

  void merge(const Histogram& other) {
    for (size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    sum_ += other.sum_;
    max_ = std::max(max_, other.max_);
  }

  uint64_t count() const { return count_; }
  uint64_t max_ns() const { return max_; }
  double mean_ns() const { return count_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(count_); }

  // The least bucket bound that at least `share` (0 to 1) of the events did not exceed; 0 without events.
  uint64_t quantile_ns(double share) const {
    auto wanted = static_cast<uint64_t>(std::ceil(share * static_cast<double>(count_)));
    uint64_t seen = 0;
    for (size_t i = 0; i < kBuckets && count_ > 0; ++i) {
      seen += buckets_[i];
      if (seen >= std::max<uint64_t>(wanted, 1)) return std::min(upper_bound_of(i), max_);
    }
    return max_;
  }

 private:
  static constexpr unsigned kSubBits = 6, kMaxBits = 40;
  static constexpr size_t kBuckets = (kMaxBits - kSubBits + 1) << kSubBits;

  static size_t bucket_of(uint64_t value) {
    value = std::min(value, (uint64_t{1} << kMaxBits) - 1);
    unsigned width = static_cast<unsigned>(std::bit_width(value));
    unsigned shift = width > kSubBits + 1 ? width - kSubBits - 1 : 0;
    return (static_cast<size_t>(shift) << kSubBits) + (value >> shift);
  }
  // The greatest value that falls into bucket i.
  static uint64_t upper_bound_of(size_t i) {
    uint64_t shift = i >> kSubBits == 0 ? 0 : (i >> kSubBits) - 1;
    return (((i - (shift << kSubBits)) + 1) << shift) - 1;
  }

  std::array<uint64_t, kBuckets> buckets_{};
  uint64_t count_ = 0, sum_ = 0, max_ = 0;
};

}  // namespace capstan::bench
