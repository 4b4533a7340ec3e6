// Test code: replicas of one shard without Raft, after model_check.py: writers, a sequencer that stands in for log R's
// agreement, any delivery (delay, loss, duplicates, disorder, anti-entropy), power losses, rebuilds, reads of R
// replicas; and the checks. All from one seed. A check that fails throws Violation.
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
#include "quorum/model_spec.h"
#include "quorum/state.h"

namespace capstan {

class Violation : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// "A replica replaces what differs by the source's content; each piece comes with the source's applied clock at its
// reading."
struct Rebuild {
  size_t source = 0;
  std::vector<State::Key> todo;
  std::optional<Clock> minimum;
  Clock maximum;
};

struct Replica {
  LogId writer;
  int64_t clock_offset_ms = 0;
  HybridClock clock;
  std::map<LogId, std::vector<const Archived*>> journal;  // held: all from record 1 on
  std::map<LogId, size_t> synced;
  State state;
  State flushed;
  std::vector<Clock> history;  // applied clocks of a little while ago
  std::optional<Rebuild> rebuild;

  size_t held(LogId log) const {
    const auto at = journal.find(log);
    return at == journal.end() ? 0 : at->second.size();
  }
};

struct ModelStatistics {
  uint64_t records = 0, agreed = 0, siblings = 0, reads = 0, rebuilds = 0, power_losses = 0, expired = 0, resolved = 0;
};

class ModelWorld {
 public:
  explicit ModelWorld(uint64_t seed);
  // So many actions, then everything heals: all must converge.
  void run(int steps);
  const ModelStatistics& statistics() const { return statistics_; }

 private:
  struct Message {
    size_t to;
    const Archived* record;
  };
  struct Read {
    State::Key key;
    std::set<size_t> asked;
    KeyState answer;
    Clock clock;
  };

  // What happens (model_world.cc).
  void act();
  void write(Replica& replica);
  void write_agreed();
  void elect();
  void deliver();
  void sync(Replica& from, Replica& to, double share);
  void power_loss(Replica& replica);
  void flush(Replica& replica);
  void start_rebuild(Replica& replica);
  void step_rebuild(Replica& replica);
  void read();

  void store(Replica& replica, const Archived* record);
  void pump(Replica& replica, Replay replay = Replay::kNo, const Clock* limit = nullptr);
  const Archived* archive(const Evaluation& evaluation, LogId log);
  void send(const Archived* record, const Replica& from);
  std::set<State::Key> expired(Replica& replica, const std::vector<State::Key>& keys, Hlc stamp);
  Clock cut(const Replica& leader, const std::vector<State::Key>& keys);
  bool touched(const Clock& after, const Clock& upto, const std::vector<State::Key>& keys) const;
  std::vector<Command> commands(const Replica& replica);
  LogId new_writer();

  // What must hold (model_checks.cc).
  void check(bool holds, const std::string& what) const;
  void check_state(const Replica& replica);
  void check_digest(const State& state, const State::Key& key);
  void check_agreed(const Archived& record, const std::vector<Command>& commands, const std::set<State::Key>& expired,
                    const std::vector<std::string>& replies);
  void check_answer(const Read& read);
  void check_increments(const Clock& clock);
  void settle_down();

  int64_t wall_ms(const Replica& replica) const { return now_ms_ + replica.clock_offset_ms; }
  Replica& any() { return replicas_[random_.below(replicas_.size())]; }

  Random random_;
  ModelStatistics statistics_;
  LogId agreed_;
  uint64_t writers_ = 0;
  int64_t now_ms_ = 1000;
  bool with_ttl_ = false;
  bool with_faults_ = false;
  std::vector<Replica> replicas_;
  size_t leader_ = 0;
  Archive archive_;
  std::vector<Message> messages_;
  std::vector<Read> reads_;
  State canon_;                                                      // the settled records in R's order
  std::map<std::pair<State::Key, uint64_t>, std::string> contents_;  // by digest
};

}  // namespace capstan
