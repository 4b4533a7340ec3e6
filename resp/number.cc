#include "resp/number.h"

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "base/check.h"

namespace capstan::resp {

namespace {

// Redis' bound on the text of a long double, its end included.
constexpr size_t kMaxLongDoubleBytes = 5 * 1024;

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// `convert` is strtod or strtold; `text` ends with a NUL byte behind its last.
template <typename Float>
std::optional<Float> convert_whole(std::string_view text, Float (*convert)(const char*, char**)) {
  if (text.empty() || is_space(text.front())) return std::nullopt;
  char* end;
  errno = 0;
  const Float value = convert(text.data(), &end);
  if (end != text.data() + text.size() || std::isnan(value)) return std::nullopt;
  if (errno == ERANGE && (std::isinf(value) || value == 0)) return std::nullopt;
  return value;
}

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

std::optional<double> parse_double(std::string_view text) {
  double value;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc() && stop == end && std::isfinite(value)) return value;
  return convert_whole<double>(std::string(text), std::strtod);
}

std::optional<long double> parse_long_double(std::string_view text) {
  if (text.size() >= kMaxLongDoubleBytes) return std::nullopt;
  return convert_whole<long double>(std::string(text), std::strtold);
}

char* store_double(char* to, double value) {
  const auto [end, error] = std::to_chars(to, to + kMaxDoubleBytes, value, std::chars_format::general, 17);
  CHECK(error == std::errc());
  return end;
}

std::string format_double(double value) {
  char buffer[kMaxDoubleBytes];
  return std::string(buffer, store_double(buffer, value));
}

std::string format_long_double(long double value) {
  char buffer[kMaxLongDoubleBytes];
  const int size = std::snprintf(buffer, sizeof buffer, "%.17Lf", value);
  CHECK(size > 0 && static_cast<size_t>(size) < sizeof buffer);
  std::string_view text(buffer, static_cast<size_t>(size));
  if (text.find('.') != text.npos) {
    text = text.substr(0, text.find_last_not_of('0') + 1);
    if (text.ends_with('.')) text.remove_suffix(1);
  }
  return std::string(text == "-0" ? "0" : text);
}

}  // namespace capstan::resp
