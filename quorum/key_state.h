// One key, decoded: its elements with their versions, in insertion order (so that small hashes and sets list as Redis
// lists them; the order is local and no part of the state). For keys in LMDB's inline form, for answers of several
// replicas, and for the tests' reference state. Pure; owned by whoever holds it.
#pragma once

#include <string>
#include <vector>

#include "base/ids.h"
#include "quorum/join.h"

namespace capstan {

struct ElementState {
  ElementKind kind = ElementKind::kString;
  std::string id;
  Versions versions;  // never empty while it is part of a KeyState
  bool operator==(const ElementState&) const = default;
};

class KeyState {
 public:
  const ElementState* find(ElementKind kind, std::string_view id = {}) const;
  const std::vector<ElementState>& elements() const { return elements_; }

  // Precondition: the key has no such element yet.
  void add(ElementState element) { elements_.push_back(std::move(element)); }

  // The key's part of a record: remove(key) if set, then each element's effect.
  void apply(const KeyEffect& effect, const RecordHead& head, Replay replay);
  // A clear of its database.
  void apply_clear(const Clock& context);

  bool empty() const { return elements_.empty(); }
  // "Besides, any key may have the element ttl, which alone does not make a key exist."
  bool exists() const;
  // Concurrent writes of different types: the kind of the version with the highest stamp (then dot) is visible. Ttl is
  // none. Precondition: exists().
  ElementKind visible_kind() const;
  // The time the ttl element shows, or kNeverExpires.
  int64_t expire_at_ms() const;
  // A TTL that had passed before some version of the key was stamped does not count: the key has a new life.
  bool expired(int64_t now_ms) const;
  uint64_t digest(uint64_t key_hash) const;

  friend KeyState join_answers(const KeyState& a, const Clock& a_clock, const KeyState& b, const Clock& b_clock);
  // Equal as sets of elements, whatever their order.
  friend bool operator==(const KeyState& a, const KeyState& b);

  void encode(Encoder& out) const;
  static bool decode(Decoder& in, KeyState& out);

 private:
  std::vector<ElementState> elements_;
};

}  // namespace capstan
