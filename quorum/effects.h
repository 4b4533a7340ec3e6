// Builds a record's net effect while commands are evaluated one after the other (model: "at most one clear per database,
// then at most one remove(key) per key, then at most one mutation per element"). Reused from command to command: after
// the first ones it allocates nothing for a command that touches few keys.
//
// Views (keys, ids, values) must stay valid until the record is encoded and joined; what only lives shorter goes through
// keep(), which copies it into the builder's arena.
#pragma once

#include <deque>
#include <string>

#include "quorum/record.h"

namespace capstan {

class Effects {
 public:
  void clear(Database database);
  void remove(Database database, std::string_view key);
  // Later effects on the same element replace or extend earlier ones: put after anything is that put; an amend of what
  // this record put itself changes the put's value; add after add sums; splice after splice stays one splice where both
  // touch or overlap, else the caller must put (may_splice tells). Remove of an element that this record put: a remove.
  void element(Database database, std::string_view key, const ElementEffect& effect);
  // What this record does to that element so far; nullptr if nothing.
  const ElementEffect* find(Database database, std::string_view key, ElementKind kind, std::string_view id) const;
  // What it does to that key so far (removal and elements); nullptr if nothing but perhaps a clear of its database.
  const KeyEffect* find(Database database, std::string_view key) const;
  bool clears(Database database) const;

  // A copy that lives until reset().
  std::string_view keep(std::string_view bytes);

  bool empty() const { return !record_.has_effect(); }
  // The record under construction: the effects are in normal form; dot, hlc and context are the caller's to set.
  Record& record() { return record_; }
  void reset();

 private:
  KeyEffect& key(Database database, std::string_view key);
  Record record_;
  std::deque<std::string> arena_;
};

}  // namespace capstan
