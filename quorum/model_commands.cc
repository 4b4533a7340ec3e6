#include "quorum/model_commands.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "quorum/element_value.h"
#include "quorum/mutant.h"

namespace capstan {

namespace {

using Action = ElementEffect::Action;

std::string fixed64(uint64_t value) {
  std::string out;
  Encoder(out).u64(value);
  return out;
}

std::string ttl_value(int64_t at_ms) {
  std::string out;
  append_time(at_ms, out);
  return out;
}

bool overflows(const Number& value, const Number& addend) {
  int64_t sum;
  return !value.is_real() && !addend.is_real() && __builtin_add_overflow(value.as_integer(), addend.as_integer(), &sum);
}

std::string position(uint64_t value) {
  std::string out;
  Encoder(out).u64_be(value);
  return out;
}

// One record under evaluation.
class Evaluator {
 public:
  Evaluator(const State& state, const RecordHead& head, bool strong) : state_(state), head_(head), strong_(strong) {
    effects_.record().dot = head.dot;
    effects_.record().hlc = head.hlc;
    effects_.record().context = head.context;
  }

  Effects& effects() { return effects_; }

  std::string run(const Command& command) {
    look(command.key);
    switch (command.op) {
      case Op::kGet:
        return read(ElementKind::kString);
      case Op::kSet:
        return set(command, false);
      case Op::kSetWithTtl:
        return set(command, true);
      case Op::kDelete:
        return remove_key();
      case Op::kIncrement:
        return add(ElementKind::kString, {}, Number::integer(command.number));
      case Op::kIncrementFloat:
        return add(ElementKind::kString, {}, Number::real(static_cast<long double>(command.number) / 4));
      case Op::kAppend:
        return append(command.value);
      case Op::kExpire:
        return expire(command.number);
      case Op::kPersist:
        return persist();
      case Op::kFlush:
        return flush();
      case Op::kResolve:
        return resolve(command);
      case Op::kRemembered:
        return remembered(command);
      default:
        return run_collection(command);
    }
  }

  std::string run_collection(const Command& command) {
    switch (command.op) {
      case Op::kHashSet:
        return put(ElementKind::kField, command.id, command.value);
      case Op::kHashDelete:
        return remove(ElementKind::kField, command.id);
      case Op::kHashIncrement:
        return add(ElementKind::kField, command.id, Number::integer(command.number));
      case Op::kSetAdd:
        return put(ElementKind::kMember, command.id, {});
      case Op::kSetRemove:
        return remove(ElementKind::kMember, command.id);
      case Op::kScoreAdd:
        return put(ElementKind::kScore, command.id,
                   fixed64(std::bit_cast<uint64_t>(static_cast<double>(command.number))));
      case Op::kScoreIncrement:
        return add(ElementKind::kScore, command.id, Number::real(static_cast<long double>(command.number) / 8));
      case Op::kScoreRemove:
        return remove(ElementKind::kScore, command.id);
      case Op::kPush:
        return push(command.value);
      case Op::kPop:
        return pop();
      case Op::kStreamAdd:
        return put(ElementKind::kEntry, position(head_.hlc.value), command.value);
      default:
        CHECK(false, "a command of no family");
    }
  }

  // "A record that puts into a key that has a TTL puts the TTL again, with the stamp of the version that it repeats."
  std::set<State::Key> repeat_ttls() {
    std::set<State::Key> keys;
    for (const KeyEffect& key : effects_.record().keys) {
      const auto puts = [](const ElementEffect& e) { return e.action == Action::kPut && e.kind != ElementKind::kTtl; };
      if (std::any_of(key.elements.begin(), key.elements.end(), puts)) keys.emplace(key.database, key.key);
    }
    std::set<State::Key> saw;
    for (const State::Key& key : keys) {
      look(key);
      const ElementState* const ttl = key_->find(ElementKind::kTtl);
      const bool mentioned = effects_.find(key.first, key.second, ElementKind::kTtl, {}) != nullptr;
      if (ttl == nullptr || mentioned || key_->expire_at_ms() == kNeverExpires) continue;
      saw.insert(key);
      if (mutant(Mutant::kNoTtlRepeat)) continue;
      ElementEffect again;
      again.kind = ElementKind::kTtl;
      again.value = effects_.keep(ttl_value(key_->expire_at_ms()));
      again.stamp = ttl->versions[winner(ttl->versions)].hlc;
      effects_.element(key.first, effects_.keep(key.second), again);
    }
    return saw;
  }

