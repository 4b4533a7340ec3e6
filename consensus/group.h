// One Raft group (thesis; model, "Levels": STRONG) as a pure state machine: whoever drives it hands in messages, time
// and proposals, and takes out what is to be journaled and sent. It does no I/O, reads no clock and draws its
// randomness from a seed, so the same inputs give the same run: the simulator drives the very code that serves.
//
// A driver's loop, once per turn:
//   receive(), propose(), read(), … for what arrived; tick()
//   Ready ready = take_ready(now)
//   send ready.messages; journal ready.hard_state, then log().entry(first_new … last_new)
//   apply log().entry(…) up to ready.commit
//   when the journal has made that durable (any turn later): durable(ready.mark)
//   cut() what is flushed, settled and held elsewhere
// Whatever a peer may rely on later (a vote, an acknowledgement, the own vote and the own copy of an entry in counting)
// waits for durable(); entries go to the peers while the own disk still works.
//
// What goes beyond Raft: leases (architecture.md, "Consensus"), the gate for records whose context is not there yet
// (model, "Settling"), rebuilds in place of snapshots (model, "Rebuild"), and committed prefixes learned from any peer.
//
// Bad messages: receive() checks what a peer may get wrong and ignores it; what no correct peer can send (a second
// leader of a term, another entry where one is committed) stops the process, because going on would lose data.
//
// Thread: the shard's worker. Times are readings of one monotonic clock, in nanoseconds, never decreasing; it has to go
// on while the system sleeps (CLOCK_BOOTTIME). For receive() and read() they must be taken *after* the bytes arrived
// (drain the sockets, look at the clock, then hand in): a promise that counts from an earlier time ends before the
// leader thinks, and a lease that was looked at before a command came says nothing about it. A machine that can be
// stopped and go on with its clock set back to then needs `lease-reads no`.
#pragma once

#include <absl/container/btree_map.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "consensus/configuration.h"
#include "consensus/log.h"
#include "consensus/progress.h"
#include "consensus/types.h"

namespace capstan::consensus {

inline constexpr Time kMillisecond = 1'000'000;
// No lease is longer. A restarted replica votes only after so long: it does not remember what it has promised.
inline constexpr Time kLongestLease = 200 * kMillisecond;

// What a group asks of its shard, at once and without side effects on the group.
class Host {
 public:
  virtual ~Host() = default;
  // The record of an entry that the group itself proposes (the first of a leader's term, changes of the configuration):
  // without an effect. The first one of a term settles all that the leader has applied (model, "Settling").
  virtual std::string empty_record(Index index) = 0;
  // Whether the replica holds, journaled before now, everything in the context of the record that is to stand at
  // `index`; of log R only entries below it count (what stands there and behind may be about to go). If not, the entry
  // is not taken yet: the driver fetches what is missing and calls gate_opened().
  virtual bool holds_context_of(Index index, std::string_view record) = 0;
};

struct Options {
  PeerId self = kNoPeer;
  Time heartbeat = 20 * kMillisecond;
  // A follower without a leader campaigns after a time drawn from here; a leader without a majority steps down after
  // the longer one.
  Time election_timeout_min = 150 * kMillisecond;
  Time election_timeout_max = 300 * kMillisecond;
  // A follower that accepts a message of a leader votes for nobody else for so long, and says so in its answer: the
  // leader counts on what it was promised, not on its own setting. 0: no leases (`lease-reads no`).
  Time lease = 75 * kMillisecond;
  // By how much of it two nodes' monotonic clocks may run apart during a lease.
  double max_drift = 0.05;
  // A leader whose disk has not made something durable for so long hands over to a follower that has all.
  Time disk_stall = 1000 * kMillisecond;
  uint64_t max_message_bytes = 64 * 1024;  // of entries in one message; one larger entry fills one
  // While entries are on their way to a peer, further ones wait until these are answered, or until they fill a message,
  // at most for so long (Nagle's rule, RFC 896): each message costs every peer a sync. 0: they do not wait.
  Time batch_delay = 0;
  uint64_t max_bytes_in_flight = uint64_t{4} << 20;  // to one peer, unanswered
  // A learner may become a voter when it lacks at most so many committed entries.
  Index max_promotion_lag = 1024;
};

// What a start finds in the journal and on disk.
struct Recovered {
  HardState hard_state;
  Log log;
  Index applied = 0;  // all up to there is committed; log.base() ≤ applied ≤ log.last()
  // The journal's entries do not lead to the base of the state on disk (they end before it, or have another term
  // there), because a rebuild was about to replace them. They are void, and the first Ready says so.
  bool replaced = false;
  bool rebuilding = false;  // it was interrupted in a rebuild; applied is then log.base()
};

struct Ready {
  // To be journaled, in this order. Entries from first_new on replace what the journal has there and behind it.
  std::optional<HardState> hard_state;
  bool replaced = false;  // the log begins anew behind log().base(): all that the journal has of it is void
  Index first_new = 0;    // 0: no entries
  Index last_new = 0;
  Mark mark = 0;     // for durable(), when this and all before it is; 0: nothing to journal
  Index commit = 0;  // entries up to here are committed and given to the journal
  // In the order in which they are to be sent. Entries are views into log().
  std::vector<Message> messages;
};

// When a reply may leave: the entries that it saw have committed, and leadership was confirmed after the command came.
struct ReadPoint {
  Index index = 0;
  Round round = 0;
};

class Group {
 public:
  enum class Role : uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };

