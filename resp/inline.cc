#include "resp/inline.h"

#include <optional>

namespace capstan::resp {

namespace {

// Between words any white space is skipped, but only these bytes end a word (so does Redis).
bool ends_word(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool is_space(char c) { return ends_word(c) || c == '\v' || c == '\f'; }

std::optional<unsigned> hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

char control_character(char letter) {
  switch (letter) {
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'b':
      return '\b';
    case 'a':
      return '\a';
    default:
      return letter;
  }
}

// Reads the escape that begins with the backslash at `at`, not the last byte of `line`; leaves `at` behind it.
char read_escape(std::string_view line, size_t& at) {
  const char letter = line[at + 1];
  if (letter == 'x' && at + 3 < line.size()) {
    const auto high = hex_digit(line[at + 2]), low = hex_digit(line[at + 3]);
    if (high && low) {
      at += 4;
      return static_cast<char>(*high << 4 | *low);
    }
  }
  at += 2;
  return control_character(letter);
}

// Appends the quoted text that begins with the quote at `at`; leaves `at` behind the closing one.
bool read_quoted(std::string_view line, size_t& at, std::string& out) {
  const char quote = line[at++];
  while (at < line.size()) {
    const char c = line[at];
    if (c == quote) return ++at == line.size() || is_space(line[at]);
    const bool escaped = c == '\\' && at + 1 < line.size();
    if (escaped && quote == '"') {
      out.push_back(read_escape(line, at));
    } else if (escaped && line[at + 1] == '\'') {
      out.push_back('\'');
      at += 2;
    } else {
      out.push_back(c);
      ++at;
    }
  }
  return false;
}

}  // namespace

bool split_inline(std::string_view line, std::vector<std::string_view>& words, std::string& unescaped) {
  unescaped.clear();
  unescaped.reserve(line.find_first_of("\"'") == line.npos ? 0 : line.size());  // so that views into it stay valid
  size_t at = 0;
  while (true) {
    while (at < line.size() && is_space(line[at])) ++at;
    if (at == line.size()) return true;
    const size_t begin = at;
    while (at < line.size() && !ends_word(line[at]) && line[at] != '"' && line[at] != '\'') ++at;
    std::string_view word = line.substr(begin, at - begin);
    if (at < line.size() && !ends_word(line[at])) {
      const size_t copied = unescaped.size();
      unescaped.append(word);
      if (!read_quoted(line, at, unescaped)) return false;
      word = std::string_view(unescaped).substr(copied);
    }
    words.push_back(word);
  }
}

}  // namespace capstan::resp
