#include "server/directives.h"

#include <boost/test/unit_test.hpp>
#include <set>
#include <string>

#include "server/value_text.h"

namespace capstan {

BOOST_AUTO_TEST_SUITE(directives_test)

namespace {

std::string parse(std::string_view name, const std::vector<std::string_view>& words, const std::string& old = "") {
  const Result<std::string> value = parse_value(*find_directive(name), words, old, true);
  return value ? value.value() : "error: " + value.error().message;
}

}  // namespace

BOOST_AUTO_TEST_CASE(names_are_unique_and_sorted) {
  std::set<std::string> names;
  std::string_view last;
  for (const Directive& directive : all_directives()) {
    BOOST_TEST(names.insert(std::string(directive.name)).second, std::string(directive.name));
    if (!directive.alias.empty()) BOOST_TEST(names.insert(std::string(directive.alias)).second);
    BOOST_TEST((last < directive.name));
    last = directive.name;
    BOOST_TEST(find_directive(directive.name) == &directive);
    BOOST_TEST(&all_directives()[directive_number(directive)] == &directive);
  }
}

// A default that its own parser refused could not be written back by CONFIG REWRITE.
BOOST_AUTO_TEST_CASE(defaults_are_values) {
  const DirectiveValues defaults = default_values();
  for (const Directive& directive : all_directives()) {
    if (directive.has(kHidden)) continue;
    const std::string& initial = defaults[directive_number(directive)];
    const std::vector<std::string_view> words = {initial};
    const Result<std::string> value = parse_value(directive, words, initial, false);
    BOOST_TEST(value.ok(), std::string(directive.name) + ": " + (value ? "" : value.error().message));
    if (value) BOOST_TEST(value.value() == initial, std::string(directive.name));
  }
}

BOOST_AUTO_TEST_CASE(lines_give_the_value_back) {
  const DirectiveValues defaults = default_values();
  for (const Directive& directive : all_directives()) {
    if (directive.has(kHidden)) continue;
    std::string value;
    for (const std::string& line : directive_lines(directive, defaults[directive_number(directive)])) {
      const std::vector<std::string> words = split_words(line).value();
      BOOST_TEST(words[0] == directive.name);
      const std::vector<std::string_view> views = views_of(words);
      // Limits that are not named stay what they are: there is nothing without them.
      const std::string old = directive.name == "client-output-buffer-limit" ? std::string(directive.initial) : value;
      const Result<std::string> parsed = parse_value(directive, std::span(views).subspan(1), old, true);
      BOOST_REQUIRE_MESSAGE(parsed.ok(), line);
      value = parsed.value();
    }
    BOOST_TEST(value == defaults[directive_number(directive)], std::string(directive.name));
  }
}

BOOST_AUTO_TEST_CASE(kinds_of_values) {
  BOOST_TEST(parse("protected-mode", {"YES"}) == "yes");
  BOOST_TEST(parse("protected-mode", {"1"}) == "error: argument must be 'yes' or 'no'");
  BOOST_TEST(parse("port", {"0"}) == "0");
  BOOST_TEST(parse("port", {"0x10"}) == "error: argument couldn't be parsed into an integer");
  BOOST_TEST(parse("port", {"65536"}) == "error: argument must be between 0 and 65535 inclusive");
  BOOST_TEST(parse("appendfsync", {"EverySec"}) == "everysec");
  BOOST_TEST(parse("appendfsync", {"x"}) == "error: argument(s) must be one of the following: everysec, always, no");
  BOOST_TEST(parse("unixsocketperm", {"0700"}) == "0700");
  BOOST_TEST(parse("unixsocketperm", {"8"}) == "error: argument couldn't be parsed as an octal number");
  BOOST_TEST(parse("unixsocketperm", {"1000"}) == "error: argument must be between 0 and 777 inclusive");
  BOOST_TEST(parse("cache-memory", {"Auto"}) == "auto");
  BOOST_TEST(parse("cache-memory", {"1g"}) == "1000000000");
  BOOST_TEST(parse("maxmemory", {"-1"}) == "error: argument must be a memory value");
}

BOOST_AUTO_TEST_CASE(memory_has_units) {
  BOOST_TEST((parse_memory("0") == 0));
  BOOST_TEST((parse_memory("1k") == 1000));
  BOOST_TEST((parse_memory("1Kb") == 1024));
  BOOST_TEST((parse_memory("3GB") == uint64_t{3} << 30));
  BOOST_TEST((parse_memory("7b") == 7));
  BOOST_TEST((parse_memory("18446744073709551615") == UINT64_MAX));
  for (const std::string_view wrong :
       {"", "k", "1.5gb", "12 kb", "+1", "-1", "1tb", "18446744073709551616", "18014398509481984kb", "1kbb"}) {
    BOOST_TEST(!parse_memory(wrong), std::string(wrong));
  }
}

BOOST_AUTO_TEST_CASE(words_are_quoted_where_needed) {
  for (const std::string& word : {std::string(), std::string("a b"), std::string("quo\"te"), std::string("\\"),
                                  std::string("'"), std::string("#x"), std::string("\x00\xff\n\r\t\a", 6)}) {
    const auto words = split_words("x " + quote_word(word));
    BOOST_REQUIRE(words.has_value());
    BOOST_TEST(words->size() == 2u);
    BOOST_TEST(words->back() == word);
  }
  BOOST_TEST(quote_word("session:*") == "session:*");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
