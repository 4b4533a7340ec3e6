// The rows that a flush will write: those that changed since the last one began. Unordered where commands touch it;
// bucketed by database and slot range, so that a flush, and a range read that needs order, sorts little at a time.
// One worker's; handed to the flush thread as a whole.
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
  using Bucket = std::vector<TableRow*>;

  // Names the row; its dirty_index says where.
  void add(TableRow* row);
  // Another row of the same key takes the place of one that was added.
  void replace(const TableRow* row, TableRow* with);

  // Forgets the key rows of a database.
  void drop(Database database);

  // Key rows of one bucket, in no order; nullptr if there are none. index = bucket_of(sort_key).
  const Bucket* key_rows(size_t index) const;
  const Bucket& element_rows() const { return elements_; }
  static size_t bucket_of(uint64_t sort_key) {
    const size_t database = sort_key >> 56, slot = (sort_key >> 40) & 0xffff;
    return database * kBucketsPerDatabase + slot / kSlotsPerBucket;
  }
  static constexpr size_t kBuckets = size_t{kDatabases} * kBucketsPerDatabase;

  // The same in key order; sorts what was added since the last call.
  const Bucket& sorted_key_rows(size_t index);

  // Visits every row once, some per call; what was visited may be freed.
  class Walk {
   public:
    void reset() { *this = {}; }
    // Visits up to `count` rows; true if there are more.
    template <typename Visit>
    bool take(const DirtySet& set, size_t count, Visit&& visit);

   private:
    size_t bucket_ = 0;  // kBuckets: the element rows
    size_t index_ = 0;
  };

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

 private:
  struct DatabaseBuckets {
    std::vector<Bucket> buckets{kBucketsPerDatabase};
    std::vector<uint32_t> sorted = std::vector<uint32_t>(kBucketsPerDatabase);  // so many of each are in order
  };
  Bucket& bucket(const TableRow* row);

  std::unique_ptr<DatabaseBuckets> databases_[kDatabases];
  Bucket elements_;
  size_t size_ = 0;
};

// Key order: sort key, then the key's bytes.
inline bool in_key_order(const TableRow* a, const TableRow* b) {
  return a->sort_key != b->sort_key ? a->sort_key < b->sort_key : a->key() < b->key();
}

template <typename Visit>
bool DirtySet::Walk::take(const DirtySet& set, size_t count, Visit&& visit) {
  while (bucket_ <= kBuckets) {
    const Bucket* rows = bucket_ == kBuckets ? &set.elements_ : set.key_rows(bucket_);
    for (; rows && index_ < rows->size(); ++index_) {
      if (count-- == 0) return true;
      visit((*rows)[index_]);
    }
    ++bucket_;
    index_ = 0;
  }
  return false;
}

}  // namespace capstan::lmdb_store
