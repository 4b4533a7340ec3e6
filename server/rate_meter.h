// How much happens per second, over about the last one and a half seconds: 16 samples, one per tick. One worker's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace capstan {

struct Rates {
  double commands_per_s = 0;
  double input_bytes_per_s = 0;
  double output_bytes_per_s = 0;
};

class RateMeter {
 public:
  // The counters as they are at now_ms.
  void sample(int64_t now_ms, uint64_t commands, uint64_t input_bytes, uint64_t output_bytes) {
    samples_[next_ % kSamples] = {now_ms, commands, input_bytes, output_bytes};
    ++next_;
  }

  // Between the oldest and the newest sample.
  Rates rates() const {
    if (next_ < 2) return {};
    const Sample& newest = samples_[(next_ - 1) % kSamples];
    const Sample& oldest = samples_[next_ <= kSamples ? 0 : next_ % kSamples];
    const double seconds = static_cast<double>(newest.at_ms - oldest.at_ms) / 1000;
    if (seconds <= 0) return {};  // the clock was set back
    return {static_cast<double>(newest.commands - oldest.commands) / seconds,
            static_cast<double>(newest.input_bytes - oldest.input_bytes) / seconds,
            static_cast<double>(newest.output_bytes - oldest.output_bytes) / seconds};
  }

 private:
  static constexpr size_t kSamples = 16;
  struct Sample {
    int64_t at_ms = 0;
    uint64_t commands = 0;
    uint64_t input_bytes = 0;
    uint64_t output_bytes = 0;
  };
  std::array<Sample, kSamples> samples_;
  size_t next_ = 0;
};

}  // namespace capstan
