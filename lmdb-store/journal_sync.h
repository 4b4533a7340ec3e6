// Making a journal durable: one fdatasync at a time, by the worker itself or on a thread of its own. Two at a time must
// not be: the operating system reports an error of a file to one of them only, and the other would take silence for
// success.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/result.h"
#include "lmdb-store/file.h"
#include "lmdb-store/segment.h"

namespace capstan::lmdb_store {

class JournalSync {
 public:
  // `start`: a position below all entries. References outlive this object.
  JournalSync(const JournalOptions& options, Position start, JournalFailure& failure);
  ~JournalSync();

  // The worker: `file` was written up to `written`, which is what a later sync stands for.
  void wrote(const std::shared_ptr<File>& file, Position written);
  // The worker: syncs all that was written, in this thread.
  Result<> sync();
  // The worker: has the thread do it. The thread is started by the first request.
  void request();

  // Any thread.
  Position synced() const { return synced_.load(std::memory_order_acquire); }
  const std::atomic<Position>& synced_position() const { return synced_; }
  int64_t last_sync_ns() const { return last_sync_ns_.load(std::memory_order_relaxed); }

 private:
  void hand_over();
  void sync_handed_over();
  void thread_main();

  const JournalOptions& options_;
  JournalFailure& failure_;

  // The worker's alone: files written since they were last handed over.
  std::vector<std::shared_ptr<File>> written_files_;
  Position written_;

  std::mutex sync_mutex_;  // held while files are synced; taken before mutex_
  std::mutex mutex_;
  std::condition_variable requested_changed_;
  std::vector<std::shared_ptr<File>> files_;  // handed over, in the order in which they were written
  Position target_;
  bool requested_ = false;
  bool stopping_ = false;
  std::atomic<Position> synced_;
  std::atomic<int64_t> last_sync_ns_{0};
  std::thread thread_;
};

}  // namespace capstan::lmdb_store
