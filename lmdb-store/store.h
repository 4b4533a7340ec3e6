// The port that hides LMDB: a few ordered tables of bytes with one writer and many readers, each reader seeing one
// committed state. lmdb_environment.h implements it on disk, memory_store.h in memory for tests and simulation; both
// pass the same tests (store_test.cc).
//
// Threads: one writer at a time (the flush thread; a second write() while a batch lives is a CHECK; a batch lives and
// ends on the thread that began it), any number of concurrent readers. A ReadView belongs to one thread while it is
// used, and a thread that holds one asks for no other of the same store: growing waits for the open views to end and
// keeps new ones waiting meanwhile. Keep views short for the same reason, and because a long one keeps old pages from
// being reused.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>

#include "base/result.h"

namespace capstan::lmdb_store {

// The numbers are part of the on-disk format (FORMAT.md).
enum class Table : uint8_t {
  kMeta = 0,      // clock of the state, identities, dictionary of logs
  kKeys = 1,      // key rows, in the order database, slot, hash
  kElements = 2,  // rows of large keys: [generation][chunk or page]
  kExpiry = 3,    // [time][key row's key]
  kSlots = 4,     // [database][slot]: key count and sum of key digests (the Merkle leaves)
};
inline constexpr unsigned kTables = 5;

// LMDB's limit for keys; longer ids are shortened by row_key.h.
inline constexpr size_t kMaxKeyBytes = 511;

// Ends before its view. After a step that gave false, and in a WriteBatch after each change, it stands nowhere: the
// next call must be seek() or last().
class Cursor {
 public:
  virtual ~Cursor() = default;
  // To the first entry whose key is ≥ key; false at the end of the table.
  [[nodiscard]] virtual bool seek(std::string_view key) = 0;
  [[nodiscard]] virtual bool next() = 0;
  // To the last entry of the table / the entry before; false if there is none.
  [[nodiscard]] virtual bool last() = 0;
  [[nodiscard]] virtual bool previous() = 0;
  // Valid until the cursor moves, its view ends or, in a WriteBatch, the next change.
  virtual std::string_view key() const = 0;
  virtual std::string_view value() const = 0;
};

class ReadView {
 public:
  virtual ~ReadView() = default;
  // Valid until the view ends or, in a WriteBatch, the next change.
  virtual std::optional<std::string_view> get(Table table, std::string_view key) = 0;
  virtual std::unique_ptr<Cursor> cursor(Table table) = 0;
};

// A transaction. Dropped without commit(), it leaves nothing behind. Changes in key order are the cheapest, and a get()
// of a key just before its put() saves the put() the search.
class WriteBatch : public ReadView {
 public:
  // Sets the value of `key` (1 to kMaxKeyBytes bytes) to `size` bytes that the caller writes where the result points,
  // all of them and before its next call on this batch.
  // Errors: kFull (the disk, or the map: Store::needs_growth()), kIo, kCorrupt. After an error only destruction is
  // allowed.
  [[nodiscard]] virtual Result<char*> reserve(Table table, std::string_view key, size_t size) = 0;
  // `value` must not point into this batch.
  [[nodiscard]] Result<> put(Table table, std::string_view key, std::string_view value) {
    Result<char*> room = reserve(table, key, value.size());
    if (!room) return room.error();
    if (!value.empty()) std::memcpy(*room, value.data(), value.size());
    return {};
  }
  // No error if it is not there.
  [[nodiscard]] virtual Result<> erase(Table table, std::string_view key) = 0;
  // Estimate of the pages this batch has copied so far; each costs 4 KiB of memory until commit.
  virtual uint64_t touched_pages() const = 0;
  // Durable when it returns without error.
  [[nodiscard]] virtual Result<> commit() = 0;
};

class Store {
 public:
  virtual ~Store() = default;
  virtual Result<std::unique_ptr<ReadView>> read() = 0;
  // `expected_bytes`: about how many bytes of keys and values the batch will put; room for them is made beforehand.
  // After a batch failed with kIo or kCorrupt every later write() does too: what is on disk is no longer known, so the
  // node must stop.
  virtual Result<std::unique_ptr<WriteBatch>> write(uint64_t expected_bytes = 0) = 0;
  // After kFull: it was the map that was full, not the disk. The next write() makes it larger, so do the batch again.
  virtual bool needs_growth() const = 0;
  // Bytes of the file(s), for deciding whether reads are likely to hit the page cache.
  virtual uint64_t size_bytes() const = 0;
};

}  // namespace capstan::lmdb_store
