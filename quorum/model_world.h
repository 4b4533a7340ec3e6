// Test code: replicas of one shard without Raft: writers with W acknowledgements and hints, a
// sequencer that stands in for log R's agreement, any delivery (delay, loss, duplicates, disorder, anti-entropy), cuts,
// restarts, power losses, lost disks, rebuilds, reads of R replicas; and the checks. All from one seed. A check that
// fails throws Violation.
//
// The sequencer: there is one leader at a time, which has applied all of R; a record of R is committed when a majority
// has taken it into its journal under R's gate and synced it, which happens at once or not at all.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/hlc.h"
#include "base/random.h"
#include "quorum/model_commands.h"
#include "quorum/model_journal.h"
#include "quorum/model_plain.h"
#include "quorum/model_spec.h"
#include "quorum/state.h"

namespace capstan {

class Violation : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// "A replica replaces what differs by the source's content; each piece comes with the source's applied clock at its
// reading. … When either side restarts, the rebuild starts over."
struct Rebuild {
  std::optional<size_t> source;  // none yet, or none any more
  uint64_t source_boot = 0;
  std::vector<State::Key> todo;
  std::optional<Clock> minimum;
  Clock maximum;
};

struct Replica {
  LogId writer;
  uint64_t boot = 0;
  int64_t clock_offset_ms = 0;
  HybridClock clock;
  ModelJournal journal;
  Clock synced;
  State state;
  State flushed;
  std::vector<Clock> history;  // applied clocks of a little while ago
  std::optional<Rebuild> rebuild;
  bool admitted = true;           // else it counts in no R or W quorum
  std::map<size_t, Clock> asked;  // the clocks of others that it must have applied to be admitted again
};

// What the client of an EVENTUAL write was promised.
struct Promise {
  size_t coordinator = 0;
  uint64_t boot = 0;      // the coordinator's: when it restarts, nobody is answered any more
  size_t wanted = 1;      // W
  std::set<size_t> acks;  // replicas, and the hints' holder
  bool kept = false;      // W is met: acknowledged
  bool at_home = false;   // …on home replicas alone
  bool voided = false;    // W replicas lost records at a time: nothing is promised any more
};

struct ModelStatistics {
  uint64_t records = 0, agreed = 0, strong_reads = 0, settled_reads = 0, siblings = 0, reads = 0, rebuilds = 0,
           restarted_rebuilds = 0, power_losses = 0, lost_disks = 0, cuts = 0, expired = 0, resolved = 0, acked = 0,
           hints = 0, remembered = 0, plain = 0;
};

class ModelWorld {
 public:
  explicit ModelWorld(uint64_t seed);
  // So many actions, then everything heals: all must converge.
  void run(int steps);
  const ModelStatistics& statistics() const { return statistics_; }

 private:
  static constexpr size_t kHintHolder = ~size_t{0};

  struct Message {
    size_t from;
    size_t to;
    const Archived* record;
  };
  struct Read {
    State::Key key;
    std::set<size_t> asked;
    KeyState answer;
    Clock clock;
    std::vector<Dot> acknowledged;  // before it began, by a quorum of home replicas: it must see them
  };

  // What is written (model_world.cc).
  void act();
  void write(Replica& replica);
  void leave_hint(Replica& replica, const Archived* record);
  void command_agreed();
  void elect();
  const Archived* propose(Replica& leader, const Evaluation& evaluation, const RecordHead& head);
  Evaluation empty_record(const RecordHead& head) const;
  const Archived* archive(const Evaluation& evaluation, LogId log);
  std::set<State::Key> expired(Replica& replica, const std::vector<State::Key>& keys, Hlc stamp);
  Clock settled(const Replica& replica) const;
  Clock context_of(const Clock& before, const Clock& cut) const;
  bool touched(const Clock& after, const Clock& upto, const std::vector<State::Key>& keys) const;
  std::vector<Command> commands(const Replica& replica, bool strong);
  LogId new_writer();

  // How it spreads, and is read (model_spread.cc).
  void send(const Archived* record, const Replica& from);
  void deliver();
  void give_hints(Replica& replica);
  bool store(Replica& replica, const Archived* record);
  void pump(Replica& replica, Replay replay = Replay::kNo, const Clock* limit = nullptr);
  bool pull(Replica& to, Replica& from, const Clock& upto, double share);
  void sync(Replica& from, Replica& to, double share);
  bool follow(Replica& follower, Replica& leader, const RecordHead& head);
  void acknowledge(const Dot& dot, size_t who);
  void readmit(Replica& replica);
  void read();

  // What goes wrong (model_failures.cc).
  void fault(Replica& replica);
  void sync_disk(Replica& replica);
  void flush(Replica& replica);
  void cut_journal(Replica& replica);
  void restart(Replica& replica);
  void power_loss(Replica& replica);
  void lose_disk(Replica& replica);
  void start_rebuild(Replica& replica, size_t source);
  void restart_rebuild(Replica& replica);
  void step_rebuild(Replica& replica);
  void read_piece(Rebuild& rebuild, Replica& replica, const Replica& source);
  bool take_records(const Rebuild& rebuild, Replica& replica, const Replica& source);

  // What must hold (model_checks.cc).
  void check(bool holds, const std::string& what) const;
  void check_state(const Replica& replica);
  void check_digest(const State& state, const State::Key& key);
  // The record of R just proposed, or a STRONG read without one.
  void check_agreed(const Archived& record, const std::vector<Command>& commands, const std::set<State::Key>& expired,
                    const Evaluation& evaluation);
  void check_strong_read(const RecordHead& head, const std::vector<Command>& commands,
                         const std::set<State::Key>& expired, const Evaluation& evaluation);
  void check_answer(const Read& read);
  void check_increments(const Clock& clock);
  void void_promises();
  void settle_down();
  bool converged() const;
  std::string show_replicas() const;

  size_t index(const Replica& replica) const { return static_cast<size_t>(&replica - replicas_.data()); }
  bool leads(const Replica& replica) const { return leader_ == index(replica); }
  bool linked(const Replica& a, const Replica& b) const {
    return apart_.contains(index(a)) == apart_.contains(index(b));
  }
  size_t quorum() const { return replicas_.size() / 2 + 1; }
  int64_t wall_ms(const Replica& replica) const { return now_ms_ + replica.clock_offset_ms; }
  Replica& any() { return replicas_[random_.below(replicas_.size())]; }

  Random random_;
  ModelStatistics statistics_;
  LogId agreed_;
  uint64_t writers_ = 0;
  int64_t now_ms_ = 1000;
  bool plain_ = false;  // STRONG commands only, compared with what Redis would answer
  bool with_ttl_ = false;
  bool sloppy_ = false;  // hints count towards W
  uint64_t faults_ = 0;  // so many of a hundred actions
  std::vector<Replica> replicas_;
  std::optional<size_t> leader_ = 0;
  Archive archive_;
  std::set<size_t> apart_;  // one side of a partition
  std::vector<Message> messages_;
  std::map<Dot, const Archived*> hints_;  // kept by a node that is no home replica
  std::map<Dot, Promise> promises_;
  std::vector<Read> reads_;
  State canon_;  // the settled records in R's order
  PlainRedis redis_;
  std::map<std::pair<State::Key, uint64_t>, std::string> contents_;  // by digest
};

}  // namespace capstan