  // A new replica starts with term 0 and a log whose base carries the configuration of all replicas (for a learner: one
  // without it, until the log tells). It votes and campaigns only after kLongestLease.
  Group(const Options& options, Host& host, Recovered recovered, uint64_t seed, Time now);

  // --- input
  void receive(const Message& message, Time now);
  // As often as the driver turns, at next_deadline(), and at least once per heartbeat: a gap of more than three counts
  // as a standstill, after which the group neither campaigns nor steps down before what waited meanwhile was received.
  void tick(Time now);
  // Everything up to that mark is durable. Marks may be skipped.
  void durable(Mark mark, Time now);
  // The connection to the peer's process was closed: a follower of it then campaigns as soon as promises allow.
  void peer_lost(PeerId peer, Time now);
  // A connection was made: what was on its way before may be lost.
  void peer_connected(PeerId peer, Time now);
  // A context that Host::holds_context_of missed has come.
  void gate_opened(Time now);
  // Whether it wants to lead (it does at first). A node whose disk is full does not: it hands over if it leads.
  void set_willing(bool willing, Time now);

  // --- the leader's
  // Appends an entry. nullopt: not the leader, or it hands over its leadership: nothing happened.
  std::optional<Index> propose(std::string_view record, Time now);
  // Moves the group to these voters and learners: through a joint configuration if voters change, which the group
  // leaves by itself. Voters that go stay as learners; learners that go are dropped at once. kInvalid with the reason
  // if it cannot be done now.
  Result<> change_members(const Configuration& target, Time now);
  // Hands leadership to that voter once it has all entries. It is given up if that takes an election timeout.
  Result<> transfer(PeerId to, Time now);
  // For a command without an entry of its own, which came before now (thesis §6.4). saw: the last entry, committed or
  // not, whose effect its answer may show. Only of a leader.
  ReadPoint read(Index saw, Time now);
  // Whether it may leave. Points are of one leadership: when that ends, or a later one begins, they are void.
  bool released(const ReadPoint& point) const;
  // Whether everything that was committed so long ago, at this replica's own time, is known to be committed here. A
  // follower takes its leader's word for it, as of the moment when it comes; that one is told from a deposed one within
  // an election timeout.
  bool current_since(Time since) const;
  Time current_at() const { return current_at_; }  // of a follower: the latest such time
  // Nobody else can lead before that time; 0: no lease, or not the leader.
  Time lease_end() const;

  // --- output
  // Whether take_ready() has something.
  bool has_ready(Time now) const;
  Ready take_ready(Time now);

  // --- state
  Role role() const { return role_; }
  bool leads() const { return role_ == Role::kLeader; }
  Term term() const { return hard_state_.term; }
  const HardState& hard_state() const { return hard_state_; }
  PeerId self() const { return options_.self; }
  PeerId leader() const { return leader_; }  // kNoPeer: not known
  const Log& log() const { return log_; }
  Index commit() const { return commit_; }
  Index durable_index() const { return durable_index_; }
  const Configuration& configuration() const { return log_.configuration(); }
  const Progress* progress(PeerId peer) const;  // the leader's; nullptr if not a peer
  PeerId transferring_to() const { return transfer_to_; }
  // The next moment at which tick() has something to do.
  Time next_deadline() const;

  // --- cutting and rebuilding
  // Forgets entries up to there. Precondition: index ≤ commit() and durable_index(), applied by the driver.
  void cut(Index index);
  // The leader has cut what this replica lacks: start a rebuild.
  bool needs_rebuild() const { return needs_rebuild_; }
  // A rebuild begins: from now until rebuilt() it votes, but takes and acknowledges nothing and does not campaign.
  // Precondition: it does not lead.
  void begin_rebuild(Time now);
  bool rebuilding() const { return rebuilding_; }
  // It ended: the replica's state is that of base.index or later, and is durable together with base. What makes a start
  // say Recovered::rebuilding stays until the next Ready is durable: rows may be of a later index than base. `entries`
  // follow base, are committed, reach up to what is applied, and further than what was cut here; they come from a
  // replica whose term is source_term, which is taken over. Where the own log has the base, they are taken as any
  // committed prefix; else base and entries replace it. The next Ready has to journal what changed.
  void rebuilt(const Log::Base& base, const std::vector<Entry>& entries, Term source_term, Time now);

  // Entries that are committed at this replica and follow `previous`, for a peer that lacks them: a kCommitted. Empty
  // entries: it cannot help.
  Message committed_after(PeerId to, Index previous) const;

 private:
  struct Held {
    Mark mark;
    Message message;
  };
  struct Written {
    Mark mark;
    Index last;
    Time since;
  };

