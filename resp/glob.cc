#include "resp/glob.h"

#include <cstdint>
#include <utility>

namespace capstan::resp {

namespace {

uint8_t folded(char c, LetterCase letter_case) {
  const bool upper = c >= 'A' && c <= 'Z';
  return static_cast<uint8_t>(letter_case == LetterCase::kIgnored && upper ? c + ('a' - 'A') : c);
}

// Whether `c` belongs to the class whose '[' is at `at`; leaves `at` behind its ']'.
bool match_class(std::string_view pattern, size_t& at, char c, LetterCase letter_case) {
  const uint8_t byte = folded(c, letter_case);
  ++at;
  const bool negated = at < pattern.size() && pattern[at] == '^';
  if (negated) ++at;
  bool found = false;
  while (at < pattern.size() && pattern[at] != ']') {
    const size_t left = pattern.size() - at;
    if (pattern[at] == '\\' && left >= 2) {
      found |= pattern[at + 1] == c;
      at += 2;
    } else if (left >= 3 && pattern[at + 1] == '-') {
      uint8_t low = folded(pattern[at], letter_case), high = folded(pattern[at + 2], letter_case);
      if (low > high) std::swap(low, high);
      found |= low <= byte && byte <= high;
      at += 3;
    } else {
      found |= folded(pattern[at], letter_case) == byte;
      ++at;
    }
  }
  if (at < pattern.size()) ++at;
  return found != negated;
}

// Whether the element of the pattern at `at`, which is not '*', matches `c`; leaves `at` behind the element.
bool match_one(std::string_view pattern, size_t& at, char c, LetterCase letter_case) {
  switch (pattern[at]) {
    case '?':
      ++at;
      return true;
    case '[':
      return match_class(pattern, at, c, letter_case);
    case '\\':
      if (at + 1 < pattern.size()) ++at;
      [[fallthrough]];
    default:
      return folded(pattern[at++], letter_case) == folded(c, letter_case);
  }
}

}  // namespace

// On a mismatch only the last '*' takes one byte more: what precedes it has been matched with the fewest bytes, so
// giving an earlier '*' more cannot help.
bool glob_match(std::string_view pattern, std::string_view text, LetterCase letter_case) {
  if (text.empty()) return pattern.empty() || pattern == "*";
  constexpr size_t kNoStar = static_cast<size_t>(-1);
  size_t at = 0, matched = 0;
  size_t behind_star = kNoStar, star_end = 0;
  while (matched < text.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      behind_star = ++at;
      star_end = matched;
      if (at == pattern.size()) return true;
    } else if (at < pattern.size() && match_one(pattern, at, text[matched], letter_case)) {
      ++matched;
    } else if (behind_star != kNoStar) {
      at = behind_star;
      matched = ++star_end;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', at) == pattern.npos;
}

}  // namespace capstan::resp
