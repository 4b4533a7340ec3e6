#include "quorum/clock.h"

#include <algorithm>

namespace capstan {

namespace {
constexpr auto kByLog = [](const Dot& entry, LogId log) { return entry.log < log; };
}

Clock::Clock(std::initializer_list<Dot> dots) {
  for (const Dot& dot : dots) set(dot.log, dot.number);
}

bool Clock::covers(const Clock& other) const {
  auto mine = entries_.begin();
  for (const Dot& theirs : other.entries_) {
    while (mine != entries_.end() && mine->log < theirs.log) ++mine;
    if (mine == entries_.end() || mine->log != theirs.log || mine->number < theirs.number) return false;
  }
  return true;
}

void Clock::set(LogId log, uint64_t number) {
  auto at = std::lower_bound(entries_.begin(), entries_.end(), log, kByLog);
  const bool named = at != entries_.end() && at->log == log;
  if (number == 0) {
    if (named) entries_.erase(at);
  } else if (named) {
    at->number = number;
  } else if (at == entries_.end()) {
    entries_.push_back(Dot{log, number});
  } else {
    entries_.insert(at, Dot{log, number});
  }
}

void Clock::merge(const Clock& other) {
  for (const Dot& theirs : other.entries_) {
    auto at = std::lower_bound(entries_.begin(), entries_.end(), theirs.log, kByLog);
    if (at == entries_.end() || at->log != theirs.log) {
      entries_.insert(at, theirs);
    } else {
      at->number = std::max(at->number, theirs.number);
    }
  }
}

void Clock::intersect(const Clock& other) {
  auto keep = entries_.begin();
  for (Dot mine : entries_) {
    mine.number = std::min(mine.number, other[mine.log]);
    if (mine.number != 0) *keep++ = mine;
  }
  entries_.erase(keep, entries_.end());
}

void Clock::encode(Encoder& out) const {
  out.varint(entries_.size());
  for (const Dot& entry : entries_) {
    out.u64(entry.log.value);
    out.varint(entry.number);
  }
}

Clock Clock::decode(Decoder& in) {
  Clock clock;
  clock.decode_from(in);
  return clock;
}

void Clock::decode_from(Decoder& in) {
  entries_.clear();
  LogId before;
  for (uint64_t left = in.varint(); left != 0 && in.ok(); --left) {
    const Dot entry{LogId{in.u64()}, in.varint()};
    if (entry.log <= before || entry.number == 0) in.fail();
    if (in.ok()) entries_.push_back(entry);
    before = entry.log;
  }
}

}  // namespace capstan
