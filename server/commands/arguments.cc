#include "server/commands/arguments.h"

#include <algorithm>
#include <limits>

namespace capstan {

std::optional<Database> database_argument(Call& call, size_t index) {
  const std::optional<int64_t> number = integer_argument(call, index);
  if (!number) return std::nullopt;
  if (*number < std::numeric_limits<int>::min() || *number > std::numeric_limits<int>::max()) {
    reply_error(call, "ERR value is out of range, value must between -2147483648 and 2147483647");
    return std::nullopt;
  }
  if (*number < 0 || *number >= kUserDatabases) {
    reply_error(call, "ERR DB index is out of range");
    return std::nullopt;
  }
  return static_cast<Database>(*number);
}

std::optional<IndexRange> clip_range(int64_t start, int64_t end, uint64_t size) {
  if (size == 0 || (start < 0 && end < 0 && start > end)) return std::nullopt;
  const auto count = static_cast<int64_t>(size);
  const int64_t first = start < 0 ? std::max<int64_t>(start + count, 0) : start;
  const int64_t last = std::min(end < 0 ? std::max<int64_t>(end + count, 0) : end, count - 1);
  if (first > last) return std::nullopt;
  return IndexRange{static_cast<uint64_t>(first), static_cast<uint64_t>(last)};
}

Outcome reply_too_long(Call& call) {
  return reply_error(call, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
}

}  // namespace capstan
