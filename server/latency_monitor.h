// LATENCY's samples of one worker: per event the worst of each second in which it took at least
// latency-monitor-threshold. Events: "command", "fast-command". Belongs to the worker.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace capstan {

struct LatencySample {
  int64_t time_s = 0;
  int64_t elapsed_ms = 0;
};

struct LatencyEvent {
  std::deque<LatencySample> samples;  // oldest first
  int64_t worst_ms = 0;               // ever, since the last reset
};

class LatencyMonitor {
 public:
  // As many as Redis keeps of an event.
  static constexpr size_t kMaxSamples = 160;
  using Events = std::map<std::string, LatencyEvent, std::less<>>;

  void add(std::string_view name, int64_t time_s, int64_t elapsed_ms) {
    auto found = events_.find(name);
    if (found == events_.end()) found = events_.emplace(name, LatencyEvent()).first;
    LatencyEvent& event = found->second;
    event.worst_ms = std::max(event.worst_ms, elapsed_ms);
    if (!event.samples.empty() && event.samples.back().time_s == time_s) {
      event.samples.back().elapsed_ms = std::max(event.samples.back().elapsed_ms, elapsed_ms);
      return;
    }
    event.samples.push_back({time_s, elapsed_ms});
    if (event.samples.size() > kMaxSamples) event.samples.pop_front();
  }
  void clear() { events_.clear(); }
  void clear(std::string_view name) {
    const auto found = events_.find(name);
    if (found != events_.end()) events_.erase(found);
  }
  const Events& events() const { return events_; }

 private:
  Events events_;
};

}  // namespace capstan
