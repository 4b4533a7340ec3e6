#include "server/value_text.h"

#include <charconv>
#include <cstdio>

#include "resp/inline.h"
#include "server/text.h"

namespace capstan {
namespace {

struct Unit {
  std::string_view name;
  uint64_t bytes;
};
constexpr Unit kUnits[] = {{"", 1},
                           {"b", 1},
                           {"k", 1000},
                           {"kb", 1024},
                           {"m", 1000 * 1000},
                           {"mb", 1024 * 1024},
                           {"g", 1000ull * 1000 * 1000},
                           {"gb", 1024ull * 1024 * 1024}};

bool is_bare(std::string_view word) {
  if (word.empty()) return false;
  for (const char c : word) {
    if (c <= ' ' || c > '~' || c == '"' || c == '\'' || c == '\\' || c == '#') return false;
  }
  return true;
}

void append_escaped(std::string& text, char c) {
  switch (c) {
    case '\\':
      text += "\\\\";
      return;
    case '"':
      text += "\\\"";
      return;
    case '\n':
      text += "\\n";
      return;
    case '\r':
      text += "\\r";
      return;
    case '\t':
      text += "\\t";
      return;
    default:
      break;
  }
  if (c >= ' ' && c <= '~') {
    text += c;
    return;
  }
  char escaped[5];
  std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned char>(c));
  text += escaped;
}

}  // namespace

std::optional<uint64_t> parse_memory(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  const std::string_view unit_name = text.substr(static_cast<size_t>(end - text.data()));
  for (const Unit& unit : kUnits) {
    if (!same_word(unit.name, unit_name)) continue;
    if (number > UINT64_MAX / unit.bytes) return std::nullopt;
    return number * unit.bytes;
  }
  return std::nullopt;
}

std::string quote_word(std::string_view word) {
  if (is_bare(word)) return std::string(word);
  std::string text = "\"";
  for (const char c : word) append_escaped(text, c);
  return text + "\"";
}

std::string join_words(std::span<const std::string_view> words) {
  std::string line;
  for (const std::string_view word : words) {
    if (!line.empty()) line += ' ';
    line += quote_word(word);
  }
  return line;
}

std::optional<std::vector<std::string>> split_words(std::string_view line) {
  std::vector<std::string_view> views;
  std::string unescaped;
  if (!resp::split_inline(line, views, unescaped)) return std::nullopt;
  return std::vector<std::string>(views.begin(), views.end());
}

std::vector<std::string_view> views_of(std::span<const std::string> words) { return {words.begin(), words.end()}; }

}  // namespace capstan
