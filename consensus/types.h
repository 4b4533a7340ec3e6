// What Raft groups are made of (D. Ongaro, "Consensus: Bridging Theory and Practice", Stanford 2014; cited below as
// thesis §). Plain values; no thread, no I/O.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "consensus/configuration.h"

namespace capstan::consensus {

using Term = uint64_t;   // 0: before the first election
using Index = uint64_t;  // of a log's entry, from 1; 0: before the first
// The reading of a monotonic clock, in nanoseconds; only differences count, and only on one node.
using Time = int64_t;
// Counts the leader's broadcasts within its term. An answer names the latest one it has seen, so it proves that the
// leader was still followed after that broadcast was sent.
using Round = uint64_t;
// Counts what a group gave its journal (Ready::mark).
using Mark = uint64_t;

// An entry of the log. Its bytes are the caller's: a record, which the group never looks into. Configuration entries
// carry one too (with an empty effect), because every entry of log R is a record of the shard.
struct Entry {
  Term term = 0;
  std::string_view record;
  std::string_view configuration;  // encoded; empty for all other entries
};

// What must survive every crash, before anything that was promised by it leaves the node (thesis §3.8).
struct HardState {
  Term term = 0;
  PeerId voted_for = kNoPeer;  // in that term
  bool operator==(const HardState&) const = default;
};

enum class MessageKind : uint8_t {
  kAppend = 1,        // entries and heartbeats of a leader (thesis §3.5)
  kAppendReply = 2,   // how far the log goes, durably; whom it follows
  kPreVote = 3,       // would you vote for me? Changes nothing at the receiver (thesis §9.6)
  kPreVoteReply = 4,  // would it
  kVote = 5,          // thesis §3.4
  kVoteReply = 6,     // does it
  kTimeoutNow = 7,    // the leader asks its successor to campaign at once (thesis §3.10)
  kCommitted = 8,     // a committed prefix, from any peer
};

// One message of a group. Entries point into the sender's log or the receiver's buffer, and are valid only during the
// call that takes the message or, of a Ready, until the group is called again.
struct Message {
  MessageKind kind = MessageKind::kAppend;
  PeerId from = kNoPeer;
  PeerId to = kNoPeer;
  Term term = 0;  // the sender's; of kPreVote the one it would campaign in

  // kAppend, kCommitted: `entries` follow `previous`. kVote, kPreVote: the candidate's last entry. A kAppendReply that
  // rejects: the `previous` of what it rejects.
  Index previous = 0;
  Term previous_term = 0;
  std::vector<Entry> entries;
  Index commit = 0;  // kAppend, kCommitted, and a kAppendReply that says rebuilding: the sender's commit index
  Round round = 0;   // kAppend: this broadcast. kAppendReply: the latest one received

  // kAppendReply. match: the follower's log is the leader's up to here, durably. received: the same in memory.
  Index match = 0;
  Index received = 0;
  bool rejected = false;    // kAppendReply: the log differs at `previous`. Votes: refused
  bool gated = false;       // kAppendReply: the next record's context is not here yet
  bool rebuilding = false;  // kAppendReply: it takes part, but acknowledges nothing until it was rebuilt
  uint64_t promised = 0;    // kAppendReply: for so long (ns) after `round` came it votes for nobody else
  // kAppendReply that rejects: the last entry before `previous` that the follower has and whose term is not above
  // previous_term's: the logs may agree up to there. One rejection skips a whole term (thesis §3.5).
  Index hint = 0;
  Term hint_term = 0;
  bool transfer = false;  // kVote: the leader itself asked for it, its lease is over (thesis §3.10)
  Index first = 0;        // kAppend: the sender's first entry. Below it only a rebuild helps
  // Keeps its place behind the sender's earlier ordered ones; all others may overtake those, for entries may be large
  // and leases, reads and elections do not wait for them. All that have entries are ordered.
  bool ordered = false;
  Round ordered_round = 0;  // kAppendReply: of the latest ordered kAppend received; entries before it came, or are lost
};

}  // namespace capstan::consensus
