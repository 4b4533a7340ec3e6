// Reads that may have to wait for the disk, off the workers' threads. A job runs on a thread of the pool, within a view
// of its own; its `done` runs later on the worker, from drain() of the worker's queue.
#pragma once

#include <absl/functional/any_invocable.h>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/result.h"
#include "lmdb-store/store.h"

namespace capstan::lmdb_store {

// One per worker: what the pool has finished for it. Outlives the pool's jobs for it (CHECK).
class Completions {
 public:
  // `wake` makes the worker call drain() soon; it runs on the pool's threads, once per batch: when something is there
  // for the first time since the last drain().
  explicit Completions(std::function<void()> wake) : wake_(std::move(wake)) {}
  Completions(const Completions&) = delete;
  ~Completions() { CHECK(jobs_ == 0, "jobs outlive the worker they work for"); }

  // Runs the callbacks of all jobs that have ended, in the order of their ends; returns how many. The worker's thread;
  // callbacks may submit again.
  size_t drain();
  // Forgets the callbacks of all jobs, when there is nothing left that they could tell. After the pools have ended.
  void discard();
  // Jobs that were submitted and whose callbacks have not begun.
  size_t outstanding() const { return jobs_.load(std::memory_order_acquire); }

 private:
  friend class ReadPool;
  friend class FlushThread;
  using Callback = absl::AnyInvocable<void()>;

  void push(Callback callback);

  const std::function<void()> wake_;
  std::atomic<size_t> jobs_{0};
  std::mutex mutex_;
  std::vector<Callback> ended_;     // guarded by mutex_
  std::vector<Callback> draining_;  // drain()'s, kept for its capacity
};

class ReadPool {
 public:
  static constexpr unsigned kDefaultThreads = 4;
  static constexpr size_t kDefaultCapacity = 1024;
  using Job = absl::AnyInvocable<void(ReadView&)>;
  // Without an error the job ran; with one (the store's, from read()) it did not.
  using Done = absl::AnyInvocable<void(Result<>)>;

  // At most `capacity` jobs wait.
  explicit ReadPool(unsigned threads = kDefaultThreads, size_t capacity = kDefaultCapacity);
  ReadPool(const ReadPool&) = delete;
  // Runs the jobs that wait, then ends the threads. The workers drain() or discard() their queues afterwards.
  ~ReadPool();

  // False if too many jobs wait; nothing is kept then. Any thread. The store outlives the job.
  [[nodiscard]] bool submit(Store& store, Job job, Completions& completions, Done done);

 private:
  struct Task {
    Store* store;
    Job job;
    Completions* completions;
    Done done;
  };

  void run();
  static void run(Task task);

  const size_t capacity_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> waiting_;  // guarded by mutex_
  bool stopping_ = false;     // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace capstan::lmdb_store
