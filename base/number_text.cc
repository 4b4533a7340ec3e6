#include "base/number_text.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "base/check.h"

namespace capstan {

namespace {

// The longest text that Redis takes for a float, and room for the longest that this file prints.
constexpr size_t kMaxFloatText = 5 * 1024 - 1;
static_assert(std::numeric_limits<long double>::max_exponent10 + 32 < kMaxFloatText);

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace

std::optional<int64_t> parse_integer(std::string_view text) {
  if (text == "0") return 0;
  const size_t first = text.starts_with('-') ? 1 : 0;
  if (first == text.size() || text[first] < '1' || text[first] > '9') return std::nullopt;
  int64_t value;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

std::optional<long double> parse_long_double(std::string_view text) {
  if (text.empty() || text.size() > kMaxFloatText || is_space(text[0])) return std::nullopt;
  std::array<char, kMaxFloatText + 1> terminated;
  std::memcpy(terminated.data(), text.data(), text.size());
  terminated[text.size()] = 0;
  char* stop;
  errno = 0;
  const long double value = std::strtold(terminated.data(), &stop);
  if (stop != terminated.data() + text.size() || std::isnan(value)) return std::nullopt;
  if (errno == ERANGE && (std::isinf(value) || value == 0)) return std::nullopt;
  return value;
}

void append_integer(std::string& out, int64_t value) {
  std::array<char, 20> digits;
  out.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr);
}

void append_long_double(std::string& out, long double value) {
  CHECK(!std::isnan(value));
  if (std::isinf(value)) {
    out += value > 0 ? "inf" : "-inf";
    return;
  }
  std::array<char, kMaxFloatText + 1> buffer;
  const int printed = std::snprintf(buffer.data(), buffer.size(), "%.17Lf", value);
  CHECK(printed > 0 && static_cast<size_t>(printed) < buffer.size());
  std::string_view text(buffer.data(), static_cast<size_t>(printed));
  text.remove_suffix(text.size() - 1 - text.find_last_not_of('0'));
  if (text.ends_with('.')) text.remove_suffix(1);
  out += text == "-0" ? "0" : text;
}

}  // namespace capstan
