// The files that a journal is made of. A pool keeps the next ones ready: of full size, every block written once (so
// that an fdatasync of the journal never has to grow a file), headers synced, under their final names. It also takes
// back those that are no longer needed. All of that happens on the pool's own thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/result.h"
#include "lmdb-store/file.h"
#include "lmdb-store/journal_format.h"

namespace capstan::lmdb_store {

struct JournalOptions {
  // All of a worker's segments have this size; a multiple of 8.
  uint64_t segment_bytes = 64u << 20;
  // Of the largest frame; a multiple of 8, at most kMaxFrameBytes. Longer entries are split.
  uint32_t frame_bytes = kMaxFrameBytes;
  // Kept ready beyond the one that is being written.
  uint32_t prepared_segments = 2;
  // No longer needed ones that are kept for use again rather than deleted.
  uint32_t spare_segments = 8;
  // After a full disk kept a segment from being prepared: the first wait before another try; it doubles up to 16 times.
  int64_t retry_ms = 250;
  // false: no threads; what they would do is done within the calls (for simulation).
  bool background = true;
  // Called when synced() has moved after request_sync, when full() has changed, when a segment is ready after there was
  // none, and on failure; on any thread, so it may only wake the worker.
  std::function<void()> on_event;
};

// The first error that a journal met, for all its threads. A failed journal stays failed.
class JournalFailure {
 public:
  bool failed() const { return failed_.load(std::memory_order_acquire); }
  // Only when failed().
  Error error() const;
  void fail(Error error);

 private:
  mutable std::mutex mutex_;
  std::atomic<bool> failed_{false};
  Error error_;
};

struct Segment {
  uint32_t number = 0;
  std::shared_ptr<File> file;
};

// "<directory>/<number>.wal", ten digits.
std::string segment_path(const std::string& directory, uint32_t number);
// The number in such a name; nothing for every other name.
std::optional<uint32_t> segment_number(const std::string& name);
// Segments that no journal needs have names of this form; their content means nothing.
std::string spare_path(const std::string& directory, uint32_t number);
bool is_spare(const std::string& name);

class SegmentPool {
 public:
  // Segments are numbered from header.start on and carry `header` with the value that `synced` has at that time. All
  // references outlive the pool. The options are those of the journal.
  SegmentPool(FileSystem& files, std::string directory, const SegmentHeader& header, const JournalOptions& options,
              const std::atomic<Position>& synced, JournalFailure& failure);
  ~SegmentPool();

  // Finds spare segments in the directory and begins to prepare.
  Result<> start();
  // The next segment, waiting for it when none is ready; kFull when the disk is, or the journal's failure.
  Result<Segment> take();
  // Takes back a segment that holds nothing of worth. They are given back in the order of their numbers, and leave the
  // disk in that order, so that what a crash leaves is without gaps.
  void retire(Segment segment);
  // Deletes all spares, soon: others lack the space.
  void drop_spares();
  // Has the pool's thread run this once, soon.
  void run(std::function<void()> task);

  // How many take() would give at once. Any thread.
  uint32_t ready() const { return ready_count_.load(std::memory_order_acquire); }
  // Whether the last try to prepare a segment met a full disk. Any thread.
  bool full() const { return full_.load(std::memory_order_acquire); }

 private:
  using Lock = std::unique_lock<std::mutex>;

  void thread_main();
  // One piece of work; false if there is none. Unlocked while it uses the disk.
  bool step(Lock& lock);
  void run_inline(Lock& lock);
  bool wants_segment() const;
  void prepare(Lock& lock);
  void discard(Lock& lock);
  void delete_spares();
  void prepared(Lock& lock, Result<Segment> segment);
  Result<Segment> make_segment(uint32_t number, const std::optional<std::string>& spare);
  Result<std::unique_ptr<File>> create_zero_filled(const std::string& path);
  Result<> put_away(uint32_t number, bool keep);
  void notify();

  FileSystem& files_;
  const std::string directory_;
  const SegmentHeader header_;
  const JournalOptions& options_;
  const std::atomic<Position>& synced_;
  JournalFailure& failure_;

  std::mutex mutex_;
  std::condition_variable work_;   // for the thread
  std::condition_variable taken_;  // for take()
  uint32_t next_number_;
  std::deque<Segment> ready_;
  std::deque<uint32_t> retired_;
  std::deque<std::string> spares_;
  std::deque<std::function<void()>> tasks_;
  std::optional<Error> full_error_;
  uint32_t failed_tries_ = 0;
  bool retry_now_ = false;
  bool stopping_ = false;
  std::atomic<uint32_t> ready_count_{0};
  std::atomic<bool> full_{false};
  std::thread thread_;
};

}  // namespace capstan::lmdb_store
