#include "lmdb-store/lmdb_transactions.h"

#include <utility>

namespace capstan::lmdb_store {
namespace {

// Of LMDB's pages, for estimates.
constexpr size_t kPageBytes = 4096;
constexpr size_t kPageHeaderBytes = 16;
constexpr size_t kNodeHeaderBytes = 10;   // of an entry, and its place in the page's index
constexpr size_t kMaxInlineBytes = 2000;  // larger values lie on pages of their own

class LmdbCursor final : public Cursor {
 public:
  LmdbCursor(LmdbTransaction& transaction, Table table)
      : transaction_(transaction), cursor_(transaction.open_cursor(table)) {
    ++transaction_.cursors;
  }
  LmdbCursor(const LmdbCursor&) = delete;
  ~LmdbCursor() override {
    mdb_cursor_close(cursor_);
    --transaction_.cursors;
  }

  bool seek(std::string_view key) override {
    key_ = to_val(key);
    return move(key.empty() ? MDB_FIRST : MDB_SET_RANGE);
  }
  bool last() override { return move(MDB_LAST); }
  bool next() override {
    check_position();
    return move(MDB_NEXT);
  }
  bool previous() override {
    check_position();
    return move(MDB_PREV);
  }
  std::string_view key() const override {
    check_position();
    return to_view(key_);
  }
  std::string_view value() const override {
    check_position();
    return to_view(value_);
  }

 private:
  bool move(MDB_cursor_op operation) {
    changes_ = transaction_.changes;
    return positioned_ = transaction_.found(mdb_cursor_get(cursor_, &key_, &value_, operation));
  }
  void check_position() const {
    CHECK(positioned_ && changes_ == transaction_.changes, "a cursor that stands nowhere");
  }

