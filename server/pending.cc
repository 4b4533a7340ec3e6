#include "server/pending.h"

#include <vector>

#include "base/check.h"
#include "base/hash.h"

namespace capstan {

using lmdb_store::Keyspace;

const KeyState* PendingKeys::find(Database database, std::string_view key) const {
  const auto found = keys_.find(NameView{database, key});
  return found == keys_.end() ? nullptr : &found->second.state;
}

KeyState PendingKeys::applied_state(Database database, std::string_view key) {
  KeyState state;
  const Keyspace::Found found = keyspace_.find(database, key, hash64(key), true);
  if (found.row == nullptr || found.row->absent()) return state;
  std::vector<lmdb_store::WantedRow> missing;
  while (!keyspace_.decode(*found.row, state, missing)) keyspace_.read_now(missing);
  return state;
}

void PendingKeys::add(const Record& record) {
  CHECK(record.clears.empty());
  const RecordHead head{record.dot, record.hlc, record.context};
  for (const KeyEffect& effect : record.keys) {
    auto pending = keys_.find(NameView{effect.database, effect.key});
    if (pending == keys_.end()) {
      Pending begun{applied_state(effect.database, effect.key), 0};
      pending = keys_.emplace(Name{effect.database, std::string(effect.key)}, std::move(begun)).first;
    }
    pending->second.state.apply(effect, head, Replay::kNo);
    pending->second.last = record.dot.number;
  }
}

void PendingKeys::applied(const Record& record) {
  for (const KeyEffect& effect : record.keys) {
    const auto pending = keys_.find(NameView{effect.database, effect.key});
    if (pending != keys_.end() && pending->second.last <= record.dot.number) keys_.erase(pending);
  }
}

}  // namespace capstan
