// Hybrid logical clocks (Kulkarni et al., OPODIS 2014): 48 bits of milliseconds, 16 of counter. Stamps order concurrent
// versions and place records in time; they never decide what happened before what.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>

namespace capstan {

struct Hlc {
  uint64_t value = 0;
  auto operator<=>(const Hlc&) const = default;

  static Hlc at_ms(int64_t ms) { return Hlc{static_cast<uint64_t>(ms) << 16}; }
  int64_t ms() const { return static_cast<int64_t>(value >> 16); }
};

// One per worker. Not thread safe.
class HybridClock {
 public:
  // A stamp above every one given or seen before.
  Hlc next(int64_t now_ms) { return last_ = std::max(Hlc{last_.value + 1}, Hlc::at_ms(now_ms)); }
  // Takes over a stamp of its own, given before or recovered.
  void advance_to(Hlc stamp) { last_ = std::max(last_, stamp); }
  // Takes over a stamp from elsewhere, but never one more than max_skew_ms ahead of now_ms; false if it was refused.
  bool observe(Hlc stamp, int64_t now_ms, int64_t max_skew_ms) {
    if (stamp > Hlc::at_ms(now_ms + max_skew_ms)) return false;
    advance_to(stamp);
    return true;
  }
  Hlc last() const { return last_; }

 private:
  Hlc last_;
};

}  // namespace capstan