  LmdbTransaction& transaction_;
  MDB_cursor* const cursor_;
  MDB_val key_{};
  MDB_val value_{};
  uint64_t changes_ = 0;
  bool positioned_ = false;
};

}  // namespace

MDB_cursor* LmdbTransaction::open_cursor(Table table) const {
  MDB_cursor* cursor = nullptr;
  const int code = mdb_cursor_open(txn, tables[index_of(table)], &cursor);
  CHECK(code == MDB_SUCCESS, mdb_strerror(code));
  return cursor;
}

LmdbView::LmdbView(LmdbEnvironment& environment, MDB_txn* txn)
    : environment_(environment), transaction_{txn, environment.tables_, environment.directory_} {}

LmdbView::~LmdbView() {
  CHECK(transaction_.cursors == 0, "a cursor outlives its view");
  environment_.end_read(transaction_.txn, true);
}

std::optional<std::string_view> LmdbView::get(Table table, std::string_view key) {
  if (key.empty()) return {};
  MDB_val wanted = to_val(key), value;
  const int code = mdb_get(transaction_.txn, transaction_.tables[index_of(table)], &wanted, &value);
  if (!transaction_.found(code)) return {};
  return to_view(value);
}

std::unique_ptr<Cursor> LmdbView::cursor(Table table) { return std::make_unique<LmdbCursor>(transaction_, table); }

LmdbBatch::LmdbBatch(LmdbEnvironment& environment, MDB_txn* txn)
    : environment_(environment), transaction_{txn, environment.tables_, environment.directory_} {}

LmdbBatch::~LmdbBatch() {
  if (transaction_.txn == nullptr) return;
  check_ending();
  mdb_txn_abort(transaction_.txn);
  environment_.end_write();
}

std::optional<std::string_view> LmdbBatch::get(Table table, std::string_view key) {
  CHECK(usable());
  return look_up(position_in(table), key);
}

std::unique_ptr<Cursor> LmdbBatch::cursor(Table table) {
  CHECK(usable());
  return std::make_unique<LmdbCursor>(transaction_, table);
}

Result<char*> LmdbBatch::reserve(Table table, std::string_view key, size_t size) {
  CHECK(usable() && !key.empty() && key.size() <= kMaxKeyBytes);
  Position& position = position_in(table);
  if (!std::exchange(position.looked_up, false)) look_up(position, key);
  // MDB_APPEND fills pages to the brim instead of splitting them in halves; it is for keys above all others.
  const bool append = key > std::string_view(position.bound);
  MDB_val wanted = to_val(key), value{size, nullptr};
  const int code = mdb_cursor_put(position.cursor, &wanted, &value, MDB_RESERVE | (append ? MDB_APPEND : 0u));
  if (code != MDB_SUCCESS) return fail(code, "put");
  ++transaction_.changes;
  if (append) position.bound = key;
  if (size > kMaxInlineBytes) {
    touched_bytes_ += size + kPageHeaderBytes + kPageBytes / 2;  // the last of its pages is half full on average
  } else if (append) {
    touched_bytes_ += key.size() + size + kNodeHeaderBytes;
  } else {
    note_leaf(position, value.mv_data);
  }
  return static_cast<char*>(value.mv_data);
}

Result<> LmdbBatch::erase(Table table, std::string_view key) {
  CHECK(usable());
  Position& position = position_in(table);
  if (!look_up(position, key)) return {};
  position.looked_up = false;
  if (const int code = mdb_cursor_del(position.cursor, 0); code != MDB_SUCCESS) return fail(code, "erase");
  ++transaction_.changes;
  // The entry that took its place, if there is one on the page.
  MDB_val next_key{}, next_value{};
  const int code = mdb_cursor_get(position.cursor, &next_key, &next_value, MDB_GET_CURRENT);
  if (code == MDB_SUCCESS) note_leaf(position, next_key.mv_data);
  return {};
}

uint64_t LmdbBatch::touched_pages() const { return touched_bytes_ / kPageBytes; }

Result<> LmdbBatch::commit() {
  CHECK(usable());
  check_ending();
  const int code = mdb_txn_commit(std::exchange(transaction_.txn, nullptr));
  Result<> result;
  if (code == MDB_SUCCESS) {
    environment_.update_size();
  } else {
    result = environment_.write_error(code, "commit");
  }
  environment_.end_write();
  return result;
}

void LmdbBatch::check_ending() const {
  CHECK(transaction_.cursors == 0, "a cursor outlives its batch");
  CHECK(thread_ == std::this_thread::get_id(), "LMDB's lock of the writer belongs to a thread");
}

LmdbBatch::Position& LmdbBatch::position_in(Table table) {
  Position& position = positions_[index_of(table)];
  if (position.cursor == nullptr) [[unlikely]] {
    position.cursor = transaction_.open_cursor(table);
    MDB_val key, value;
    if (transaction_.found(mdb_cursor_get(position.cursor, &key, &value, MDB_LAST))) position.bound = to_view(key);
  }
  return position;
}

std::optional<std::string_view> LmdbBatch::look_up(Position& position, std::string_view key) {
  position.looked_up = true;
  position.found = nullptr;
  if (key.empty() || key > std::string_view(position.bound)) return {};
  MDB_val at = to_val(key), value;
  if (!transaction_.found(mdb_cursor_get(position.cursor, &at, &value, MDB_SET_RANGE))) return {};
  position.found = static_cast<const char*>(at.mv_data);
  if (to_view(at) != key) return {};
  return to_view(value);
}

// LMDB copies a page into memory of its own before the first change. So if an entry is far now from where its
// neighbourhood was before the change, this change was its page's first.
void LmdbBatch::note_leaf(const Position& position, const void* now) {
  const auto before = reinterpret_cast<uintptr_t>(position.found), after = reinterpret_cast<uintptr_t>(now);
  if ((before > after ? before - after : after - before) >= kPageBytes) touched_bytes_ += kPageBytes;
}

Error LmdbBatch::fail(int code, const char* what) {
  failed_ = true;
  return environment_.write_error(code, what);
}

}  // namespace capstan::lmdb_store
