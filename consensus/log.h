// The log of one replica of a Raft group, as far as it is in memory: a tail, beginning behind `base`, with its entries'
// bytes. The journal keeps it durable; what is below the base was cut, because it is flushed and settled (model,
// "Rebuild"). Who needs what was cut is rebuilt.
//
// Belongs to the group, that is to the shard's worker.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string_view>
#include <vector>

#include "consensus/configuration.h"
#include "consensus/types.h"

namespace capstan::consensus {

class Log {
 public:
  // What is known of the last entry that was cut.
  struct Base {
    Index index = 0;
    Term term = 0;
    Configuration configuration;  // in force there
  };

  explicit Log(Base base);

  Index base() const { return base_.index; }
  Index first() const { return base_.index + 1; }
  Index last() const { return base_.index + slots_.size(); }
  Term last_term() const { return term_at(last()); }
  // Precondition: base() ≤ index ≤ last().
  Term term_at(Index index) const;
  // An entry of that term is at that index, or the base is. False outside of the log.
  bool matches(Index index, Term term) const;
  // Precondition: first() ≤ index ≤ last(). Its views hold until the entry is cut or truncated.
  Entry entry(Index index) const;
  // Bytes of the entry's record and configuration.
  size_t bytes_at(Index index) const;

  // Copies the entry's bytes. Preconditions: terms never fall; a configuration decodes.
  void append(const Entry& entry);
  // Drops `index` and all behind it. Precondition: first() ≤ index.
  void truncate_from(Index index);
  // Moves the base up. Precondition: base() ≤ index ≤ last().
  void cut_to(Index index);

  // The latest one in the log (thesis §4.1: used as soon as it is in the log, committed or not).
  const Configuration& configuration() const { return configurations_.back().second; }
  // Where that stands; the base's index if it was cut.
  Index configuration_index() const { return configurations_.back().first; }
  // The one in force at `index`. Precondition: base() ≤ index ≤ last().
  const Configuration& configuration_at(Index index) const;

  // The last index up to `from` whose term is at most `term`; the base if none is.
  Index last_of_term_at_most(Term term, Index from) const;

  // Memory that entries take.
  uint64_t bytes() const { return bytes_ + slots_.size() * sizeof(Slot); }

 private:
  struct Slot {
    Term term;
    const char* bytes;  // the record, then the configuration
    uint32_t record_size;
    uint32_t configuration_size;
  };
  struct Block {
    std::unique_ptr<char[]> bytes;
    size_t size;
    size_t used;
    Index last;  // the last entry in it
  };

  const Slot& slot(Index index) const;
  char* allocate(size_t size);

  Base base_;
  std::deque<Slot> slots_;
  std::deque<Block> blocks_;
  std::vector<std::pair<Index, Configuration>> configurations_;  // ascending; the first is in force at the base
  uint64_t bytes_ = 0;
};

}  // namespace capstan::consensus
