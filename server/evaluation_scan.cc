// Evaluation's reads of a whole database: what the keyspace has, what pending records do to it, and what the record
// under construction does to that. Applied, pending and own effects are three layers; the upper ones are small.
#include <algorithm>

#include "base/hash.h"
#include "server/evaluation.h"

namespace capstan {

using lmdb_store::Keyspace;

// Whether the applied layer has the key, expired or not, unless a pending record clears it.
bool Evaluation::in_keyspace(const KeyRef& key, bool cleared) {
  if (cleared) return false;
  const Keyspace::Found found = keyspace_.find(key.database, key.name, key.hash, true);
  return found.row && keyspace_.info(*found.row, Keyspace::kEverything).exists;
}

uint64_t Evaluation::count(Database database) {
  const bool pending_clear = pending_ != nullptr && pending_->clears(database);
  uint64_t keys = pending_clear ? 0 : keyspace_.keys(database);
  if (pending_ != nullptr) {
    saw_pending_ = true;
    pending_->for_each(database, [&](std::string_view name, const KeyState& state) {
      keys += uint64_t{state.exists()} - uint64_t{in_keyspace(KeyRef(database, name), pending_clear)};
    });
  }
  if (effects_.empty()) return keys;
  const bool cleared = effects_.clears(database);
  if (cleared) keys = 0;
  for (const KeyEffect& effect : effects_.record().keys) {
    if (effect.database != database) continue;
    const KeyRef key(database, effect.key);
    const KeyState* const pending = pending_ == nullptr ? nullptr : pending_->find(database, key.name);
    const bool before = !cleared && (pending ? pending->exists() : in_keyspace(key, false));
    keys += uint64_t{exists(key)} - uint64_t{before};
  }
  return keys;
}

Lookup Evaluation::scan(Database database, uint64_t& cursor, size_t count, std::vector<Scanned>& out) {
  scanned_.clear();
  uint64_t next = 0;
  const bool own_clear = !effects_.empty() && effects_.clears(database);
  const bool pending_clear = pending_ != nullptr && pending_->clears(database);
  if (!own_clear && !pending_clear) keyspace_.scan(database, cursor, count, now_ms_, scanned_, next);
  std::vector<std::string> created;  // by layers above the applied one: they come with the last piece
  if (pending_ != nullptr && !own_clear) {
    saw_pending_ = true;
    pending_->for_each(database, [&](std::string_view name, const KeyState&) {
      if (next == 0 && !in_keyspace(KeyRef(database, name), pending_clear)) created.emplace_back(name);
    });
    // A key that is removed by then is none; another stays where the applied layer has it.
    std::erase_if(scanned_, [&](const auto& key) {
      forget();  // names of different scans may lie in the same place
      return pending_->find(database, key.name) != nullptr && !exists(KeyRef(database, key.name));
    });
  }
  if (!effects_.empty()) {
    const auto own = [&](const std::string& name) { return effects_.find(database, name) != nullptr; };
    std::erase_if(scanned_, [&](const auto& key) { return own(key.name); });
    std::erase_if(created, own);
    for (size_t i = 0; next == 0 && i < effects_.record().keys.size(); ++i) {
      const KeyEffect& effect = effects_.record().keys[i];
      if (effect.database == database) created.emplace_back(effect.key);
    }
  }
  for (std::string& name : created) {
    const auto kind_now = kind(KeyRef(database, name));
    if (kind_now) scanned_.push_back({std::move(name), *kind_now});
    forget();
  }
  forget();
  for (const auto& key : scanned_) out.push_back(Scanned{key.name, key.kind});
  cursor = next;
  return Lookup::kFound;
}

Lookup Evaluation::random_key(Database database, std::string_view& key) {
  const auto pick = [&](uint64_t from, uint64_t number) {
    scanned_.clear();
    uint64_t next = 0;
    keyspace_.scan(database, from, 1, now_ms_, scanned_, next);
    // Names of different scans may lie in the same place.
    std::erase_if(scanned_, [&](const auto& found) {
      forget();
      return !exists(KeyRef(database, found.name));
    });
    forget();
    if (scanned_.empty()) return false;
    key = scanned_[number % scanned_.size()].name;
    return true;
  };
  const uint64_t keys = keyspace_.keys(database);
  const bool cleared = effects_.clears(database) || (pending_ != nullptr && pending_->clears(database));
  if (keys > 0 && !cleared) {
    // A slot by its number of keys, then the next key from a random hash in that slot on.
    const uint64_t number = mix64(stamp_.value, ++draws_);
    const uint64_t slot = keyspace_.slots().slot_of_key(database, number % keys);
    const uint64_t hash_bits = Keyspace::kPositionBits - 14;
    const uint64_t first = slot << hash_bits;
    if (pick(first | (mix64(number, draws_) >> (64 - hash_bits)), number) || pick(first, number) || pick(0, number)) {
      return Lookup::kFound;
    }
  }
  for (const KeyEffect& effect : effects_.record().keys) {
    if (effect.database != database || !exists(KeyRef(database, effect.key))) continue;
    key = effect.key;
    return Lookup::kFound;
  }
  return pending_ == nullptr ? Lookup::kMissing : random_pending_key(database, key);
}

// One that only pending records have made. Its name is the table's own.
Lookup Evaluation::random_pending_key(Database database, std::string_view& key) {
  saw_pending_ = true;
  std::vector<std::string_view> names;
  pending_->for_each(database, [&](std::string_view name, const KeyState& state) {
    if (state.exists()) names.push_back(name);
  });
  for (const std::string_view name : names) {
    forget();
    if (!exists(KeyRef(database, name))) continue;
    key = keep(name);
    return Lookup::kFound;
  }
  return Lookup::kMissing;
}

}  // namespace capstan
