// Test code: the logs that a replica of the model's world holds, of each the records above its base, without gaps.
#pragma once

#include <cstddef>
#include <deque>
#include <map>

#include "quorum/model_spec.h"

namespace capstan {

class ModelJournal {
 public:
  uint64_t base(LogId log) const {
    const auto at = logs_.find(log);
    return at == logs_.end() ? 0 : at->second.base;
  }
  uint64_t held(LogId log) const {
    const auto at = logs_.find(log);
    return at == logs_.end() ? 0 : at->second.held();
  }
  Clock held() const {
    Clock clock;
    for (const auto& [log, part] : logs_) clock.set(log, part.held());
    return clock;
  }
  Clock bases() const {
    Clock clock;
    for (const auto& [log, part] : logs_) clock.set(log, part.base);
    return clock;
  }
  // nullptr if it was cut or is not there yet.
  const Archived* at(const Dot& dot) const {
    const auto at = logs_.find(dot.log);
    if (at == logs_.end() || dot.number <= at->second.base || dot.number > at->second.held()) return nullptr;
    return at->second.records[dot.number - at->second.base - 1];
  }

  // Precondition: the next of its log.
  void add(const Archived* record) { logs_[record->record.dot.log].records.push_back(record); }
  void cut(LogId log, uint64_t upto) {
    for (Part& part = logs_[log]; part.base < upto; ++part.base) part.records.pop_front();
  }
  void drop_above(const Clock& kept) {
    for (auto& [log, part] : logs_) {
      while (part.held() > kept[log] && !part.records.empty()) part.records.pop_back();
    }
  }
  // Forgets the log and goes on behind base.
  void begin_at(LogId log, uint64_t base) { logs_[log] = {base, {}}; }

 private:
  struct Part {
    uint64_t base = 0;
    std::deque<const Archived*> records;
    uint64_t held() const { return base + records.size(); }
  };
  std::map<LogId, Part> logs_;
};

}  // namespace capstan
