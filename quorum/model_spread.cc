// How records spread in the world (model_world.h), and how R replicas are read.
#include <algorithm>

#include "quorum/model_world.h"
#include "quorum/mutant.h"

namespace capstan {

void ModelWorld::send(const Archived* record, const Replica& from) {
  for (size_t to = 0; to < replicas_.size(); ++to) {
    if (to != index(from)) messages_.push_back({index(from), to, record});
  }
  if (messages_.size() > 60) messages_.erase(messages_.begin(), messages_.end() - 60);  // the oldest are lost
}

void ModelWorld::deliver() {
  if (messages_.empty()) return;
  const size_t at = random_.below(messages_.size());
  const Message message = messages_[at];
  if (random_.chance(0.9)) messages_.erase(messages_.begin() + static_cast<ptrdiff_t>(at));  // else it comes twice
  if (random_.chance(0.1)) return;                                                           // lost
  if (!linked(replicas_[message.from], replicas_[message.to])) return;
  store(replicas_[message.to], message.record);
  pump(replicas_[message.to]);
  acknowledge(message.record->record.dot, message.to);
}

void ModelWorld::give_hints(Replica& replica) {
  for (const auto& [dot, record] : hints_) store(replica, record);
  pump(replica);
  std::erase_if(hints_, [&](const auto& hint) {
    return std::all_of(replicas_.begin(), replicas_.end(), [&](const Replica& home) {
      return !home.rebuild && home.journal.held(hint.first.log) >= hint.first.number;
    });
  });
}

// Takes a record into the journal if it is the next of its log; one of R "only when it holds everything in its
// context".
bool ModelWorld::store(Replica& replica, const Archived* record) {
  const Record& content = record->record;
  if (content.dot.number != replica.journal.held(content.dot.log) + 1) return false;
  const bool gate = content.dot.log.agreed() && !mutant(Mutant::kNoGate);
  if (gate && !replica.journal.held().covers(content.context)) return false;
  replica.journal.add(record);
  replica.clock.observe(content.hlc, wall_ms(replica), 60);
  return true;
}

// Rule 1: applies what may be applied, in any order that the contexts allow; up to limit, if there is one.
void ModelWorld::pump(Replica& replica, Replay replay, const Clock* limit) {
  if (replica.rebuild && limit == nullptr && !mutant(Mutant::kServeWhileRebuilding)) return;
  for (bool moved = true; moved;) {
    moved = false;
    for (const Dot& end : replica.journal.held()) {
      const Dot next{end.log, replica.state.applied()[end.log] + 1};
      if (next.number > end.number || (limit != nullptr && !limit->covers(next))) continue;
      const Archived* const archived = replica.journal.at(next);
      check(archived != nullptr, "a journal begins above what is applied");
      if (!replica.state.admits(archived->record)) continue;
      replica.state.apply(archived->record, replay);
      moved = true;
    }
  }
}

// Anti-entropy: records, in their order, up to `upto`. False if the other has cut what this one lacks.
bool ModelWorld::pull(Replica& to, Replica& from, const Clock& upto, double share) {
  for (const Dot& entry : upto) {
    for (uint64_t next; (next = to.journal.held(entry.log) + 1) <= entry.number && random_.chance(share);) {
      if (next <= from.journal.base(entry.log)) {
        start_rebuild(to, index(from));
        return false;
      }
      if (!store(to, from.journal.at({entry.log, next}))) break;
    }
  }
  return true;
}

void ModelWorld::sync(Replica& from, Replica& to, double share) {
  if (&from == &to || !linked(from, to)) return;
  Clock writers = from.journal.held();
  writers.set(agreed_, 0);
  if (!pull(to, from, writers, share)) return;
  pump(to);
  if (from.rebuild || to.rebuild) return;
  if (pull(to, from, {{agreed_, from.journal.held(agreed_)}}, share)) pump(to);
}

// A follower that is to take a record of R "first fetches the missing part from the leader". False if it cannot take
// it.
bool ModelWorld::follow(Replica& follower, Replica& leader, const RecordHead& head) {
  if (follower.rebuild || !linked(follower, leader) || random_.chance(0.1)) return false;
  Clock writers = head.context;
  writers.set(agreed_, 0);
  if (!mutant(Mutant::kNoGate) && !pull(follower, leader, writers, 1)) return false;
  if (!pull(follower, leader, {{agreed_, head.dot.number - 1}}, 1)) return false;
  pump(follower);
  const Clock held = follower.journal.held();
  return mutant(Mutant::kNoGate) ? held[agreed_] == head.dot.number - 1 : held.covers(head.context);
}

// "A write is answered when W replicas have journaled and applied it."
void ModelWorld::acknowledge(const Dot& dot, size_t who) {
  const auto at = promises_.find(dot);
  if (at == promises_.end() || at->second.kept) return;
  if (who != kHintHolder) {
    const Replica& replica = replicas_[who];
    if (replica.rebuild || !replica.admitted || !replica.state.applied().covers(dot)) return;
  }
  Promise& promise = at->second;
  if (replicas_[promise.coordinator].boot != promise.boot) return;
  promise.acks.insert(who);
  if (promise.acks.size() < promise.wanted) return;
  promise.kept = true;
  promise.at_home = !promise.acks.contains(kHintHolder);
  ++statistics_.acked;
}

// "Until it has all that at least N − W + 1 other home replicas had applied when it asked them, …"
void ModelWorld::readmit(Replica& replica) {
  if (replica.admitted || replica.rebuild) return;
  for (const Replica& other : replicas_) {
    if (&other != &replica && !other.rebuild && linked(other, replica))
      replica.asked.try_emplace(index(other), other.state.applied());
  }
  const auto have = std::count_if(replica.asked.begin(), replica.asked.end(),
                                  [&](const auto& entry) { return replica.state.applied().covers(entry.second); });
  replica.admitted = static_cast<size_t>(have) >= replicas_.size() - quorum() + 1;
}

// One replica after the other.
void ModelWorld::read() {
  if (reads_.size() < 4) {
    Read& started = reads_.emplace_back();
    started.key = model_keys()[random_.below(model_keys().size())];
    for (const auto& [dot, promise] : promises_) {
      if (promise.at_home && promise.wanted >= quorum()) started.acknowledged.push_back(dot);
    }
  }
  for (int i = 0; i < 4 && !reads_.empty(); ++i) {
    const size_t at = random_.below(reads_.size());
    Read& pending = reads_[at];
    Replica& replica = any();
    const bool serves = replica.admitted && (!replica.rebuild || mutant(Mutant::kServeWhileRebuilding));
    if (!serves || !pending.asked.insert(index(replica)).second) continue;
    const KeyState* const found = replica.state.find(pending.key.first, pending.key.second);
    const KeyState content = found == nullptr ? KeyState() : *found;
    pending.answer = join_answers(pending.answer, pending.clock, content, replica.state.applied());
    pending.clock.merge(replica.state.applied());
    if (pending.asked.size() < replicas_.size() + 1 - quorum()) continue;
    check_answer(pending);
    if (mutant(Mutant::kSingleKeyRepair)) {
      replica.state.replace(pending.key.first, pending.key.second, pending.answer);
    }
    reads_.erase(reads_.begin() + static_cast<ptrdiff_t>(at));
  }
}

}  // namespace capstan
