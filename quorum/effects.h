// Builds a record's net effect while commands are evaluated one after the other (model: "at most one clear per
// database, then at most one remove(key) per key, then at most one mutation per element"). Reused from command to
// command: after the first ones it allocates nothing for a command that touches few keys.
//
// Views (keys, ids, values) must stay valid until the record is encoded and joined; what only lives shorter goes
// through keep(), which copies it into the builder's arena.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <deque>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "quorum/record.h"

namespace capstan {

class Effects {
 public:
  void clear(Database database);
  void remove(Database database, std::string_view key);
  // Later effects on the same element replace or extend earlier ones: put after anything is that put; an amend of what
  // this record put itself changes the put's value; add after add sums; splice after splice stays one splice where both
  // touch or overlap. Remove of an element that this record put: a remove. Precondition: an amend passes may_amend().
  void element(Database database, std::string_view key, ElementEffect effect);
  // Whether element() can take this add or splice besides what the record does to that element so far; else the caller
  // puts the whole value. No single mutation are: a splice beyond kMaxValueBytes; a splice and an add; two splices with
  // a gap between them; a put and an amend of another version than the one it puts; in log R two additions of which one
  // is a float (R adds them in its order, each sum rounded). Precondition: record().dot is set.
  bool may_amend(Database database, std::string_view key, const ElementEffect& amend) const;
  // What this record does to that element so far; nullptr if nothing. Valid until the next change.
  const ElementEffect* find(Database database, std::string_view key, ElementKind kind, std::string_view id) const;
  // What it does to that key so far (removal and elements); nullptr if nothing but perhaps a clear of its database.
  const KeyEffect* find(Database database, std::string_view key) const;
  bool clears(Database database) const;

  // A copy that lives until reset().
  std::string_view keep(std::string_view bytes);

  bool empty() const { return !record_.has_effect(); }
  // The record under construction: the effects are in normal form; dot, hlc and context are the caller's to set, the
  // dot before the first amend.
  Record& record() { return record_; }
  const Record& record() const { return record_; }
  void reset();

 private:
  // Up to here, looking through all is faster than an index; beyond, the maps hold every key, and every element of a
  // key that has more.
  static constexpr size_t kScanned = 16;

  KeyEffect& key(Database database, std::string_view key);
  ptrdiff_t key_index(Database database, std::string_view key) const;
  ptrdiff_t element_index(size_t key, ElementKind kind, std::string_view id) const;
  void index_key(size_t key);
  void index_elements(size_t key);
  void drop_elements(size_t key);
  void extend(ElementEffect& earlier, ElementEffect&& effect);
  bool extends(const ElementEffect& earlier, const ElementEffect& amend) const;
  std::string& own_value(ElementEffect& effect);

  // Bytes that stay where they are until reset(); a block of them keeps its memory from record to record.
  class Arena {
   public:
    std::string_view add(std::string_view bytes);
    void reset();

   private:
    static constexpr size_t kBlockBytes = 4096;

    std::vector<std::unique_ptr<char[]>> blocks_;  // all but the first are given back
    std::vector<std::unique_ptr<char[]>> large_;   // one for each run of bytes that would waste a block
    char* at_ = nullptr;                           // in the last block
    size_t left_ = 0;
  };

  Record record_;
  absl::flat_hash_map<std::pair<Database, std::string_view>, size_t> keys_;
  absl::flat_hash_map<std::tuple<size_t, ElementKind, std::string_view>, size_t> elements_;
  Arena kept_;
  std::deque<std::string> amended_;  // values that only this record's effects view, and that may change in place
};

}  // namespace capstan
