// Random records of all shapes, for tests. Header-only; the generator owns the bytes that its records view.
#pragma once

#include <algorithm>
#include <deque>
#include <limits>
#include <set>
#include <string>

#include "base/random.h"
#include "quorum/record.h"

namespace capstan {

class RandomRecords {
 public:
  explicit RandomRecords(uint64_t seed) : random_(seed) {}

  // Valid until the next one.
  Record next() {
    bytes_.clear();
    Record record;
    const LogId log = random_log();
    record.dot = {log, random_.chance(0.2) ? 1 : random_.below(1 << 20) + 1};
    record.hlc = Hlc{random_.next()};
    if (random_.chance(0.5)) {
      record.context.set(log, record.dot.number - 1);
    } else {
      for (uint64_t left = random_.below(5); left > 0; --left) record.context.set(random_log(), random_.below(1000));
    }
    for (Database database = 0; database < kDatabases; ++database) {
      if (random_.chance(0.02)) record.clears.push_back(database);
    }
    std::set<std::string_view> names;
    for (uint64_t left = random_.chance(0.1) ? random_.below(40) : random_.below(3); left > 0; --left) {
      const std::string_view name = text(20);
      if (names.insert(name).second) record.keys.push_back(random_key(name, log));
    }
    return record;
  }

  Random& random() { return random_; }

 private:
  LogId random_log() { return LogId{(random_.chance(0.5) ? LogId::kAgreedBit : 0) | (random_.below(6) + 1)}; }
  Dot random_dot() { return {random_log(), random_.below(1000) + 1}; }
  std::string_view text(uint64_t longest) {
    std::string& out = bytes_.emplace_back();
    const uint64_t most = random_.chance(0.05) ? 400 : longest;
    for (uint64_t left = random_.below(most + 1); left > 0; --left) out += static_cast<char>(random_.next());
    return out;
  }

  KeyEffect random_key(std::string_view name, LogId log) {
    KeyEffect key;
    key.database = static_cast<Database>(random_.below(kDatabases));
    key.key = name;
    key.remove = random_.chance(0.4);
    std::set<std::pair<ElementKind, std::string_view>> seen;
    const uint64_t most = random_.chance(0.1) ? 30 : 4;
    for (uint64_t left = random_.below(most) + (key.remove ? 0 : 1); left > 0; --left) {
      const ElementEffect effect = random_element(log);
      if (seen.insert({effect.kind, effect.id}).second) key.elements.push_back(effect);
    }
    return key;
  }

  ElementEffect random_element(LogId log) {
    using Action = ElementEffect::Action;
    ElementEffect effect;
    effect.kind = static_cast<ElementKind>(random_.below(kElementKinds));
    effect.action = static_cast<Action>(random_.below(4));
    if (effect.action == Action::kAdd && !holds_numbers(effect.kind)) effect.action = Action::kPut;
    const bool may_splice = effect.kind == ElementKind::kString && log.agreed();
    if (effect.action == Action::kSplice && !may_splice) effect.action = Action::kPut;
    if (has_id(effect.kind)) effect.id = text(12);
    if (effect.action == Action::kPut) {
      fill_put(effect);
    } else if (effect.action != Action::kRemove) {
      effect.anchor = random_.chance(0.5) ? Dot{log, random_.below(1000) + 1} : random_dot();
      if (effect.action == Action::kAdd) {
        effect.addend = random_.chance(0.5) ? Number::integer(static_cast<int64_t>(random_.next() >> random_.below(64)))
                                            : Number::real(static_cast<long double>(random_.unit()) - 0.5L);
      } else {
        effect.offset = random_.below(100000);
        effect.value = text(40);
      }
    }
    return effect;
  }

  void fill_put(ElementEffect& effect) {
    if (effect.kind == ElementKind::kTtl || effect.kind == ElementKind::kScore) {
      std::string& out = bytes_.emplace_back();
      const double score = random_.unit() * 1000;
      Encoder(out).u64(effect.kind == ElementKind::kTtl ? random_.next() : std::bit_cast<uint64_t>(score));
      effect.value = out;
    } else if (effect.kind != ElementKind::kMember) {
      effect.value = text(60);
    }
    effect.additive = holds_numbers(effect.kind) && random_.chance(0.2);
    if (random_.chance(0.2)) effect.stamp = Hlc{random_.next()};
    effect.has_over = random_.chance(0.2);
    if (!effect.has_over) return;
    std::set<Dot> over;
    for (uint64_t left = random_.below(4); left > 0; --left) over.insert(random_dot());
    effect.over.assign(over.begin(), over.end());
  }

  Random random_;
  std::deque<std::string> bytes_;
};

}  // namespace capstan
