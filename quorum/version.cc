#include "quorum/version.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "base/check.h"
#include "base/hash.h"
#include "quorum/element_value.h"
#include "quorum/mutant.h"

namespace capstan {

namespace {

// A version's value with its contributions, added to sum in order of writer identity.
Number add_version(const Version& version, ElementKind kind, Number sum) {
  if (const auto value = number_in(kind, version.value)) sum = sum + *value;
  for (const Amendment& amendment : version.amendments) {
    if (!amendment.log.agreed()) sum = sum + amendment.sum;
  }
  return sum;
}

bool has_contributions(const Version& version) {
  return std::any_of(version.amendments.begin(), version.amendments.end(),
                     [](const Amendment& amendment) { return !amendment.log.agreed(); });
}

uint64_t element_hash(uint64_t key_hash, ElementKind kind, std::string_view id) {
  const uint64_t base = mix64(key_hash, static_cast<uint64_t>(kind));
  return id.empty() ? base : mix64(base, hash64(id));
}

uint64_t with_dot(uint64_t digest, LogId log, uint64_t number) { return mix64(digest, mix64(log.value, number)); }

}  // namespace

size_t winner(const Versions& versions) {
  const auto rank = [](const Version& version) { return std::tuple(!version.additive, version.hlc, version.dot); };
  CHECK(!versions.empty());
  size_t best = 0;
  for (size_t i = 1; i < versions.size(); ++i) {
    if (rank(versions[i]) > rank(versions[best])) best = i;
  }
  return best;
}

std::optional<std::string_view> value_of(const Versions& versions, std::string& scratch, ElementKind kind) {
  if (versions.empty()) return std::nullopt;
  return value_with(versions, winner(versions), scratch, kind);
}

std::string_view value_with(const Versions& versions, size_t chosen, std::string& scratch, ElementKind kind) {
  const Version& base = versions[chosen];
  const auto counts = [&](const Version& other) {
    if (&other == &base || !other.additive) return false;
    return base.additive || other.hlc > base.hlc || mutant(Mutant::kOlderAdditiveCounts);
  };
  const bool others = versions.size() > 1 && std::any_of(versions.begin(), versions.end(), counts);
  if ((!others && !has_contributions(base)) || !number_in(kind, base.value)) return base.value;
  Number sum = add_version(base, kind, Number::integer(0));
  for (const Version& other : versions) {
    if (counts(other)) sum = add_version(other, kind, sum);
  }
  scratch.clear();
  append_number(kind, sum, scratch);
  return scratch;
}

bool is_simple(const Versions& versions) {
  return versions.size() == 1 && !versions[0].additive && !has_contributions(versions[0]);
}

bool adds_exactly(const Versions& versions, LogId log, const Number& addend, ElementKind kind) {
  const size_t changed = winner(versions);
  if (addend.is_real() || (versions.size() == 1 && !has_contributions(versions[0]))) return true;
  std::string scratch;
  const auto before = number_in(kind, *value_of(versions, scratch, kind));
  if (!before || before->is_real()) return true;
  Versions after = versions;
  if (log.agreed()) {
    add_in_place(kind, after[changed].value, addend);
  } else {
    auto& amendments = after[changed].amendments;
    auto at = std::find_if(amendments.begin(), amendments.end(), [&](const auto& entry) { return entry.log >= log; });
    if (at == amendments.end() || at->log != log) at = amendments.insert(at, Amendment{log, 0, {}});
    at->sum = at->sum + addend;
  }
  const auto sum = number_in(kind, *value_of(after, scratch, kind));
  return sum && *sum == *before + addend;
}

uint64_t version_digest(uint64_t key_hash, ElementKind kind, std::string_view id, const Version& version) {
  uint64_t digest = with_dot(element_hash(key_hash, kind, id), version.dot.log, version.dot.number);
  if (mutant(Mutant::kDigestWithoutAmendments)) return digest;
  for (const Amendment& amendment : version.amendments) digest = with_dot(digest, amendment.log, amendment.last);
  return digest;
}

uint64_t plain_digest(uint64_t key_hash, ElementKind kind, std::string_view id, Dot dot, uint64_t own_last) {
  const uint64_t digest = with_dot(element_hash(key_hash, kind, id), dot.log, dot.number);
  return own_last == 0 ? digest : with_dot(digest, dot.log, own_last);
}

}  // namespace capstan
