// A whole Raft group in one process: replicas with their clocks, journals and drivers, a network between them, clients,
// an operator, and faults of all of these, in simulated time and drawn from one seed, over the code that serves
// (quality.md, "Simulation"). After every turn of a replica what must hold is checked (simulator_checks.cc).
//
// A run has a phase with faults, after which only safety is asked for, and one without, at whose end everything must
// have finished: one leader, the wanted members, a new entry applied by all.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <queue>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "base/random.h"
#include "consensus/journal_testing.h"

namespace capstan::consensus {

struct SimulatorStatistics {
  uint64_t events = 0;
  uint64_t elections = 0;
  uint64_t commits = 0;
  uint64_t acknowledged_writes = 0;
  uint64_t reads_by_lease = 0;
  uint64_t reads_by_round = 0;
  uint64_t crashes = 0;
  uint64_t lost_writes = 0;  // to the journal, by a crash
  uint64_t lost_disks = 0;
  uint64_t rebuilds = 0;
  uint64_t rebuilds_that_kept_the_log = 0;
  uint64_t rebuilds_started_over = 0;
  uint64_t truncations = 0;
  uint64_t cuts = 0;
  uint64_t joint_changes = 0;
  uint64_t transfers = 0;
  uint64_t learned_prefixes = 0;
  uint64_t closed_gates = 0;
  uint64_t disk_stalls = 0;
  uint64_t loop_stalls = 0;
  uint64_t unwilling = 0;
  uint64_t resets = 0;
};

class Simulator {
 public:
  // One more replica than voters runs beside them, for changes of the members. A story, if wanted, gets a line per
  // event.
  Simulator(uint64_t seed, size_t voters, std::ostream* story = nullptr);
  ~Simulator();

  // Throws a std::runtime_error that tells seed, time and what does not hold.
  void run();

  // A hash of all events: the same seed gives the same.
  uint64_t trace() const { return trace_; }
  const SimulatorStatistics& statistics() const { return statistics_; }

 private:
  enum class Wanted : uint8_t { kVoter, kLearner, kOut };

  // What a seed makes of the world.
  struct Profile {
    Time duration = 0;
    double loss = 0;
    double duplication = 0;
    Time delay = 0;
    Time sync_delay = 0;
    Time fault_interval = 0;
    Time client_interval = 0;
    double closed_gates = 0;   // for how many records
    double cuts = 0;           // per turn
    double impolite_cuts = 0;  // that do not ask who still needs the entries
    bool members_change = false;
    bool disks_are_lost = false;
  };

  // What waits for a replica's loop.
  struct Input {
    enum class Kind : uint8_t { kMessage, kPeerLost, kDurable, kGateOpened, kWilling, kPropose, kRead };
    Kind kind = Kind::kMessage;
    Parcel parcel;
    PeerId peer = kNoPeer;
    Mark mark = 0;
    bool willing = true;
    std::string record;
  };

  struct Rebuild {
    PeerId source = kNoPeer;   // kNoPeer: none was found yet
    uint64_t incarnation = 0;  // of the source
    Index base = 0;            // what it had applied when the first piece was read
  };
  struct PendingRead {
    ReadPoint point;
    Index required = 0;  // acknowledged before it came
  };

  struct Replica : Host {
    Replica(Simulator& its_world, size_t its_slot, PeerId its_life, Log::Base base)
        : world(its_world), slot(its_slot), life(its_life), journal(std::move(base)) {}
    std::string empty_record(Index index) override;
    bool holds_context_of(Index index, std::string_view record) override;

    Simulator& world;
    const size_t slot;
    PeerId life;
    Time clock_offset = 0;
    double clock_rate = 1;

    // --- the process; empty without one
    std::unique_ptr<Group> group;
    uint64_t incarnation = 0;
    std::deque<Input> inbox;
    Time turn_at = 0;  // when its loop turns next
    uint64_t turn_serial = 0;
    Time stalled_until = 0;                     // its loop
    absl::flat_hash_map<uint64_t, Time> gates;  // hash of a record → when its context is there

    // --- the disk
    TestJournal journal;
    bool syncing = false;
    Time disk_stalled_until = 0;
    Index flushed = 0;        // the state on disk covers what was applied up to there
    bool state_torn = false;  // pieces of a rebuild that has not ended lie in it

    // --- the state, which is what was applied: hashes of entries
    std::vector<uint64_t> applied;
    Index may_apply = 0;  // committed and in the journal
    std::optional<Rebuild> rebuild;

    // --- clients of this leader
    Term leading = 0;  // the term that it leads; 0: none
    std::deque<Index> proposed;
    std::deque<PendingRead> reads;

    // --- what the checks have seen
    Term seen_term = 0;
    Index seen_commit = 0;
    Index seen_last = 0;
  };

