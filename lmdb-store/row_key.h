// The keys of LMDB's entries, and what of them goes into the values. FORMAT.md ("LMDB environment") gives the bytes.
//
// Rows of all kinds have one form: a word of 64 bits that orders them, then an id of any length:
//   key row      word = sort_key(…)            id = the key
//   element row  word = the key's generation   id = the element's
//   chunk row    word = the key's generation   id = chunk_id(number)
//   expiry row   word = time in ms             id = the row_key of the key row
// In LMDB that is the word, big-endian, and the id. LMDB's keys end at 511 bytes: of an id that would reach that length
// there stand its beginning and a keyed hash of the whole, 511 bytes in all, and the id itself stands in front of the
// row's value. The key of that hash is random and drawn when the environment is created, so nobody can look for ids
// that collide.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "base/slot.h"
#include "lmdb-store/store.h"

namespace capstan::lmdb_store {

// Where a key stands: [database: 8 bits][slot: 16][the low 40 bits of hash64(key)]. Numeric order is the order on disk.
inline constexpr unsigned kSortHashBits = 40;
inline constexpr uint64_t sort_key(Database database, Slot slot, uint64_t key_hash) {
  return uint64_t{database} << 56 | uint64_t{slot} << kSortHashBits | (key_hash & ((uint64_t{1} << kSortHashBits) - 1));
}
inline constexpr Database sort_key_database(uint64_t sort_key) { return static_cast<Database>(sort_key >> 56); }
inline constexpr Slot sort_key_slot(uint64_t sort_key) { return static_cast<Slot>(sort_key >> kSortHashBits); }
inline constexpr uint64_t sort_key_hash(uint64_t sort_key) { return sort_key & ((uint64_t{1} << kSortHashBits) - 1); }

// The bytes of an LMDB key, without an allocation.
class RowKey {
 public:
  operator std::string_view() const { return view(); }
  std::string_view view() const { return {bytes_.data(), size_}; }
  // The id stands in front of the value.
  bool shortened() const { return size_ == kMaxKeyBytes; }

 private:
  friend class RowKeys;
  std::array<char, kMaxKeyBytes> bytes_;
  size_t size_ = 0;
};

// A row as it lies in a table. The views point into the entry's key and value.
struct StoredRow {
  uint64_t word = 0;
  std::string_view id;
  std::string_view payload;
};

// The longest id that stands in the LMDB key in full.
inline constexpr size_t kMaxPlainIdBytes = kMaxKeyBytes - 8 - 1;

// The key of the environment's hash.
using RowSecret = std::array<char, 192>;
// From the operating system's random source.
RowSecret new_row_secret();

// Encodes and decodes the row keys of one environment. Immutable; any thread.
class RowKeys {
 public:
  explicit RowKeys(const RowSecret& secret) : secret_(secret) {}
  // With the secret of the store; if it has none yet, `secret` becomes it. From the thread that writes.
  // Errors: those of the store, and kCorrupt if the secret is damaged.
  static Result<RowKeys> open(Store& store, const RowSecret& secret);
  // Does not write. kNotFound if the store has no secret yet.
  static Result<RowKeys> open(ReadView& view);

  RowKey row_key(uint64_t word, std::string_view id) const;

 private:
  RowSecret secret_;
};

// Size of the value of a row with this payload.
size_t row_value_size(const RowKey& key, std::string_view id, size_t payload_size);
// Writes the value's bytes in front of the payload; returns where the payload goes.
char* start_row_value(const RowKey& key, std::string_view id, char* value);
// Room for the row's payload, which the caller writes as WriteBatch::reserve says; `key` is that of `id`.
Result<char*> reserve_row(WriteBatch& batch, Table table, const RowKey& key, std::string_view id, size_t payload_size);
Result<> put_row(WriteBatch& batch, Table table, const RowKey& key, std::string_view id, std::string_view payload);

// kCorrupt if no row can have these bytes.
Result<StoredRow> decode_row(std::string_view key, std::string_view value);
// The payload of the row that was looked up with `key`, the key of `id`; CHECKs that it is this id's.
std::string_view row_payload(const RowKey& key, std::string_view id, std::string_view value);

// Big-endian, so that the chunks of a long string follow each other.
std::array<char, 4> chunk_id(uint32_t number);

// The key of an entry of Table::kSlots.
using SlotKey = std::array<char, 3>;
SlotKey slot_key(Database database, Slot slot);
inline std::string_view as_view(const SlotKey& key) { return {key.data(), key.size()}; }
inline std::string_view as_view(const std::array<char, 4>& id) { return {id.data(), id.size()}; }

}  // namespace capstan::lmdb_store
