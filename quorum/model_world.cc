// What happens in the world (model_world.h): its actions, and what is written.
#include "quorum/model_world.h"

#include <algorithm>

#include "quorum/mutant.h"

namespace capstan {

ModelWorld::ModelWorld(uint64_t seed) : random_(seed), agreed_{LogId::kAgreedBit | 1} {
  static constexpr int64_t kOffsets[] = {0, 0, 3, -5, 40};
  static constexpr uint64_t kFaults[] = {0, 3, 6, 12};
  replicas_.resize(random_.chance(0.7) ? 3 : 5);
  for (Replica& replica : replicas_) {
    replica.writer = new_writer();
    replica.clock_offset_ms = kOffsets[random_.below(std::size(kOffsets))];
  }
  plain_ = random_.chance(0.1);
  with_ttl_ = !plain_ && random_.chance(0.5);
  sloppy_ = random_.chance(0.5);
  faults_ = kFaults[random_.below(std::size(kFaults))];
}

LogId ModelWorld::new_writer() {
  // Random order of identities, so that no rule can lean on their age.
  return LogId{(random_.below(1 << 14) + 1) << 16 | ++writers_};
}

void ModelWorld::run(int steps) {
  for (int i = 0; i < steps; ++i) {
    act();
    void_promises();
  }
  for (const Replica& replica : replicas_) check_state(replica);
  settle_down();
}

void ModelWorld::act() {
  ++now_ms_;
  for (uint64_t left = random_.below(3); left > 0; --left) deliver();
  Replica& replica = any();
  if (random_.below(100) < faults_) return fault(replica);
  const uint64_t dice = random_.below(100);
  if (dice < 25) {
    write(replica);
  } else if (dice < 45) {
    command_agreed();
  } else if (dice < 48) {
    elect();
  } else if (dice < 61) {
    sync(any(), replica, 0.8);
  } else if (dice < 66) {
    random_.chance(0.6) ? flush(replica) : sync_disk(replica);
  } else if (dice < 71) {
    cut_journal(replica);
  } else if (dice < 80) {
    for (Replica& each : replicas_) step_rebuild(each);
  } else if (dice < 84) {
    readmit(replica);
  } else if (dice < 87) {
    give_hints(replica);
  } else if (dice < 95) {
    read();
  } else {
    check_state(replica);
  }
}

// --- EVENTUAL

std::vector<Command> ModelWorld::commands(const Replica& replica, bool strong) {
  const State::Key& key = model_keys()[random_.below(3)];
  const KeyState* const content = replica.state.find(key.first, key.second);
  const ElementState* const element = content == nullptr ? nullptr : content->find(ElementKind::kString);
  if (element == nullptr || element->versions.size() < 2 || random_.chance(0.5)) {
    return random_commands(random_, strong, with_ttl_, now_ms_);
  }
  ++statistics_.resolved;
  Command resolve;
  resolve.op = Op::kResolve;
  resolve.key = key;
  resolve.value = "77";
  for (const Version& version : element->versions) {
    if (random_.chance(0.6)) resolve.over.push_back(version.dot);
  }
  return {resolve};
}

// "Evaluated by any reachable home replica on its applied state; the effects become a record of that node's own writer
// log, with the replica's applied clock as context."
void ModelWorld::write(Replica& replica) {
  if (plain_ || (replica.rebuild && !mutant(Mutant::kServeWhileRebuilding))) return;
  const uint64_t last = replica.journal.held(replica.writer);
  if (replica.state.applied()[replica.writer] != last) return;
  const std::vector<Command> batch = commands(replica, false);
  const Clock context = replica.state.applied();
  const RecordHead head{{replica.writer, last + 1}, replica.clock.next(wall_ms(replica)), context};
  const auto hidden = expired(replica, keys_of(batch), head.hlc);
  const Evaluation evaluation = evaluate(replica.state, head, batch, false, hidden);
  if (!evaluation.has_effect) return;
  const Archived* const record = archive(evaluation, replica.writer);
  check(store(replica, record), "a replica does not take its own record");
  const size_t wanted[] = {1, quorum(), quorum(), replicas_.size()};
  promises_[head.dot] = {index(replica), replica.boot, wanted[random_.below(std::size(wanted))]};
  pump(replica);
  acknowledge(head.dot, index(replica));
  send(record, replica);
  if (random_.chance(0.3)) leave_hint(replica, record);
}

// "Hints count towards W only with sloppy yes, …, only when their holder also has everything in their context that is
// not settled."
void ModelWorld::leave_hint(Replica& replica, const Archived* record) {
  const Clock below = settled(replica);
  for (const Dot& entry : record->record.context) {
    if (entry.log.agreed() || mutant(Mutant::kHintWithoutContext)) continue;
    for (uint64_t number = below[entry.log] + 1; number <= entry.number; ++number) {
      const Archived* const cause = replica.journal.at({entry.log, number});
      if (cause != nullptr) hints_[cause->record.dot] = cause;
    }
  }
  hints_[record->record.dot] = record;
  ++statistics_.hints;
  if (sloppy_) acknowledge(record->record.dot, kHintHolder);
}

// --- STRONG

// "A STRONG command that reads or writes such a key carries a record whose context covers them"; a command without
// effect that needs none is answered from the leader's state.
void ModelWorld::command_agreed() {
  if (!leader_) return elect();
  Replica& leader = replicas_[*leader_];
  const uint64_t number = canon_.applied()[agreed_] + 1;
  if (leader.rebuild || leader.state.applied()[agreed_] != number - 1) return;
  const std::vector<Command> batch = commands(leader, true);
  const auto keys = keys_of(batch);
  const Clock before = settled(leader);
  const bool must = touched(before, leader.state.applied(), keys);
  // "The cut is the leader's present applied clock where the command's keys need it, and otherwise the newest of its
  // own recent applied clocks that it knows a majority to hold" (here: any recent one).
  const auto& recent = leader.history;
  const Clock cut = must ? leader.state.applied() : recent.empty() ? Clock() : recent[random_.below(recent.size())];
  const Clock context = context_of(before, cut);
  const RecordHead head{{agreed_, number}, leader.clock.next(wall_ms(leader)), context};
  const auto hidden = expired(leader, keys, head.hlc);
  const Evaluation evaluation = evaluate(leader.state, head, batch, true, hidden);
  leader.history.push_back(leader.state.applied());
  if (leader.history.size() > 8) leader.history.erase(leader.history.begin());
  if (!evaluation.has_effect && (!must || mutant(Mutant::kReadUnsettled))) {
    check_strong_read(head, batch, hidden, evaluation);
    return;
  }
  const Archived* const record = propose(leader, evaluation, head);
  if (record == nullptr) return;
  statistics_.settled_reads += !evaluation.has_effect;
  check_agreed(*record, batch, hidden, evaluation);
}

// A leader that has applied all of R; its "first record settles all that it has applied".
void ModelWorld::elect() {
  Replica& candidate = any();
  if (candidate.rebuild || candidate.state.applied()[agreed_] != canon_.applied()[agreed_]) return;
  candidate.history.clear();
  const bool wrong = mutant(Mutant::kNewLeaderSettlesHeld);
  const Clock context = context_of(settled(candidate), wrong ? candidate.journal.held() : candidate.state.applied());
  const RecordHead head{{agreed_, canon_.applied()[agreed_] + 1}, candidate.clock.next(wall_ms(candidate)), context};
  const Evaluation nothing = empty_record(head);
  const Archived* const record = propose(candidate, nothing, head);
  if (record == nullptr) return;
  leader_ = index(candidate);
  check_agreed(*record, {}, {}, nothing);
}

// "A record's context always covers all earlier records of its own log, never falls below the previous one's."
Clock ModelWorld::context_of(const Clock& before, const Clock& cut) const {
  Clock context = before;
  context.merge(cut);
  context.set(agreed_, canon_.applied()[agreed_]);
  return context;
}

// The context of the last record of R that it knows.
Clock ModelWorld::settled(const Replica& replica) const {
  const auto last = archive_.find({agreed_, replica.state.applied()[agreed_]});
  return last == archive_.end() ? Clock() : last->second->record.context;
}

Evaluation ModelWorld::empty_record(const RecordHead& head) const { return evaluate(canon_, head, {}, true, {}); }

// The record, committed: a majority has it and all of its context, synced. Nullptr if there is none.
const Archived* ModelWorld::propose(Replica& leader, const Evaluation& evaluation, const RecordHead& head) {
  std::vector<Replica*> majority;
  const size_t first = random_.below(replicas_.size());
  for (size_t i = 0; i < replicas_.size() && majority.size() + 1 < quorum(); ++i) {
    Replica& other = replicas_[(first + i) % replicas_.size()];
    if (&other != &leader && follow(other, leader, head)) majority.push_back(&other);
  }
  if (majority.size() + 1 < quorum()) return nullptr;
  const Archived* const record = archive(evaluation, agreed_);
  majority.push_back(&leader);
  for (Replica* const replica : majority) {
    check(store(*replica, record), "a record of R is not taken");
    sync_disk(*replica);
    pump(*replica);
  }
  send(record, leader);
  ++statistics_.agreed;
  return record;
}

bool ModelWorld::touched(const Clock& after, const Clock& upto, const std::vector<State::Key>& keys) const {
  for (const auto& [dot, archived] : archive_) {
    if (dot.log.agreed() || after.covers(dot) || !upto.covers(dot)) continue;
    const Record& record = archived->record;
    for (const State::Key& key : keys) {
      const auto& clears = record.clears;
      if (std::find(clears.begin(), clears.end(), key.first) != clears.end()) return true;
      for (const KeyEffect& effect : record.keys) {
        if (effect.database == key.first && effect.key == key.second) return true;
      }
    }
  }
  return false;
}

// "A TTL is compared with the later of the evaluating node's own clock and the stamp of the record being evaluated."
std::set<State::Key> ModelWorld::expired(Replica& replica, const std::vector<State::Key>& keys, Hlc stamp) {
  std::set<State::Key> out;
  for (const State::Key& key : keys) {
    const KeyState* const content = replica.state.find(key.first, key.second);
    if (content == nullptr || !content->expired(std::max(wall_ms(replica), stamp.ms()))) continue;
    for (const ElementState& element : content->elements()) {
      for (const Version& version : element.versions) {
        const bool later = element.kind != ElementKind::kTtl && version.hlc.ms() > content->expire_at_ms();
        check(!later || archive_.at(version.dot)->saw.contains(key), "a TTL that passed before a write hides it");
      }
    }
    out.insert(key);
    ++statistics_.expired;
  }
  return out;
}

const Archived* ModelWorld::archive(const Evaluation& evaluation, LogId log) {
  auto archived = std::make_unique<Archived>();
  archived->bytes = evaluation.record;
  archived->saw = evaluation.saw;
  Decoder in(archived->bytes);
  check(decode_record_into(log, in, archived->record) && in.done(), "a record that cannot be read back");
  std::unique_ptr<Archived>& place = archive_[archived->record.dot];
  if (place != nullptr) {
    check(place->bytes == archived->bytes, "a dot names two records");
  } else {
    place = std::move(archived);
    ++statistics_.records;
  }
  return place.get();
}

}  // namespace capstan
