// Entries and messages with their own bytes, and a journal for one group, in memory: what tests and the simulator
// share.
#pragma once

#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "consensus/group.h"

namespace capstan::consensus {

struct OwnedEntry {
  Term term = 0;
  std::string record;
  std::string configuration;

  OwnedEntry() = default;
  OwnedEntry(Term entry_term, std::string entry_record) : term(entry_term), record(std::move(entry_record)) {}
  explicit OwnedEntry(const Entry& entry)
      : term(entry.term), record(entry.record), configuration(entry.configuration) {}
  Entry view() const { return {.term = term, .record = record, .configuration = configuration}; }
  bool operator==(const OwnedEntry&) const = default;
};

inline std::vector<Entry> views(const std::vector<OwnedEntry>& entries) {
  std::vector<Entry> out;
  for (const OwnedEntry& entry : entries) out.push_back(entry.view());
  return out;
}

// A message as it is on a wire: nothing in it belongs to the sender any more.
struct Parcel {
  Message head;  // without entries
  std::vector<OwnedEntry> entries;

  Parcel() = default;
  explicit Parcel(const Message& message) : head(message) {
    for (const Entry& entry : message.entries) entries.emplace_back(entry);
    head.entries.clear();
  }
  // Valid as long as the parcel.
  Message view() const {
    Message message = head;
    message.entries = views(entries);
    return message;
  }
  Index last() const { return head.previous + entries.size(); }
  size_t bytes() const {
    size_t sum = 0;
    for (const OwnedEntry& entry : entries) sum += entry.record.size() + entry.configuration.size();
    return sum;
  }
};

// Writes lie in it in their order; a sync makes the oldest of them durable; a loss of power leaves a prefix.
class TestJournal {
 public:
  explicit TestJournal(Log::Base base) : durable_{{}, std::move(base), {}} {}

  // What a Ready hands over. Before the group is called again.
  void write(const Ready& ready, const Log& log) {
    Write write{ready.hard_state, std::nullopt, ready.first_new, {}, ready.mark};
    if (ready.replaced) write.base = Log::Base{log.base(), log.term_at(log.base()), log.configuration_at(log.base())};
    if (ready.first_new != 0) {
      for (Index i = ready.first_new; i <= ready.last_new; ++i) write.entries.emplace_back(log.entry(i));
    }
    unsynced_.push_back(std::move(write));
  }
  // A rebuild has put a state on disk that contains everything up to there.
  void state_rebuilt(const Log::Base& base) { state_ = base; }
  size_t unsynced() const { return unsynced_.size(); }
  // How many writes there were.
  uint64_t written() const { return synced_ + unsynced_.size(); }
  // The first `position` writes become durable. Returns the mark up to which all is, 0 if that is nothing new.
  Mark sync(uint64_t position) {
    Mark mark = 0;
    for (; synced_ < position && !unsynced_.empty(); ++synced_) {
      mark = std::max(mark, unsynced_.front().mark);
      durable_.apply(unsynced_.front());
      unsynced_.pop_front();
    }
    return mark;
  }
  Mark sync() { return sync(written()); }
  // The power fails: of what was not synced, the oldest `kept` writes are there all the same.
  void lose_power(size_t kept) {
    sync(synced_ + kept);
    unsynced_.clear();
  }
  // Entries up to there are not needed any more. They are durable.
  void cut_to(Index index) {
    if (!leads_to_state() || index <= durable_.base.index) return;
    CHECK(index <= durable_.last());
    Log log = durable_log();
    log.cut_to(index);
    const auto cut = static_cast<std::ptrdiff_t>(index - durable_.base.index);
    durable_.base = {index, log.term_at(index), log.configuration_at(index)};
    durable_.entries.erase(durable_.entries.begin(), durable_.entries.begin() + cut);
  }

  // --- what is durable
  const HardState& hard_state() const { return durable_.hard_state; }
  const Log::Base& base() const { return leads_to_state() ? durable_.base : *state_; }
  Index last() const { return leads_to_state() ? durable_.last() : state_->index; }
  // An entry of that term lies there, or lay there before it was cut.
  bool has(Index index, Term term) const {
    if (leads_to_state()) return durable_.has(index, term);
    return index < state_->index || (index == state_->index && term == state_->term);
  }
  Log durable_log() const {
    Log log(base());
    if (!leads_to_state()) return log;
    for (const OwnedEntry& entry : durable_.entries) log.append(entry.view());
    return log;
  }
  // What a start finds. `applied`: what the state on disk covers.
  Recovered recover(Index applied) const {
    return {.hard_state = durable_.hard_state,
            .log = durable_log(),
            .applied = std::max(applied, base().index),
            .replaced = !leads_to_state()};
  }

 private:
  struct Write {
    std::optional<HardState> hard_state;
    std::optional<Log::Base> base;
    Index first;
    std::vector<OwnedEntry> entries;
    Mark mark;
  };
  struct Image {
    HardState hard_state;
    Log::Base base;
    std::vector<OwnedEntry> entries;

    Index last() const { return base.index + entries.size(); }
    bool has(Index index, Term term) const {
      if (index <= base.index) return index < base.index || base.term == term;
      return index <= last() && entries[index - base.index - 1].term == term;
    }
    void apply(const Write& write) {
      if (write.hard_state) hard_state = *write.hard_state;
      if (write.base) {
        base = *write.base;
        entries.clear();
      }
      if (write.first == 0) return;
      CHECK(write.first > base.index && write.first <= last() + 1, "a journal without gaps");
      entries.resize(write.first - base.index - 1);
      entries.insert(entries.end(), write.entries.begin(), write.entries.end());
    }
  };

  // Entries that do not lead to the state on disk are void.
  bool leads_to_state() const { return !state_ || durable_.has(state_->index, state_->term); }

  Image durable_;
  std::optional<Log::Base> state_;  // of a rebuild; the journal may not have the log that belongs to it
  uint64_t synced_ = 0;
  std::deque<Write> unsynced_;
};

}  // namespace capstan::consensus
