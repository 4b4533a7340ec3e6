// The join on rows: strings in their compact form in place, everything else through quorum's KeyState.
#include <algorithm>
#include <array>
#include <numeric>

#include "base/check.h"
#include "base/hash.h"
#include "base/number_text.h"
#include "base/slot.h"
#include "lmdb-store/keyspace.h"
#include "quorum/element_value.h"
#include "quorum/version.h"

namespace capstan::lmdb_store {

using Action = ElementEffect::Action;

void Keyspace::apply(const Record& record, Replay replay) {
  const RecordHead head{record.dot, record.hlc, record.context};
  // Where every version is covered nothing of the databases survives: what LMDB has of them need not be looked at.
  if (!record.clears.empty() && record.context.covers(applied_)) {
    drop_databases(record.clears);
  } else {
    for (const Database database : record.clears) apply_clear(database, head);
  }
  for (const KeyEffect& effect : record.keys) apply_key(effect, head, replay);
  applied_.set(record.dot.log, record.dot.number);
  last_stamp_ = std::max(last_stamp_, record.hlc);
}

RowStanding Keyspace::standing(const TableRow* row, uint64_t hash) const {
  return row ? standing_of(row->payload(), hash, logs_) : RowStanding{};
}

void Keyspace::account(const Target& target, uint64_t sort_key, const RowStanding& before, const RowStanding& after) {
  slots_.add(target.database, sort_key_slot(sort_key), slot_change(before, after));
  if (before.expire_at_ms == after.expire_at_ms) {
    // The row may be dirty for the first time since LMDB's index took it over.
    if (after.expire_at_ms != kNeverExpires) expiry_.emplace(after.expire_at_ms, sort_key);
    return;
  }
  if (before.expire_at_ms != kNeverExpires) expiry_.erase({before.expire_at_ms, sort_key});
  if (after.expire_at_ms != kNeverExpires) expiry_.emplace(after.expire_at_ms, sort_key);
}

void Keyspace::apply_key(const KeyEffect& effect, const RecordHead& head, Replay replay) {
  const uint64_t hash = hash64(effect.key);
  TableRow* row = keys_.find(effect.database, effect.key, hash);
  if (!row && !complete_ && !voided(effect.database)) row = read_key_row(effect.database, effect.key, hash);
  Target target{effect.database, effect.key, hash, row};
  if (join_string(target, effect, head, replay) || join_collection(target, effect, head, replay)) return;
  join_general(target, effect, head, replay);
}

bool Keyspace::covers(const StringForm& form, const Clock& context) const {
  if (!context.covers(Dot{logs_.at(form.dot.log), form.dot.number})) return false;
  return !form.has(kShapeTtl) || context.covers(Dot{logs_.at(form.ttl_dot.log), form.ttl_dot.number});
}

// Whether a row of LMDB contains this record already, so that replaying it would only cost time. Rows are flushed
// whole, so a row that names a later record of the log does. (One that names none may still: what is put then is taken
// away again by the record that took it away before.) But nothing of another log may have been joined to the row
// meanwhile that the record takes away: only where rows are ahead of the clock in no other log.
bool Keyspace::contains(const StringForm& form, const Dot& dot) const {
  if (dot.log != ahead_) return false;
  const auto names = [&](const LogNumber& named, uint64_t last) {
    return std::max(named.number, last) >= dot.number && logs_.at(named.log) == dot.log;
  };
  return names(form.dot, form.amended_last) || (form.has(kShapeTtl) && names(form.ttl_dot, 0));
}

bool Keyspace::contains(const TableRow& row, const KeyState& state, const Dot& dot) const {
  CollectionForm form;
  if (parse_collection_form(row.payload(), form)) return form.contains(dot, logs_);
  if (dot.log != ahead_) return false;
  const auto names = [&](const Version& version) {
    const auto amended = [&](const Amendment& amendment) {
      return amendment.log == dot.log && amendment.last >= dot.number;
    };
    return (version.dot.log == dot.log && version.dot.number >= dot.number) ||
           std::any_of(version.amendments.begin(), version.amendments.end(), amended);
  };
  return std::any_of(state.elements().begin(), state.elements().end(), [&](const ElementState& element) {
    return std::any_of(element.versions.begin(), element.versions.end(), names);
  });
}

// The compact form before and after, or false where the outcome may need more than that form can say. It is exact for
// what it takes on: every old version is covered, so puts and removals leave nothing of what they touch.
bool Keyspace::join_string(Target& target, const KeyEffect& effect, const RecordHead& head, Replay replay) {
  const bool present = target.row && !target.row->absent();
  StringForm old;
  if (present && !parse_string_form(target.row->payload(), old)) return false;
  if (present && replay == Replay::kYes && contains(old, head.dot)) return true;
  if (present && !covers(old, head.context)) return false;
  const RowStanding before = present ? standing_of(old, target.hash, logs_) : RowStanding{};
  bool exists = present && !effect.remove;
  StringForm form = exists ? old : StringForm{};
  std::optional<std::string_view> chunk_splice;
  uint64_t splice_offset = 0;
  for (const ElementEffect& element : effect.elements) {
    if (element.has_over || (element.kind == ElementKind::kTtl && element.additive)) return false;
    const auto log = logs_.index_of(head.dot.log);
    if (!log) return false;
    const bool is_string = element.kind == ElementKind::kString;
    if (element.kind == ElementKind::kTtl && element.action == Action::kPut) {
      form.shape |= kShapeTtl;
      form.ttl_dot = {*log, head.dot.number};
      form.ttl_hlc = element.stamp.value_or(head.hlc);
      form.expire_at_ms = time_in(element.value);
    } else if (is_string && element.action == Action::kPut) {
      form.shape = static_cast<uint8_t>((form.shape & kShapeTtl) | (element.additive ? kShapeAdditive : 0));
      form.dot = {*log, head.dot.number};
      form.hlc = element.stamp.value_or(head.hlc);
      form.amended_last = 0;
      form.value = element.value;
      exists = true;
    } else if (is_string && (element.action == Action::kAdd || element.action == Action::kSplice)) {
      const bool contained = head.dot.number <= form.amended_last;
      if (!exists || !join_amend(form, element, head, replay, *log)) return false;
      if (form.has(kShapeChunked) && element.action == Action::kSplice && !contained) {
        chunk_splice = element.value;
        splice_offset = element.offset;
      }
    } else {
      return false;
    }
  }
  if (!exists && form.has(kShapeTtl)) return false;
  if (present && old.has(kShapeChunked) && !(form.has(kShapeChunked) && form.generation == old.generation)) {
    drop_chunks(old, DirtySet::bucket_of(target.row->sort_key));
  }
  if (!exists) {
    if (target.row) store_absent(target, before);
    return true;
  }
  if (chunk_splice) splice_chunks(form, splice_offset, *chunk_splice, DirtySet::bucket_of(target.row->sort_key));
  store_form(target, form, before);
  return true;
}

// R's amendment of the version that is there. The new value is put into scratch_ (unless the string is chunked).
bool Keyspace::join_amend(StringForm& form, const ElementEffect& effect, const RecordHead& head, Replay replay,
                          uint16_t log) {
  if (!head.dot.log.agreed() || form.dot.log != log || form.dot.number != effect.anchor.number ||
      effect.anchor.log != head.dot.log) {
    return false;
  }
  if (head.dot.number <= form.amended_last) {
    CHECK(replay == Replay::kYes, "an amendment came twice");
    return true;
  }
  if (effect.action == Action::kAdd) {
    if (form.has(kShapeChunked) || effect.addend.is_real()) return false;
    const std::optional<int64_t> value = parse_integer(form.value);
    int64_t sum = 0;
    if (!value || __builtin_add_overflow(*value, effect.addend.as_integer(), &sum)) return false;
    scratch_.clear();
    append_integer(scratch_, sum);
    form.value = scratch_;
  } else if (!form.has(kShapeChunked)) {
    if (std::max<uint64_t>(form.value.size(), effect.offset + effect.value.size()) > kChunkBytes) return false;
    scratch_.assign(form.value);
    splice(scratch_, effect.offset, effect.value);
    form.value = scratch_;
  }
  form.shape |= kShapeAmended;
  form.amended_last = head.dot.number;
  return true;
}

void Keyspace::store_form(Target& target, const StringForm& form, const RowStanding& before) {
  StringForm stored = form;
  const uint64_t sort = target.row ? target.row->sort_key : sort_key(target.database, slot_of(target.key), target.hash);
  const size_t bucket = DirtySet::bucket_of(sort);
  if (!form.has(kShapeChunked) && form.value.size() > kChunkBytes) {
    stored.shape |= kShapeChunked;
    stored.generation = next_generation_++;
    stored.size = form.value.size();
    write_chunks(stored.generation, form.value, bucket);
  }
  std::string_view value = stored.has(kShapeChunked) ? std::string_view() : stored.value;
  // Where only the head changes, the value still lies in the row that is about to be rewritten or freed.
  if (target.row && !value.empty() && value.data() >= target.row->payload().data() &&
      value.data() < target.row->payload().data() + target.row->payload_bytes) {
    value = scratch_.assign(value);
  }
  const size_t head_bytes = string_head_bytes(stored.shape);
  TableRow* row = writable(keys_, target.row, sort, target.key, target.hash, head_bytes + value.size(), bucket);
  char* to = write_string_head(row->payload_data(), stored);
  if (!value.empty()) std::memcpy(to, value.data(), value.size());
  target.row = row;
  account(target, sort, before, standing_of(stored, target.hash, logs_));
}

void Keyspace::store_absent(Target& target, const RowStanding& before) {
  const uint64_t sort = target.row->sort_key;
  target.row = writable(keys_, target.row, sort, target.key, target.hash, 0, DirtySet::bucket_of(sort));
  account(target, sort, before, {});
}

void Keyspace::join_general(Target& target, const KeyEffect& effect, const RecordHead& head, Replay replay) {
  KeyState state;
  std::vector<WantedRow> missing;
  if (target.row && !target.row->absent()) {
    while (!decode(*target.row, state, missing)) read_now(missing);
    if (replay == Replay::kYes && contains(*target.row, state, head.dot)) return;
  }
  state.apply(effect, head, replay);
  Clock as_of = applied_;
  as_of.set(head.dot.log, head.dot.number);
  store_state(target, state, as_of);
}

// The compact form where it can say all of it, else the general one. as_of: what the state contains.
void Keyspace::store_state(Target& target, const KeyState& state, const Clock& as_of) {
  const RowStanding before = standing(target.row, target.hash);
  StringForm old;
  CollectionForm old_collection;
  if (target.row && parse_string_form(target.row->payload(), old) && old.has(kShapeChunked)) {
    drop_chunks(old, DirtySet::bucket_of(target.row->sort_key));
  } else if (target.row && parse_collection_form(target.row->payload(), old_collection) && old_collection.large) {
    drop_collection(old_collection.generation);
  }
  if (state.empty()) {
    if (target.row) store_absent(target, before);
    return;
  }
  StringForm form;
  if (compact(state, form)) return store_form(target, form, before);
  if (store_as_collection(target, state, as_of, before)) return;
  general_payload(state, payload_);
  store_payload(target, payload_, before);
}

void Keyspace::general_payload(const KeyState& state, std::string& payload) {
  payload.assign(1, static_cast<char>(kShapeGeneral));
  Encoder out(payload);
  state.encode(out);
}

void Keyspace::store_payload(Target& target, std::string_view payload, const RowStanding& before) {
  const uint64_t sort = target.row ? target.row->sort_key : sort_key(target.database, slot_of(target.key), target.hash);
  target.row = writable(keys_, target.row, sort, target.key, target.hash, payload.size(), DirtySet::bucket_of(sort));
  std::memcpy(target.row->payload_data(), payload.data(), payload.size());
  account(target, sort, before, standing(target.row, target.hash));
}

bool Keyspace::compact(const KeyState& state, StringForm& form) {
  const auto plain = [](const ElementState& element) {
    const Versions& versions = element.versions;
    if (versions.size() != 1 || versions[0].amendments.size() > 1) return false;
    const Version& version = versions[0];
    return version.amendments.empty() || (version.amendments[0].log == version.dot.log && version.dot.log.agreed() &&
                                          !version.amendments[0].sum.is_real());
  };
  const ElementState* text = state.find(ElementKind::kString);
  const ElementState* ttl = state.find(ElementKind::kTtl);
  if (!text || state.elements().size() != (ttl ? 2u : 1u) || !plain(*text)) return false;
  if (ttl && (ttl->versions.size() != 1 || !ttl->versions[0].amendments.empty() || ttl->versions[0].additive)) {
    return false;
  }
  const Version& version = text->versions[0];
  const auto log = logs_.index_of(version.dot.log);
  if (!log) return false;
  form.shape = static_cast<uint8_t>((version.additive ? kShapeAdditive : 0) |
                                    (version.amendments.empty() ? 0 : kShapeAmended) | (ttl ? kShapeTtl : 0));
  form.dot = {*log, version.dot.number};
  form.hlc = version.hlc;
  form.amended_last = version.amendments.empty() ? 0 : version.amendments[0].last;
  form.value = version.value;
  form.size = version.value.size();
  if (!ttl) return true;
  const auto ttl_log = logs_.index_of(ttl->versions[0].dot.log);
  if (!ttl_log) return false;
  form.ttl_dot = {*ttl_log, ttl->versions[0].dot.number};
  form.ttl_hlc = ttl->versions[0].hlc;
  form.expire_at_ms = time_in(ttl->versions[0].value);
  return true;
}

// --- clear(db)

void Keyspace::apply_clear(Database database, const RecordHead& head) {
  const auto clear_key = [&](std::string_view name) {
    const uint64_t hash = hash64(name);
    Target target{database, name, hash, keys_.find(database, name, hash)};
    if (!target.row) target.row = read_key_row(database, name, hash);
    if (target.row->absent()) return;
    KeyState state;
    std::vector<WantedRow> missing;
    while (!decode(*target.row, state, missing)) read_now(missing);
    state.apply_clear(head.context);
    // What the record does to this very key comes behind its clear, so the row does not contain the record yet.
    store_state(target, state, applied_);
  };
  std::vector<ScannedKey> names;
  for (uint64_t position = 0;;) {
    scan(database, position, 1000, kEverything, names, position);
    for (const ScannedKey& key : names) clear_key(key.name);
    if (position == 0) return;
    names.clear();
  }
}

// The next flush erases all that LMDB has of the databases, so their rows need leave no trace here.
void Keyspace::begin_rebuild() {
  std::array<Database, kDatabases> all{};
  std::iota(all.begin(), all.end(), Database{0});
  drop_databases(all);
}

void Keyspace::install(Database database, std::string_view key, const KeyState& state, const Clock& as_of) {
  Target target{database, key, hash64(key), nullptr};
  store_state(target, state, as_of);
}

void Keyspace::end_rebuild(const Clock& applied, const Clock& newest, Hlc newest_stamp) {
  applied_ = applied;
  note_newest(newest, newest_stamp);
  // Stamps given from now on must be above all that rows name.
  last_stamp_ = std::max(last_stamp_, newest_stamp);
}

bool Keyspace::state_of(Database database, std::string_view key, KeyState& state) {
  const Found found = find(database, key, hash64(key), true);
  if (!found.row) return false;
  std::vector<WantedRow> missing;
  while (!decode(*found.row, state, missing)) read_now(missing);
  return true;
}

void Keyspace::drop_databases(std::span<const Database> databases) {
  bool dropped[kDatabases] = {};
  for (const Database database : databases) {
    dropped[database] = cleared_[database] = cleared_any_ = true;
    slots_.clear(database);
    // Those of values that are no more, too, which no key row names.
    dirty_.for_each_element(database, [&](TableRow* row) { forget_row(elements_, row); });
  }
  std::vector<TableRow*> rows;
  keys_.for_each([&](TableRow* row) {
    if (dropped[sort_key_database(row->sort_key)]) rows.push_back(row);
  });
  for (TableRow* row : rows) {
    StringForm form;
    if (parse_string_form(row->payload(), form) && form.has(kShapeChunked)) {
      for (uint64_t at = 0; at < form.size; at += kChunkBytes) {
        const std::string key = chunk_row_key(form.generation, static_cast<uint32_t>(at / kChunkBytes));
        TableRow* chunk = elements_.find(static_cast<uint8_t>(form.generation >> 56), key, hash64(key));
        if (chunk) forget_row(elements_, chunk);
      }
    }
    forget_row(keys_, row);
  }
  std::vector<uint64_t> generations;
  for (const auto& [generation, large] : collections_) {
    if (dropped[large.database]) generations.push_back(generation);
  }
  for (const uint64_t generation : generations) drop_collection(generation);
  for (const Database database : databases) dirty_.drop(database);
  absl::erase_if(expiry_, [&](const auto& entry) { return dropped[sort_key_database(entry.second)]; });
}

}  // namespace capstan::lmdb_store
