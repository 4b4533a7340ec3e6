#include "lmdb-store/journal_sync.h"

#include <utility>

#include "base/clock.h"

namespace capstan::lmdb_store {

JournalSync::JournalSync(const JournalOptions& options, Position start, JournalFailure& failure)
    : options_(options), failure_(failure), written_(start), target_(start), synced_(start) {}

JournalSync::~JournalSync() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  requested_changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void JournalSync::wrote(const std::shared_ptr<File>& file, Position written) {
  if (written_files_.empty() || written_files_.back() != file) written_files_.push_back(file);
  written_ = written;
}

void JournalSync::hand_over() {
  const std::lock_guard lock(mutex_);
  for (auto& file : written_files_) {
    if (files_.empty() || files_.back() != file) files_.push_back(std::move(file));
  }
  written_files_.clear();
  target_ = written_;
}

void JournalSync::sync_handed_over() {
  const std::lock_guard one_at_a_time(sync_mutex_);
  std::vector<std::shared_ptr<File>> files;
  Position target = 0;
  {
    const std::lock_guard lock(mutex_);
    files.swap(files_);
    target = target_;
  }
  if (failure_.failed() || files.empty()) return;
  const int64_t begin_ns = monotonic_ns();
  for (const auto& file : files) {
    Result<> done = file->datasync();
    if (!done) return failure_.fail(done.error());
  }
  last_sync_ns_.store(monotonic_ns() - begin_ns, std::memory_order_relaxed);
  synced_.store(target, std::memory_order_release);
}

Result<> JournalSync::sync() {
  hand_over();
  sync_handed_over();
  if (failure_.failed()) return failure_.error();
  return {};
}

void JournalSync::request() {
  hand_over();
  if (!options_.background) {
    sync_handed_over();
    if (options_.on_event) options_.on_event();
    return;
  }
  if (!thread_.joinable()) thread_ = std::thread([this] { thread_main(); });
  {
    const std::lock_guard lock(mutex_);
    requested_ = true;
  }
  requested_changed_.notify_one();
}

void JournalSync::thread_main() {
  std::unique_lock lock(mutex_);
  for (;;) {
    requested_changed_.wait(lock, [this] { return requested_ || stopping_; });
    if (stopping_) return;
    requested_ = false;
    lock.unlock();
    sync_handed_over();
    if (options_.on_event) options_.on_event();
    lock.lock();
  }
}

}  // namespace capstan::lmdb_store
