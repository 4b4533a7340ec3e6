// What a leader's pending records make of the keys that they touch. A record is pending from its proposal until it is
// applied; meanwhile STRONG commands are evaluated on it (model, "Levels"), and nobody else sees it. When leadership is
// lost all of it is taken back by forgetting it: the keyspace never had it.
//
// Holds the states of touched keys only, so it is as large as what is under way. Belongs to the shard's worker.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "lmdb-store/keyspace.h"
#include "quorum/key_state.h"
#include "quorum/record.h"

namespace capstan {

class PendingKeys {
 public:
  // keyspace: what is applied; outlives it.
  explicit PendingKeys(lmdb_store::Keyspace& keyspace) : keyspace_(keyspace) {}

  bool empty() const { return keys_.empty() && clears_ == 0; }
  size_t size() const { return keys_.size(); }
  // The key as the pending records leave it, perhaps without elements. nullptr: none of them touches it. Valid until
  // the next call of another method. Where the database is about to be cleared, rows that are not in memory are read
  // here.
  const KeyState* find(Database database, std::string_view key);
  // A pending record clears it: keys that find() was not asked for yet are those that it leaves, none.
  bool clears(Database database) const { return clears_ != 0 && cleared_[database].has_value(); }
  // f(name, state) for the keys of the database that pending records touch, but for those that a clear alone does.
  template <typename F>
  void for_each(Database database, F f) const {
    for (const auto& [name, pending] : keys_) {
      if (name.database == database) f(std::string_view(name.key), pending.state);
    }
  }

  // Joins a record that was just proposed; those before it are applied or pending. Rows that are not in memory are read
  // here.
  void add(const Record& record);
  // The keyspace has applied it: what no later record touches is forgotten. Records come in their order.
  void applied(const Record& record);
  // Leadership is lost.
  void drop();

 private:
  struct Name {
    Database database;
    std::string key;
  };
  using NameView = std::pair<Database, std::string_view>;
  static NameView view(const Name& name) { return {name.database, name.key}; }
  static NameView view(const NameView& name) { return name; }
  struct Hash {
    using is_transparent = void;
    template <typename T>
    size_t operator()(const T& name) const {
      return absl::HashOf(view(name));
    }
  };
  struct Equal {
    using is_transparent = void;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return view(a) == view(b);
    }
  };
  struct Pending {
    KeyState state;
    uint64_t last = 0;  // the number of the last record that touched it
  };

  struct Clear {
    Clock context;
    uint64_t number = 0;
  };

  KeyState applied_state(Database database, std::string_view key);
  // The key's entry, begun with what is applied (and cleared).
  Pending& touch(Database database, std::string_view key);
  void clear(Database database, const Record& record);
  void clear_applied(Database database, uint64_t number);

  lmdb_store::Keyspace& keyspace_;
  // The latest clear of each database.
  std::array<std::optional<Clear>, kDatabases> cleared_;
  size_t clears_ = 0;  // that there are
  absl::flat_hash_map<Name, Pending, Hash, Equal> keys_;
};

}  // namespace capstan
