#include "lmdb-store/flush.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"

namespace capstan::lmdb_store {
namespace {

constexpr std::string_view kStateKey = "state";
constexpr std::string_view kLogsKey = "logs";
constexpr std::string_view kNewestKey = "newest";

// The rows are cold: each is met once, with its successors on their way, and then told apart by its sort key.
DirtySet::Rows in_order(const DirtySet::Rows& rows) {
  constexpr size_t kAhead = 16;
  std::vector<std::pair<uint64_t, TableRow*>> sorted;
  sorted.reserve(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    if (i + kAhead < rows.size()) __builtin_prefetch(rows[i + kAhead]);
    sorted.emplace_back(rows[i]->sort_key, rows[i]);
  }
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : a.second->key() < b.second->key();
  });
  DirtySet::Rows ordered(rows.size());
  std::transform(sorted.begin(), sorted.end(), ordered.begin(), [](const auto& row) { return row.second; });
  return ordered;
}

}  // namespace

Result<StoredState> read_state(ReadView& view) {
  StoredState state;
  if (const auto logs = view.get(Table::kMeta, kLogsKey)) {
    Decoder in(*logs);
    while (in.ok() && in.remaining() > 0) state.logs.push_back(LogId{in.u64()});
    if (!in.done()) return Error{ErrorCode::kCorrupt, "the dictionary of logs in LMDB is malformed"};
  }
  if (const auto newest = view.get(Table::kMeta, kNewestKey)) {
    Decoder in(*newest);
    state.next_generation = in.u64();
    state.newest_stamp = Hlc{in.u64()};
    state.newest = Clock::decode(in);
    if (!in.done()) return Error{ErrorCode::kCorrupt, "the row \"newest\" in LMDB is malformed"};
  }
  const auto stored = view.get(Table::kMeta, kStateKey);
  if (!stored) return state;
  Decoder in(*stored);
  state.applied = Clock::decode(in);
  state.stamp = Hlc{in.u64()};
  state.agreed.id = LogId{in.u64()};
  state.agreed.boot = in.bytes();
  state.agreed.tail_may_be_lost = in.u8() != 0;
  state.position = in.u64();
  if (in.remaining() > 0) state.group = in.bytes();
  if (!in.done()) return Error{ErrorCode::kCorrupt, "the state row in LMDB is malformed"};
  return state;
}

Result<> FlushJob::write_state() {
  std::string value;
  Encoder out(value);
  state.applied.encode(out);
  out.u64(state.stamp.value);
  out.u64(state.agreed.id.value);
  out.bytes(state.agreed.boot);
  out.u8(state.agreed.tail_may_be_lost);
  out.u64(state.position);
  if (!state.group.empty()) out.bytes(state.group);
  return batch_->put(Table::kMeta, kStateKey, value);
}

// With the first transaction: rows of any may name these. They only grow, so they are right whatever follows.
Result<> FlushJob::write_names() {
  std::string value;
  Encoder out(value);
  for (const LogId log : state.logs) out.u64(log.value);
  if (Result<> done = batch_->put(Table::kMeta, kLogsKey, value); !done) return done;
  value.clear();
  out.u64(state.next_generation);
  out.u64(state.newest_stamp.value);
  state.newest.encode(out);
  return batch_->put(Table::kMeta, kNewestKey, value);
}

Result<> FlushJob::run() {
  for (const LogId log : state.logs) logs_.add(log);
  // A map that was full has grown when the next transaction begins; each time it doubles.
  for (int attempt = 0; attempt < 24; ++attempt) {
    result_ = write_all();
    batch_.reset();
    if (result_ || result_.error().code != ErrorCode::kFull || !store_.needs_growth()) break;
  }
  done_.store(true, std::memory_order_release);
  return result_;
}

Result<> FlushJob::write_all() {
  rows_written_ = 0;
  slot_prefix_ = kNoSlot;
  slot_change_ = {};
  if (Result<> begun = begin(); !begun) return begun;
  if (Result<> done = write_names(); !done) return done;
  for (Database database = 0; database < kDatabases; ++database) {
    if (!cleared[database]) continue;
    if (Result<> done = clear_database(database); !done) return done;
  }
  for (const DirtySet::Bucket& bucket : buckets) {
    if (bucket.size() == 0) continue;
    if (Result<> done = write_bucket(bucket); !done) return done;
    if (Result<> done = next_batch_if_full(); !done) return done;
  }
  if (Result<> done = write_slot(); !done) return done;
  if (last) {
    if (Result<> done = write_state(); !done) return done;
  }
  return batch_->commit();
}

Result<> FlushJob::begin() {
  Result<std::unique_ptr<WriteBatch>> batch = store_.write(bytes);
  if (!batch) return batch.error();
  batch_ = std::move(*batch);
  return {};
}

Result<> FlushJob::next_batch_if_full() {
  if (batch_->touched_pages() < batch_pages_) return {};
  if (Result<> done = write_slot(); !done) return done;
  if (Result<> done = batch_->commit(); !done) return done;
  batch_.reset();
  return begin();
}

