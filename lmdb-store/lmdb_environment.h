// A Store on disk: one LMDB environment in a directory of its own, one named database per Table.
//
// Commits are durable (LMDB syncs the data, then the meta page). The map is read-only (no MDB_WRITEMAP): a full disk is
// an error of write(), never a SIGBUS. The map starts small and grows by reopening the environment at a moment without
// transactions: write() sees to it that there is room for what the caller expects, and makes the map twice as large
// after a batch that found it full. LMDB keeps the memory of its largest batch for the next one; release_memory() gives
// it back.
//
// One process writes an environment; others may read it meanwhile (Options::read_only). A page that a read finds
// corrupt stops the process: no answer would be right. Threads: as store.h says; the other functions may be called from
// any thread unless they say otherwise.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "lmdb-store/store.h"

struct MDB_env;
struct MDB_txn;

namespace capstan::lmdb_store {

class LmdbEnvironment final : public Store {
 public:
  struct Options {
    uint64_t min_map_bytes = uint64_t{64} << 20;
    unsigned max_readers = 254;  // views open at one time, those of other processes included
    bool read_only = false;      // an environment that exists; write() is a CHECK
  };
  struct TableStatistics {
    uint64_t entries = 0;
    unsigned depth = 0;
    uint64_t branch_pages = 0;
    uint64_t leaf_pages = 0;
    uint64_t overflow_pages = 0;
  };
  struct Statistics {
    uint64_t file_bytes = 0;  // pages in use and free ones
    uint64_t used_bytes = 0;  // pages in use by the tables
    uint64_t map_bytes = 0;
    unsigned page_bytes = 0;
    std::array<TableStatistics, kTables> tables;
  };

  // Creates the directory (its parent must exist) and the environment if they are not there, unless read_only.
  // Errors: kNotFound (read_only), kIo, kFull, kCorrupt (not an environment of ours, or of another format).
  static Result<std::unique_ptr<LmdbEnvironment>> open(std::string directory, const Options& options);
  ~LmdbEnvironment() override;

  Result<std::unique_ptr<ReadView>> read() override;
  Result<std::unique_ptr<WriteBatch>> write(uint64_t expected_bytes = 0) override;
  bool needs_growth() const override { return map_was_full_.load(std::memory_order_relaxed); }
  uint64_t size_bytes() const override { return file_bytes_.load(std::memory_order_relaxed); }

  Result<Statistics> statistics();
  // Writes a compact, synced copy of the committed state into `directory`, which must not exist. That takes one long
  // view: the file grows by what is written meanwhile.
  Result<> copy_to(const std::string& directory);
  // Frees what LMDB keeps of past batches. Waits for the open views to end; from the thread that writes, not while a
  // batch lives (CHECK).
  Result<> release_memory();

 private:
  friend class LmdbView;
  friend class LmdbBatch;

  LmdbEnvironment(std::string directory, const Options& options);

  Result<> open_environment(uint64_t map_bytes);
  int open_tables();
  void close_environment();
  // Closes and opens again, with a map of at least `map_bytes`, at a moment without views.
  Result<> reopen(uint64_t map_bytes);
  Result<> make_room(uint64_t expected_bytes);
  Result<MDB_txn*> begin_read();
  void end_read(MDB_txn* txn, bool reusable);
  Error error(int code, const char* what) const;
  // Remembers what the next write() has to do about it.
  Error write_error(int code, const char* what);
  void end_write() { writing_.store(false, std::memory_order_release); }
  void update_size();

  const std::string directory_;
  const Options options_;

  // Changed only by reopen(), when there is neither a view nor a batch.
  MDB_env* env_ = nullptr;  // null if reopening failed
  std::array<unsigned, kTables> tables_{};
  uint64_t map_bytes_ = 0;

  std::atomic<uint64_t> file_bytes_{0};
  std::atomic<bool> map_was_full_{false};
  std::atomic<bool> writing_{false};
  // The writer's.
  bool batch_failed_ = false;
  std::optional<Error> fatal_;  // no batch may follow

  std::mutex mutex_;  // guards what follows
  std::condition_variable views_end_;
  std::condition_variable gate_opens_;
  bool gate_closed_ = false;  // new views wait
  unsigned views_ = 0;
  std::vector<MDB_txn*> idle_reads_;  // reset, with their reader slots; renewed by the next views
};

}  // namespace capstan::lmdb_store