 private:
  // The view: the state with what the record does so far.
  void look(const State::Key& key) {
    name_ = key;
    view_ = state_;
    if (!effects_.empty()) view_.join(effects_.record());
    static const KeyState kMissing;
    const KeyState* const found = view_.find(key.first, key.second);
    key_ = found == nullptr ? &kMissing : found;
  }
  const Versions& versions(ElementKind kind, std::string_view id) const {
    static const Versions kNone;
    const ElementState* const element = key_->find(kind, id);
    return element == nullptr ? kNone : element->versions;
  }
  std::string read(ElementKind kind, std::string_view id = {}) const {
    std::string scratch;
    return std::string(value_of(versions(kind, id), scratch, kind).value_or("nil"));
  }
  void emit(ElementEffect effect) {
    effect.id = effects_.keep(effect.id);
    effect.value = effects_.keep(effect.value);
    effects_.element(name_.first, effects_.keep(name_.second), effect);
  }
  std::string put(ElementKind kind, std::string_view id, std::string_view value, bool additive = false) {
    const bool is_new = versions(kind, id).empty();
    ElementEffect effect;
    effect.kind = kind;
    effect.id = id;
    effect.value = value;
    effect.additive = additive;
    emit(effect);
    return is_new ? "1" : "0";
  }
  std::string remove(ElementKind kind, std::string_view id) {
    if (versions(kind, id).empty()) return "0";
    ElementEffect effect;
    effect.action = Action::kRemove;
    effect.kind = kind;
    effect.id = id;
    emit(effect);
    return "1";
  }
  std::string set(const Command& command, bool with_ttl) {
    effects_.remove(name_.first, effects_.keep(name_.second));
    put(ElementKind::kString, {}, command.value);
    if (with_ttl) put(ElementKind::kTtl, {}, ttl_value(command.number));
    return "OK";
  }
  std::string remove_key() {
    if (!key_->exists()) return "0";
    effects_.remove(name_.first, effects_.keep(name_.second));
    return "1";
  }

  // "Always an amend of the winning version, or an additive put where the element is absent."
  std::string add(ElementKind kind, std::string_view id, const Number& addend) {
    const Versions& there = versions(kind, id);
    std::string sum;
    if (there.empty()) {
      append_number(kind, addend, sum);
      put(kind, id, sum, true);
      return sum;
    }
    std::string scratch;
    sum = *value_of(there, scratch, kind);
    const auto before = number_in(kind, sum);
    if (!before || (before->is_real() && !addend.is_real())) return "not a number";
    if (overflows(*before, addend)) return "overflow";
    add_in_place(kind, sum, addend);
    ElementEffect amend;
    amend.action = Action::kAdd;
    amend.kind = kind;
    amend.id = id;
    amend.anchor = there[winner(there)].dot;
    amend.addend = addend;
    const LogId log = head_.dot.log;
    if (effects_.may_amend(name_.first, name_.second, amend) && adds_exactly(there, log, addend, kind)) {
      emit(amend);
      look(State::Key(name_));
      CHECK(addend.is_real() || read(kind, id) == sum, "an increment reads otherwise than it says");
    } else {
      put(kind, id, sum);
    }
    return sum;
  }
  // "Remembered results are elements of a reserved database, written by the same record."
  std::string remembered(const Command& command) {
    const std::string serial = std::to_string(command.serial) + ':';
    look(session_key());
    const std::string result = read(ElementKind::kField, command.id);
    if (result.starts_with(serial)) return result.substr(serial.size());
    look(command.key);
    std::string reply = add(ElementKind::kString, {}, Number::integer(command.number));
    look(session_key());
    put(ElementKind::kField, command.id, serial + reply);
    return reply;
  }
  // "A splice at STRONG when there is one version, plain and without contributions, else a put."
  std::string append(std::string_view bytes) {
    const Versions& there = versions(ElementKind::kString, {});
    std::string value = there.empty() ? std::string() : read(ElementKind::kString);
    ElementEffect splice;
    splice.action = Action::kSplice;
    splice.value = bytes;
    splice.offset = value.size();
    if (strong_ && is_simple(there)) {
      splice.anchor = there[0].dot;
      if (effects_.may_amend(name_.first, name_.second, splice)) {
        emit(splice);
        return std::to_string(value.size() + bytes.size());
      }
    }
    value += bytes;
    put(ElementKind::kString, {}, value);
    return std::to_string(value.size());
  }