  // election.cc
  void become_follower(Term term, PeerId leader);
  void become_leader();
  void campaign();
  std::vector<Message> vote_requests(MessageKind kind) const;
  void ask_for_votes(bool transfer);
  void count_votes();
  void on_vote_request(const Message& request);
  void on_vote_reply(const Message& reply);
  void on_timeout_now(const Message& request);
  bool bound_by_promise(const Message& request) const;
  bool up_to_date(const Message& request) const;
  bool may_campaign() const;
  void draw_election_time();
  Time own_turn();
  void tick_follower();
  // replication.cc
  void on_append(const Message& append);
  void on_committed(const Message& prefix);
  void reject(const Message& append);
  Index take_entries(Index previous, const std::vector<Entry>& entries, bool ask_gate);
  void append_entry(const Entry& entry);
  void append_own(std::string_view record, const std::string& configuration);
  void truncate_from(Index index);
  uint64_t promised() const { return static_cast<uint64_t>(options_.lease); }
  void acknowledge(std::vector<Message>& out);
  void commit_to(Index index);
  // leadership.cc
  void on_append_reply(const Message& reply);
  void tick_leader();
  void advance_commit();
  void lead_commit_to(Index index);
  Time broadcast_at() const {
    return commit_news_at_ == 0 ? next_heartbeat_ : std::min(next_heartbeat_, commit_news_at_);
  }
  bool anything_to_send() const;
  bool entries_are_due(const Progress& progress) const;
  void send_appends(std::vector<Message>& out);
  void send_entries(PeerId peer, Progress& progress, std::vector<Message>& out);
  Message append_to(PeerId peer) const;
  Message heartbeat_to(PeerId peer, const Progress& progress) const;
  Round confirmed() const;
  std::optional<Time> sent_at(Round round) const;
  bool majority_heard_since(Time since) const;
  bool disk_stalled() const;
  // membership.cc
  void adopt_configuration();
  void drive_configuration();
  void drive_transfer();
  bool should_hand_over() const;
  PeerId best_successor() const;
  void begin_transfer(PeerId to);
  // group.cc
  void take_time(Time now);
  Message message(MessageKind kind, PeerId to) const;
  void promise(Message message);
  bool unsaved() const { return hard_state_ != saved_ || replaced_ || first_new_ != 0; }
  void check_invariants() const;

  const Options options_;
  Host& host_;
  Random random_;
  Log log_;

  HardState hard_state_;
  Index commit_;
  Index commit_told_ = 0;  // with the last Ready
  Role role_ = Role::kFollower;
  PeerId leader_ = kNoPeer;
  Time now_;                     // of the latest input
  Time ticked_at_;               // of the latest tick
  std::vector<Message> outbox_;  // promises nothing: leaves with the next Ready

  // --- durability
  HardState saved_;  // as the journal was given it
  bool replaced_ = false;
  Index first_new_ = 0;  // entries from here on were not given to the journal; 0: none
  Mark last_mark_ = 0;
  Mark durable_mark_ = 0;
  std::deque<Written> written_;  // given, not durable yet
  Index durable_index_;
  std::vector<Held> held_;  // promises of this term that wait for the journal

  // --- a follower's
  Time promise_until_;           // votes for nobody but by its leader's own wish before
  Time heard_at_;                // a leader
  Time current_at_ = INT64_MIN;  // when it last had all that its leader had committed
  Time election_at_ = 0;
  PeerId lost_leader_ = kNoPeer;  // its process is gone, as far as this node sees
  bool asked_in_vain_ = false;    // for its vote, by one whose log is shorter, since a leader was heard
  unsigned lost_attempts_ = 0;    // to replace it, by this node or another one that it voted for
  bool willing_ = true;
  Index verified_ = 0;          // the log is the leader's up to here
  Round round_received_ = 0;    // in this term
  Round ordered_received_ = 0;  // the same of ordered messages
  bool acknowledgement_due_ = false;
  bool gated_ = false;
  Index acknowledged_ = 0;  // the match that was sent last in this term
  bool needs_rebuild_ = false;
  bool rebuilding_ = false;

  // --- a candidate's
  absl::btree_map<PeerId, bool> votes_;  // ordered, so that the same seed gives the same run
  Mark own_vote_mark_ = 0;

  // --- a leader's
  absl::btree_map<PeerId, Progress> peers_;
  Term led_term_ = 0;     // the latest that it led
  Index term_start_ = 0;  // its first entry
  Round round_ = 0;       // the latest broadcast
  bool round_wanted_ = false;
  std::deque<Time> sent_;  // when the latest rounds were sent, the last one is round_
  Time next_heartbeat_ = 0;
  Time check_at_ = 0;        // whether it is heard, and should lead on
  Time commit_news_at_ = 0;  // when followers are told of it if nothing else is sent; 0: they know
  Time silent_since_ = 0;    // silence before this does not count against a majority
  bool lease_over_ = false;  // for the rest of this term: a transfer was asked for
  PeerId transfer_to_ = kNoPeer;
  Time transfer_until_ = 0;
  bool transfer_asked_ = false;
  PeerId failed_successor_ = kNoPeer;  // the last that was asked in vain in this term
};

}  // namespace capstan::consensus
