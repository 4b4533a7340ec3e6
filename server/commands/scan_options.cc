#include "server/commands/scan_options.h"

#include <charconv>

#include "resp/glob.h"
#include "resp/number.h"
#include "server/commands/kind_name.h"
#include "server/text.h"

namespace capstan {

std::optional<uint64_t> parse_cursor(std::string_view text) {
  if (text.empty()) return 0;
  const bool negative = text.front() == '-';
  if (negative || text.front() == '+') text.remove_prefix(1);
  uint64_t cursor = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), cursor);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return negative ? -cursor : cursor;
}

bool KeyFilter::matches(std::string_view key, ElementKind kind) const {
  if (type && !same_word(*type, kind_name(kind))) return false;
  return !pattern || resp::glob_match(*pattern, key);
}

ScanOptions parse_scan_options(std::span<const std::string_view> words) {
  using Refusal = ScanOptions::Refusal;
  ScanOptions options;
  for (size_t i = 0; i < words.size() && options.refusal == Refusal::kNone; i += 2) {
    const bool has_value = i + 1 < words.size();
    if (has_value && same_word(words[i], "match")) {
      options.filter.pattern = words[i + 1];
    } else if (has_value && same_word(words[i], "type")) {
      options.filter.type = words[i + 1];
    } else if (has_value && same_word(words[i], "count")) {
      const std::optional<int64_t> count = resp::parse_integer(words[i + 1]);
      if (!count) options.refusal = Refusal::kNotInteger;
      if (count && *count < 1) options.refusal = Refusal::kSyntax;
      if (count) options.count = static_cast<uint64_t>(*count);
    } else {
      options.refusal = Refusal::kSyntax;
    }
  }
  if (options.filter.pattern == "*") options.filter.pattern.reset();
  return options;
}

}  // namespace capstan
