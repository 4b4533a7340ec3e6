// Small numbers for logs, local to one environment: rows name a log by two bytes instead of eight. Numbers are given in
// the order in which logs are met and never change; kept in Table::kMeta. Read by the flush thread through a copy.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/check.h"
#include "base/ids.h"

namespace capstan::lmdb_store {

class LogDictionary {
 public:
  static constexpr size_t kLimit = 65536;

  LogId at(uint16_t index) const {
    CHECK(index < logs_.size(), "a row names a log that the dictionary does not have");
    return logs_[index];
  }
  size_t size() const { return logs_.size(); }
  const std::vector<LogId>& logs() const { return logs_; }
  void add(LogId log) { logs_.push_back(log); }

  // The number of log, a new one if need be; nullopt when the dictionary is full (the row then takes the general form,
  // which names logs in full).
  std::optional<uint16_t> index_of(LogId log) {
    // The last one asked for is nearly always the next one, too: log R.
    if (last_ < logs_.size() && logs_[last_] == log) return last_;
    for (size_t i = 0; i < logs_.size(); ++i) {
      if (logs_[i] == log) return last_ = static_cast<uint16_t>(i);
    }
    if (logs_.size() == kLimit) return std::nullopt;
    logs_.push_back(log);
    return last_ = static_cast<uint16_t>(logs_.size() - 1);
  }

 private:
  std::vector<LogId> logs_;
  uint16_t last_ = 0;
};

}  // namespace capstan::lmdb_store
