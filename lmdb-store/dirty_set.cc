#include "lmdb-store/dirty_set.h"

#include <algorithm>

#include "base/check.h"

namespace capstan::lmdb_store {

DirtySet::Bucket& DirtySet::bucket(const TableRow* row) {
  if (row->has(TableRow::kElement)) return elements_;
  const size_t index = bucket_of(row->sort_key);
  auto& database = databases_[index / kBucketsPerDatabase];
  if (!database) database = std::make_unique<DatabaseBuckets>();
  return database->buckets[index % kBucketsPerDatabase];
}

void DirtySet::add(TableRow* row) {
  Bucket& rows = bucket(row);
  row->dirty_index = static_cast<uint32_t>(rows.size());
  rows.push_back(row);
  ++size_;
}

void DirtySet::replace(const TableRow* row, TableRow* with) {
  Bucket& rows = bucket(row);
  CHECK(row->dirty_index < rows.size() && rows[row->dirty_index] == row);
  with->dirty_index = row->dirty_index;
  rows[row->dirty_index] = with;
}

void DirtySet::drop(Database database) {
  if (!databases_[database]) return;
  for (const Bucket& rows : databases_[database]->buckets) size_ -= rows.size();
  databases_[database].reset();
}

const DirtySet::Bucket* DirtySet::key_rows(size_t index) const {
  const auto& database = databases_[index / kBucketsPerDatabase];
  return database ? &database->buckets[index % kBucketsPerDatabase] : nullptr;
}

const DirtySet::Bucket& DirtySet::sorted_key_rows(size_t index) {
  static const Bucket kNone;
  auto& database = databases_[index / kBucketsPerDatabase];
  if (!database) return kNone;
  Bucket& rows = database->buckets[index % kBucketsPerDatabase];
  uint32_t& sorted = database->sorted[index % kBucketsPerDatabase];
  if (sorted == rows.size()) return rows;
  std::sort(rows.begin() + sorted, rows.end(), in_key_order);
  std::inplace_merge(rows.begin(), rows.begin() + sorted, rows.end(), in_key_order);
  for (uint32_t i = 0; i < rows.size(); ++i) rows[i]->dirty_index = i;
  sorted = static_cast<uint32_t>(rows.size());
  return rows;
}

}  // namespace capstan::lmdb_store
