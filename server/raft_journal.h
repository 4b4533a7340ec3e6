// What a Raft group's log R is in the journal: its hard state and entries as they go there, and how a start finds them
// again (FORMAT.md, "Journal entries"). The state on disk says where the log begins (its base: index, term and
// configuration of the last entry that it contains); the journal says what comes behind.
//
// What recovery may leave out, because a flush contains it (Journal::release, StoredState::position), must not pass the
// entries behind the base (Replica::flushable_position); the hard state is stored with the flush.
//
// Belongs to the shard's worker.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "consensus/group.h"
#include "lmdb-store/journal.h"

namespace capstan {

// Types of journal entries.
inline constexpr uint8_t kHardStateEntry = 3;
inline constexpr uint8_t kLogEntry = 4;
inline constexpr uint8_t kLogBase = 5;

// Appends what a Ready has to be journaled to the batch; all of it lies below journal.end() then. kFull: there is no
// room, and perhaps a part of it was appended; the rest must be appended before anything else of the group is.
Result<> append_ready(const consensus::Ready& ready, const consensus::Log& log, ShardId shard,
                      lmdb_store::Journal& journal);

// Whether the entry is one of these.
constexpr bool is_raft_entry(uint8_t type) { return type >= kHardStateEntry && type <= kLogBase; }

// Puts together what a group recovers from. Entries of the journals come in their order, those of a shard are those of
// one log.
class RaftRecovery {
 public:
  // base, hard_state: of the state on disk. The journal may begin with older hard states, and go on with newer ones.
  explicit RaftRecovery(consensus::Log::Base base, consensus::HardState hard_state = {})
      : hard_state_(hard_state), log_(std::move(base)) {}

  // position: for messages. kCorrupt: malformed, or the log has a gap.
  Result<> replay(uint8_t type, uint64_t position, std::string_view payload);

  // What was found; the recovery is void then.
  consensus::Recovered take();

 private:
  bool replay_entry(consensus::Index index, const consensus::Entry& entry);

  consensus::HardState hard_state_;
  consensus::Term journal_term_ = 0;  // of the journal's latest hard state
  consensus::Log log_;
  consensus::Index last_ = 0;  // of the journal's log; 0: none came yet
  // Its entries behind the base follow what the base is. Until the entry at the base came, those before it may lead to
  // another: a rebuild puts a state on disk before the journal has the log that belongs to it.
  bool leads_to_base_ = true;
};

}  // namespace capstan
