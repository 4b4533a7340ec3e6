// Evaluation's reads of a whole database: what the keyspace has, and what the record under construction does to it.
#include <algorithm>

#include "base/hash.h"
#include "server/evaluation.h"

namespace capstan {

using lmdb_store::Keyspace;

uint64_t Evaluation::count(Database database) {
  uint64_t keys = keyspace_.keys(database);
  if (effects_.empty()) return keys;
  const bool cleared = effects_.clears(database);
  if (cleared) keys = 0;
  for (const KeyEffect& effect : effects_.record().keys) {
    if (effect.database != database) continue;
    const KeyRef key(database, effect.key);
    const Keyspace::Found found = keyspace_.find(database, key.name, key.hash, true);
    const bool before = !cleared && found.row && keyspace_.info(*found.row, Keyspace::kEverything).exists;
    keys += uint64_t{exists(key)} - uint64_t{before};
  }
  return keys;
}

Lookup Evaluation::scan(Database database, uint64_t& cursor, size_t count, std::vector<Scanned>& out) {
  scanned_.clear();
  uint64_t next = 0;
  if (effects_.empty() || !effects_.clears(database)) {
    keyspace_.scan(database, cursor, count, now_ms_, scanned_, next);
  }
  if (!effects_.empty()) {
    std::erase_if(scanned_, [&](const auto& key) { return effects_.find(database, key.name) != nullptr; });
    // What this record touched comes with the last piece.
    for (size_t i = 0; next == 0 && i < effects_.record().keys.size(); ++i) {
      const KeyEffect& effect = effects_.record().keys[i];
      if (effect.database != database) continue;
      const auto kind_now = kind(KeyRef(database, effect.key));
      if (kind_now) scanned_.push_back({std::string(effect.key), *kind_now});
    }
  }
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
  if (keys > 0 && !effects_.clears(database)) {
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
  return Lookup::kMissing;
}

}  // namespace capstan
