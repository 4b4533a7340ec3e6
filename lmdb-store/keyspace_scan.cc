// Range reads: what changed since the last flush merged with what LMDB holds, in key order.
#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/hash.h"
#include "lmdb-store/keyspace.h"

namespace capstan::lmdb_store {
namespace {

constexpr uint64_t kEnd = std::numeric_limits<uint64_t>::max();

// A position drops the lowest bit of the hash (FORMAT.md): 14 + 39 bits, which every client's number type can hold.
constexpr uint64_t position_of(uint64_t sort_key) { return (sort_key & ((uint64_t{1} << 54) - 1)) >> 1; }
constexpr uint64_t first_at(Database database, uint64_t position) { return uint64_t{database} << 56 | position << 1; }

// LMDB's key rows from one on, a sort key at a time.
class StoredRows {
 public:
  StoredRows(ReadView& view, uint64_t from) : cursor_(view.cursor(Table::kKeys)) {
    char key[8];
    store_be64(key, from);
    valid_ = cursor_->seek({key, sizeof key});
  }
  uint64_t sort_key() const { return valid_ ? load_be64(cursor_->key().data()) : kEnd; }
  StoredRow row() const {
    const Result<StoredRow> row = decode_row(cursor_->key(), cursor_->value());
    CHECK(row.ok(), row.error().message);
    return *row;
  }
  void next() { valid_ = cursor_->next(); }

 private:
  std::unique_ptr<Cursor> cursor_;
  bool valid_ = false;
};

}  // namespace

bool Keyspace::visible(std::string_view payload, int64_t now_ms, ElementKind& kind) const {
  if (payload.empty()) return false;
  if (now_ms == kEverything) return true;
  const KeyInfo key = info(payload, now_ms);
  kind = key.kind;
  return key.exists && !key.expired;
}

// Rows newer than LMDB of one bucket from a sort key on, in key order, absent ones included.
std::vector<TableRow*> Keyspace::changed_rows(size_t bucket, uint64_t from, const FlushJob* flushed) {
  const auto before = [](const TableRow* row, uint64_t sort_key) { return row->sort_key < sort_key; };
  const DirtySet::Rows& dirty = dirty_.sorted_key_rows(bucket);
  std::vector<TableRow*> rows(std::lower_bound(dirty.begin(), dirty.end(), from, before), dirty.end());
  const DirtySet::Bucket* flushing = flushed ? flushed->bucket(bucket) : nullptr;
  if (!flushing || flushing->keys.empty()) return rows;
  for (TableRow* row : flushing->keys) {
    if (!row->has(TableRow::kReplaced) && row->sort_key >= from) rows.push_back(row);
  }
  std::sort(rows.begin(), rows.end(), in_key_order);
  return rows;
}

void Keyspace::scan(Database database, uint64_t position, size_t count, int64_t now_ms, std::vector<ScannedKey>& out,
                    uint64_t& next) {
  // Rows of a flush that failed are dirty again; one that succeeded is in LMDB.
  while (flushing_ && flushing_->done() && !flushing_->result() && finish_flush()) {
  }
  // Asked before the view is opened: a flush that ends meanwhile may not be in the view, and its rows then count. Where
  // both have a row, it is one.
  const FlushJob* const flushed = flushing_ && !flushing_->done() ? flushing_.get() : nullptr;
  Result<std::unique_ptr<ReadView>> view = store_.read();
  CHECK(view.ok(), view.error().message);
  const uint64_t from = first_at(database, position);
  StoredRows stored(**view, voided(database) ? kEnd : from);
  size_t visited = 0;
  uint64_t last = kEnd;
  ElementKind kind;
  for (size_t bucket = DirtySet::bucket_of(from); bucket / DirtySet::kBucketsPerDatabase == database; ++bucket) {
    const std::vector<TableRow*> rows = changed_rows(bucket, from, flushed);
    for (size_t i = 0;;) {
      const bool in_bucket = stored.sort_key() != kEnd && DirtySet::bucket_of(stored.sort_key()) == bucket;
      const uint64_t at = std::min(i < rows.size() ? rows[i]->sort_key : kEnd, in_bucket ? stored.sort_key() : kEnd);
      if (at == kEnd) break;
      if (visited >= count && position_of(at) != last) {
        next = position_of(at);
        return;
      }
      last = position_of(at);
      const size_t first = i;
      for (; i < rows.size() && rows[i]->sort_key == at; ++i, ++visited) {
        if (visible(rows[i]->payload(), now_ms, kind)) out.push_back({std::string(rows[i]->key()), kind});
      }
      for (; stored.sort_key() == at; stored.next(), ++visited) {
        const StoredRow row = stored.row();
        const auto same = [&](const TableRow* changed) { return changed->key() == row.id; };
        if (std::any_of(rows.begin() + static_cast<ptrdiff_t>(first), rows.begin() + static_cast<ptrdiff_t>(i), same)) {
          continue;
        }
        if (visible(row.payload, now_ms, kind)) out.push_back({std::string(row.id), kind});
      }
    }
  }
  next = 0;
}

void Keyspace::expired_keys(int64_t now_ms, size_t count, std::vector<std::pair<Database, std::string>>& out) {
  for (auto it = expiry_.begin(); it != expiry_.end() && it->first < now_ms && out.size() < count;) {
    bool due = false;
    keys_.for_each_at(it->second, [&](const TableRow* row) {
      if (row->absent()) return;
      const KeyInfo key = info(*row, now_ms);
      if (key.expire_at_ms != it->first || !key.expired) return;
      due = true;
      out.emplace_back(sort_key_database(row->sort_key), row->key());
    });
    // An entry that its key has outlived (a later version gave it a new life) would be met again and again.
    it = due ? std::next(it) : expiry_.erase(it);
  }
  if (out.size() < count) stored_expired_keys(now_ms, count, out);
}

void Keyspace::stored_expired_keys(int64_t now_ms, size_t count, std::vector<std::pair<Database, std::string>>& out) {
  Result<std::unique_ptr<ReadView>> view = store_.read();
  CHECK(view.ok(), view.error().message);
  const auto cursor = (*view)->cursor(Table::kExpiry);
  // Several looks at nothing are cheap; many at entries that changed since the flush are bounded.
  size_t looks = count * 4;
  for (bool more = cursor->seek(expiry_position_); more && out.size() < count && looks > 0;
       more = cursor->next(), --looks) {
    const Result<StoredRow> entry = decode_row(cursor->key(), cursor->value());
    CHECK(entry.ok(), entry.error().message);
    if (static_cast<int64_t>(entry->word) >= now_ms) return;
    expiry_position_.assign(cursor->key());
    expiry_position_.push_back('\0');
    const auto value = (*view)->get(Table::kKeys, entry->id);
    if (!value) continue;
    const Result<StoredRow> row = decode_row(entry->id, *value);
    CHECK(row.ok(), row.error().message);
    const Database database = sort_key_database(row->word);
    if (voided(database)) continue;
    const TableRow* changed = keys_.find(database, row->id, hash64(row->id));
    const std::string_view payload = changed ? changed->payload() : row->payload;
    if (!payload.empty() && info(payload, now_ms).expired) out.emplace_back(database, row->id);
  }
}

}  // namespace capstan::lmdb_store
