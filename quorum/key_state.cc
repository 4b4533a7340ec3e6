#include "quorum/key_state.h"

#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "quorum/element_value.h"
#include "quorum/mutant.h"

namespace capstan {

namespace {

ElementState* find_element(std::vector<ElementState>& elements, ElementKind kind, std::string_view id) {
  const auto at = std::find_if(elements.begin(), elements.end(),
                               [&](const ElementState& e) { return e.kind == kind && e.id == id; });
  return at == elements.end() ? nullptr : &*at;
}

// What no sequence of joins makes is none.
bool is_element(const ElementState& element) {
  if (element.versions.empty() || (!has_id(element.kind) && !element.id.empty())) return false;
  return std::all_of(element.versions.begin(), element.versions.end(), [&](const Version& version) {
    const bool is_number = version.additive || !version.amendments.empty();
    return is_value_of(element.kind, version.value) && (!is_number || holds_numbers(element.kind));
  });
}

bool names_an_element_twice(const std::vector<ElementState>& elements) {
  constexpr size_t kCompared = 8;  // up to here, comparing all with all needs no memory and is as fast
  if (elements.size() <= kCompared) {
    for (size_t i = 1; i < elements.size(); ++i) {
      const auto same = [&](const ElementState& e) { return e.kind == elements[i].kind && e.id == elements[i].id; };
      if (std::any_of(elements.begin(), elements.begin() + static_cast<ptrdiff_t>(i), same)) return true;
    }
    return false;
  }
  absl::flat_hash_set<std::pair<ElementKind, std::string_view>> seen;
  seen.reserve(elements.size());
  return std::any_of(elements.begin(), elements.end(),
                     [&](const ElementState& e) { return !seen.emplace(e.kind, e.id).second; });
}

}  // namespace

const ElementState* KeyState::find(ElementKind kind, std::string_view id) const {
  return find_element(const_cast<KeyState*>(this)->elements_, kind, id);
}

void KeyState::apply(const KeyEffect& effect, const RecordHead& head, Replay replay) {
  if (effect.remove) apply_clear(head.context);
  for (const ElementEffect& part : effect.elements) {
    ElementState* element = find_element(elements_, part.kind, part.id);
    if (element != nullptr) {
      join_element(element->versions, part, head, replay);
      if (element->versions.empty()) elements_.erase(elements_.begin() + (element - elements_.data()));
    } else if (part.action == ElementEffect::Action::kPut) {  // nothing else makes an element
      ElementState& created = elements_.emplace_back();
      created.kind = part.kind;
      created.id = part.id;
      join_element(created.versions, part, head, replay);
    }
  }
}

void KeyState::apply_clear(const Clock& context) {
  std::erase_if(elements_, [&](ElementState& element) {
    join_removal(element.versions, context);
    return element.versions.empty();
  });
}

bool KeyState::exists() const {
  return std::any_of(elements_.begin(), elements_.end(),
                     [](const ElementState& element) { return element.kind != ElementKind::kTtl; });
}

ElementKind KeyState::visible_kind() const {
  const ElementState* newest = nullptr;
  std::tuple<Hlc, Dot, ElementKind> highest;
  for (const ElementState& element : elements_) {
    if (element.kind == ElementKind::kTtl) continue;
    for (const Version& version : element.versions) {
      const std::tuple rank(version.hlc, version.dot, element.kind);
      if (newest == nullptr || rank > highest) {
        newest = &element;
        highest = rank;
      }
    }
  }
  CHECK(newest != nullptr, "a key that does not exist has no type");
  return newest->kind;
}

int64_t KeyState::expire_at_ms() const {
  const ElementState* const ttl = find(ElementKind::kTtl);
  if (ttl == nullptr) return kNeverExpires;
  return time_in(ttl->versions[winner(ttl->versions)].value);
}

bool KeyState::expired(int64_t now_ms) const {
  const int64_t expire_at = expire_at_ms();
  if (expire_at == kNeverExpires || expire_at >= now_ms || !exists()) return false;
  const auto lives_on = [&](const ElementState& element) {
    return element.kind != ElementKind::kTtl &&
           std::any_of(element.versions.begin(), element.versions.end(),
                       [&](const Version& version) { return version.hlc.ms() > expire_at; });
  };
  return mutant(Mutant::kLateTtl) || std::none_of(elements_.begin(), elements_.end(), lives_on);
}

uint64_t KeyState::digest(uint64_t key_hash) const {
  uint64_t sum = 0;
  for (const ElementState& element : elements_) {
    for (const Version& version : element.versions) {
      sum += version_digest(key_hash, element.kind, element.id, version);
    }
  }
  return sum;
}

KeyState join_answers(const KeyState& a, const Clock& a_clock, const KeyState& b, const Clock& b_clock) {
  static const Versions kNone;
  KeyState out;
  const auto add = [&](const ElementState& element, Versions versions) {
    if (!versions.empty()) out.elements_.push_back({element.kind, element.id, std::move(versions)});
  };
  for (const ElementState& mine : a.elements_) {
    const ElementState* const theirs = b.find(mine.kind, mine.id);
    add(mine, join_answers(mine.versions, a_clock, theirs ? theirs->versions : kNone, b_clock));
  }
  for (const ElementState& theirs : b.elements_) {
    if (a.find(theirs.kind, theirs.id) == nullptr) add(theirs, join_answers(kNone, a_clock, theirs.versions, b_clock));
  }
  return out;
}

bool operator==(const KeyState& a, const KeyState& b) {
  return a.elements_.size() == b.elements_.size() &&
         std::all_of(a.elements_.begin(), a.elements_.end(), [&](const ElementState& element) {
           const ElementState* const other = b.find(element.kind, element.id);
           return other != nullptr && *other == element;
         });
}

void KeyState::encode(Encoder& out) const {
  out.varint(elements_.size());
  for (const ElementState& element : elements_) {
    out.u8(static_cast<uint8_t>(element.kind));
    out.bytes(element.id);
    encode_versions(element.versions, out);
  }
}

bool KeyState::decode(Decoder& in, KeyState& out) {
  out.elements_.clear();
  for (uint64_t left = in.varint(); left != 0 && in.ok(); --left) {
    ElementState& element = out.elements_.emplace_back();
    const uint8_t kind = in.u8();
    element.kind = static_cast<ElementKind>(kind);
    element.id = in.bytes();
    decode_versions(in, element.versions);
    if (kind >= kElementKinds || !is_element(element)) in.fail();
  }
  if (names_an_element_twice(out.elements_)) in.fail();
  return in.ok();
}

}  // namespace capstan