  std::string push(std::string_view value) {
    uint64_t last = 0;
    for (const ElementState& element : key_->elements()) {
      if (element.kind == ElementKind::kPosition) last = std::max(last, load_be64(element.id.data()));
    }
    return put(ElementKind::kPosition, position(last + 1), value);
  }
  std::string pop() {
    const ElementState* first = nullptr;
    for (const ElementState& element : key_->elements()) {
      if (element.kind == ElementKind::kPosition && (first == nullptr || element.id < first->id)) first = &element;
    }
    if (first == nullptr) return "nil";
    std::string value = read(ElementKind::kPosition, first->id);
    remove(ElementKind::kPosition, first->id);
    return value;
  }
  std::string expire(int64_t at_ms) {
    if (!key_->exists()) return "0";
    put(ElementKind::kTtl, {}, ttl_value(at_ms));
    return "1";
  }
  std::string persist() {
    if (!key_->exists() || key_->find(ElementKind::kTtl) == nullptr) return "0";
    put(ElementKind::kTtl, {}, ttl_value(kNeverExpires));
    return "1";
  }
  std::string flush() {
    const auto at = view_.keys().lower_bound(State::Key(name_.first, ""));
    if (at != view_.keys().end() && at->first.first == name_.first) effects_.clear(name_.first);
    return "OK";
  }
  std::string resolve(const Command& command) {
    ElementEffect effect;
    effect.value = command.value;
    effect.has_over = true;
    effect.over.assign(command.over.begin(), command.over.end());
    emit(effect);
    return "OK";
  }

  const State& state_;
  const RecordHead& head_;
  bool strong_;
  Effects effects_;
  State view_;
  State::Key name_;
  const KeyState* key_ = nullptr;
};

}  // namespace

const std::vector<State::Key>& model_keys() {
  static const std::vector<State::Key> keys{{0, "a"}, {0, "b"}, {1, "x"}, counter_key(), session_key()};
  return keys;
}

const State::Key& counter_key() {
  static const State::Key key{2, "n"};
  return key;
}

const State::Key& session_key() {
  static const State::Key key{kSessionDatabase, "c"};
  return key;
}

std::vector<Command> random_commands(Random& random, bool strong, bool with_ttl, int64_t now_ms) {
  static constexpr Op kOften[] = {Op::kSet, Op::kDelete, Op::kIncrement, Op::kIncrement, Op::kAppend, Op::kGet};
  static constexpr Op kTtl[] = {Op::kSetWithTtl, Op::kExpire, Op::kExpire, Op::kPersist};
  std::vector<Command> commands;
  for (uint64_t left = random.chance(0.65) ? 1 : random.below(3) + 2; left > 0; --left) {
    Command& command = commands.emplace_back();
    command.key = model_keys()[random.below(3)];
    command.id = random.chance(0.5) ? "f" : "g";
    command.value = std::to_string(random.between(1, 9) * 10);
    command.number = random.between(-2, 3);
    if (random.chance(0.02)) command.value = "9223372036854775806";
    if (strong && random.chance(0.2)) {
      command.op = Op::kGet;
    } else if (strong && random.chance(0.05)) {
      command.op = Op::kRemembered;
      command.serial = random.between(1, 9);
    } else if (random.chance(0.12)) {
      command.key = counter_key();
      command.op = random.chance(0.5) ? Op::kIncrement : Op::kHashIncrement;
    } else if (random.chance(0.04)) {
      command.op = Op::kFlush;
    } else if (with_ttl && random.chance(0.25)) {
      command.op = kTtl[random.below(std::size(kTtl))];
      command.number = now_ms + random.between(1, 60);
    } else if (random.chance(0.5)) {
      command.op = kOften[random.below(std::size(kOften))];
    } else {
      command.op =
          static_cast<Op>(random.between(static_cast<int>(Op::kIncrementFloat), static_cast<int>(Op::kStreamAdd)));
    }
  }
  return commands;
}

std::vector<State::Key> keys_of(const std::vector<Command>& commands) {
  std::vector<State::Key> keys;
  for (const Command& command : commands) {
    if (command.op == Op::kFlush) return model_keys();
    keys.push_back(command.key);
    if (command.op == Op::kRemembered) keys.push_back(session_key());
  }
  return keys;
}

Evaluation evaluate(const State& state, const RecordHead& head, const std::vector<Command>& commands, bool strong,
                    const std::set<State::Key>& expired) {
  Evaluator evaluator(state, head, strong);
  Effects& effects = evaluator.effects();
  Evaluation out;
  for (const State::Key& key : expired) effects.remove(key.first, key.second);
  for (const Command& command : commands) out.replies.push_back(evaluator.run(command));
  if (!strong) {
    // EVENTUAL hides what has expired; only a record that creates a key where an expired one lingers removes it.
    std::erase_if(effects.record().keys, [&](const KeyEffect& key) {
      return key.elements.empty() && expired.contains({key.database, std::string(key.key)});
    });
  }
  out.saw = evaluator.repeat_ttls();
  out.has_effect = !effects.empty();
  Encoder encoder(out.record);
  encode_record(effects.record(), encoder);
  return out;
}

}  // namespace capstan
