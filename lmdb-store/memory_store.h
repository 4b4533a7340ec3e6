// A Store in memory, for tests and simulation: the same semantics as LmdbEnvironment's, nothing durable. A batch copies
// each table that it changes, so it is for small states.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "lmdb-store/store.h"

namespace capstan::lmdb_store {

class MemoryStore final : public Store {
 public:
  Result<std::unique_ptr<ReadView>> read() override;
  Result<std::unique_ptr<WriteBatch>> write(uint64_t expected_bytes = 0) override;
  bool needs_growth() const override { return false; }
  uint64_t size_bytes() const override { return size_bytes_.load(std::memory_order_relaxed); }

  // The `count` commits after the next `after` ones fail with `code`, and leave nothing behind. After kIo or kCorrupt,
  // none succeeds any more. From the thread that writes.
  void fail_commits(uint64_t after, ErrorCode code, uint64_t count = 1);

 private:
  friend class MemoryView;
  friend class MemoryBatch;

  using Entries = std::map<std::string, std::string, std::less<>>;
  using Snapshot = std::array<std::shared_ptr<const Entries>, kTables>;

  Snapshot snapshot();
  // Consumes one planned failure.
  std::optional<Error> planned_failure();

  std::mutex mutex_;
  Snapshot committed_;  // null: empty; guarded by mutex_
  std::atomic<uint64_t> size_bytes_{0};
  std::atomic<bool> writing_{false};
  // The writer's.
  uint64_t failures_after_ = 0;
  uint64_t failures_ = 0;
  ErrorCode failure_code_ = ErrorCode::kFull;
  std::optional<Error> fatal_;
};

}  // namespace capstan::lmdb_store
