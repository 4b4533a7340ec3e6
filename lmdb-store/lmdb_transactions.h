// The transactions of lmdb_environment.cc; nobody else includes this.
#pragma once

#include <lmdb.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "lmdb-store/lmdb_environment.h"

namespace capstan::lmdb_store {

inline unsigned index_of(Table table) { return static_cast<unsigned>(table); }
inline MDB_val to_val(std::string_view bytes) { return MDB_val{bytes.size(), const_cast<char*>(bytes.data())}; }
inline std::string_view to_view(const MDB_val& val) { return {static_cast<const char*>(val.mv_data), val.mv_size}; }

// What a view and a batch have in common.
struct LmdbTransaction {
  MDB_txn* txn;
  const std::array<unsigned, kTables>& tables;
  const std::string& directory;
  uint64_t changes = 0;
  unsigned cursors = 0;

  // Whether there is a result; a failed read stops the process.
  bool found(int code) const {
    if (code == MDB_NOTFOUND) return false;
    CHECK(code == MDB_SUCCESS, "cannot read the LMDB environment " + directory + ": " + mdb_strerror(code) +
                                   "; restore it from a backup or another replica");
    return true;
  }
  MDB_cursor* open_cursor(Table table) const;
};

class LmdbView final : public ReadView {
 public:
  LmdbView(LmdbEnvironment& environment, MDB_txn* txn);
  LmdbView(const LmdbView&) = delete;
  ~LmdbView() override;

  std::optional<std::string_view> get(Table table, std::string_view key) override;
  std::unique_ptr<Cursor> cursor(Table table) override;

 private:
  LmdbEnvironment& environment_;
  LmdbTransaction transaction_;
};

// All changes and look-ups of a table go through one LMDB cursor: when the next key lies on the leaf where it stands,
// LMDB searches only there.
class LmdbBatch final : public WriteBatch {
 public:
  LmdbBatch(LmdbEnvironment& environment, MDB_txn* txn);
  LmdbBatch(const LmdbBatch&) = delete;
  ~LmdbBatch() override;

  std::optional<std::string_view> get(Table table, std::string_view key) override;
  std::unique_ptr<Cursor> cursor(Table table) override;
  Result<char*> reserve(Table table, std::string_view key, size_t size) override;
  Result<> erase(Table table, std::string_view key) override;
  uint64_t touched_pages() const override;
  Result<> commit() override;

 private:
  struct Position {
    MDB_cursor* cursor = nullptr;  // ends with the transaction
    std::string bound;             // no key of the table is above it
    bool looked_up = false;        // since the last change
    const char* found = nullptr;   // where the look-up found the first key that is not below, if there is one
  };

  bool usable() const { return transaction_.txn != nullptr && !failed_; }
  void check_ending() const;
  Position& position_in(Table table);
  // Leaves the cursor on the leaf where the key is or would be, so that a change does not search again.
  std::optional<std::string_view> look_up(Position& position, std::string_view key);
  // An entry of the leaf that was just changed lies at `now`.
  void note_leaf(const Position& position, const void* now);
  Error fail(int code, const char* what);

  LmdbEnvironment& environment_;
  LmdbTransaction transaction_;
  std::array<Position, kTables> positions_;
  uint64_t touched_bytes_ = 0;
  bool failed_ = false;
  const std::thread::id thread_ = std::this_thread::get_id();
};

}  // namespace capstan::lmdb_store
