#include "server/evaluation.h"

#include <algorithm>

#include "base/check.h"
#include "quorum/version.h"

namespace capstan {

using lmdb_store::Keyspace;
using lmdb_store::TableRow;
using lmdb_store::WantedRow;

void Evaluation::begin(bool strong, int64_t now_ms, const RecordHead& head) {
  effects_.reset();
  dot_ = head.dot;
  stamp_ = head.hlc;
  context_ = &head.context;
  strong_ = strong;
  pending_ = strong && pending_keys_ != nullptr && !pending_keys_->empty() ? pending_keys_ : nullptr;
  saw_pending_ = false;
  use_ = true;
  now_ms_ = now_ms;
  forget();
  missing_.clear();
  if (!scratch_.empty()) scratch_.clear();
}

// --- seeing a key as this record has left it

const Evaluation::Sight& Evaluation::see(const KeyRef& key) {
  if (sight_.name == key.name.data() && sight_.size == key.name.size() && sight_.database == key.database &&
      sight_.name != nullptr) {
    return sight_;
  }
  sight_.resident = true;
  sight_.exists = sight_.whole = sight_.collection = sight_.shown = sight_.lingers = false;
  sight_.kind = ElementKind::kString;
  sight_.expire_at_ms = kNeverExpires;
  const Keyspace::Found found = keyspace_.find(key.database, key.name, key.hash, at_once_);
  sight_.row = found.row;
  const KeyState* const pending = pending_ == nullptr ? nullptr : pending_->find(key.database, key.name);
  if (pending != nullptr) saw_pending_ = true;
  if (found.presence == Keyspace::Presence::kUnknown && pending == nullptr) {
    missing_.push_back(WantedRow{false, key.database, std::string(key.name)});
    sight_.resident = false;
    forget();
    return sight_;
  }
  if (found.row && use_) keyspace_.use(*found.row);
  const KeyEffect* effect = effects_.empty() ? nullptr : effects_.find(key.database, key.name);
  if (pending || effect || (!effects_.empty() && effects_.clears(key.database))) {
    see_state(key, pending, effect);
  } else if (found.row) {
    see_row(key);
  }
  ++(sight_.exists ? lookups_.hits : lookups_.misses);
  sight_.name = sight_.resident ? key.name.data() : nullptr;
  sight_.size = key.name.size();
  sight_.database = key.database;
  return sight_;
}

void Evaluation::see_row(const KeyRef& key) {
  const std::string_view payload = sight_.row->payload();
  const bool text = lmdb_store::parse_string_form(payload, sight_.form);
  sight_.collection = !text && lmdb_store::parse_collection_form(payload, sight_.collection_form);
  const bool whole = !text && !sight_.collection;
  const Keyspace::KeyInfo info = text                ? Keyspace::info(sight_.form, now_ms_)
                                 : sight_.collection ? keyspace_.info(sight_.collection_form, now_ms_)
                                                     : keyspace_.info(payload, now_ms_);
  sight_.exists = info.exists;
  sight_.kind = info.kind;
  sight_.expire_at_ms = info.expire_at_ms;
  if (whole) {
    sight_.whole = true;
    sight_.state = {};
    if (!read(*sight_.row, sight_.state)) return;
  }
  hide_if_expired(key, info.expired);
}

// The key with what pending records and this one do to it, joined as it will be.
void Evaluation::see_state(const KeyRef& key, const KeyState* pending, const KeyEffect* effect) {
  sight_.whole = true;
  sight_.state = pending ? *pending : KeyState();
  if (!pending && sight_.row && !read(*sight_.row, sight_.state)) return;
  if (effects_.clears(key.database)) sight_.state.apply_clear(*context_);
  if (effect) sight_.state.apply(*effect, head(), Replay::kNo);
  sight_.exists = sight_.state.exists();
  if (!sight_.exists) return;
  sight_.kind = sight_.state.visible_kind();
  sight_.expire_at_ms = sight_.state.expire_at_ms();
  hide_if_expired(key, sight_.state.expired(now_ms_));
}

// "EVENTUAL and LOCAL hide what has expired"; at STRONG the record removes it.
void Evaluation::hide_if_expired(const KeyRef& key, bool expired) {
  if (!expired) {
    // One that had passed before the value was stamped does not count: the key has a new life.
    if (sight_.expire_at_ms < now_ms_) sight_.expire_at_ms = kNeverExpires;
    return;
  }
  sight_.exists = false;
  sight_.lingers = !strong_;
  if (strong_) effects_.remove(key.database, key.name);
}

bool Evaluation::read(const TableRow& row, KeyState& out) {
  while (!keyspace_.decode(row, out, missing_)) {
    if (!at_once_) return sight_.resident = false;
    keyspace_.read_now(missing_);
  }
  return true;
}

bool Evaluation::read_chunks(const lmdb_store::StringForm& form, uint64_t offset, uint64_t size, std::string& out) {
  while (!keyspace_.read_chunks(form, offset, size, out, missing_)) {
    if (!at_once_) return false;
    out.clear();
    keyspace_.read_now(missing_);
  }
  return true;
}

// --- any key

bool Evaluation::resident(const KeyRef& key) { return see(key).resident; }

std::optional<ElementKind> Evaluation::kind(const KeyRef& key) {
  const Sight& sight = see(key);
  if (!sight.exists) return std::nullopt;
  return sight.kind;
}

int64_t Evaluation::expire_at_ms(const KeyRef& key) {
  const Sight& sight = see(key);
  return sight.exists ? sight.expire_at_ms : kNeverExpires;
}

uint64_t Evaluation::digest(const KeyRef& key) {
  const Sight& sight = see(key);
  if (!sight.exists) return 0;
  return sight.whole ? sight.state.digest(key.hash) : keyspace_.digest(*sight.row, key.hash);
}

uint32_t Evaluation::idle_s(const KeyRef& key) {
  const Sight& sight = see(key);
  return sight.row ? keyspace_.idle_s(*sight.row) : 0;
}

uint64_t Evaluation::memory_bytes(const KeyRef& key) {
  // An entry of the index at its usual load, besides the row.
  constexpr uint64_t kIndexBytes = 10;
  const Sight& sight = see(key);
  if (!sight.row) return 0;
  const bool chunked = !sight.whole && !sight.collection && sight.form.has(lmdb_store::kShapeChunked);
  return sight.row->allocated_bytes() + kIndexBytes + (chunked ? sight.form.size : 0);
}

bool Evaluation::remove(const KeyRef& key) {
  if (!see(key).exists) return false;
  effects_.remove(key.database, key.name);
  forget();
  return true;
}

void Evaluation::set_expiry(const KeyRef& key, int64_t expire_at_ms) {
  put_expiry(key, expire_at_ms, std::nullopt);
  forget();
}

void Evaluation::put_expiry(const KeyRef& key, int64_t expire_at_ms, std::optional<Hlc> stamp) {
  char bytes[8];
  store_le(bytes, static_cast<uint64_t>(expire_at_ms));
  ElementEffect effect;
  effect.kind = ElementKind::kTtl;
  effect.value = effects_.keep({bytes, sizeof bytes});
  effect.stamp = stamp;
  effects_.element(key.database, key.name, std::move(effect));
}

// "A record that puts into a key that has a TTL puts the TTL again, with the stamp of the version that it repeats."
void Evaluation::repeat_expiry(const KeyRef& key, const Sight& sight) {
  if (sight.expire_at_ms == kNeverExpires) return;
  if (effects_.find(key.database, key.name, ElementKind::kTtl, {})) return;
  put_expiry(key, sight.expire_at_ms, expiry_stamp(sight));
}

// Of the TTL's version that is shown. Precondition: there is one.
Hlc Evaluation::expiry_stamp(const Sight& sight) const {
  if (!sight.whole && !sight.collection) return sight.form.ttl_hlc;
  if (sight.collection && !sight.collection_form.ttl.general) return sight.collection_form.ttl.hlc;
  const Versions versions = sight.whole ? sight.state.find(ElementKind::kTtl)->versions
                                        : lmdb_store::versions_of(sight.collection_form.ttl, keyspace_.logs());
  return versions[winner(versions)].hlc;
}

// "A record that creates a key where an expired one lingers begins with remove(key)."
void Evaluation::begin_life(const KeyRef& key, const Sight& sight) {
  if (sight.lingers) effects_.remove(key.database, key.name);
}

Lookup Evaluation::copy(const KeyRef& from, const KeyRef& to) {
  const Sight& sight = see(from);
  if (!sight.resident) return Lookup::kNotResident;
  KeyState state;
  if (sight.whole) {
    state = sight.state;
  } else if (!read(*sight.row, state)) {
    return Lookup::kNotResident;
  }
  effects_.remove(to.database, to.name);
  for (const ElementState& element : state.elements()) {
    ElementEffect effect;
    effect.kind = element.kind;
    effect.id = effects_.keep(element.id);
    // The row that it came from may be gone when the record is joined (RENAME).
    effect.value = effects_.keep(*value_of(element.versions, joined_, element.kind));
    effects_.element(to.database, to.name, effect);
  }
  forget();
  return Lookup::kFound;
}

void Evaluation::clear(Database database) {
  if (count(database) == 0 && effects_.empty()) return;
  effects_.clear(database);
  forget();
}

// --- strings

StringRead Evaluation::string(const KeyRef& key) { return string_range(key, 0, UINT64_MAX); }

Lookup Evaluation::string_size(const KeyRef& key, uint64_t& size) {
  const Sight& sight = see(key);
  size = 0;
  if (!sight.resident) return Lookup::kNotResident;
  if (!sight.exists) return Lookup::kMissing;
  if (sight.kind != ElementKind::kString) return Lookup::kWrongType;
  size = sight.whole ? value_of(text(sight)->versions, joined_)->size() : sight.form.size;
  return Lookup::kFound;
}

StringRead Evaluation::string_range(const KeyRef& key, uint64_t offset, uint64_t size) {
  const Sight& sight = see(key);
  if (!sight.resident) return {Lookup::kNotResident, {}};
  if (!sight.exists) return {Lookup::kMissing, {}};
  if (sight.kind != ElementKind::kString) return {Lookup::kWrongType, {}};
  std::string_view all = sight.form.value;
  if (sight.whole) {
    all = *value_of(text(sight)->versions, joined_);
  } else if (sight.form.has(lmdb_store::kShapeChunked)) {
    std::string& out = scratch();
    if (!read_chunks(sight.form, offset, size, out)) return {Lookup::kNotResident, {}};
    return {Lookup::kFound, out};
  }
  all = offset < all.size() ? all.substr(offset, size) : std::string_view();
  // The state is another key's with the next look; what is kept of it is what was asked for, once per read.
  if (sight.whole) all = scratch().assign(all);
  return {Lookup::kFound, all};
}

void Evaluation::put_string(const KeyRef& key, std::string_view value, bool additive) {
  ElementEffect effect;
  effect.value = value;
  effect.additive = additive;
  effects_.element(key.database, key.name, std::move(effect));
}

void Evaluation::set_string(const KeyRef& key, std::string_view value, bool keep_ttl) {
  if (!keep_ttl) {
    effects_.remove(key.database, key.name);
    put_string(key, value, false);
    return forget();
  }
  const Sight& sight = see(key);
  const bool had_ttl = sight.exists && sight.expire_at_ms != kNeverExpires;
  if (had_ttl) {
    // Before the removal, which would take back what this record itself set.
    const int64_t expire_at_ms = sight.expire_at_ms;
    const Hlc stamp = expiry_stamp(sight);
    effects_.remove(key.database, key.name);
    put_string(key, value, false);
    put_expiry(key, expire_at_ms, stamp);
  } else {
    effects_.remove(key.database, key.name);
    put_string(key, value, false);
  }
  forget();
}

Dot Evaluation::anchor(const Sight& sight, bool for_splice) const {
  if (for_splice && !dot_.log.agreed()) return {};
  if (sight.whole) {
    const Versions& versions = text(sight)->versions;
    if (for_splice && !is_simple(versions)) return {};
    return versions[winner(versions)].dot;
  }
  if (for_splice && sight.form.has(lmdb_store::kShapeAdditive)) return {};
  return {keyspace_.logs().at(sight.form.dot.log), sight.form.dot.number};
}

Lookup Evaluation::splice(const KeyRef& key, uint64_t offset, std::string_view bytes) {
  const Sight& sight = see(key);
  if (!sight.resident) return Lookup::kNotResident;
  ElementEffect effect;
  effect.action = ElementEffect::Action::kSplice;
  effect.offset = offset;
  effect.value = bytes;
  effect.anchor = sight.exists ? anchor(sight, true) : Dot{};
  if (effect.anchor.number != 0 && effects_.may_amend(key.database, key.name, effect)) {
    if (!sight.whole && sight.form.has(lmdb_store::kShapeChunked)) {
      // The chunks that change, and the last one if a gap is to be filled, must be there for the join.
      std::string ignored;
      const uint64_t from = std::min(offset, sight.form.size);
      if (!read_chunks(sight.form, from, offset + bytes.size() - from, ignored)) return Lookup::kNotResident;
    }
    effects_.element(key.database, key.name, std::move(effect));
    forget();
    return Lookup::kFound;
  }
  const StringRead now = string(key);
  if (now.lookup == Lookup::kNotResident) return now.lookup;
  std::string& value = scratch();
  value.assign(now.value);
  capstan::splice(value, offset, bytes);
  const std::string_view kept = effects_.keep(value);
  sight.exists ? repeat_expiry(key, sight) : begin_life(key, sight);
  put_string(key, kept, false);
  forget();
  return Lookup::kFound;
}

Lookup Evaluation::add(const KeyRef& key, const Number& addend, std::string_view sum) {
  const Sight& sight = see(key);
  if (!sight.resident) return Lookup::kNotResident;
  if (!sight.exists) {
    begin_life(key, sight);
    put_string(key, effects_.keep(sum), true);
    forget();
    return Lookup::kFound;
  }
  ElementEffect effect;
  effect.action = ElementEffect::Action::kAdd;
  effect.addend = addend;
  effect.anchor = anchor(sight, false);
  const bool exact = !sight.whole || adds_exactly(text(sight)->versions, dot_.log, addend);
  if (exact && effects_.may_amend(key.database, key.name, effect)) {
    effects_.element(key.database, key.name, std::move(effect));
  } else {
    repeat_expiry(key, sight);
    put_string(key, effects_.keep(sum), false);
  }
  forget();
  return Lookup::kFound;
}

}  // namespace capstan
