// Which texts a pattern matches. The table is what redis-server 7.0.15 answers to KEYS <pattern> when its keys are
// kAll.
#include "resp/glob.h"

#include <boost/test/unit_test.hpp>
#include <string>
#include <vector>

#include "base/random.h"

namespace capstan::resp {

namespace {

using Texts = std::vector<std::string>;

const Texts kSingle = {"a", "b", "c", "d", "-",    "]",    "[",    "\\", "^", "*",
                       "?", "!", "A", "B", "\377", "\200", "\220", "e",  "z"};
const Texts kNonEmpty = {"a",    "b",    "c",    "d",   "-",       "]",  "[",   "\\", "^",    "*", "?",
                         "!",    "ab",   "abc",  "aXc", "a]",      "x]", "a\\", "a[", "A",    "B", "[a]",
                         "\377", "\200", "\220", "aab", "azzbzzc", "b]", "-]",  "e",  "ab\\", "z", "z-"};
const Texts kAll = {"",     "a",    "b",   "c",       "d",  "-",  "]",   "[",    "\\", "^", "*",   "?",
                    "!",    "ab",   "abc", "aXc",     "a]", "x]", "a\\", "a[",   "A",  "B", "[a]", "\377",
                    "\200", "\220", "aab", "azzbzzc", "b]", "-]", "e",   "ab\\", "z",  "z-"};

const std::vector<std::pair<std::string, Texts>> kMatches = {
    {"*", kAll},
    {"?", kSingle},
    {"a*", {"a", "ab", "abc", "aXc", "a]", "a\\", "a[", "aab", "azzbzzc", "ab\\"}},
    {"*a", {"a"}},
    {"a?c", {"abc", "aXc"}},
    {"[abc]", {"a", "b", "c"}},
    {"[^abc]", {"d", "-", "]", "[", "\\", "^", "*", "?", "!", "A", "B", "\377", "\200", "\220", "e", "z"}},
    {"[a-c]", {"a", "b", "c"}},
    {"[c-a]", {"a", "b", "c"}},
    {"[^a-c]", {"d", "-", "]", "[", "\\", "^", "*", "?", "!", "A", "B", "\377", "\200", "\220", "e", "z"}},
    {"[a-]", {"a", "]", "^"}},
    {"[-a]", {"a", "-"}},
    {"[]", {}},
    {"[]a]", {}},
    {"[^]", kSingle},
    {"[^]a]", {"[a]"}},
    {"[", {}},
    {"[a", {"a"}},
    {"[^", kSingle},
    {"[a-", {"a", "-"}},
    {"[\\]]", {"]"}},
    {"[\\a-c]", {"a", "c", "-"}},
    {"[a\\-c]", {"a", "c", "-"}},
    {"\\*", {"*"}},
    {"\\a", {"a"}},
    {"\\", {"\\"}},
    {"a\\", {"a\\"}},
    {"a\\b", {"ab"}},
    {"\\\\", {"\\"}},
    {"**", kNonEmpty},
    {"*?", kNonEmpty},
    {"?*", kNonEmpty},
    {"", {""}},
    {"a**b", {"ab", "aab"}},
    {"[!a]", {"a", "!"}},
    {"[a^]", {"a", "^"}},
    {"a[b", {"ab"}},
    {"[[]", {"["}},
    {"*[", {}},
    {"x]", {"x]"}},
    {"]", {"]"}},
    {"[a-c-e]", {"a", "b", "c", "-", "e"}},
    {"[a-]]", {"a", "]", "^"}},
    {"[\\]", {"]"}},
    {"[ab\\", {"a", "b", "\\"}},
    {"*\\", {"\\", "a\\", "ab\\"}},
    {"[^^]", {"a", "b", "c", "d", "-", "]", "[", "\\", "*", "?", "!", "A", "B", "\377", "\200", "\220", "e", "z"}},
    {"A", {"A"}},
    {"[A-C]", {"A", "B"}},
    {"a[", {}},
    {"[\377]", {"\377"}},
    {"[\200-\377]", {"\377", "\200", "\220"}},
    {"[\377-\200]", {"\377", "\200", "\220"}},
    {"[a-\\c]", {"a", "c", "]", "\\", "^"}},
    {"[a-\\]]", {"a]"}},
    {"a*b*c", {"abc", "azzbzzc"}},
    {"\\[a]", {"[a]"}},
    {"[^a", {"b", "c", "d", "-", "]", "[", "\\", "^", "*", "?", "!", "A", "B", "\377", "\200", "\220", "e", "z"}},
    {"[a-c", {"a", "b", "c"}},
    {"*[a", {"a"}},
    {"[\\", {"\\"}},
    {"[^\\", {"a", "b", "c", "d", "-", "]", "[", "^", "*", "?", "!", "A", "B", "\377", "\200", "\220", "e", "z"}},
    {"[-]", {"-"}},
    {"[--a]", {"a", "-", "]", "[", "\\", "^", "?", "A", "B"}},
    {"[a-b", {"a", "b"}},
    {"[z-", {"-", "z"}},
};

// The definition, tried in every way. Exponential, for short patterns only.
bool naive_match(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '*')
    return naive_match(pattern.substr(1), text) || (!text.empty() && naive_match(pattern, text.substr(1)));
  return !text.empty() && (pattern[0] == '?' || pattern[0] == text[0]) &&
         naive_match(pattern.substr(1), text.substr(1));
}

bool match_any_case(std::string_view pattern, std::string_view text) {
  return glob_match(pattern, text, LetterCase::kIgnored);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(glob_test)

BOOST_AUTO_TEST_CASE(patterns_match_what_they_match_in_redis) {
  for (const auto& [pattern, expected] : kMatches) {
    Texts matched;
    for (const std::string& text : kAll)
      if (glob_match(pattern, text)) matched.push_back(text);
    BOOST_TEST(matched == expected, "pattern " << pattern);
  }
}

BOOST_AUTO_TEST_CASE(letter_case_can_be_ignored) {
  BOOST_TEST(match_any_case("MAXMEM*Y", "maxmemory"));
  BOOST_TEST(match_any_case("maxmem*y", "MAXMEMORY"));
  BOOST_TEST(match_any_case("[M]ax", "max"));
  BOOST_TEST(match_any_case("[L-N]ax", "max"));
  BOOST_TEST(match_any_case("\\MAX", "max"));
  BOOST_TEST(!match_any_case("[\\M]ax", "max"), "as in Redis");
  BOOST_TEST(!match_any_case("[^M]ax", "max"));
  BOOST_TEST(!match_any_case("@", "`"), "only letters have case");
  BOOST_TEST(!glob_match("MAX", "max"));
}

BOOST_AUTO_TEST_CASE(stars_agree_with_their_definition) {
  const uint64_t seed = 7;
  Random random(seed);
  const auto draw = [&](std::string_view alphabet, uint64_t max_size) {
    std::string out;
    for (uint64_t i = random.below(max_size + 1); i > 0; --i) out.push_back(alphabet[random.below(alphabet.size())]);
    return out;
  };
  for (int i = 0; i < 20'000; ++i) {
    const std::string pattern = draw("ab*?", 8), text = "a" + draw("ab", 8);
    BOOST_TEST_REQUIRE(glob_match(pattern, text) == naive_match(pattern, text),
                       "seed " << seed << ": " << pattern << " on " << text);
  }
}

// By backtracking at every star this would take longer than the universe has existed.
BOOST_AUTO_TEST_CASE(many_stars_do_not_blow_up) {
  std::string pattern;
  for (int i = 0; i < 200; ++i) pattern += "a*";
  BOOST_TEST(!glob_match(pattern + "b", std::string(10'000, 'a')));
  BOOST_TEST(glob_match(pattern, std::string(10'000, 'a')));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::resp
