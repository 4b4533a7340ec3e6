// Resolution: the single value that siblings are read as (model, "Resolution"). Pure functions of the set of siblings,
// so every replica answers alike; nothing is stored.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "quorum/version.h"

namespace capstan {

enum class Policy : uint8_t {
  kLww,     // the winner: highest stamp, then highest log identity
  kMax,     // the highest number, if all are numbers; else the last in byte order
  kMin,     // the lowest number, if all are numbers; else the first in byte order
  kUnion,   // values are lists of items with commas between them: every item once, in byte order
  kConcat,  // all values in order of stamp, then log identity, one after the other
  kLua,     // a script
};

// "lww", "max", "min", "union", "concat", "lua", in any case. Nullopt: no such policy.
std::optional<Policy> parse_policy(std::string_view name);

// The value that versions are read as. Contributions belong to their version. Additive versions are no values of their
// own beside plain ones: lww, max and min add those that are newer than the version they choose, union and concat leave
// them out; additive versions alone are one value, their sum. A view into versions or scratch; empty optional if there
// are no versions. Errors: kInvalid for lua, which is not available.
Result<std::optional<std::string_view>> resolve(Policy policy, const Versions& versions, std::string& scratch,
                                                ElementKind kind = ElementKind::kString);

}  // namespace capstan
