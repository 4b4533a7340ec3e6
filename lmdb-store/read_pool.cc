#include "lmdb-store/read_pool.h"

#include <utility>

namespace capstan::lmdb_store {

void Completions::push(Callback callback) {
  std::lock_guard lock(mutex_);
  ended_.push_back(std::move(callback));
  // Under the lock, so that the worker does not find the queue empty and end it while it is being woken.
  if (ended_.size() == 1) wake_();
}

size_t Completions::drain() {
  CHECK(draining_.empty(), "drain() from a callback");
  {
    std::lock_guard lock(mutex_);
    draining_.swap(ended_);
  }
  const size_t count = draining_.size();
  for (Callback& callback : draining_) {
    jobs_.fetch_sub(1, std::memory_order_release);
    callback();
  }
  draining_.clear();
  return count;
}

void Completions::discard() {
  std::lock_guard lock(mutex_);
  jobs_.fetch_sub(ended_.size(), std::memory_order_release);
  ended_.clear();
}

ReadPool::ReadPool(unsigned threads, size_t capacity) : capacity_(capacity) {
  CHECK(threads > 0 && capacity > 0);
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
}

ReadPool::~ReadPool() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool ReadPool::submit(Store& store, Job job, Completions& completions, Done done) {
  {
    std::lock_guard lock(mutex_);
    CHECK(!stopping_);
    if (waiting_.size() >= capacity_) return false;
    completions.jobs_.fetch_add(1, std::memory_order_relaxed);
    waiting_.push_back({&store, std::move(job), &completions, std::move(done)});
  }
  changed_.notify_one();
  return true;
}

void ReadPool::run() {
  for (;;) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    Task task = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    run(std::move(task));
  }
}

void ReadPool::run(Task task) {
  Result<> result;
  {
    Result<std::unique_ptr<ReadView>> view = task.store->read();
    if (view) {
      task.job(**view);
    } else {
      result = view.error();
    }
  }
  // The job dies here, not on the worker; what `done` needs of it they share.
  task.job = nullptr;
  task.completions->push(
      [done = std::move(task.done), result = std::move(result)]() mutable { done(std::move(result)); });
}

}  // namespace capstan::lmdb_store
