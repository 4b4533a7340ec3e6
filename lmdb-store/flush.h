// A flush: writes the rows that changed since the last one to LMDB, in key order, with the clock that they stand for.
// It runs on the flush thread while the worker goes on: the rows it was given do not change meanwhile (row.h).
//
// Memory is bounded: the rows go in several durable transactions of at most batch_pages copied pages each, and the
// clock only with the last. After a crash in between, LMDB holds some rows newer than its clock. That is the state of a
// rebuild (model, "Rebuild"): each row as of a clock between the last flush and this one, the journal complete up to
// this one and synced before. Replaying the records above LMDB's clock (Replay::kYes) leads to the same state. Slot
// statistics and the expiry index are changed in the transaction that changes the rows, so they always fit the rows.
// Chunks of long strings and the key rows that name them must go together: where there are chunks, all is one
// transaction.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "lmdb-store/dirty_set.h"
#include "lmdb-store/journal_format.h"
#include "lmdb-store/log_dictionary.h"
#include "lmdb-store/row_key.h"
#include "lmdb-store/slot_statistics.h"
#include "lmdb-store/store.h"
#include "lmdb-store/string_form.h"
#include "quorum/clock.h"
#include "quorum/record.h"

namespace capstan::lmdb_store {

// What a row counts for: in the statistics of its slot and in the expiry index.
struct RowStanding {
  bool exists = false;  // the key exists (it has more than a TTL)
  uint64_t digest = 0;
  int64_t expire_at_ms = kNeverExpires;
  uint64_t generation = 0;  // of its chunks; 0: none

  bool expiring() const { return exists && expire_at_ms != kNeverExpires; }
};
// What the row's slot gains when one takes the place of the other.
inline SlotStatistic slot_change(const RowStanding& before, const RowStanding& after) {
  return {after.digest - before.digest, uint64_t{after.exists} - uint64_t{before.exists},
          uint64_t{after.expiring()} - uint64_t{before.expiring()}};
}
// hash: hash64 of the key. An empty payload stands for nothing.
RowStanding standing_of(const StringForm& form, uint64_t hash, const LogDictionary& logs);
RowStanding standing_of(std::string_view payload, uint64_t hash, const LogDictionary& logs);

// Log R as the shard last promised to go on with it (model, "Identities").
struct AgreedLog {
  LogId id;
  std::string boot;               // of the system during which records were appended to it
  bool tail_may_be_lost = false;  // if that system crashes

  bool operator==(const AgreedLog&) const = default;
};

// What LMDB's meta table says about the state it holds.
struct StoredState {
  Clock applied;
  Hlc stamp;
  AgreedLog agreed;
  Position position = 0;  // everything of the shard below it in the journals is contained
  uint64_t next_generation = 1;
  std::vector<LogId> logs;
};
Result<StoredState> read_state(ReadView& view);

class FlushJob {
 public:
  FlushJob(Store& store, const RowKeys& row_keys, uint64_t batch_pages)
      : store_(store), row_keys_(row_keys), batch_pages_(batch_pages) {}

  // Filled by the keyspace before run().
  DirtySet rows;
  StoredState state;
  std::array<bool, kDatabases> cleared{};  // erased before anything is written
  uint64_t bytes = 0;                      // of the rows, in memory

  // On the flush thread. On an error LMDB holds what the transactions before it wrote.
  Result<> run();
  // Any thread.
  bool done() const { return done_.load(std::memory_order_acquire); }
  // Once done.
  const Result<>& result() const { return result_; }
  uint64_t rows_written() const { return rows_written_; }

 private:
  Result<> write_all();
  Result<> begin();
  // Commits and begins anew when the transaction has grown large.
  Result<> next_batch_if_full();
  Result<> clear_database(Database database);
  Result<> write_elements();
  Result<> write_keys();
  Result<> write_key(const TableRow& row);
  Result<> put_payload(Table table, const RowKey& key, std::string_view id, std::string_view payload);
  Result<> erase_generation(uint64_t generation);
  Result<> count(uint64_t sort_key, const RowStanding& before, const RowStanding& after);
  Result<> update_expiry(std::string_view row_key, const RowStanding& before, const RowStanding& after);
  Result<> write_slot();
  Result<> write_logs();
  Result<> write_state();

  Store& store_;
  const RowKeys& row_keys_;
  const uint64_t batch_pages_;
  LogDictionary logs_;
  std::unique_ptr<WriteBatch> batch_;
  // The slot that is being written and how it changes.
  static constexpr uint64_t kNoSlot = ~uint64_t{0};
  uint64_t slot_prefix_ = kNoSlot;  // sort key >> 40
  SlotStatistic slot_change_;
  uint64_t rows_written_ = 0;
  Result<> result_;
  std::atomic<bool> done_{false};
};

}  // namespace capstan::lmdb_store
