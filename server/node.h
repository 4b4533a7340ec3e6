// The node: its workers, and the few things that they share. Everything shared is immutable, atomic, or only touched at
// the start and the end.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "lmdb-store/file.h"
#include "lmdb-store/flush_thread.h"
#include "lmdb-store/journal_recovery.h"
#include "lmdb-store/read_pool.h"
#include "server/peers.h"
#include "server/settings.h"
#include "server/worker.h"

namespace capstan {

class Node {
 public:
  // Locks the data directory, recovers the shards from the journals, binds the sockets. Nothing is served yet.
  static Result<std::unique_ptr<Node>> open(SettingsSnapshot settings);
  ~Node();

  // Serves until shutdown; the process's exit status. Called once, on the main thread, which becomes worker 0's.
  int run();

  unsigned workers() const { return static_cast<unsigned>(workers_.size()); }
  Worker& worker(unsigned index) { return *workers_[index]; }

  ShardId shards() const { return shards_; }
  // Before the workers run, or on the one worker that there is.
  template <typename F>
  void for_each_shard(F f) {
    for (const auto& worker : workers_) {
      for (const auto& shard : worker->executor().shards()) f(*shard);
    }
  }
  // The other nodes; nullptr: this is a single one.
  Peers* peers() { return peers_.get(); }

  // The newest settings; any thread, off the path of commands (workers have their own snapshot).
  SettingsSnapshot settings() const;
  // From a command: all workers adopt them, then done runs on the calling worker.
  void publish(Worker& caller, const SettingsSnapshot& settings, const std::function<void(Worker&)>& done);

  int64_t started_ms() const { return started_ms_; }
  const std::string& run_id() const { return run_id_; }  // 40 hex digits, new at each start

  // Any thread.
  uint64_t next_client_id() { return next_client_id_.fetch_add(1, std::memory_order_relaxed); }
  uint64_t next_slow_log_id() { return next_slow_log_id_.fetch_add(1, std::memory_order_relaxed); }
  // Takes a place among maxclients; false if there is none.
  bool admit_client(uint32_t max_clients);
  void dismiss_client() { clients_.fetch_sub(1, std::memory_order_relaxed); }
  uint32_t clients() const { return clients_.load(std::memory_order_relaxed); }

  // How many workers have subscribers. It is counted before a subscription is answered: whoever publishes after that
  // answer finds it.
  uint32_t subscribed_workers() const { return subscribed_workers_.load(std::memory_order_acquire); }
  void count_subscribed_worker(bool one_more) {
    one_more ? subscribed_workers_.fetch_add(1) : subscribed_workers_.fetch_sub(1);
  }

  // SAVE and BGSAVE: one at a time. begin_save() is false while one is under way.
  bool begin_save() { return !saving_.exchange(true); }
  void end_save(bool saved, int64_t now_ms) {
    if (saved) last_save_ms_.store(now_ms);
    saving_.store(false);
  }
  bool saving() const { return saving_.load(); }
  // When the last one ended well; before the first, when the server started.
  int64_t last_save_ms() const { return last_save_ms_.load(); }

  lmdb_store::ReadPool& read_pool() { return *read_pool_; }

  // Stops serving in order: no new connections and commands, what was taken is finished, shards are flushed (unless
  // `flush` is false: the journal has everything), the journal is synced, run() returns. On any worker; several calls
  // are one. Returns at once.
  void shut_down(Worker& caller, bool flush);
  bool flush_at_end() const { return flush_at_end_.load(std::memory_order_relaxed); }

 private:
  explicit Node(SettingsSnapshot settings);
  Result<> start();
  static void retire_groups(Worker& caller, const std::function<void(Worker&)>& done);
  void limit_clients();
  Result<> open_shards();
  Result<> open_journals();
  std::optional<Shard::GroupOptions> group_options() const;
  Result<> open_listeners();
  Result<> listen_tcp(const std::string& address);
  Result<> listen_unix();

  mutable std::mutex settings_mutex_;
  SettingsSnapshot settings_;
  int64_t started_ms_ = 0;
  std::string run_id_;
  std::optional<lmdb_store::DirectoryLock> lock_;
  std::unique_ptr<lmdb_store::ReadPool> read_pool_;
  std::unique_ptr<lmdb_store::FlushThread> flush_thread_;
  ShardId shards_ = 0;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<Peers> peers_;
  std::atomic<uint64_t> next_client_id_{1};
  std::atomic<uint64_t> next_slow_log_id_{0};
  std::atomic<uint32_t> clients_{0};
  std::atomic<bool> saving_{false};
  std::atomic<int64_t> last_save_ms_{0};
  std::atomic<bool> shutting_down_{false};
  std::atomic<bool> flush_at_end_{true};
  // Every PUBLISH looks at it: not beside what changes all the time.
  alignas(64) std::atomic<uint32_t> subscribed_workers_{0};
};

}  // namespace capstan
