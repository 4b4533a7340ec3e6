// This node's membership in the Raft group of a shard: its replica (replica.h), what the group agrees on joined into
// the keyspace, and, while it leads, what is proposed but not yet agreed on (pending.h). The shard evaluates commands
// and proposes their records here; who holds a command's reply back until it may leave is executor.h.
//
// Every entry of the log is a record of log R, and an entry's index is its record's number.
//
// Belongs to the shard's worker.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/hlc.h"
#include "base/ids.h"
#include "lmdb-store/journal.h"
#include "lmdb-store/keyspace.h"
#include "quorum/record.h"
#include "server/pending.h"
#include "server/raft_journal.h"
#include "server/rebuild.h"
#include "server/replica.h"
#include "server/shard_status.h"

namespace capstan {

// What LMDB's state row says of the group (StoredState::group): where the log begins behind the state, and the hard
// state at that time.
struct StoredGroup {
  consensus::PeerId self = consensus::kNoPeer;
  LogId log;
  consensus::Log::Base base;
  consensus::HardState hard_state;
  bool rebuilding = false;  // the state is part of another one

  std::string encode() const;
  // kCorrupt if malformed.
  static Result<StoredGroup> decode(std::string_view bytes);
};

class GroupMember {
 public:
  struct Services {
    lmdb_store::Journal& journal;
    lmdb_store::Keyspace& keyspace;
    HybridClock& clock;
    // Its entries are views that end with the call.
    std::function<void(const consensus::Message&)> send;
    // Where messages for a node of that name are appended, whole; nullptr: it is not connected.
    std::function<resp::OutputBuffer*(std::string_view node)> to_node;
    // Makes the keyspace's state durable with this as what belongs to it, before it returns. False: a flush is under
    // way, try again later. Failing ends the process.
    std::function<bool(const StoredGroup&)> store;
  };
  struct Options {
    consensus::Options group;
    uint64_t log_bytes = uint64_t{64} << 20;  // of entries that are kept in memory for those who lag
  };

  // first_unapplied: where in the journals the first entry of `recovered` lies that is not applied.
  GroupMember(ShardId shard, LogId log, const Options& options, Services services, consensus::Recovered recovered,
              lmdb_store::Position first_unapplied, uint64_t seed, consensus::Time now);
  GroupMember(const GroupMember&) = delete;

  consensus::Group& group() { return replica_.group(); }
  const consensus::Group& group() const { return replica_.group(); }
  PendingKeys& pending() { return pending_; }
  LogId log() const { return log_; }
  // The name of the node that a replica lives on; empty: no such replica.
  std::string_view node_of(consensus::PeerId peer) const;
  template <typename F>
  void for_each_peer_on(std::string_view node, F f) const {
    for (const consensus::Member& member : group().configuration().members()) {
      if (member.node == node) f(member.id);
    }
  }
  // The name of the node that leads; empty: none is known. It may be this one.
  std::string_view leader() const;

  // --- leading
  // It leads, and what it inherited is applied: commands can be evaluated on applied and pending state.
  bool serves() const;
  // A number of its own for each time that this replica leads; 0: it does not. What was proposed under another number
  // is not this leadership's.
  uint64_t leadership() const { return leadership_; }
  // Of the record that propose() takes next.
  uint64_t next_number() const { return group().log().last() + 1; }
  Clock next_context() const;
  // False: no room in the journal, or not the leader. Precondition: its number and context are the next ones.
  bool propose(const Record& record, consensus::Time now);
  // May a reply leave that saw applied state, pending state (all of it), and perhaps the last record proposed, which is
  // its own? If not now, then when released() says so.
  consensus::ReadPoint reply_point(bool wrote, bool saw_pending, consensus::Time now);
  bool released(const consensus::ReadPoint& point) const { return group().released(point); }
  // How many other replicas have everything up to there on their disks, as far as this one, which leads, knows.
  uint32_t others_with(consensus::Index index) const;
  // Whether the applied state has all that was committed so long ago (consensus::Group::current_since).
  bool current_since(consensus::Time since) const;

  // --- members
  // Of a node's present life, as that node says it: a replica of an earlier life is replaced by a new one, which
  // learns, is rebuilt and then votes. Names and lives in the order of the configuration's nodes; kNoPeer: not known.
  // Now and then, by whoever leads.
  void mend_membership(std::span<const std::string> nodes, std::span<const consensus::PeerId> lives,
                       consensus::Time now);
  // Leaders are spread over the nodes: if this one leads, and that node can, it is handed over to it. Now and then.
  void prefer_leader(std::string_view node, consensus::Time now);
  Result<> transfer(std::string_view node, consensus::Time now);
  bool votes() const { return group().configuration().is_voter(group().self()); }

  // --- what other nodes send
  void receive(std::string_view node, const consensus::Message& message, consensus::Time now);
  // kInvalid: malformed.
  Result<> receive_rebuild(std::string_view node, std::span<const std::string_view> words, consensus::Time now);
  bool rebuilding() const { return group().rebuilding(); }

  // --- the worker's turn, as replica.h has it
  void end_turn(consensus::Time now);
  void journal_advanced(consensus::Time now) { replica_.journal_advanced(now); }
  bool awaits_sync() const { return replica_.awaits_sync(); }
  // When its turn has something to do.
  consensus::Time next_deadline() const;

  // It hands over if it leads, and does not lead again.
  void retire() { replica_.retire(); }

  // --- flushes
  // Everything of the shard below it in the journals is applied.
  lmdb_store::Position flushable_position() const { return replica_.flushable_position(); }
  // What belongs to the keyspace's state as it is now.
  std::string stored_state() const;

  void describe(ShardStatus& status, consensus::Time now) const;

 private:
  std::string empty_record(consensus::Index index);
  void apply(consensus::Index index, const consensus::Entry& entry);
  Hlc last_stamp() const;
  void notice_leadership();
  void cut_log(consensus::Time now);
  void change_members(std::vector<consensus::Member> voters, std::vector<consensus::Member> learners,
                      consensus::Time now);
  void drive_rebuild(consensus::Time now);
  void begin_rebuild(std::string_view source, consensus::Time now);
  void finish_rebuild(consensus::Time now);
  StoredGroup state_at(consensus::Log::Base base) const;

  const ShardId shard_;
  const LogId log_;
  const Options options_;
  const Services services_;
  PendingKeys pending_;
  Record record_;        // scratch
  std::string encoded_;  // scratch
  uint64_t leadership_ = 0;
  uint64_t leaderships_ = 0;
  consensus::Term led_term_ = 0;
  consensus::PeerId leader_seen_ = consensus::kNoPeer;
  consensus::Index inherited_ = 0;                                 // the last entry that it had when it began to lead
  absl::flat_hash_map<consensus::PeerId, std::string> strangers_;  // peers that the configuration does not name yet
  RebuildSource source_;
  std::optional<Rebuild> rebuild_;
  std::optional<Rebuild::Outcome> finished_;  // of rebuild_, until it is durable
  uint64_t rebuilds_;
  consensus::Time next_rebuild_ = 0;  // not before then, if one came to nothing
  consensus::Time next_move_ = 0;     // of the leadership, by preference
  Replica replica_;
};

}  // namespace capstan
