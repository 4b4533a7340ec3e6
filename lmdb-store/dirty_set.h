// The rows that flushes have yet to write, in buckets by database and slot range of their keys, so that a flush takes
// some buckets at a time, and a range read that needs order sorts little at a time. Within a bucket they are unordered
// where commands touch them. A string's chunks are in the bucket of its key: they are flushed together.
//
// One worker's; a bucket that was taken is the flush's (flush.h).
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/slot.h"
#include "lmdb-store/row.h"

namespace capstan::lmdb_store {

class DirtySet {
 public:
  static constexpr size_t kSlotsPerBucket = 16;
  static constexpr size_t kBucketsPerDatabase = kSlots / kSlotsPerBucket;
  static constexpr size_t kBuckets = size_t{kDatabases} * kBucketsPerDatabase;
  using Rows = std::vector<TableRow*>;
  struct Bucket {
    Rows keys;
    Rows elements;
    uint64_t bytes = 0;  // allocated for the rows
    size_t size() const { return keys.size() + elements.size(); }
  };

  // Of a key row's sort key.
  static constexpr size_t bucket_of(uint64_t sort_key) {
    const size_t database = sort_key >> 56, slot = (sort_key >> 40) & 0xffff;
    return database * kBucketsPerDatabase + slot / kSlotsPerBucket;
  }

  // Names the row; it says where it is named.
  void add(TableRow* row, size_t bucket);
  // A dirty row is named here, or else in the flush that took its bucket.
  bool names(const TableRow* row) const {
    return databases_[row->bucket / kBucketsPerDatabase]->turns[row->bucket % kBucketsPerDatabase] == row->turn;
  }
  // Another row of the same key takes the place of one that is named.
  void replace(const TableRow* row, TableRow* with);
  // Brings into the processor's caches what add() writes.
  void prefetch(size_t bucket) const {
    const auto& database = databases_[bucket / kBucketsPerDatabase];
    if (database) __builtin_prefetch(std::to_address(database->buckets[bucket % kBucketsPerDatabase].keys.end()), 1);
  }

  // The bucket's rows; it is empty then.
  Bucket take(size_t bucket);
  // The element rows of a database.
  template <typename Visit>
  void for_each_element(Database database, Visit&& visit) const;
  // Forgets a database.
  void drop(Database database);

  // The bucket's key rows in key order; sorts what was added since the last call.
  const Rows& sorted_key_rows(size_t bucket);

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  uint64_t bytes() const { return bytes_; }

 private:
  struct DatabaseBuckets {
    std::vector<Bucket> buckets{kBucketsPerDatabase};
    std::vector<uint32_t> sorted = std::vector<uint32_t>(kBucketsPerDatabase);  // so many key rows are in order
    std::vector<uint8_t> turns = std::vector<uint8_t>(kBucketsPerDatabase);     // another one after each take
  };
  Bucket& bucket(const TableRow* row) {
    return databases_[row->bucket / kBucketsPerDatabase]->buckets[row->bucket % kBucketsPerDatabase];
  }
  static Rows& rows(Bucket& bucket, const TableRow* row) {
    return row->has(TableRow::kElement) ? bucket.elements : bucket.keys;
  }

  std::unique_ptr<DatabaseBuckets> databases_[kDatabases];
  size_t size_ = 0;
  uint64_t bytes_ = 0;
};

static_assert(DirtySet::kBuckets <= 1 << 16, "a row has 16 bits for its bucket");

// Key order: sort key, then the key's bytes.
inline bool in_key_order(const TableRow* a, const TableRow* b) {
  return a->sort_key != b->sort_key ? a->sort_key < b->sort_key : a->key() < b->key();
}

template <typename Visit>
void DirtySet::for_each_element(Database database, Visit&& visit) const {
  if (!databases_[database]) return;
  for (const Bucket& bucket : databases_[database]->buckets) {
    for (TableRow* row : bucket.elements) visit(row);
  }
}

}  // namespace capstan::lmdb_store
