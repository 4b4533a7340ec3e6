#include "lmdb-store/dirty_set.h"

#include <algorithm>

#include "base/check.h"

namespace capstan::lmdb_store {

void DirtySet::add(TableRow* row, size_t index) {
  auto& database = databases_[index / kBucketsPerDatabase];
  if (!database) [[unlikely]]
    database = std::make_unique<DatabaseBuckets>();
  row->bucket = static_cast<uint16_t>(index);
  row->turn = database->turns[index % kBucketsPerDatabase];
  Bucket& its = bucket(row);
  its.bytes += row->allocated_bytes();
  bytes_ += row->allocated_bytes();
  Rows& named = rows(its, row);
  row->dirty_index = static_cast<uint32_t>(named.size());
  named.push_back(row);
  ++size_;
}

void DirtySet::replace(const TableRow* row, TableRow* with) {
  Bucket& its = bucket(row);
  its.bytes += with->allocated_bytes() - row->allocated_bytes();
  bytes_ += with->allocated_bytes() - row->allocated_bytes();
  Rows& named = rows(its, row);
  CHECK(row->dirty_index < named.size() && named[row->dirty_index] == row);
  with->bucket = row->bucket;
  with->turn = row->turn;
  with->dirty_index = row->dirty_index;
  named[row->dirty_index] = with;
}

DirtySet::Bucket DirtySet::take(size_t bucket) {
  auto& database = databases_[bucket / kBucketsPerDatabase];
  if (!database) return {};
  const size_t index = bucket % kBucketsPerDatabase;
  Bucket taken = std::exchange(database->buckets[index], {});
  if (taken.size() == 0) return taken;
  database->sorted[index] = 0;
  ++database->turns[index];
  size_ -= taken.size();
  bytes_ -= taken.bytes;
  return taken;
}

// The turns go on: a flush may still have rows of the database.
void DirtySet::drop(Database database) {
  if (!databases_[database]) return;
  for (size_t index = 0; index < kBucketsPerDatabase; ++index) take(database * kBucketsPerDatabase + index);
}

const DirtySet::Rows& DirtySet::sorted_key_rows(size_t bucket) {
  static const Rows kNone;
  auto& database = databases_[bucket / kBucketsPerDatabase];
  if (!database) return kNone;
  Rows& rows = database->buckets[bucket % kBucketsPerDatabase].keys;
  uint32_t& sorted = database->sorted[bucket % kBucketsPerDatabase];
  if (sorted == rows.size()) return rows;
  std::sort(rows.begin() + sorted, rows.end(), in_key_order);
  std::inplace_merge(rows.begin(), rows.begin() + sorted, rows.end(), in_key_order);
  for (uint32_t i = 0; i < rows.size(); ++i) rows[i]->dirty_index = i;
  sorted = static_cast<uint32_t>(rows.size());
  return rows;
}

}  // namespace capstan::lmdb_store
