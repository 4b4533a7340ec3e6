#include "server/raft_journal.h"

#include <algorithm>
#include <string>

#include "base/bytes.h"
#include "base/check.h"

namespace capstan {

using consensus::Entry;
using consensus::Index;
using consensus::Log;
using consensus::Ready;
using lmdb_store::Journal;

Result<> append_ready(const Ready& ready, const Log& log, ShardId shard, Journal& journal) {
  const auto end = [&]() -> Result<> {
    if (Result<lmdb_store::Position> position = journal.end_entry(); !position) return position.error();
    return {};
  };
  if (ready.hard_state) {
    Encoder out(journal.begin_entry(kHardStateEntry, shard));
    out.u64(ready.hard_state->term);
    out.u64(ready.hard_state->voted_for);
    if (Result<> done = end(); !done) return done;
  }
  if (ready.replaced) {
    Encoder out(journal.begin_entry(kLogBase, shard));
    out.varint(log.base());
    out.varint(log.term_at(log.base()));
    if (Result<> done = end(); !done) return done;
  }
  if (ready.first_new == 0) return {};
  for (Index index = ready.first_new; index <= ready.last_new; ++index) {
    const Entry entry = log.entry(index);
    Encoder out(journal.begin_entry(kLogEntry, shard));
    out.varint(index);
    out.varint(entry.term);
    out.bytes(entry.configuration);
    out.raw(entry.record);
    if (Result<> done = end(); !done) return done;
  }
  return {};
}

Result<> RaftRecovery::replay(uint8_t type, uint64_t position, std::string_view payload) {
  const auto corrupt = [&](std::string_view what) {
    return Error{ErrorCode::kCorrupt, "journal position " + std::to_string(position) + ": " + std::string(what)};
  };
  Decoder in(payload);
  if (type == kHardStateEntry) {
    const consensus::HardState read{in.u64(), in.u64()};
    if (!in.done() || read.term < journal_term_) return corrupt("malformed hard state of log R");
    journal_term_ = read.term;
    // A term may be there twice, first without a vote; one that has a vote keeps it.
    if (read.term > hard_state_.term) hard_state_ = read;
    if (read.term == hard_state_.term && read.voted_for != consensus::kNoPeer) hard_state_ = read;
    return {};
  }
  Entry entry;
  const Index index = in.varint();
  entry.term = in.varint();
  if (type == kLogBase) {
    // The state that belongs to it is on disk first.
    if (!in.done() || index > log_.base()) return corrupt("malformed base of log R");
    last_ = index;
    log_.truncate_from(log_.first());
    leads_to_base_ = log_.matches(index, entry.term);
    return {};
  }
  CHECK(type == kLogEntry);
  entry.configuration = in.bytes();
  entry.record = in.rest();
  const bool sound = entry.configuration.empty() || consensus::Configuration::decode(entry.configuration).ok();
  // Hard state goes into the journal before the entries of its term.
  if (!in.ok() || index == 0 || !sound || entry.term > hard_state_.term) return corrupt("malformed entry of log R");
  const bool follows = last_ == 0 ? index <= log_.first() : index <= last_ + 1;
  if (!follows || !replay_entry(index, entry))
    return corrupt("entry " + std::to_string(index) + " of log R does not follow");
  return {};
}

// An entry takes the place of what was there and of all that followed it.
bool RaftRecovery::replay_entry(Index index, const Entry& entry) {
  last_ = index;
  if (index <= log_.last()) log_.truncate_from(std::max(index, log_.first()));
  if (index <= log_.base()) {
    leads_to_base_ = log_.matches(index, entry.term);
    return true;
  }
  if (!leads_to_base_) return true;
  if (entry.term < log_.last_term()) return false;
  log_.append(entry);
  return true;
}

consensus::Recovered RaftRecovery::take() {
  const Index base = log_.base();
  return {hard_state_, std::move(log_), base, !leads_to_base_};
}

}  // namespace capstan
