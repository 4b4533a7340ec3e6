#include "quorum/model_world.h"

#include <algorithm>

#include "quorum/mutant.h"

namespace capstan {

ModelWorld::ModelWorld(uint64_t seed) : random_(seed), agreed_{LogId::kAgreedBit | 1} {
  static constexpr int64_t kOffsets[] = {0, 0, 3, -5, 40};
  replicas_.resize(random_.chance(0.7) ? 3 : 5);
  for (Replica& replica : replicas_) {
    replica.writer = new_writer();
    replica.clock_offset_ms = kOffsets[random_.below(std::size(kOffsets))];
  }
  with_ttl_ = random_.chance(0.5);
  with_faults_ = random_.chance(0.8);
}

LogId ModelWorld::new_writer() {
  // Random order of identities, so that no rule can lean on their age.
  return LogId{(random_.below(1 << 14) + 1) << 16 | ++writers_};
}

void ModelWorld::run(int steps) {
  for (int i = 0; i < steps; ++i) act();
  for (const Replica& replica : replicas_) check_state(replica);
  settle_down();
}

void ModelWorld::act() {
  ++now_ms_;
  for (uint64_t left = random_.below(3); left > 0; --left) deliver();
  Replica& replica = any();
  const uint64_t dice = random_.below(100);
  if (dice < 25) {
    write(replica);
  } else if (dice < 45) {
    write_agreed();
  } else if (dice < 50) {
    elect();
  } else if (dice < 65) {
    Replica& other = any();
    sync(other, replica, 0.8);
  } else if (dice < 70) {
    flush(replica);
  } else if (dice < 73) {
    if (with_faults_) power_loss(replica);
  } else if (dice < 76) {
    if (with_faults_) start_rebuild(replica);
  } else if (dice < 86) {
    for (Replica& each : replicas_) step_rebuild(each);
  } else if (dice < 94) {
    read();
  } else {
    check_state(replica);
  }
}

// --- writing

std::vector<Command> ModelWorld::commands(const Replica& replica) {
  const State::Key& key = model_keys()[random_.below(3)];
  const KeyState* const content = replica.state.find(key.first, key.second);
  const ElementState* const element = content == nullptr ? nullptr : content->find(ElementKind::kString);
  if (element == nullptr || element->versions.size() < 2 || random_.chance(0.5)) {
    return random_commands(random_, with_ttl_, now_ms_);
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

// "EVENTUAL: evaluated on its applied state; the effects become a record of that node's own writer log, with the
// replica's applied clock as context."
void ModelWorld::write(Replica& replica) {
  if (replica.rebuild || replica.state.applied()[replica.writer] != replica.held(replica.writer)) return;
  const std::vector<Command> batch = commands(replica);
  const Clock context = replica.state.applied();
  const RecordHead head{
      {replica.writer, replica.held(replica.writer) + 1}, replica.clock.next(wall_ms(replica)), context};
  const auto hidden = expired(replica, keys_of(batch), head.hlc);
  const Evaluation evaluation = evaluate(replica.state, head, batch, false, hidden);
  if (evaluation.record.empty()) return;
  const Archived* const record = archive(evaluation, replica.writer);
  store(replica, record);
  pump(replica);
  send(record, replica);
}

// The sequencer: without Raft, a record of R is committed once it is made.
void ModelWorld::write_agreed() {
  Replica& leader = replicas_[leader_];
  const uint64_t number = canon_.applied()[agreed_] + 1;
  if (leader.rebuild || leader.state.applied()[agreed_] != number - 1) return;
  const std::vector<Command> batch = commands(leader);
  const auto keys = keys_of(batch);
  Clock context = cut(leader, keys);
  context.set(agreed_, number - 1);
  const RecordHead head{{agreed_, number}, leader.clock.next(wall_ms(leader)), context};
  const auto hidden = expired(leader, keys, head.hlc);
  const Evaluation evaluation = evaluate(leader.state, head, batch, true, hidden);
  leader.history.push_back(leader.state.applied());
  if (leader.history.size() > 8) leader.history.erase(leader.history.begin());
  if (evaluation.record.empty()) return;
  const Archived* const record = archive(evaluation, agreed_);
  check_agreed(*record, batch, hidden, evaluation.replies);
  store(leader, record);
  for (const auto& [log, records] : leader.journal) leader.synced[log] = records.size();
  pump(leader);
  send(record, leader);
  ++statistics_.agreed;
}

void ModelWorld::elect() {
  const size_t candidate = random_.below(replicas_.size());
  const Replica& replica = replicas_[candidate];
  if (replica.rebuild || replica.state.applied()[agreed_] != canon_.applied()[agreed_]) return;
  leader_ = candidate;
  replicas_[leader_].history.clear();
}

// "The cut is the leader's present applied clock where the command's keys need it, and otherwise the newest of its own
// recent applied clocks that it knows a majority to hold" (here: any recent one).
Clock ModelWorld::cut(const Replica& leader, const std::vector<State::Key>& keys) {
  Clock before;
  const auto last = archive_.find({agreed_, canon_.applied()[agreed_]});
  if (last != archive_.end()) before = last->second->record.context;
  if (touched(before, leader.state.applied(), keys)) {
    before.merge(leader.state.applied());
  } else if (!leader.history.empty()) {
    before.merge(leader.history[random_.below(leader.history.size())]);
  }
  return before;
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

// --- spreading

void ModelWorld::send(const Archived* record, const Replica& from) {
  for (size_t to = 0; to < replicas_.size(); ++to) {
    if (&replicas_[to] != &from) messages_.push_back({to, record});
  }
  if (messages_.size() > 60) messages_.erase(messages_.begin(), messages_.end() - 60);  // the oldest are lost
}

void ModelWorld::deliver() {
  if (messages_.empty()) return;
  const size_t index = random_.below(messages_.size());
  const Message message = messages_[index];
  if (random_.chance(0.9)) messages_.erase(messages_.begin() + static_cast<ptrdiff_t>(index));  // else it comes twice
  if (random_.chance(0.1)) return;                                                              // lost
  store(replicas_[message.to], message.record);
  pump(replicas_[message.to]);
}

// Takes a record into the journal if it is the next of its log.
void ModelWorld::store(Replica& replica, const Archived* record) {
  if (record->record.dot.number != replica.held(record->record.dot.log) + 1) return;
  replica.journal[record->record.dot.log].push_back(record);
  replica.clock.observe(record->record.hlc, wall_ms(replica), 60);
}

// Rule 1: applies what may be applied, in any order that the contexts allow; up to limit, if there is one.
void ModelWorld::pump(Replica& replica, Replay replay, const Clock* limit) {
  if (replica.rebuild && limit == nullptr) return;
  for (bool moved = true; moved;) {
    moved = false;
    for (const auto& [log, records] : replica.journal) {
      const uint64_t next = replica.state.applied()[log] + 1;
      if (next > records.size() || (limit != nullptr && !limit->covers(Dot{log, next}))) continue;
      if (!replica.state.admits(records[next - 1]->record)) continue;
      replica.state.apply(records[next - 1]->record, replay);
      moved = true;
    }
  }
}

void ModelWorld::sync(Replica& from, Replica& to, double share) {
  if (&from == &to) return;
  for (const auto& [log, records] : from.journal) {
    while (to.held(log) < records.size() && random_.chance(share)) store(to, records[to.held(log)]);
  }
  pump(to);
}

// --- failures

void ModelWorld::flush(Replica& replica) {
  if (replica.rebuild) return;
  for (const auto& [log, records] : replica.journal) replica.synced[log] = records.size();
  replica.flushed = replica.state;
}

// What was not synced is gone; the state is the flushed copy and what the journal still has.
void ModelWorld::power_loss(Replica& replica) {
  if (random_.chance(0.5)) {  // some of it had been synced all the same, all logs alike: nothing survives its context
    for (const auto& [log, records] : replica.journal) replica.synced[log] = records.size();
  }
  for (auto& [log, records] : replica.journal) records.resize(replica.synced[log]);
  if (!mutant(Mutant::kReuseWriterIdentity)) replica.writer = new_writer();
  ++statistics_.power_losses;
  if (replica.rebuild) {
    replica.rebuild.reset();
    start_rebuild(replica);
    return;
  }
  replica.state = replica.flushed;
  replica.history.clear();
  pump(replica, Replay::kYes);
}

void ModelWorld::start_rebuild(Replica& replica) {
  const auto serves = [&](const Replica& other) { return &other != &replica && !other.rebuild; };
  if (replica.rebuild || std::none_of(replicas_.begin(), replicas_.end(), serves)) return;  // somebody must have it all
  Rebuild rebuild;
  do rebuild.source = random_.below(replicas_.size());
  while (&replicas_[rebuild.source] == &replica);
  rebuild.todo = model_keys();
  replica.rebuild = rebuild;
}

// A piece; after the last, "it takes the minimum of these clocks as applied, …, replays all records above the minimum,
// and serves again when it has reached the maximum."
void ModelWorld::step_rebuild(Replica& replica) {
  if (!replica.rebuild) return;
  Rebuild& rebuild = *replica.rebuild;
  Replica& source = replicas_[rebuild.source];
  if (source.rebuild) {  // it cannot serve: start over with another
    replica.rebuild.reset();
    start_rebuild(replica);
    return;
  }
  if (!rebuild.todo.empty()) {
    const size_t index = random_.below(rebuild.todo.size());
    const State::Key key = rebuild.todo[index];
    rebuild.todo.erase(rebuild.todo.begin() + static_cast<ptrdiff_t>(index));
    const KeyState* const content = source.state.find(key.first, key.second);
    replica.state.replace(key.first, key.second, content == nullptr ? KeyState() : *content);
    rebuild.maximum.merge(source.state.applied());
    if (!rebuild.minimum) rebuild.minimum = source.state.applied();
    rebuild.minimum->intersect(source.state.applied());
    return;
  }
  for (const Dot& entry : rebuild.maximum) {
    for (uint64_t next; (next = replica.held(entry.log) + 1) <= entry.number;) {
      store(replica, archive_.at({entry.log, next}).get());
    }
  }
  replica.state.set_applied(mutant(Mutant::kRebuildAtMaximum) ? rebuild.maximum : *rebuild.minimum);
  pump(replica, Replay::kYes, &rebuild.maximum);
  check(replica.state.applied() == rebuild.maximum, "a rebuild is stuck below its maximum");
  replica.rebuild.reset();
  flush(replica);
  pump(replica);
  ++statistics_.rebuilds;
}

// --- reads of R replicas, one after the other

void ModelWorld::read() {
  if (reads_.size() < 4) {
    Read& started = reads_.emplace_back();
    started.key = model_keys()[random_.below(model_keys().size())];
  }
  for (int i = 0; i < 4 && !reads_.empty(); ++i) {
    const size_t index = random_.below(reads_.size());
    Read& pending = reads_[index];
    const size_t from = random_.below(replicas_.size());
    Replica& replica = replicas_[from];
    if (replica.rebuild || !pending.asked.insert(from).second) continue;
    const KeyState* const found = replica.state.find(pending.key.first, pending.key.second);
    const KeyState content = found == nullptr ? KeyState() : *found;
    pending.answer = join_answers(pending.answer, pending.clock, content, replica.state.applied());
    pending.clock.merge(replica.state.applied());
    if (pending.asked.size() <= replicas_.size() / 2) continue;
    check_answer(pending);
    if (mutant(Mutant::kSingleKeyRepair)) {
      replica.state.replace(pending.key.first, pending.key.second, pending.answer);
    }
    reads_.erase(reads_.begin() + static_cast<ptrdiff_t>(index));
  }
}

}  // namespace capstan
