// The one thread of a node that writes to LMDB: flushes of all its shards, one after the other.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "lmdb-store/flush.h"
#include "lmdb-store/read_pool.h"

namespace capstan::lmdb_store {

class FlushThread {
 public:
  FlushThread();
  // Runs the jobs that wait, then ends.
  ~FlushThread();
  FlushThread(const FlushThread&) = delete;

  // done is called by completions.drain(), after the job has ended. Any thread.
  void submit(std::shared_ptr<FlushJob> job, Completions& completions, std::function<void()> done);

 private:
  struct Task {
    std::shared_ptr<FlushJob> job;
    Completions* completions;
    std::function<void()> done;
  };
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> waiting_;  // guarded by mutex_, as stopping_
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace capstan::lmdb_store
