// Dots and vector clocks (model, "Words"; the node-wide dotted clock of DottedDB, SRDS 2017, generalised to several
// logs of one shard). Pure values; no thread, no I/O.
#pragma once

#include <absl/container/inlined_vector.h>

#include <compare>
#include <cstdint>
#include <initializer_list>

#include "base/bytes.h"
#include "base/ids.h"

namespace capstan {

// Names one record of one shard, for ever: (log, number). Numbers count from 1; number 0 names none.
struct Dot {
  LogId log;
  uint64_t number = 0;
  auto operator<=>(const Dot&) const = default;
};

// log → number, meaning "everything up to there". Sorted by log; entries of number 0 are never kept, so equal clocks
// are equal bytes. Most clocks have one to four entries: they need no allocation.
class Clock {
 public:
  Clock() = default;
  Clock(std::initializer_list<Dot> dots);

  // 0 for a log it does not name.
  uint64_t operator[](LogId log) const {
    for (const Dot& entry : entries_) {
      if (entry.log == log) return entry.number;
    }
    return 0;
  }
  bool covers(Dot dot) const { return (*this)[dot.log] >= dot.number; }
  // Every entry of other is covered: other ≤ this.
  bool covers(const Clock& other) const;
  // Sets log to number, also backwards; number 0 removes it.
  void set(LogId log, uint64_t number);
  // Entry by entry the later of both.
  void merge(const Clock& other);
  // Entry by entry the earlier of both (what one of them does not name, goes).
  void intersect(const Clock& other);
  bool empty() const { return entries_.empty(); }
  void clear() { entries_.clear(); }

  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }
  bool operator==(const Clock&) const = default;

  void encode(Encoder& out) const;
  // Malformed input (unsorted, zero numbers) fails the decoder.
  static Clock decode(Decoder& in);
  // The same into a clock that is reused, so that it allocates nothing.
  void decode_from(Decoder& in);

 private:
  absl::InlinedVector<Dot, 2> entries_;
};

}  // namespace capstan
