// The checks of the world (model_world.h).
#include <algorithm>

#include "base/hash.h"
#include "quorum/model_world.h"
#include "quorum/mutant.h"

namespace capstan {

namespace {

// Equal for equal contents, whatever the order of the elements.
std::string canonical(const KeyState& key) {
  std::vector<ElementState> elements = key.elements();
  std::sort(elements.begin(), elements.end(), [](const ElementState& a, const ElementState& b) {
    return std::tie(a.kind, a.id) < std::tie(b.kind, b.id);
  });
  std::string out;
  Encoder encoder(out);
  for (const ElementState& element : elements) {
    encoder.u8(static_cast<uint8_t>(element.kind));
    encoder.bytes(element.id);
    encode_versions(element.versions, encoder);
  }
  return out;
}

}  // namespace

void ModelWorld::check(bool holds, const std::string& what) const {
  if (!holds) throw Violation("at " + std::to_string(now_ms_) + " ms: " + what);
}

// A replica's state is exactly what its applied clock covers, so equal clocks mean equal states.
void ModelWorld::check_state(const Replica& replica) {
  if (replica.rebuild && !mutant(Mutant::kServeWhileRebuilding)) return;
  const Clock& clock = replica.state.applied();
  check(replica.journal.held().covers(clock), "applied beyond held");
  uint64_t sum = 0;
  for (const State::Key& name : model_keys()) {
    const KeyState* const key = replica.state.find(name.first, name.second);
    const SpecKey want = spec(archive_, clock, name);
    const SpecKey have = as_spec(key);
    check(have == want,
          "the state of " + name.second + " is not what its clock covers: " + show(have) + ", want " + show(want));
    check_digest(replica.state, name);
    sum += replica.state.digest(name.first, name.second);
    if (key == nullptr) continue;
    for (const ElementState& element : key->elements()) {
      statistics_.siblings += element.versions.size() > 1;
      std::string scratch;
      check(*value_of(element.versions, scratch, element.kind) ==
                spec_value(element.kind, have.at({element.kind, element.id})),
            "the value read of " + name.second + ": " + show(have));
      for (const Version& version : element.versions) {
        const bool saw_ttl = element.kind != ElementKind::kTtl && archive_.at(version.dot)->saw.contains(name);
        check(!saw_ttl || key->find(ElementKind::kTtl) != nullptr, "an element without the TTL of its key");
      }
    }
  }
  check(sum == replica.state.digest(), "the digest of all keys is not the sum of theirs");
}

// Kept up to date at each join; equal digests mean equal states.
void ModelWorld::check_digest(const State& state, const State::Key& name) {
  const KeyState* const key = state.find(name.first, name.second);
  const uint64_t digest = state.digest(name.first, name.second);
  check(digest == (key == nullptr ? 0 : key->digest(hash64(name.second))), "a digest is not up to date");
  if (key == nullptr) return;
  const std::string content = canonical(*key);
  const auto [known, added] = contents_.try_emplace({name, digest}, content);
  check(added || known->second == content, "equal digests of different states of " + name.second);
}

// A record of R: replies and net effect are those on the settled state in R's order.
void ModelWorld::check_agreed(const Archived& archived, const std::vector<Command>& commands,
                              const std::set<State::Key>& expired, const Evaluation& evaluation) {
  const Record& record = archived.record;
  for (bool moved = true; moved;) {
    moved = false;
    for (const Dot& entry : record.context) {
      const Dot next{entry.log, canon_.applied()[entry.log] + 1};
      if (next.number > entry.number) continue;
      const Record& settled = archive_.at(next)->record;
      if (!canon_.admits(settled)) continue;
      canon_.apply(settled);
      moved = true;
    }
  }
  check(canon_.applied().covers(record.context), "a context is not causally closed");
  check_strong_read({record.dot, record.hlc, record.context}, commands, expired, evaluation);
  canon_.apply(record);
}

// Also where the commands have no effect. "Linearizable among themselves": in R's order, here that in which they come.
void ModelWorld::check_strong_read(const RecordHead& head, const std::vector<Command>& commands,
                                   const std::set<State::Key>& expired, const Evaluation& evaluation) {
  const Evaluation want = evaluate(canon_, head, commands, true, expired);
  check(want.replies == evaluation.replies, "STRONG replies are not those on the settled state");
  check(want.record == evaluation.record, "a STRONG net effect is not that on the settled state");
  statistics_.strong_reads += !evaluation.has_effect;
  for (const Command& command : commands) statistics_.remembered += command.op == Op::kRemembered;
  if (!plain_) return;
  const std::vector<std::string> redis = redis_.run(commands, head.hlc);
  for (size_t i = 0; i < commands.size(); ++i) {
    check(redis[i] == evaluation.replies[i], "Redis would answer " + redis[i] + ", not " + evaluation.replies[i]);
  }
  ++statistics_.plain;
}

void ModelWorld::check_answer(const Read& read) {
  const SpecKey have = as_spec(&read.answer);
  const SpecKey want = spec(archive_, read.clock, read.key);
  check(have == want, "the answer of R replicas for " + read.key.second + ": " + show(have) + ", want " + show(want));
  for (const Dot& dot : read.acknowledged) {
    check(read.clock.covers(dot) || promises_.at(dot).voided, "an R-read misses what was acknowledged");
  }
  ++statistics_.reads;
}

// "What was acknowledged at W survives any W − 1 losses", not more.
void ModelWorld::void_promises() {
  const auto lost = static_cast<size_t>(
      std::count_if(replicas_.begin(), replicas_.end(), [](const Replica& replica) { return !replica.admitted; }));
  if (lost == 0) return;
  for (auto& [dot, promise] : promises_) promise.voided |= promise.wanted <= lost;
}

// Every increment counts. (The counter's key is never set, removed or cleared.)
void ModelWorld::check_increments(const Clock& clock) {
  for (const auto& [kind, id] :
       {std::pair(ElementKind::kString, ""), {ElementKind::kField, "f"}, {ElementKind::kField, "g"}}) {
    int64_t total = 0;
    for (const auto& [dot, archived] : archive_) {
      if (!clock.covers(dot)) continue;
      for (const KeyEffect& key : archived->record.keys) {
        if (State::Key(key.database, key.key) != counter_key()) continue;
        for (const ElementEffect& effect : key.elements) {
          if (effect.kind != kind || effect.id != id) continue;
          const bool put = effect.action == ElementEffect::Action::kPut;
          total += put ? std::stoll(std::string(effect.value)) : effect.addend.as_integer();
        }
      }
    }
    const KeyState* const key = replicas_[0].state.find(counter_key().first, counter_key().second);
    const ElementState* const element = key == nullptr ? nullptr : key->find(kind, id);
    std::string scratch;
    const std::string value(element == nullptr ? "0" : *value_of(element->versions, scratch));
    check(value == std::to_string(total), "increments are lost: " + value + " of " + std::to_string(total));
  }
}

std::string ModelWorld::show_replicas() const {
  std::string out;
  const auto add = [&](const char* what, const Clock& clock) {
    out += what;
    for (const Dot& entry : clock) {
      out += ' ' + std::to_string(entry.log.value & 0xffff) + '.' + std::to_string(entry.number);
    }
  };
  for (const Replica& replica : replicas_) {
    out += "\n";
    out += leads(replica) ? "leader" : "replica";
    out += replica.rebuild ? " rebuilds" : replica.admitted ? "" : " unadmitted";
    add(" base", replica.journal.bases());
    add(" applied", replica.state.applied());
    add(" held", replica.journal.held());
  }
  return out;
}

bool ModelWorld::converged() const {
  const Replica& first = replicas_[0];
  return std::all_of(replicas_.begin(), replicas_.end(), [&](const Replica& replica) {
    return !replica.rebuild && replica.admitted && replica.journal.held() == first.journal.held() &&
           replica.state.applied() == first.state.applied();
  });
}

// After healing everything spreads: equal clocks, equal states, equal digests. What waits for ever (until R retires a
// writer, which needs Raft) is a writer's record whose cause a failure took from everybody.
void ModelWorld::settle_down() {
  apart_.clear();
  for (int round = 0; round < 100 && !converged(); ++round) {
    ++now_ms_;
    for (Replica& to : replicas_) {
      step_rebuild(to);
      give_hints(to);
      to.asked.clear();  // what it was told of may be lost since; retiring its writer would settle that
      readmit(to);
      for (Replica& from : replicas_) sync(from, to, 1);
    }
  }
  check(converged(), "not converged" + show_replicas());
  const Clock all = replicas_[0].journal.held();
  const Clock& applied = replicas_[0].state.applied();
  check(applied[agreed_] == canon_.applied()[agreed_], "a record of R is lost");
  const bool cause_lost = std::any_of(all.begin(), all.end(), [&](const Dot& entry) {
    if (applied.covers(entry)) return false;
    return !all.covers(archive_.at({entry.log, applied[entry.log] + 1})->record.context);
  });
  check(applied == all || cause_lost, "records wait though their causes are there");
  for (const auto& [dot, promise] : promises_) {
    const bool promised = promise.kept && promise.wanted >= quorum() && !promise.voided;
    check(!promised || applied.covers(dot), "an acknowledged EVENTUAL write is lost");
  }
  for (const Replica& replica : replicas_) {
    check_state(replica);
    check(replica.state.keys() == replicas_[0].state.keys(), "equal clocks, different states");
    check(replica.state.digest() == replicas_[0].state.digest(), "equal clocks, different digests");
  }
  check_increments(replicas_[0].state.applied());
}

}  // namespace capstan
