// What commands' arguments have in common. Readers that take a Call reply the error themselves; the caller then returns
// Outcome::kDone.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "resp/number.h"
#include "server/command.h"
#include "server/text.h"

namespace capstan {

// The integer that args[index] is; nullopt: refused, the error is replied.
inline std::optional<int64_t> integer_argument(Call& call, size_t index) {
  const std::optional<int64_t> value = resp::parse_integer(call.args[index]);
  if (!value) [[unlikely]]
    reply_not_integer(call);
  return value;
}

// args[index] is a database's number; nullopt: refused, the error is replied.
std::optional<Database> database_argument(Call& call, size_t index);

// The part [first, last] of a sequence of `size` parts that a command's start and end name: counted from 0, negative
// from the end, cut at both ends. nullopt if nothing is left. As Redis' string commands have it: an end before the
// first part still names the first one (GETRANGE k -100 -50), unless start and end are negative and the wrong way
// round.
struct IndexRange {
  uint64_t first = 0;
  uint64_t last = 0;
  bool operator==(const IndexRange&) const = default;
};
std::optional<IndexRange> clip_range(int64_t start, int64_t end, uint64_t size);

// Replies that a string would grow beyond proto-max-bulk-len.
Outcome reply_too_long(Call& call);

}  // namespace capstan
