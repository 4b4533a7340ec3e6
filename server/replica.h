// One replica of a shard's Raft group: drives consensus::Group with the worker's journal, the links to the other nodes
// and the shard's state (group.h, "A driver's loop"). The shard evaluates and proposes; this makes sure that what is
// committed is applied in order, and that what was promised is durable.
//
// In a turn of the worker's loop:
//   group().receive(), propose(), … for what came; group().tick()
//   end_turn()               messages leave, the journal's batch gets what is new, what is committed is applied
//   journal.write(), sync    the worker's
//   journal_advanced()       what is durable counts; messages that waited for it leave with the next end_turn()
//
// A full journal stops no reads and no heartbeats: such a replica takes no entries (to its leader it looks like one
// whose context is missing) and does not lead.
//
// Belongs to the shard's worker, as everything in it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "consensus/group.h"
#include "lmdb-store/journal.h"
#include "server/raft_journal.h"

namespace capstan {

class Replica final : private consensus::Host {
 public:
  struct Services {
    lmdb_store::Journal& journal;  // outlives it
    // Its entries are views that end with the call.
    std::function<void(const consensus::Message&)> send;
    // Committed records, in order of their index, each once per start.
    std::function<void(consensus::Index, const consensus::Entry&)> apply;
    // The record of an entry without an effect (consensus::Host).
    std::function<std::string(consensus::Index)> empty_record;
    // Whether everything in the record's context is held (consensus::Host).
    std::function<bool(consensus::Index, std::string_view record)> holds_context_of;
  };

  // Applied is recovered.applied; replaying what is committed above it is the group's matter. first_unapplied: a
  // position of the journals, below it lies no entry of `recovered` that is not applied.
  Replica(ShardId shard, const consensus::Options& options, Services services, consensus::Recovered recovered,
          lmdb_store::Position first_unapplied, uint64_t seed, consensus::Time now);
  Replica(const Replica&) = delete;

  consensus::Group& group() { return group_; }
  const consensus::Group& group() const { return group_; }
  consensus::Index applied() const { return applied_; }

  // Appends a record to log R. nullopt: this is not the leader, it hands over, or the journal has no room.
  std::optional<consensus::Index> propose(std::string_view record, consensus::Time now);

  void end_turn(consensus::Time now);
  void journal_advanced(consensus::Time now);
  // It does not want to lead any more (group.h, set_willing).
  void retire() { retired_ = true; }
  // Something waits for the journal to be synced: the worker should, or have it done.
  bool awaits_sync() const { return !unsynced_.empty(); }
  // No entry that is not applied lies below it in the journals: what a flush's state contains goes up to here.
  lmdb_store::Position flushable_position() const {
    return unapplied_.empty() ? services_.journal.end() : unapplied_.front().position;
  }

  // The group was rebuilt (Group::rebuilt): the state is that of this index.
  void rebuilt(consensus::Index base);

  // The state on disk contains everything up to there, and others may need nothing of it: the log forgets it.
  // Precondition: index ≤ applied().
  void cut(consensus::Index index);

 private:
  struct Unsynced {
    lmdb_store::Position position;  // of the journal's end behind it
    consensus::Mark mark;
  };

  // A run of entries that was given to the journal, the first of them at or behind that position.
  struct Unapplied {
    consensus::Index first;
    consensus::Index last;
    lmdb_store::Position position;
  };

  void note_unapplied(consensus::Index first, consensus::Index last, lmdb_store::Position position);
  std::string empty_record(consensus::Index index) override { return services_.empty_record(index); }
  bool holds_context_of(consensus::Index index, std::string_view record) override;
  bool reserve(size_t record_bytes);

  const ShardId shard_;
  const Services services_;
  uint64_t reserved_ = 0;  // bytes of the journal that entries will take which were let in since the last end_turn()
  bool retired_ = false;
  consensus::Group group_;
  consensus::Index applied_;
  std::deque<Unsynced> unsynced_;
  std::deque<Unapplied> unapplied_;
};

}  // namespace capstan
