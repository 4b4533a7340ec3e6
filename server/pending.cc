#include "server/pending.h"

namespace capstan {

const KeyState* PendingKeys::find(Database database, std::string_view key) {
  const auto found = keys_.find(NameView{database, key});
  if (found != keys_.end()) return &found->second.state;
  return clears(database) ? &touch(database, key).state : nullptr;
}

KeyState PendingKeys::applied_state(Database database, std::string_view key) {
  KeyState state;
  keyspace_.state_of(database, key, state);
  return state;
}

PendingKeys::Pending& PendingKeys::touch(Database database, std::string_view key) {
  const auto found = keys_.find(NameView{database, key});
  if (found != keys_.end()) return found->second;
  Pending begun{applied_state(database, key), 0};
  if (clears(database)) {
    begun.state.apply_clear(cleared_[database]->context);
    begun.last = cleared_[database]->number;
  }
  return keys_.emplace(Name{database, std::string(key)}, std::move(begun)).first->second;
}

void PendingKeys::clear(Database database, const Record& record) {
  for (auto& [name, pending] : keys_) {
    if (name.database != database) continue;
    pending.state.apply_clear(record.context);
    pending.last = record.dot.number;
  }
  if (!cleared_[database]) ++clears_;
  cleared_[database] = Clear{record.context, record.dot.number};
}

void PendingKeys::add(const Record& record) {
  for (const Database database : record.clears) clear(database, record);
  const RecordHead head{record.dot, record.hlc, record.context};
  for (const KeyEffect& effect : record.keys) {
    Pending& pending = touch(effect.database, effect.key);
    pending.state.apply(effect, head, Replay::kNo);
    pending.last = record.dot.number;
  }
}

void PendingKeys::clear_applied(Database database, uint64_t number) {
  absl::erase_if(keys_, [&](const auto& key) { return key.first.database == database && key.second.last <= number; });
  if (!cleared_[database] || cleared_[database]->number > number) return;
  cleared_[database].reset();
  --clears_;
}

void PendingKeys::applied(const Record& record) {
  for (const Database database : record.clears) clear_applied(database, record.dot.number);
  for (const KeyEffect& effect : record.keys) {
    const auto pending = keys_.find(NameView{effect.database, effect.key});
    if (pending != keys_.end() && pending->second.last <= record.dot.number) keys_.erase(pending);
  }
}

void PendingKeys::drop() {
  keys_.clear();
  cleared_ = {};
  clears_ = 0;
}

}  // namespace capstan
