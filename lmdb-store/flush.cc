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
// Marks of generations (FORMAT.md, "Collections").
constexpr std::string_view kDead = "dead";
constexpr std::string_view kBuilding = "building";

std::string mark_key(std::string_view mark, uint64_t generation) {
  std::string key(mark);
  Encoder(key).u64_be(generation);
  return key;
}

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
  first_collection_ = next_collection_ = 0;
  if (Result<> begun = begin(); !begun) return begun;
  if (Result<> done = write_names(); !done) return done;
  for (Database database = 0; database < kDatabases; ++database) {
    if (!cleared[database]) continue;
    if (Result<> done = clear_database(database); !done) return done;
  }
  // Before any page is written: what a job that failed has written is written again, into the same generations.
  if (Result<> done = erase_marked(kBuilding); !done) return done;
  if (Result<> done = erase_marked(kDead); !done) return done;
  if (Result<> done = erase_orphans(); !done) return done;
  for (size_t i = 0; i < buckets.size(); ++i) {
    if (buckets[i].size() == 0) continue;
    if (Result<> done = write_bucket(i); !done) return done;
    if (Result<> done = next_batch_if_full(); !done) return done;
  }
  if (Result<> done = erase_marked(kDead); !done) return done;
  if (Result<> done = write_slot(); !done) return done;
  if (last) {
    if (Result<> done = write_state(); !done) return done;
  }
  return commit();
}

Result<> FlushJob::begin() {
  Result<std::unique_ptr<WriteBatch>> batch = store_.write(bytes);
  if (!batch) return batch.error();
  batch_ = std::move(*batch);
  naming_.clear();
  return {};
}

Result<> FlushJob::commit() {
  if (Result<> done = batch_->commit(); !done) return done;
  for (CollectionJob* const collection : naming_) collection->named = true;
  return {};
}

Result<> FlushJob::next_batch() {
  if (Result<> done = write_slot(); !done) return done;
  if (Result<> done = mark_unnamed(); !done) return done;
  if (Result<> done = commit(); !done) return done;
  batch_.reset();
  return begin();
}

// Pages that are about to be committed, and that no key row names, must be found if this is as far as it goes.
Result<> FlushJob::mark_unnamed() {
  for (size_t i = first_collection_; i < next_collection_; ++i) {
    const CollectionJob& collection = collections[i];
    if (collection.named || std::find(naming_.begin(), naming_.end(), &collection) != naming_.end()) continue;
    if (Result<> done = batch_->put(Table::kMeta, mark_key(kBuilding, collection.generation), {}); !done) return done;
  }
  return {};
}

Result<> FlushJob::next_batch_if_full() {
  if (batch_->touched_pages() < batch_pages_) return {};
  return next_batch();
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
    if (Result<> done = forget_generation(before); !done) return done;
    from = std::move(key);
    if (Result<> done = next_batch_if_full(); !done) return done;
  }
  return {};
}

Result<> FlushJob::put_payload(Table table, const RowKey& key, std::string_view id, std::string_view payload) {
  if (payload.empty()) return batch_->erase(table, key);
  return put_row(*batch_, table, key, id, payload);
}

Result<> FlushJob::write_bucket(size_t index) {
  const DirtySet::Bucket& bucket = buckets[index];
  first_collection_ = next_collection_;
  while (next_collection_ < collections.size() && collections[next_collection_].bucket == first_bucket + index) {
    if (Result<> done = write_pages(collections[next_collection_++]); !done) return done;
  }
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
  for (size_t i = first_collection_; i < next_collection_; ++i) {
    if (Result<> done = forget_pages(collections[i]); !done) return done;
  }
  return {};
}

// Before any page is written, and for good: pages of this job will have the same numbers.
Result<> FlushJob::erase_orphans() {
  const auto has_orphans = [](const CollectionJob& collection) { return collection.orphans_from != 0; };
  if (std::none_of(collections.begin(), collections.end(), has_orphans)) return {};
  for (const CollectionJob& collection : collections) {
    if (!has_orphans(collection)) continue;
    if (Result<> done = erase_elements(collection.generation, collection.orphans_from, Together::kNo); !done) {
      return done;
    }
  }
  if (Result<> done = next_batch(); !done) return done;
  for (CollectionJob& collection : collections) collection.orphans_from = 0;
  return {};
}

// Shadow paging (page_store.h): until the key row names them these pages mean nothing, so they may take several
// transactions.
Result<> FlushJob::write_pages(const CollectionJob& collection) {
  for (const Page* const page : collection.pages->pages) {
    encoded_.clear();
    page->encode(encoded_);
    const std::string key = page_row_key(collection.generation, page->number);
    if (Result<> done = batch_->put(Table::kElements, key, encoded_); !done) return done;
    if (Result<> done = next_batch_if_full(); !done) return done;
  }
  return {};
}

// Behind the key row, which does not name them any more.
Result<> FlushJob::forget_pages(const CollectionJob& collection) {
  for (const uint64_t number : collection.pages->obsolete) {
    const std::string key = page_row_key(collection.generation, number);
    if (Result<> done = batch_->erase(Table::kElements, key); !done) return done;
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
  if (before.generation != after.generation) {
    if (Result<> done = forget_generation(before); !done) return done;
    if (Result<> done = name_generation(after.generation); !done) return done;
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

// A key row names it from now on.
Result<> FlushJob::name_generation(uint64_t generation) {
  for (size_t i = first_collection_; i < next_collection_; ++i) {
    if (collections[i].generation != generation) continue;
    naming_.push_back(&collections[i]);
    return batch_->erase(Table::kMeta, mark_key(kBuilding, generation));
  }
  return {};
}

// A string's chunks go with its row. A collection's pages may be many: they are marked, and go later.
Result<> FlushJob::forget_generation(const RowStanding& standing) {
  if (standing.generation == 0) return {};
  if (standing.pages) {
    // A job that failed may have named it, and its database is cleared (again) now.
    for (CollectionJob& collection : collections) collection.named &= collection.generation != standing.generation;
    return batch_->put(Table::kMeta, mark_key(kDead, standing.generation), {});
  }
  return erase_elements(standing.generation, 0, Together::kYes);
}

Result<> FlushJob::erase_elements(uint64_t generation, uint64_t from_page, Together together) {
  std::string from = page_row_key(generation, from_page);
  // Chunks have shorter keys.
  if (from_page == 0) from.resize(sizeof generation);
  while (true) {
    std::string key;
    {
      const auto cursor = batch_->cursor(Table::kElements);
      if (!cursor->seek(from) || load_be64(cursor->key().data()) != generation) return {};
      key = cursor->key();
    }
    if (Result<> done = batch_->erase(Table::kElements, key); !done) return done;
    if (together == Together::kYes) continue;
    if (Result<> done = next_batch_if_full(); !done) return done;
  }
}

// Of all generations with that mark, whoever made it: this job, or one that failed or was cut off.
Result<> FlushJob::erase_marked(std::string_view mark) {
  while (true) {
    uint64_t generation = 0;
    {
      const auto cursor = batch_->cursor(Table::kMeta);
      if (!cursor->seek(mark) || !cursor->key().starts_with(mark)) return {};
      if (cursor->key().size() != mark.size() + sizeof generation) {
        return Error{ErrorCode::kCorrupt, "a generation's mark in LMDB is malformed"};
      }
      generation = load_be64(cursor->key().data() + mark.size());
    }
    if (Result<> done = erase_elements(generation, 0, Together::kNo); !done) return done;
    if (Result<> done = batch_->erase(Table::kMeta, mark_key(mark, generation)); !done) return done;
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