// Key by key, so that what a row counts for goes with it, and large databases need several transactions.
Result<> FlushJob::clear_database(Database database) {
  std::string from(1, static_cast<char>(database));
  while (true) {
    std::string key;
    RowStanding before;
    uint64_t word = 0;
    {
      const auto cursor = batch_->cursor(Table::kKeys);
      if (!cursor->seek(from) || static_cast<Database>(cursor->key()[0]) != database) break;
      const Result<StoredRow> row = decode_row(cursor->key(), cursor->value());
      if (!row) return row.error();
      key = cursor->key();
      word = row->word;
      before = standing_of(row->payload, hash64(row->id), logs_);
    }
    if (Result<> done = batch_->erase(Table::kKeys, key); !done) return done;
    if (Result<> done = count(word, before, {}); !done) return done;
    if (Result<> done = update_expiry(key, before, {}); !done) return done;
    if (before.generation != 0) {
      if (Result<> done = erase_generation(before.generation); !done) return done;
    }
    from = std::move(key);
    if (Result<> done = next_batch_if_full(); !done) return done;
  }
  return {};
}

Result<> FlushJob::put_payload(Table table, const RowKey& key, std::string_view id, std::string_view payload) {
  if (payload.empty()) return batch_->erase(table, key);
  return put_row(*batch_, table, key, id, payload);
}

Result<> FlushJob::write_bucket(const DirtySet::Bucket& bucket) {
  for (const TableRow* row : in_order(bucket.elements)) {
    const std::string_view id = row->key().substr(8);
    const RowKey key = row_keys_.row_key(row->sort_key, id);
    if (Result<> done = put_payload(Table::kElements, key, id, row->payload()); !done) return done;
  }
  for (const TableRow* row : in_order(bucket.keys)) {
    if (Result<> done = write_key(*row); !done) return done;
    if (!bucket.elements.empty()) continue;
    if (Result<> done = next_batch_if_full(); !done) return done;
  }
  return {};
}

Result<> FlushJob::write_key(const TableRow& row) {
  const RowKey key = row_keys_.row_key(row.sort_key, row.key());
  const uint64_t hash = hash64(row.key());
  const auto stored = batch_->get(Table::kKeys, key);
  if (!stored && row.absent()) return {};
  const RowStanding before = stored ? standing_of(row_payload(key, row.key(), *stored), hash, logs_) : RowStanding{};
  const RowStanding after = standing_of(row.payload(), hash, logs_);
  if (Result<> done = put_payload(Table::kKeys, key, row.key(), row.payload()); !done) return done;
  ++rows_written_;
  if (Result<> done = count(row.sort_key, before, after); !done) return done;
  if (before.generation != 0 && before.generation != after.generation) {
    if (Result<> done = erase_generation(before.generation); !done) return done;
  }
  return update_expiry(key, before, after);
}

Result<> FlushJob::count(uint64_t sort_key, const RowStanding& before, const RowStanding& after) {
  if (sort_key >> kSortHashBits != slot_prefix_) {
    if (Result<> done = write_slot(); !done) return done;
    slot_prefix_ = sort_key >> kSortHashBits;
  }
  const SlotStatistic change = slot_change(before, after);
  slot_change_.digest += change.digest;
  slot_change_.keys += change.keys;
  slot_change_.expiring += change.expiring;
  return {};
}

Result<> FlushJob::write_slot() {
  if (slot_prefix_ == kNoSlot) return {};
  const SlotKey key = slot_key(static_cast<Database>(slot_prefix_ >> 16), static_cast<Slot>(slot_prefix_));
  SlotStatistic statistic = slot_change_;
  if (const auto stored = batch_->get(Table::kSlots, as_view(key))) {
    Decoder in(*stored);
    statistic.digest += in.u64();
    statistic.keys += in.u64();
    statistic.expiring += in.u64();
  }
  slot_prefix_ = kNoSlot;
  slot_change_ = {};
  if (statistic.keys == 0 && statistic.digest == 0) return batch_->erase(Table::kSlots, as_view(key));
  std::string value;
  Encoder out(value);
  out.u64(statistic.digest);
  out.u64(statistic.keys);
  out.u64(statistic.expiring);
  return batch_->put(Table::kSlots, as_view(key), value);
}

Result<> FlushJob::erase_generation(uint64_t generation) {
  std::string from(8, '\0');
  store_be64(from.data(), generation);
  while (true) {
    std::string key;
    {
      const auto cursor = batch_->cursor(Table::kElements);
      if (!cursor->seek(from) || load_be64(cursor->key().data()) != generation) return {};
      key = cursor->key();
    }
    if (Result<> done = batch_->erase(Table::kElements, key); !done) return done;
  }
}

// The entry names the key row by its LMDB key: what the row says decides, the index only says when to look.
Result<> FlushJob::update_expiry(std::string_view row_key, const RowStanding& before, const RowStanding& after) {
  if (before.expire_at_ms == after.expire_at_ms) return {};
  const auto entry = [&](int64_t at_ms) { return row_keys_.row_key(static_cast<uint64_t>(at_ms), row_key); };
  if (before.expire_at_ms != kNeverExpires) {
    if (Result<> done = batch_->erase(Table::kExpiry, entry(before.expire_at_ms)); !done) return done;
  }
  if (after.expire_at_ms == kNeverExpires) return {};
  return put_row(*batch_, Table::kExpiry, entry(after.expire_at_ms), row_key, {});
}

}  // namespace capstan::lmdb_store
