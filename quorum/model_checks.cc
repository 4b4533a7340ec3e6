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
  if (replica.rebuild) return;
  const Clock& clock = replica.state.applied();
  for (const Dot& entry : clock) check(entry.number <= replica.held(entry.log), "applied beyond held");
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
                              const std::set<State::Key>& expired, const std::vector<std::string>& replies) {
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
  const RecordHead head{record.dot, record.hlc, record.context};
  const Evaluation want = evaluate(canon_, head, commands, true, expired);
  check(want.replies == replies, "STRONG replies are not those on the settled state");
  check(want.record == archived.bytes, "a STRONG net effect is not that on the settled state");
  canon_.apply(record);
}

void ModelWorld::check_answer(const Read& read) {
  const SpecKey have = as_spec(&read.answer);
  const SpecKey want = spec(archive_, read.clock, read.key);
  check(have == want, "the answer of R replicas for " + read.key.second + ": " + show(have) + ", want " + show(want));
  ++statistics_.reads;
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

// After healing everything spreads: equal clocks, equal states, equal digests. What waits for ever (until R retires a
// writer, which needs Raft) waits for a record that a power loss took from everybody.
void ModelWorld::settle_down() {
  const auto held = [](const Replica& replica) {
    Clock clock;
    for (const auto& [log, records] : replica.journal) clock.set(log, records.size());
    return clock;
  };
  const auto converged = [&] {
    return std::all_of(replicas_.begin(), replicas_.end(), [&](const Replica& replica) {
      return !replica.rebuild && held(replica) == held(replicas_[0]) &&
             replica.state.applied() == replicas_[0].state.applied();
    });
  };
  for (int round = 0; round < 60 && !converged(); ++round) {
    ++now_ms_;
    for (Replica& to : replicas_) {
      step_rebuild(to);
      for (Replica& from : replicas_) sync(from, to, 1);
    }
  }
  check(converged(), "not converged");
  const Clock all = held(replicas_[0]);
  const Clock& applied = replicas_[0].state.applied();
  const bool cause_lost = std::any_of(all.begin(), all.end(), [&](const Dot& entry) {
    if (applied.covers(entry)) return false;
    return !all.covers(archive_.at({entry.log, applied[entry.log] + 1})->record.context);
  });
  check(applied == all || cause_lost, "records wait though their causes are there");
  for (const Replica& replica : replicas_) {
    check_state(replica);
    check(replica.state.keys() == replicas_[0].state.keys(), "equal clocks, different states");
    check(replica.state.digest() == replicas_[0].state.digest(), "equal clocks, different digests");
  }
  check_increments(replicas_[0].state.applied());
}

}  // namespace capstan
