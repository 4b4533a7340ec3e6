// Runs commands on the shards of a worker, wherever they come from: a connection of this worker, or another worker's.
// A command that cannot finish at once (rows on disk, more work in the next turn, no memory for a write) waits as a
// Task; later commands of the same client for the same shard wait behind it, so that a client's commands take effect
// per shard in the order of its requests. Nobody else waits.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "resp/output_buffer.h"
#include "server/batch.h"
#include "server/shard.h"
#include "server/task.h"

namespace capstan {

class Executor {
 public:
  explicit Executor(Worker& worker) : worker_(worker) {}
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

  // Runs one command with call.writer as reply. Anything but kDone: nothing was replied; park() it.
  // Precondition: !waits().
  Outcome run(Shard& shard, const CommandSpec& spec, Call& call, Level level) {
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
    bool fetching = false;  // the first one's rows; else it can be tried in the next turn
  };

  Outcome attempt(Task& task, resp::OutputBuffer& out);
  Outcome run_command(Task& task, Shard& shard, resp::OutputBuffer& out);
  Outcome run_transaction(Task& task, Shard& shard, resp::OutputBuffer& out);
  void run_in_transaction(Task& task, Shard& shard, const TransactionCommand& command, resp::OutputBuffer& out);
  Outcome run_digests(Task& task, Shard& shard);
  bool watched_keys_unchanged(Task& task, Shard& shard, bool& missing);
  void wait_for_rows(const LaneKey& key, Shard& shard);
  void prefetch(const Task& task);
  void run_lane(const LaneKey& key);
  bool overdue(const Task& task) const;
  void complete(std::unique_ptr<Task> task, std::string_view reply);

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
};

}  // namespace capstan
