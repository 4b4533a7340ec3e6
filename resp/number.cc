#include "resp/number.h"

#include <charconv>

namespace capstan::resp {

std::optional<int64_t> parse_integer(std::string_view text) {
  if (text == "0") return 0;
  const bool negative = text.starts_with('-');
  const size_t first = negative ? 1 : 0;
  if (first == text.size() || text[first] < '1' || text[first] > '9') return std::nullopt;
  int64_t value;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

}  // namespace capstan::resp
