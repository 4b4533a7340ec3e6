#include "quorum/resolve.h"

#include <algorithm>
#include <array>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "quorum/element_value.h"

namespace capstan {

namespace {

struct Sibling {
  size_t index;       // in the versions
  std::string value;  // with its contributions
};

// The plain versions, oldest first.
std::vector<Sibling> plain_siblings(const Versions& versions, ElementKind kind) {
  std::vector<Sibling> out;
  for (size_t i = 0; i < versions.size(); ++i) {
    if (versions[i].additive) continue;
    std::string scratch;
    const Versions alone{versions[i]};
    out.push_back({i, std::string(value_with(alone, 0, scratch, kind))});
  }
  const auto stamp = [&](const Sibling& sibling) {
    return std::tuple(versions[sibling.index].hlc, versions[sibling.index].dot);
  };
  std::sort(out.begin(), out.end(), [&](const Sibling& a, const Sibling& b) { return stamp(a) < stamp(b); });
  return out;
}

// Index of the version with the highest (or lowest) value; among equals the newest.
size_t extreme(const std::vector<Sibling>& siblings, Policy policy, ElementKind kind) {
  const bool numbers = std::all_of(siblings.begin(), siblings.end(),
                                   [&](const Sibling& sibling) { return number_in(kind, sibling.value).has_value(); });
  const auto below = [&](const Sibling& a, const Sibling& b) {
    if (!numbers) return a.value < b.value;
    const Number x = *number_in(kind, a.value);
    const Number y = *number_in(kind, b.value);
    return x.is_real() || y.is_real() ? x.as_real() < y.as_real() : x.as_integer() < y.as_integer();
  };
  size_t best = 0;
  for (size_t i = 1; i < siblings.size(); ++i) {
    const bool worse = policy == Policy::kMax ? below(siblings[i], siblings[best]) : below(siblings[best], siblings[i]);
    if (!worse) best = i;
  }
  return siblings[best].index;
}

void unite(const std::vector<Sibling>& siblings, std::string& out) {
  std::set<std::string_view> items;
  for (const Sibling& sibling : siblings) {
    std::string_view rest = sibling.value;
    for (size_t comma; (comma = rest.find(',')) != std::string_view::npos; rest.remove_prefix(comma + 1)) {
      items.insert(rest.substr(0, comma));
    }
    items.insert(rest);
  }
  for (const std::string_view& item : items) {
    if (&item != &*items.begin()) out += ',';
    out += item;
  }
}

}  // namespace

std::optional<Policy> parse_policy(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, Policy>, 6> kPolicies{{{"lww", Policy::kLww},
                                                                                 {"max", Policy::kMax},
                                                                                 {"min", Policy::kMin},
                                                                                 {"union", Policy::kUnion},
                                                                                 {"concat", Policy::kConcat},
                                                                                 {"lua", Policy::kLua}}};
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  for (const auto& [word, policy] : kPolicies) {
    if (std::equal(name.begin(), name.end(), word.begin(), word.end(), [&](char a, char b) { return lower(a) == b; })) {
      return policy;
    }
  }
  return std::nullopt;
}

Result<std::optional<std::string_view>> resolve(Policy policy, const Versions& versions, std::string& scratch,
                                                ElementKind kind) {
  using Value = std::optional<std::string_view>;
  if (policy == Policy::kLua) return Error{ErrorCode::kInvalid, "the policy lua is not available; use another one"};
  if (versions.size() < 2 || policy == Policy::kLww) return value_of(versions, scratch, kind);
  const std::vector<Sibling> siblings = plain_siblings(versions, kind);
  if (siblings.empty()) return value_of(versions, scratch, kind);
  if (policy == Policy::kMax || policy == Policy::kMin) {
    return Value(value_with(versions, extreme(siblings, policy, kind), scratch, kind));
  }
  scratch.clear();
  if (policy == Policy::kUnion) {
    unite(siblings, scratch);
  } else {
    for (const Sibling& sibling : siblings) scratch += sibling.value;
  }
  return Value(scratch);
}

}  // namespace capstan
