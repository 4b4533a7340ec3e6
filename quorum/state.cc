#include "quorum/state.h"

#include <iterator>

#include "base/check.h"
#include "base/hash.h"
#include "quorum/mutant.h"

namespace capstan {

const KeyState* State::find(Database database, std::string_view key) const {
  const auto at = keys_.find(Key(database, key));
  return at == keys_.end() ? nullptr : &at->second;
}

bool State::admits(const Record& record) const {
  if (applied_[record.dot.log] + 1 != record.dot.number) return false;
  return applied_.covers(record.context) || mutant(Mutant::kAppliedBeforeContext);
}

void State::apply(const Record& record, Replay replay) {
  CHECK(admits(record), "a record came before its context");
  join(record, replay);
  applied_.set(record.dot.log, record.dot.number);
}

void State::join(const Record& record, Replay replay) {
  for (const Database database : record.clears) {
    for (auto at = keys_.lower_bound(Key(database, "")); at != keys_.end() && at->first.first == database;) {
      const auto next = std::next(at);
      at->second.apply_clear(record.context);
      update(at);
      at = next;
    }
  }
  const RecordHead head{record.dot, record.hlc, record.context};
  for (const KeyEffect& effect : record.keys) {
    const auto at = keys_.try_emplace(Key(effect.database, effect.key)).first;
    at->second.apply(effect, head, replay);
    update(at);
  }
}

void State::replace(Database database, std::string_view key, const KeyState& content) {
  const auto at = keys_.try_emplace(Key(database, key)).first;
  at->second = content;
  update(at);
}

uint64_t State::digest(Database database, std::string_view key) const {
  const auto at = digests_.find(Key(database, key));
  return at == digests_.end() ? 0 : at->second;
}

// The key at this place has changed.
void State::update(std::map<Key, KeyState>::iterator at) {
  uint64_t& digest = digests_[at->first];
  digest_ -= digest;
  digest = at->second.digest(hash64(at->first.second));
  digest_ += digest;
  if (!at->second.empty()) return;
  digests_.erase(at->first);
  keys_.erase(at);
}

}  // namespace capstan
