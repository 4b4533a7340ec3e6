#include "lmdb-store/keyspace.h"

#include <algorithm>

#include "base/check.h"
#include "base/hash.h"
#include "base/slot.h"
#include "lmdb-store/inline_elements.h"
#include "quorum/element_value.h"

namespace capstan::lmdb_store {

Keyspace::Keyspace(Store& store, const Options& options) : store_(store), options_(options) {}

Keyspace::~Keyspace() {
  CHECK(!flushing_ || flushing_->done(), "a keyspace was closed while its flush ran");
  while (flushing_) finish_flush();
  const auto free_all = [](RowTable& table) { table.for_each([](TableRow* row) { TableRow::free(row); }); };
  free_all(keys_);
  free_all(elements_);
}

Result<std::unique_ptr<Keyspace>> Keyspace::open(Store& store, const Options& options) {
  std::unique_ptr<Keyspace> keyspace(new Keyspace(store, options));
  if (Result<> loaded = keyspace->load(); !loaded) return loaded.error();
  return keyspace;
}

Result<> Keyspace::load() {
  Result<RowKeys> row_keys = RowKeys::open(store_, new_row_secret());
  if (!row_keys) return row_keys.error();
  row_keys_ = std::make_unique<RowKeys>(*row_keys);
  Result<std::unique_ptr<ReadView>> view = store_.read();
  if (!view) return view.error();
  Result<StoredState> state = read_state(**view);
  if (!state) return state.error();
  applied_ = flushed_ = state->applied;
  last_stamp_ = state->stamp;
  agreed_ = flushed_agreed_ = state->agreed;
  group_ = flushed_group_ = state->group;
  flushed_position_ = state->position;
  next_generation_ = state->next_generation;
  note_newest(state->newest, state->newest_stamp);
  for (const LogId log : state->logs) logs_.add(log);
  complete_ = true;
  const auto cursor = (*view)->cursor(Table::kSlots);
  for (bool more = cursor->seek({}); more; more = cursor->next()) {
    Decoder key(cursor->key()), value(cursor->value());
    const Database database = key.u8();
    const unsigned slot_high = key.u8(), slot_low = key.u8();
    const uint64_t digest = value.u64(), keys = value.u64(), expiring = value.u64();
    const unsigned slot = slot_high << 8 | slot_low;
    if (!key.done() || !value.done() || database >= kDatabases || slot >= kSlots) {
      return Error{ErrorCode::kCorrupt, "a slot's statistics in LMDB are malformed"};
    }
    slots_.add(database, static_cast<Slot>(slot), {digest, keys, expiring});
    complete_ = false;
  }
  // Keys of which only a TTL is left count in no slot.
  if (complete_ && (*view)->cursor(Table::kKeys)->seek({})) complete_ = false;
  return {};
}

void Keyspace::note_newest(const Clock& newest, Hlc stamp) {
  newest_ = newest;
  newest_stamp_ = stamp;
  size_t ahead = 0;
  for (const Dot& dot : newest_) {
    if (applied_.covers(dot)) continue;
    ahead_ = ++ahead == 1 ? dot.log : LogId{};
  }
}

bool Keyspace::voided(Database database) const {
  return cleared_[database] || (flushing_ && flushing_->cleared[database]);
}

Keyspace::Found Keyspace::find(Database database, std::string_view key, uint64_t hash, bool at_once) {
  TableRow* row = keys_.find(database, key, hash);
  if (!row) [[unlikely]] {
    if (complete_ || voided(database)) return {};
    if (!at_once && !reads_at_once()) return {Presence::kUnknown, nullptr};
    row = read_key_row(database, key, hash);
  }
  return row->absent() ? Found{} : Found{Presence::kPresent, row};
}

void Keyspace::prefetch(std::span<const uint64_t> hashes) const {
  for (const uint64_t hash : hashes) keys_.prefetch_part(hash);
  for (const uint64_t hash : hashes) keys_.prefetch_entry(hash);
  for (const uint64_t hash : hashes) keys_.prefetch_row(hash);
  for (const uint64_t hash : hashes) {
    const TableRow* const row = keys_.prefetch_row(hash);
    if (row == nullptr) continue;
    slots_.prefetch(static_cast<Database>(row->sort_key >> 56), (row->sort_key >> 40) % kSlots);
    if (!row->has(TableRow::kDirty)) dirty_.prefetch(DirtySet::bucket_of(row->sort_key));
  }
}

Keyspace::Found Keyspace::find_element(uint64_t generation, uint32_t chunk) {
  const std::string key = chunk_row_key(generation, chunk);  // fits std::string's own buffer
  const uint64_t hash = hash64(key);
  TableRow* row = elements_.find(static_cast<uint8_t>(generation >> 56), key, hash);
  if (!row) {
    if (complete_) return {};
    if (!reads_at_once()) return {Presence::kUnknown, nullptr};
    row = read_element_row(key, hash);
  }
  return row->absent() ? Found{} : Found{Presence::kPresent, row};
}

TableRow* Keyspace::read_key_row(Database database, std::string_view key, uint64_t hash) {
  const uint64_t sort = sort_key(database, slot_of(key), hash);
  Result<std::unique_ptr<ReadView>> view = store_.read();
  CHECK(view.ok(), view.error().message);
  const RowKey stored_key = row_keys_->row_key(sort, key);
  const auto stored = (*view)->get(Table::kKeys, stored_key);
  const std::string_view payload = stored ? row_payload(stored_key, key, *stored) : std::string_view();
  return add_clean(keys_, sort, key, hash, payload, false);
}

TableRow* Keyspace::read_element_row(std::string_view key, uint64_t hash) {
  Result<std::unique_ptr<ReadView>> view = store_.read();
  CHECK(view.ok(), view.error().message);
  const auto stored = (*view)->get(Table::kElements, key);
  return add_clean(elements_, load_be64(key.data()), key, hash, stored.value_or(std::string_view()), true);
}

TableRow* Keyspace::add_clean(RowTable& table, uint64_t sort_key, std::string_view key, uint64_t hash,
                              std::string_view payload, bool element) {
  if (!element && is_collection(payload)) {
    CollectionForm form;
    CHECK(parse_collection_form(payload, form) && (form.large || InlineElements::valid(form)),
          "a key row is malformed");
  }
  TableRow* row = TableRow::make(sort_key, key, payload.size());
  if (!payload.empty()) std::memcpy(row->payload_data(), payload.data(), payload.size());
  row->flags = element ? TableRow::kElement | TableRow::kUsed : TableRow::kUsed;
  row->used_s = clock_s_;
  table.insert(row, hash);
  ++added_rows_;
  row_bytes_ += row->allocated_bytes();
  return row;
}

void Keyspace::free_row(TableRow* row) {
  row_bytes_ -= row->allocated_bytes();
  TableRow::free(row);
}

void Keyspace::forget_row(RowTable& table, TableRow* row) {
  table.erase(row, hash64(row->key()));
  if (in_flush(*row)) return row->set(TableRow::kReplaced);
  free_row(row);
}

TableRow* Keyspace::writable(RowTable& table, TableRow* old, uint64_t sort_key, std::string_view key, uint64_t hash,
                             size_t payload_bytes, size_t bucket) {
  const bool shared = old && in_flush(*old);
  const bool named = old && old->has(TableRow::kDirty) && !shared;
  TableRow* row = old;
  if (!old || shared || !old->fits(payload_bytes)) {
    row = TableRow::make(sort_key, key, payload_bytes);
    row->flags =
        static_cast<uint8_t>((&table == &elements_ ? TableRow::kElement : 0) | TableRow::kDirty | TableRow::kUsed);
    row_bytes_ += row->allocated_bytes();
    old ? table.replace(old, row, hash) : table.insert(row, hash);
    added_rows_ += !old;
  }
  if (named && row != old) {
    dirty_.replace(old, row);
  } else if (!named) {
    row->set(TableRow::kDirty);
    dirty_.add(row, bucket);
  }
  if (row != old && shared) old->set(TableRow::kReplaced);
  if (row != old && old && !shared) free_row(old);
  row->payload_bytes = static_cast<uint32_t>(payload_bytes);
  row->used_s = clock_s_;
  return row;
}

RowStanding standing_of(const StringForm& form, uint64_t hash, const LogDictionary& logs) {
  RowStanding standing;
  standing.exists = true;
  standing.expire_at_ms = form.expire_at_ms;
  const Dot dot{logs.at(form.dot.log), form.dot.number};
  standing.digest = plain_digest(hash, ElementKind::kString, {}, dot, form.amended_last);
  if (form.has(kShapeChunked)) standing.generation = form.generation;
  if (form.has(kShapeTtl)) {
    const Dot ttl{logs.at(form.ttl_dot.log), form.ttl_dot.number};
    standing.digest += plain_digest(hash, ElementKind::kTtl, {}, ttl, 0);
  }
  return standing;
}

RowStanding standing_of(std::string_view payload, uint64_t hash, const LogDictionary& logs) {
  if (payload.empty()) return {};
  StringForm form;
  if (parse_string_form(payload, form)) return standing_of(form, hash, logs);
  CollectionForm collection;
  if (parse_collection_form(payload, collection)) return standing_of(collection);
  RowStanding standing;
  KeyState state;
  Decoder in(payload.substr(1));
  CHECK(KeyState::decode(in, state) && in.done(), "a key row is malformed");
  standing.exists = state.exists();
  standing.digest = state.digest(hash);
  standing.expire_at_ms = state.expire_at_ms();
  return standing;
}

Keyspace::KeyInfo Keyspace::info(const StringForm& form, int64_t now_ms) {
  KeyInfo info;
  info.exists = true;
  info.expire_at_ms = form.expire_at_ms;
  // A TTL that had passed before the value was stamped does not count: the key has a new life.
  info.expired = form.expire_at_ms != kNeverExpires && form.expire_at_ms < now_ms && form.hlc.ms() <= form.expire_at_ms;
  return info;
}

Keyspace::KeyInfo Keyspace::info(std::string_view payload, int64_t now_ms) const {
  StringForm form;
  if (parse_string_form(payload, form)) return info(form, now_ms);
  CollectionForm collection;
  if (parse_collection_form(payload, collection)) return info(collection, now_ms);
  KeyInfo info;
  KeyState state;
  Decoder in(payload.substr(1));
  CHECK(KeyState::decode(in, state) && in.done(), "a key row is malformed");
  info.exists = state.exists();
  if (!info.exists) return info;
  info.kind = state.visible_kind();
  info.expire_at_ms = state.expire_at_ms();
  info.expired = state.expired(now_ms);
  return info;
}

uint64_t Keyspace::digest(const TableRow& row, uint64_t hash) const {
  return standing_of(row.payload(), hash, logs_).digest;
}

bool Keyspace::decode(const TableRow& row, KeyState& out, std::vector<WantedRow>& missing) {
  StringForm form;
  CollectionForm collection;
  if (parse_collection_form(row.payload(), collection)) {
    if (!collection.large) {
      InlineElements elements(collection);
      out = collection_state(collection, elements, logs_);
      return true;
    }
    Large& large = large_of(collection, row.sort_key);
    out = collection_state(collection, *large.collection, logs_);
    account_pages(large);
    return true;
  }
  if (!parse_string_form(row.payload(), form)) {
    Decoder in(row.payload().substr(1));
    CHECK(KeyState::decode(in, out) && in.done(), "a key row is malformed");
    return true;
  }
  Version version;
  version.dot = Dot{logs_.at(form.dot.log), form.dot.number};
  version.hlc = form.hlc;
  version.additive = form.has(kShapeAdditive);
  version.value = form.value;
  if (form.has(kShapeAmended)) version.amendments.push_back(Amendment{version.dot.log, form.amended_last, {}});
  if (form.has(kShapeChunked) && !read_chunks(form, 0, form.size, version.value, missing)) return false;
  out = {};
  out.add(ElementState{ElementKind::kString, {}, {std::move(version)}});
  if (form.has(kShapeTtl)) {
    Version ttl;
    ttl.dot = Dot{logs_.at(form.ttl_dot.log), form.ttl_dot.number};
    ttl.hlc = form.ttl_hlc;
    append_time(form.expire_at_ms, ttl.value);
    out.add(ElementState{ElementKind::kTtl, {}, {std::move(ttl)}});
  }
  return true;
}

void Keyspace::set_limits(uint64_t cache_bytes, uint64_t dirty_bytes) {
  options_.cache_bytes = cache_bytes;
  options_.dirty_bytes = dirty_bytes;
}

bool Keyspace::evict(size_t rows) {
  const bool more_dropped = free_dropped(rows / 8 + 1);
  rows += 2 * std::exchange(added_rows_, 0);
  if (memory_bytes() <= options_.cache_bytes) return more_dropped;
  // Until all rows of a flush are marked clean, a row that is not in memory may be another than LMDB's.
  if (flushing_ && flushing_->done()) return more_dropped;
  uint64_t evicted = 0;
  const auto visit = [&](TableRow* row) {
    if (row->has(TableRow::kDirty) || memory_bytes() <= options_.cache_bytes) return false;
    if (row->has(TableRow::kUsed)) {
      row->unset(TableRow::kUsed);
      return false;
    }
    if (!row->absent()) complete_ = false;
    free_row(row);
    ++evicted;
    return true;
  };
  elements_.sweep(rows / 8 + 1, visit);
  keys_.sweep(rows, visit);
  const uint64_t pages = page_bytes_;
  evict_pages(rows / 8 + 1);
  evicted += page_bytes_ < pages;
  return more_dropped || (evicted > 0 && memory_bytes() > options_.cache_bytes);
}

}  // namespace capstan::lmdb_store
