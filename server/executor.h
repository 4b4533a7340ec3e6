// Runs commands on the shards of a worker, wherever they come from: a connection of this worker, or another worker's.
// A command that cannot finish at once (rows on disk, more work in the next turn, no memory for a write) waits as a
// Task; later commands of the same client for the same shard wait behind it, so that a client's commands take effect
// per shard in the order of its requests. Nobody else waits.
//
// In a cluster a STRONG command whose shard another node leads is sent there, once; while nobody leads, it waits; and
// its reply is held until the shard's group has agreed. A LOCAL read of a shard that this node does not hold goes to
// one that does.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cluster/replica_placement.h"
#include "resp/output_buffer.h"
#include "server/batch.h"
#include "server/forwarding.h"
#include "server/shard.h"
#include "server/task.h"

namespace capstan {

class Executor {
 public:
  explicit Executor(Worker& worker);
  ~Executor();

  void add_shard(std::unique_ptr<Shard> shard);
  // nullptr if it belongs to another worker.
  Shard* shard(ShardId id) { return id < by_id_.size() ? by_id_[id] : nullptr; }
  // nullptr if this worker has none.
  Shard* first_shard() { return shards_.empty() ? nullptr : shards_[0].get(); }
  std::vector<std::unique_ptr<Shard>>& shards() { return shards_; }

  // Whether commands of this client wait for the shard; then the next must wait, too (park()).
  bool waits(uint64_t client, ShardId shard) const {
    return !lanes_.empty() && lanes_.contains(LaneKey{client, shard});
  }

  // Runs one command with call.writer as reply. kHeld: take the reply back and hold() it. Anything else but kDone:
  // nothing was replied; park() it. Precondition: !waits().
  Outcome run(Shard& shard, const CommandSpec& spec, Call& call, Level level) {
    if (shard.clustered()) {
      const Admission admission = admit(shard, level, (spec.flags & kWrite) != 0, *call.writer);
      if (admission != Admission::kRun) return admission == Admission::kWait ? Outcome::kWait : Outcome::kDone;
    }
    if (writes_parked_ && (spec.flags & kWrite) != 0) [[unlikely]]
      return Outcome::kAgain;
    return shard.run(spec, call, level);
  }
  // The same for a task of any kind.
  Outcome try_now(Task& task, resp::OutputBuffer& out);

  // Has a task wait: for what `why` says, or behind the client's others. Its reply goes to task->reply_to; never before
  // this returns.
  void park(std::unique_ptr<Task> task, Outcome why);
  // Runs it, or has it wait.
  void submit(std::unique_ptr<Task> task);
  // A command from another worker.
  void run_forwarded(const ForwardedCommand& command, std::span<const std::string_view> arguments);

  // Delivers a reply when the shard's group has agreed on what it says, or an error when it is not known whether it
  // has: of the command or task that the shard ran last, which gave kHeld.
  void hold(Shard& shard, const ReplyAddress& to, Database database, resp::Protocol protocol, std::string_view reply);
  void hold(std::unique_ptr<Task> task, std::string_view reply);

  // --- in a cluster (executor_cluster.cc)
  // Once per turn, before the journal is written: messages leave, the journal gets what the groups want kept.
  void end_group_turns(consensus::Time now);
  // … and after it was written and perhaps synced.
  void journal_advanced(consensus::Time now);
  // Some group waits for the journal to be synced.
  enum class Of : uint8_t { kAll, kFollowers };
  bool awaits_sync(Of which) const;
  // When a group has something to do.
  consensus::Time next_deadline() const;
  bool leads() const;
  // Hands over what its shards lead, and leads no more.
  void retire_groups();
  // The worker whose call it is.
  static unsigned caller(uint64_t call) { return static_cast<unsigned>(call >> kCallNumberBits); }
  // Of what waits for a leader or an answer: some ten times a second.
  void check_deadlines(int64_t now_ms);
  // From another node, by its number: the outcome of a task that was sent there; and that no more will come.
  void on_answer(unsigned node, const Answer& answer);
  void on_peer_lost(unsigned node);
  void on_peer_connected(unsigned node);
  // Which nodes hold which shards. nullptr: the cluster has not been founded yet.
  const cluster::ReplicaPlacement* placement() const { return placement_.get(); }
  void set_placement(std::shared_ptr<const cluster::ReplicaPlacement> placement);
  // Another node says that it leads.
  void on_leads(unsigned node, ShardId shard, consensus::Term term);
  // The name of the node that leads the shard, as this node's replica knows it or, without one, as that node said;
  // empty: none is known.
  std::string_view leader_of(ShardId shard) const;
  ShardStatus status(Shard& shard) const;

  // What this node's clients can have seen of the shard.
  Clock seen_by_clients(Shard& shard) const;

  // Once per turn, before the journal is written: goes on with what waits and can. True if there is more.
  bool run_ready();
  // Once per turn, after the journal was written: slices of background work. True if there is more to do soon.
  bool turn(int64_t now_ms);

  // Some shard has no memory for writes: they wait, reads go on.
  bool writes_parked() const { return writes_parked_; }
  size_t waiting_tasks() const { return waiting_tasks_; }