  struct Event {
    Time at;
    uint64_t order;
    std::function<void()> action;
    bool operator<(const Event& other) const { return at != other.at ? at > other.at : order > other.order; }
  };
  struct CommittedEntry {
    Term term;
    uint64_t hash;
    Term seen_in;  // the term of who committed it first
  };
  struct KnownEntry {
    uint64_t hash;
    Term previous_term;
  };

  // simulator.cc
  void draw_profile();
  void at(Time when, std::function<void()> action);
  void step();
  void every(const std::function<Time()>& interval, const std::function<void()>& action);
  void calm();
  bool finished(std::optional<std::pair<Index, Term>>& last_entry);
  Time local(const Replica& replica) const;
  Replica* running(PeerId life);
  Replica* leader();
  bool down(const Replica& replica) const { return replica.group == nullptr; }
  template <typename Container>
  auto& any_of(Container& container) {
    return container[random_.below(container.size())];
  }
  void note(std::string_view what, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0);
  [[noreturn]] void fail(const std::string& why) const;
  void require(bool holds, std::string_view what, const Replica* replica = nullptr) const;
  std::string describe(const Replica& replica) const;

  // simulator_driver.cc
  void start(Replica& replica);
  void wake(Replica& replica, Time when);
  void turn(Replica& replica);
  void tick(Replica& replica, Time now);
  void handle(Replica& replica, const Input& input, Time now);
  void take_ready(Replica& replica, Time now);
  void start_sync(Replica& replica);
  void finish_sync(Replica& replica, uint64_t incarnation, uint64_t position);
  void apply(Replica& replica);
  void flush(Replica& replica);
  void cut(Replica& replica);
  void drive_rebuild(Replica& replica, Time now);
  void end_rebuild(Replica& replica, uint64_t incarnation);
  Replica* source_for(const Replica& replica);
  Index needed_by_others(const Replica& replica, bool polite) const;
  void serve_clients(Replica& replica);

  // simulator_world.cc: the network, clients, faults, the operator
  void send(const Parcel& parcel);
  void deliver(const Parcel& parcel, uint64_t connection);
  uint64_t& connection(PeerId one, PeerId other);
  void reset_connection(Replica& one, Replica& other);
  void client();
  void ask_for_prefix();
  void fault();
  void partition();
  void refuse_to_lead(Replica& replica);
  void crash(Replica& replica);
  void crash_and_restart(Replica& replica);
  void crash_all();
  void lose_disk(Replica& replica);
  bool may_lose_disk(const Replica& replica) const;
  void change_wanted();
  void operate();
  void transfer();
  std::vector<Configuration> configurations_of(const Replica& replica) const;
  Configuration next_configuration(const Configuration& present, bool promote) const;

  // simulator_checks.cc
  uint64_t hash_of(const Entry& entry) const;
  void check(Replica& replica);
  void check_leadership(Replica& replica);
  void check_commit(Replica& replica);
  void check_leases(const Replica& latest);
  void check_message(const Replica& replica, const Message& message);
  void check_entries(const Replica& replica, Index first, Index last);
  void check_durable_majority(const Replica& replica, Index index);
  const TestJournal* journal_of(PeerId life) const;

  const uint64_t seed_;
  const size_t voters_;
  std::ostream* const story_;
  Random random_;
  Profile profile_;
  Options options_;
  Configuration initial_;

  Time now_ = 0;
  uint64_t order_ = 0;
  std::priority_queue<Event> events_;
  bool faults_ = true;
  bool clients_ = true;

  std::vector<std::unique_ptr<Replica>> replicas_;  // by slot
  std::vector<Wanted> wanted_;                      // by slot
  PeerId next_life_ = 1;
  uint64_t next_record_ = 0;
  std::vector<std::pair<PeerId, TestJournal>> dead_;  // lives whose disks were lost, and what these held
  std::set<std::pair<size_t, size_t>> cut_;           // slots: from, to
  std::map<std::tuple<PeerId, PeerId, bool>, Time> latest_delivery_;  // of ordered messages, of others
  absl::flat_hash_map<uint64_t, uint64_t> connections_;

  // --- what the checks know
  std::vector<CommittedEntry> committed_;  // [i]: the entry at i + 1
  absl::flat_hash_map<std::pair<Index, Term>, KnownEntry> entries_;
  absl::flat_hash_map<Term, PeerId> leaders_;
  absl::flat_hash_map<std::pair<Term, PeerId>, PeerId> votes_;  // term and voter → candidate
  Index acknowledged_ = 0;                                      // to clients: writes, and what reads have shown

  uint64_t trace_ = 0;
  SimulatorStatistics statistics_;
};

}  // namespace capstan::consensus
