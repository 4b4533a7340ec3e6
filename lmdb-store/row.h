// A row in memory: one allocation with a small header, the key's bytes and the payload, which is byte for byte what
// LMDB holds for that row (FORMAT.md, "Key rows"), so that loading and flushing a row are copies.
//
// Rows belong to the shard's worker. While a flush runs, the flush thread reads sort_key, the key and the payload of
// the rows it was given; the worker leaves those bytes alone (it makes a new row instead) and only touches the other
// fields.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>

#include "base/check.h"

namespace capstan::lmdb_store {

struct TableRow {
  enum Flag : uint8_t {
    kDirty = 1,     // newer than LMDB; in the dirty set, or in the flush that is under way
    kReplaced = 2,  // a newer row took its place in the table while a flush still reads this one
    kUsed = 4,      // used since the clock hand passed
    kElement = 8,   // a row of Table::kElements; else of Table::kKeys
  };

  uint64_t sort_key;  // row_key.h; of an element row its generation
  uint32_t key_bytes;
  uint32_t payload_bytes;  // 0: the row is known to be absent
  uint32_t used_s;         // when it was last used, in seconds of the keyspace's clock
  // While it is dirty (dirty_set.h): its bucket, where the bucket names it, and which of the bucket's turns does.
  uint32_t dirty_index;
  uint16_t bucket;
  uint8_t turn;
  uint8_t flags;

  std::string_view key() const { return {bytes(), key_bytes}; }
  std::string_view payload() const { return {bytes() + key_bytes, payload_bytes}; }
  char* payload_data() { return bytes() + key_bytes; }
  bool absent() const { return payload_bytes == 0; }
  bool has(Flag flag) const { return (flags & flag) != 0; }
  void set(Flag flag) { flags = static_cast<uint8_t>(flags | flag); }
  void unset(Flag flag) { flags = static_cast<uint8_t>(flags & ~flag); }
  size_t allocated_bytes() const { return allocation(key_bytes, payload_bytes); }
  // A payload of that size fits into this allocation and would not waste a smaller one.
  bool fits(size_t bytes_of_payload) const { return allocation(key_bytes, bytes_of_payload) == allocated_bytes(); }

  // A row without payload bytes set; flags 0.
  static TableRow* make(uint64_t sort_key, std::string_view key, size_t payload_bytes);
  static void free(TableRow* row) { ::operator delete(row, row->allocated_bytes()); }

  // Bytes really taken: jemalloc's size classes (four to each doubling, 16 bytes apart at least), so that in-place
  // growth within a class is found without asking the allocator.
  static constexpr size_t size_class(size_t bytes) {
    if (bytes <= 128) return (bytes + 15) & ~size_t{15};
    const size_t step = size_t{1} << (std::bit_width(bytes - 1) - 3);
    return (bytes + step - 1) & ~(step - 1);
  }

 private:
  // sizeof(TableRow) is 32: the four bytes of padding are used, the key begins right behind the last field.
  static constexpr size_t kHeaderBytes = 28;
  static constexpr size_t allocation(size_t key, size_t payload) { return size_class(kHeaderBytes + key + payload); }
  char* bytes() { return reinterpret_cast<char*>(this) + kHeaderBytes; }
  const char* bytes() const { return reinterpret_cast<const char*>(this) + kHeaderBytes; }
};

inline TableRow* TableRow::make(uint64_t sort_key, std::string_view key, size_t payload_bytes) {
  CHECK(key.size() < UINT32_MAX && payload_bytes < UINT32_MAX);
  TableRow* row = static_cast<TableRow*>(::operator new(allocation(key.size(), payload_bytes)));
  row->sort_key = sort_key;
  row->key_bytes = static_cast<uint32_t>(key.size());
  row->payload_bytes = static_cast<uint32_t>(payload_bytes);
  row->used_s = 0;
  row->dirty_index = 0;
  row->bucket = 0;
  row->turn = 0;
  row->flags = 0;
  std::memcpy(row->bytes(), key.data(), key.size());
  return row;
}

static_assert(offsetof(TableRow, flags) + sizeof(TableRow::flags) == 28, "the key follows the header without a gap");

}  // namespace capstan::lmdb_store
