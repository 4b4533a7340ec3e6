// The row table's index: row key → row, a hash table of many small open-addressing tables that grow one by one, so that
// growth never stops a worker for long (one big table stalled it for 0.6 s at ten million rows). An entry is a 16-bit
// tag of the hash and a pointer; an entry's home is proportional to its tag, so growing reads no row.
//
// Finds rows by (database, key) for key rows and by key alone for element rows; owns no row. One worker's.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "lmdb-store/row.h"

namespace capstan::lmdb_store {

class RowTable {
 public:
  RowTable() : parts_(kParts) {}
  ~RowTable();
  RowTable(const RowTable&) = delete;
  RowTable& operator=(const RowTable&) = delete;

  // hash: 64-bit hash of the key, of which the lower 40 bits are used; database: bits 56–63 of the row's sort key.
  // nullptr if there is none.
  TableRow* find(uint8_t database, std::string_view key, uint64_t hash) const;
  // What find() reads, step by step: a caller with several keys in hand takes each step for all of them before the
  // next, and waits for memory once rather than once per key and step.
  void prefetch_part(uint64_t hash) const { __builtin_prefetch(&parts_[part_of(hash)]); }
  void prefetch_entry(uint64_t hash) const {
    const Part& part = parts_[part_of(hash)];
    if (part.capacity != 0) __builtin_prefetch(&part.entries[home(tag_of(hash), part.capacity)]);
  }
  // The first row that may be the key's; nullptr if there is none.
  const TableRow* prefetch_row(uint64_t hash) const;
  // Every key row with this sort key (nearly always one).
  template <typename Visit>
  void for_each_at(uint64_t sort_key, Visit&& visit) const;
  // Precondition: no row of that key is in the table.
  void insert(TableRow* row, uint64_t hash);
  // Puts another row of the same key in the place of `row`, which is in the table.
  void replace(const TableRow* row, TableRow* with, uint64_t hash);
  // Precondition: row is in the table.
  void erase(const TableRow* row, uint64_t hash);

  size_t size() const { return size_; }
  // Bytes of the index itself.
  size_t index_bytes() const { return index_bytes_ + parts_.size() * sizeof(Part); }

  // The clock hand's walk: calls visit(row) for the next rows, about `count` of them; visit returns true to have the
  // row taken out of the table (the caller then owns it).
  template <typename Visit>
  void sweep(size_t count, Visit&& visit);
  template <typename Visit>
  void for_each(Visit&& visit) const;

 private:
  using Entry = uint64_t;  // tag in the upper 16 bits, pointer in the lower 48; 0: empty, kErased: was there
  static constexpr Entry kErased = 1;
  static constexpr size_t kParts = 8192;

  struct Part {
    std::unique_ptr<Entry[]> entries;
    uint32_t capacity = 0;
    uint32_t taken = 0;  // live and erased
  };

  static size_t part_of(uint64_t hash) { return (hash >> 27) & (kParts - 1); }
  static uint64_t tag_of(uint64_t hash) { return (hash >> 11) & 0xffff; }
  static TableRow* row_of(Entry entry) {
    return reinterpret_cast<TableRow*>(entry & 0xffff'ffff'ffff);  // NOLINT(performance-no-int-to-ptr): tag and pointer
  }
  static bool live(Entry entry) { return entry > kErased; }
  static uint32_t home(uint64_t tag, uint32_t capacity) { return static_cast<uint32_t>((tag * capacity) >> 16); }
  static Entry make_entry(uint64_t tag, const TableRow* row) { return tag << 48 | reinterpret_cast<uintptr_t>(row); }
  Entry* find_entry(const TableRow* row, uint64_t hash);
  void grow(Part& part);
  static void place(Part& part, Entry entry);

  std::vector<Part> parts_;
  size_t size_ = 0;
  size_t index_bytes_ = 0;
  size_t hand_ = 0;
};

template <typename Visit>
void RowTable::sweep(size_t count, Visit&& visit) {
  size_t seen = 0;
  for (size_t turned = 0; seen < count && turned < kParts; ++turned) {
    Part& part = parts_[hand_];
    hand_ = (hand_ + 1) % kParts;
    for (uint32_t i = 0; i < part.capacity; ++i) {
      if (!live(part.entries[i])) continue;
      ++seen;
      if (!visit(row_of(part.entries[i]))) continue;
      part.entries[i] = kErased;
      --size_;
    }
  }
}

template <typename Visit>
void RowTable::for_each_at(uint64_t sort_key, Visit&& visit) const {
  const Part& part = parts_[part_of(sort_key)];
  if (part.capacity == 0) return;
  const uint64_t tag = tag_of(sort_key);
  for (uint32_t i = home(tag, part.capacity); part.entries[i] != 0; i = i + 1 == part.capacity ? 0 : i + 1) {
    const Entry entry = part.entries[i];
    if (entry >> 48 == tag && live(entry) && row_of(entry)->sort_key == sort_key) visit(row_of(entry));
  }
}

template <typename Visit>
void RowTable::for_each(Visit&& visit) const {
  for (const Part& part : parts_) {
    for (uint32_t i = 0; i < part.capacity; ++i) {
      if (live(part.entries[i])) visit(row_of(part.entries[i]));
    }
  }
}

}  // namespace capstan::lmdb_store
