#include "lmdb-store/row_table.h"

namespace capstan::lmdb_store {

namespace {
constexpr size_t kCacheLineBytes = 64;
}

RowTable::~RowTable() = default;

TableRow* RowTable::find(uint8_t database, std::string_view key, uint64_t hash) const {
  const Part& part = parts_[part_of(hash)];
  if (part.capacity == 0) return nullptr;
  const uint64_t tag = tag_of(hash);
  const Entry* entries = part.entries.get();
  for (uint32_t i = home(tag, part.capacity);; i = i + 1 == part.capacity ? 0 : i + 1) {
    const Entry entry = entries[i];
    if (entry == 0) return nullptr;
    if (entry >> 48 != tag || !live(entry)) continue;
    TableRow* row = row_of(entry);
    if (row->sort_key >> 56 == database && row->key() == key) return row;
  }
}

const TableRow* RowTable::prefetch_row(uint64_t hash) const {
  const Part& part = parts_[part_of(hash)];
  if (part.capacity == 0) return nullptr;
  const uint64_t tag = tag_of(hash);
  for (uint32_t i = home(tag, part.capacity);; i = i + 1 == part.capacity ? 0 : i + 1) {
    const Entry entry = part.entries[i];
    if (entry == 0) return nullptr;
    if (entry >> 48 != tag || !live(entry)) continue;
    const TableRow* const row = row_of(entry);
    __builtin_prefetch(row);
    __builtin_prefetch(reinterpret_cast<const char*>(row) + kCacheLineBytes);
    return row;
  }
}

void RowTable::insert(TableRow* row, uint64_t hash) {
  Part& part = parts_[part_of(hash)];
  // At 7/8 taken a probe that misses still looks at a cache line or two.
  if ((part.taken + 1) * 8 > part.capacity * 7) grow(part);
  place(part, make_entry(tag_of(hash), row));
  ++size_;
}

void RowTable::place(Part& part, Entry entry) {
  uint32_t i = home(entry >> 48, part.capacity);
  while (part.entries[i] != 0) i = i + 1 == part.capacity ? 0 : i + 1;
  part.entries[i] = entry;
  ++part.taken;
}

RowTable::Entry* RowTable::find_entry(const TableRow* row, uint64_t hash) {
  Part& part = parts_[part_of(hash)];
  const Entry wanted = make_entry(tag_of(hash), row);
  CHECK(part.capacity != 0);
  for (uint32_t i = home(wanted >> 48, part.capacity);; i = i + 1 == part.capacity ? 0 : i + 1) {
    CHECK(part.entries[i] != 0, "the row is not in the table");
    if (part.entries[i] == wanted) return &part.entries[i];
  }
}

void RowTable::replace(const TableRow* row, TableRow* with, uint64_t hash) {
  *find_entry(row, hash) = make_entry(tag_of(hash), with);
}

void RowTable::erase(const TableRow* row, uint64_t hash) {
  *find_entry(row, hash) = kErased;
  --size_;
}

// By a quarter, rounded up to an allocator's size class: on average 7 % of the index is slack, and what is erased goes.
void RowTable::grow(Part& part) {
  uint32_t live_entries = 0;
  for (uint32_t i = 0; i < part.capacity; ++i) live_entries += live(part.entries[i]) ? 1 : 0;
  const size_t wanted = live_entries + live_entries / 4 + 4;
  Part bigger;
  bigger.capacity = static_cast<uint32_t>(TableRow::size_class(wanted * sizeof(Entry)) / sizeof(Entry));
  bigger.entries = std::make_unique<Entry[]>(bigger.capacity);
  for (uint32_t i = 0; i < part.capacity; ++i) {
    if (live(part.entries[i])) place(bigger, part.entries[i]);
  }
  index_bytes_ += (size_t{bigger.capacity} - part.capacity) * sizeof(Entry);
  part = std::move(bigger);
}

}  // namespace capstan::lmdb_store
