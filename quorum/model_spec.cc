#include "quorum/model_spec.h"

#include <algorithm>
#include <vector>

#include "quorum/element_value.h"

namespace capstan {

namespace {

using Action = ElementEffect::Action;

// Every covered record with what it does to the key; nothing if it only clears its database.
struct Touch {
  const Record* record;
  const KeyEffect* key;
};

std::vector<Touch> touches(const Archive& archive, const Clock& clock, const State::Key& name) {
  std::vector<Touch> out;
  for (const auto& [dot, archived] : archive) {
    if (!clock.covers(dot)) continue;
    const Record& record = archived->record;
    const auto& clears = record.clears;
    const KeyEffect* found = nullptr;
    for (const KeyEffect& key : record.keys) {
      if (key.database == name.first && key.key == name.second) found = &key;
    }
    const bool cleared = std::find(clears.begin(), clears.end(), name.first) != clears.end();
    if (found != nullptr || cleared) out.push_back({&record, found});
  }
  return out;
}

// Whether that record takes the version with this dot from the element.
bool removes(const Touch& touch, const State::Key& name, const ElementEffect& element, const Dot& dot) {
  const auto& clears = touch.record->clears;
  const bool covered = touch.record->context.covers(dot);
  if (covered && std::find(clears.begin(), clears.end(), name.first) != clears.end()) return true;
  if (touch.key == nullptr) return false;
  if (covered && touch.key->remove) return true;
  for (const ElementEffect& effect : touch.key->elements) {
    if (effect.kind != element.kind || effect.id != element.id) continue;
    if (effect.action == Action::kRemove && covered) return true;
    if (effect.action != Action::kPut) continue;
    const auto& over = effect.over;
    if (effect.has_over ? std::find(over.begin(), over.end(), dot) != over.end() : covered) return true;
  }
  return false;
}

void amend(const ElementEffect& effect, const Dot& dot, SpecVersion& version) {
  auto& [last, sum] = version.amendments[dot.log];
  last = dot.number;
  if (!dot.log.agreed()) {
    sum = sum + effect.addend;
  } else if (effect.action == Action::kAdd) {
    add_in_place(effect.kind, version.value, effect.addend);
  } else {
    std::string& value = version.value;
    if (value.size() < effect.offset) value.append(effect.offset - value.size(), '\0');
    const std::string after = value.size() > effect.offset + effect.value.size()
                                  ? value.substr(effect.offset + effect.value.size())
                                  : std::string();
    value = value.substr(0, effect.offset) + std::string(effect.value) + after;
  }
}

}  // namespace

SpecKey spec(const Archive& archive, const Clock& clock, const State::Key& name) {
  std::vector<Touch> all = touches(archive, clock, name);
  SpecKey out;
  for (const Touch& touch : all) {
    if (touch.key == nullptr) continue;
    for (const ElementEffect& effect : touch.key->elements) {
      const Dot& dot = touch.record->dot;
      const auto gone = [&](const Touch& other) {
        return other.record != touch.record && removes(other, name, effect, dot);
      };
      if (effect.action != Action::kPut || std::any_of(all.begin(), all.end(), gone)) continue;
      out[{effect.kind, std::string(effect.id)}][dot] =
          SpecVersion{effect.stamp.value_or(touch.record->hlc), effect.additive, std::string(effect.value), {}};
    }
  }
  // Each log's amendments in their order; among logs the order does not matter.
  std::sort(all.begin(), all.end(),
            [](const Touch& a, const Touch& b) { return a.record->dot.number < b.record->dot.number; });
  for (const Touch& touch : all) {
    if (touch.key == nullptr) continue;
    for (const ElementEffect& effect : touch.key->elements) {
      if (effect.action != Action::kAdd && effect.action != Action::kSplice) continue;
      const auto element = out.find({effect.kind, std::string(effect.id)});
      if (element == out.end()) continue;
      const auto anchor = element->second.find(effect.anchor);
      if (anchor != element->second.end()) amend(effect, touch.record->dot, anchor->second);
    }
  }
  return out;
}

std::string spec_value(ElementKind kind, const SpecVersions& versions) {
  const SpecVersion* best = nullptr;
  for (const auto& [dot, version] : versions) {  // in order of dot, so a tie goes to the higher
    if (best == nullptr || (best->additive && !version.additive) ||
        (best->additive == version.additive && version.hlc >= best->hlc)) {
      best = &version;
    }
  }
  if (best == nullptr) return "nil";
  if (!number_in(kind, best->value)) return best->value;
  bool changed = false;
  std::optional<Number> sum;
  const auto count = [&](const SpecVersion& version) {
    sum = sum ? *sum + *number_in(kind, version.value) : *number_in(kind, version.value);
    for (const auto& [log, amendment] : version.amendments) {
      if (log.agreed()) continue;
      sum = *sum + amendment.second;
      changed = true;
    }
  };
  count(*best);
  for (const auto& [dot, version] : versions) {
    if (&version == best || !version.additive || !(best->additive || version.hlc > best->hlc)) continue;
    count(version);
    changed = true;
  }
  if (!changed) return best->value;
  std::string out;
  append_number(kind, *sum, out);
  return out;
}

SpecKey as_spec(const KeyState* key) {
  SpecKey out;
  if (key == nullptr) return out;
  for (const ElementState& element : key->elements()) {
    SpecVersions& versions = out[{element.kind, element.id}];
    for (const Version& version : element.versions) {
      SpecVersion& copy = versions[version.dot];
      copy = {version.hlc, version.additive, version.value, {}};
      for (const Amendment& amendment : version.amendments) {
        copy.amendments[amendment.log] = {amendment.last, amendment.sum};
      }
    }
  }
  return out;
}

std::string show(const SpecKey& key) {
  std::string out;
  const auto log = [](LogId id) { return (id.agreed() ? "R" : "w") + std::to_string(id.value & 0xffff); };
  for (const auto& [element, versions] : key) {
    out += "[" + std::to_string(static_cast<int>(element.first)) + " " + element.second + ":";
    for (const auto& [dot, version] : versions) {
      out += " " + log(dot.log) + "." + std::to_string(dot.number) + "@" + std::to_string(version.hlc.value) +
             (version.additive ? "+" : "=") + version.value;
      for (const auto& [by, amendment] : version.amendments) {
        out += " (" + log(by) + "." + std::to_string(amendment.first) + " ";
        amendment.second.append_to(out);
        out += ")";
      }
    }
    out += "]";
  }
  return out;
}

}  // namespace capstan