 private:
  struct LaneKey {
    uint64_t client;
    ShardId shard;
    bool operator==(const LaneKey&) const = default;
    template <typename H>
    friend H AbslHashValue(H h, const LaneKey& key) {
      return H::combine(std::move(h), key.client, key.shard);
    }
  };
  struct Lane {
    std::deque<std::unique_ptr<Task>> tasks;
    bool fetching = false;         // the first one's rows; else it can be tried in the next turn
    bool waits_for_group = false;  // for a leader, or a more recent state
  };
  enum class Admission : uint8_t { kRun, kAnswered, kWait };
  struct HeldReply {
    ReplyGate gate;
    ReplyAddress to;
    Database database = 0;
    resp::Protocol protocol = resp::Protocol::kResp2;
    std::string reply;
    std::unique_ptr<Task> task;  // nullptr: the reply is all that there is to it
  };
  // In the order of their evaluation, in which they are released; but reads that only wait for their leader to be
  // confirmed do not wait behind writes, which may take long.
  struct HeldReplies {
    HeldReplies() = default;
    HeldReplies(HeldReplies&&) = default;
    HeldReplies(const HeldReplies&) = delete;
    std::deque<HeldReply> for_commit;
    std::deque<HeldReply> for_round;
  };
  // A task that another node runs.
  struct Sent {
    std::unique_ptr<Task> task;
    unsigned node;
    int64_t deadline_ms;
  };
  // Who leads a shard that this node does not hold.
  struct HeardLeader {
    std::optional<unsigned> node;
    consensus::Term term = 0;
  };
  struct Leadership {
    consensus::PeerId leader = consensus::kNoPeer;
    consensus::Term term = 0;
    bool serves = false;
    uint64_t applied = 0;
    consensus::Time current_at = 0;
    bool operator==(const Leadership&) const = default;
  };
  // Of the number of a call; the rest names the worker.
  static constexpr unsigned kCallNumberBits = 48;

  static bool is_write(const Task& task);
  static size_t argument_bytes(const Task& task);
  // Answers with an error instead of what the task would do.
  static Outcome refuse(Task& task, resp::OutputBuffer& out, std::string_view message);
  Admission admit(Shard& shard, Level level, bool writes, resp::Writer& writer) const;
  HeldReply& hold_another(Shard& shard);
  void release_replies();
  void release_replies(Shard& shard, std::deque<HeldReply>& held);
  void give_up(HeldReply& held);
  void fail(std::unique_ptr<Task> task, std::string_view message);
  bool about_to_serve(ShardId shard) const;
  bool held_elsewhere(ShardId shard) const;
  std::optional<unsigned> leader_elsewhere(ShardId shard) const;
  std::optional<unsigned> nearest_replica(ShardId shard) const;
  std::optional<unsigned> node_to_run(const Task& task) const;
  bool can_send_on(Task& task) const;
  bool overdue_for_good(const Task& task) const;
  // Why it is given up that has waited for its shard.
  std::string too_late(const Task& task) const;
  // The shard's state is as recent as AFTER, MAXAGE and SESSION ask for.
  bool recent_enough(Task& task, Shard& shard) const;
  // What a session has seen is written into its task. False: it is not known yet.
  bool session_is_known(Task& task) const;
  bool earlier_ones_are_under_way(const Task& task) const;
  // The number of log R up to which it is applied; 0 without a group.
  static uint64_t agreed(Shard& shard);
  bool send_on(std::unique_ptr<Task>& task);
  void announce(const Shard& shard, unsigned node);
  void wait_again(std::unique_ptr<Task> task);
  void on_leader(ShardId shard);
  void wait_for_group(const LaneKey& key, Lane& lane);
  void wake_those_who_wait_for_a_group();
  template <typename Predicate>
  void fail_calls(Predicate lost);

  Outcome attempt(Task& task, resp::OutputBuffer& out);
  Outcome run_command(Task& task, Shard& shard, resp::OutputBuffer& out);
  Outcome run_transaction(Task& task, Shard& shard, resp::OutputBuffer& out);
  void run_commands(Task& task, Shard& shard, resp::OutputBuffer& out);
  void run_transaction_once(Task& task, Shard& shard, bool unchanged, resp::OutputBuffer& out);
  bool repeat_transaction(Task& task, Shard& shard, resp::OutputBuffer& out);
  void run_in_transaction(Task& task, Shard& shard, const TransactionCommand& command, resp::OutputBuffer& out);
  Outcome run_digests(Task& task, Shard& shard);
  static Outcome count_holders(Task& task, Shard& shard);
  bool watched_keys_unchanged(Task& task, Shard& shard, bool& missing);
  void wait_for_rows(const LaneKey& key, Shard& shard);
  void prefetch(const Task& task);
  void run_lane(const LaneKey& key);
  bool overdue(const Task& task) const;
  void account(const Task& task, const CommandSpec& spec, std::span<const std::string_view> words, int64_t elapsed_ns,
               std::string_view reply);
  void complete(std::unique_ptr<Task> task, std::string_view reply);
  // weight: of the reply (command.h, Join::kPick).
  void complete(std::unique_ptr<Task> task, std::string_view reply, uint64_t weight);

  Worker& worker_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<Shard*> by_id_;
  absl::flat_hash_map<LaneKey, Lane> lanes_;
  std::vector<LaneKey> ready_;    // to be tried in this turn
  std::vector<LaneKey> running_;  // being tried
  size_t waiting_tasks_ = 0;
  size_t waiting_bytes_ = 0;
  bool writes_parked_ = false;
  resp::OutputBuffer scratch_;

  std::vector<HeldReplies> held_;        // by shard
  std::vector<Leadership> leaderships_;  // by shard, as of the last turn
  std::shared_ptr<const cluster::ReplicaPlacement> placement_;
  std::vector<HeardLeader> heard_;  // by shard
  std::vector<LaneKey> waiting_for_group_;
  std::vector<uint64_t> seen_;  // by shard: what replies that came from other nodes let see of log R
  absl::flat_hash_map<uint64_t, Sent> calls_;
  uint64_t last_call_;  // begins anywhere, so that no answer to a call of an earlier process fits one of this
};

}  // namespace capstan
