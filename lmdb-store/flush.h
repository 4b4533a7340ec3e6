// A flush: writes the rows that changed to LMDB, in key order, and then the clock that LMDB stands for. It runs on the
// flush thread while the worker goes on, in parts: each job takes some buckets of changed rows (dirty_set.h), and only
// these do not change meanwhile (row.h). A round of jobs takes every bucket once. The clock and the journal's position
// are those of the round's beginning, when every row still to be taken was at least that new, and come with the last
// transaction of its last job.
//
// So LMDB usually holds rows newer than its clock. That is the state of a rebuild (model, "Rebuild"): each row as of a
// clock between the stored one and that of its job, the journal complete up to there, because it is synced before a job
// begins. Replaying the records above LMDB's clock (Replay::kYes) leads to the same state. It is also what makes a
// crash at any point, several transactions per job and giving up a round harmless. Slot statistics and the expiry index
// are changed in the transaction that changes the rows, so they always fit the rows; what rows may refer to (logs,
// generations, the newest records) comes with the first transaction of a job. Chunks of long strings and the key rows
// that name them must go together: a bucket with chunks is written in one transaction.
//
// Memory is bounded: a transaction that has copied batch_pages pages is committed.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "lmdb-store/collection.h"
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
  uint64_t generation = 0;  // of its chunks or pages; 0: none
  bool pages = false;

  bool expiring() const { return exists && expire_at_ms != kNeverExpires; }
};
// What the row's slot gains when one takes the place of the other.
inline SlotStatistic slot_change(const RowStanding& before, const RowStanding& after) {
  return {after.digest - before.digest, uint64_t{after.exists} - uint64_t{before.exists},
          uint64_t{after.expiring()} - uint64_t{before.expiring()}};
}
// hash: hash64 of the key. An empty payload stands for nothing.
RowStanding standing_of(const StringForm& form, uint64_t hash, const LogDictionary& logs);
RowStanding standing_of(const CollectionForm& form);
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
  std::string group;      // what belongs to the state where several replicas agree on log R; opaque here, else empty
  uint64_t next_generation = 1;
  std::vector<LogId> logs;
  // No row is newer than these.
  Clock newest;
  Hlc newest_stamp;
};
Result<StoredState> read_state(ReadView& view);

class FlushJob {
 public:
  FlushJob(Store& store, const RowKeys& row_keys, uint64_t batch_pages)
      : store_(store), row_keys_(row_keys), batch_pages_(batch_pages) {}

  // Filled by the keyspace before run().
  size_t first_bucket = 0;
  std::vector<DirtySet::Bucket> buckets;   // from the first on, without a gap
  std::vector<CollectionJob> collections;  // ascending by bucket
  std::array<bool, kDatabases> cleared{};  // erased before anything is written
  uint64_t bytes = 0;                      // of the rows, in memory
  StoredState state;                       // up to `position` as of the round's beginning, the rest as of the job's
  bool last = false;                       // of its round: the state holds when this job has ended

  // The rows of a bucket; nullptr: it is not this job's.
  const DirtySet::Bucket* bucket(size_t index) const {
    return index - first_bucket < buckets.size() ? &buckets[index - first_bucket] : nullptr;
  }

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
  // Commits and begins anew; when the transaction has grown large.
  Result<> next_batch();
  Result<> next_batch_if_full();
  Result<> commit();
  Result<> mark_unnamed();
  Result<> name_generation(uint64_t generation);
  Result<> clear_database(Database database);
  Result<> write_bucket(size_t index);
  Result<> erase_orphans();
  Result<> write_pages(const CollectionJob& collection);
  Result<> forget_pages(const CollectionJob& collection);
  Result<> write_key(const TableRow& row);
  Result<> put_payload(Table table, const RowKey& key, std::string_view id, std::string_view payload);
  // Chunks and pages that no key row names any more.
  Result<> forget_generation(const RowStanding& standing);
  enum class Together : bool { kNo, kYes };
  Result<> erase_elements(uint64_t generation, uint64_t from_page, Together together);
  Result<> erase_marked(std::string_view mark);
  Result<> count(uint64_t sort_key, const RowStanding& before, const RowStanding& after);
  Result<> update_expiry(std::string_view row_key, const RowStanding& before, const RowStanding& after);
  Result<> write_slot();
  Result<> write_names();
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
  // Of the bucket that is being written: its collections, and of those the ones that key rows of this batch name.
  size_t first_collection_ = 0;
  size_t next_collection_ = 0;
  std::vector<CollectionJob*> naming_;
  std::string encoded_;
  uint64_t rows_written_ = 0;
  Result<> result_;
  std::atomic<bool> done_{false};
};

}  // namespace capstan::lmdb_store
