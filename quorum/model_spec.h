// Test code: what a clock covers, defined without any order and without the join's code: a version lives unless a
// covered record removes it. The second, dumb implementation that the real one is
// compared with.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "quorum/state.h"

namespace capstan {

// A record as it was written once, for ever.
struct Archived {
  std::string bytes;
  Record record;  // views bytes
  std::set<State::Key> saw;
};
using Archive = std::map<Dot, std::unique_ptr<Archived>>;

struct SpecVersion {
  Hlc hlc;
  bool additive = false;
  std::string value;
  std::map<LogId, std::pair<uint64_t, Number>> amendments;  // log → last number, sum
  bool operator==(const SpecVersion&) const = default;
};
using SpecVersions = std::map<Dot, SpecVersion>;
using SpecKey = std::map<std::pair<ElementKind, std::string>, SpecVersions>;

// One key's content at a clock that covers the contexts of all that it covers.
SpecKey spec(const Archive& archive, const Clock& clock, const State::Key& key);
// The value read, and the same from the real types.
std::string spec_value(ElementKind kind, const SpecVersions& versions);

SpecKey as_spec(const KeyState* key);
std::string show(const SpecKey& key);

}  // namespace capstan
