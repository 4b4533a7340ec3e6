#include "lmdb-store/flush_thread.h"

#include <utility>

namespace capstan::lmdb_store {

FlushThread::FlushThread() : thread_([this] { run(); }) {}

FlushThread::~FlushThread() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void FlushThread::submit(std::shared_ptr<FlushJob> job, Completions& completions, std::function<void()> done) {
  completions.jobs_.fetch_add(1, std::memory_order_relaxed);
  {
    std::lock_guard lock(mutex_);
    waiting_.push_back({std::move(job), &completions, std::move(done)});
  }
  changed_.notify_one();
}

void FlushThread::run() {
  for (;;) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    Task task = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    // The job keeps its error; the shard looks at it when done is called.
    (void)task.job->run();
    task.completions->push(std::move(task.done));
  }
}

}  // namespace capstan::lmdb_store
