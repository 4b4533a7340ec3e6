// The whole state of a replica as a plain map: the readable reference for tests and for the simulator's oracle, not the
// production store (lmdb-store/ is). A value: copied, it is a snapshot.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "quorum/key_state.h"
#include "quorum/record.h"

namespace capstan {

class State {
 public:
  using Key = std::pair<Database, std::string>;

  const std::map<Key, KeyState>& keys() const { return keys_; }
  const KeyState* find(Database database, std::string_view key) const;
  const Clock& applied() const { return applied_; }

  // Rule 1 of the join: the next of its log, and its context is applied.
  bool admits(const Record& record) const;
  // Rules 1 to 5. Precondition: admits(record).
  void apply(const Record& record, Replay replay = Replay::kNo);
  // Rules 2 to 4 alone: for views of a record that is being evaluated.
  void join(const Record& record, Replay replay = Replay::kNo);

  // Rebuild: a piece of another replica's state takes the place of this one's, and in the end the clock is what the
  // pieces stand for.
  void replace(Database database, std::string_view key, const KeyState& content);
  void set_applied(const Clock& applied) { applied_ = applied; }

  // Kept up to date at each join: of a key (0 if there is none), and of all keys together, a sum mod 2^64.
  uint64_t digest(Database database, std::string_view key) const;
  uint64_t digest() const { return digest_; }

 private:
  void update(std::map<Key, KeyState>::iterator at);

  std::map<Key, KeyState> keys_;
  std::map<Key, uint64_t> digests_;
  uint64_t digest_ = 0;
  Clock applied_;
};

}  // namespace capstan
