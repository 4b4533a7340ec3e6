#include "server/level.h"

#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_SUITE(level_test)

using namespace capstan;

namespace {

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

ParsedConsistency parsed(std::string_view text) {
  const std::vector<std::string_view> words = words_of(text);
  return parse_consistency(words).value();
}

std::string error_of(std::string_view text) {
  const std::vector<std::string_view> words = words_of(text);
  const auto result = parse_consistency(words);
  return result ? "" : result.error().message;
}

Result<> add(LevelPolicy& policy, std::string_view text) {
  const std::vector<std::string_view> words = words_of(text);
  return policy.add(words);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_level_alone) {
  BOOST_CHECK(parsed("STRONG").consistency.level == Level::kStrong);
  BOOST_CHECK(parsed("eventual").consistency.level == Level::kEventual);
  BOOST_CHECK(parsed("Local").consistency.level == Level::kLocal);
  BOOST_CHECK(parsed("local").consistency.plain());
}

BOOST_AUTO_TEST_CASE(options_end_where_the_command_begins) {
  const ParsedConsistency result = parsed("eventual w 1 timeout 250 SADD cart:7 apple");
  BOOST_CHECK_EQUAL(result.used, 5u);
  BOOST_CHECK(result.consistency.write.kind == Quorum::Kind::kNumber);
  BOOST_CHECK_EQUAL(result.consistency.write.number, 1u);
  BOOST_CHECK_EQUAL(result.consistency.timeout_ms, 250);
  BOOST_CHECK(!result.consistency.plain());
}

BOOST_AUTO_TEST_CASE(every_option_is_shown_as_it_can_be_typed) {
  for (const std::string_view text : {"STRONG ID c1 7", "EVENTUAL W QUORUM R ALL", "EVENTUAL W LOCAL_QUORUM R 2",
                                      "LOCAL MAXAGE 5 AFTER 01ab SESSION", "EVENTUAL R EACH_QUORUM TIMEOUT 0"}) {
    BOOST_CHECK_EQUAL(parsed(text).consistency.to_string(), text);
  }
}

BOOST_AUTO_TEST_CASE(bad_grammar_is_refused_with_a_reason) {
  BOOST_CHECK_EQUAL(error_of(""), "ERR CONSISTENCY needs a level: STRONG, EVENTUAL or LOCAL");
  BOOST_CHECK_EQUAL(error_of("weak"), "ERR unknown consistency level 'weak', use STRONG, EVENTUAL or LOCAL");
  BOOST_CHECK_EQUAL(error_of("eventual w"), "ERR W needs a value");
  BOOST_CHECK_EQUAL(error_of("eventual w 0 get k"),
                    "ERR W needs a number from 1, QUORUM, ALL, LOCAL_QUORUM or EACH_QUORUM");
  BOOST_CHECK_EQUAL(error_of("eventual w 1 w 2"), "ERR W is given twice");
  BOOST_CHECK_EQUAL(error_of("local timeout -1"), "ERR TIMEOUT needs a number of milliseconds");
  BOOST_CHECK_EQUAL(error_of("eventual id a 1"), "ERR ID needs the level STRONG");
  BOOST_CHECK_EQUAL(error_of("strong id a x"), "ERR ID needs a client and a serial number");
}

BOOST_AUTO_TEST_CASE(a_trailing_level_is_a_level_behind_the_word) {
  const auto at = [](std::string_view text, size_t from) {
    const std::vector<std::string_view> words = words_of(text);
    return find_trailing_consistency(words, from);
  };
  BOOST_CHECK(at("set k v consistency eventual w 2", 3) == 3u);
  BOOST_CHECK(at("set k v nx CONSISTENCY LOCAL", 3) == 4u);
  BOOST_CHECK(!at("set consistency local", 3));
  BOOST_CHECK(!at("set k v ifeq consistency", 3));
  BOOST_CHECK(at("set k v ifeq consistency consistency strong", 3) == 5u);
}

BOOST_AUTO_TEST_CASE(quorums_of_replicas) {
  BOOST_CHECK_EQUAL(Quorum{}.needed(1), 1u);
  BOOST_CHECK_EQUAL(Quorum{}.needed(3), 2u);
  BOOST_CHECK_EQUAL((Quorum{Quorum::Kind::kAll, 0}.needed(3)), 3u);
  BOOST_CHECK_EQUAL((Quorum{Quorum::Kind::kNumber, 5}.needed(3)), 5u);
}

BOOST_AUTO_TEST_CASE(the_policy_takes_the_first_pattern_that_matches) {
  LevelPolicy policy;
  BOOST_CHECK(policy.fallback().plain() && policy.fallback().level == Level::kStrong);
  BOOST_REQUIRE(add(policy, "eventual w=1"));
  BOOST_REQUIRE(add(policy, "session:* local"));
  BOOST_REQUIRE(add(policy, "sess* eventual w=all timeout=9"));
  BOOST_CHECK_EQUAL(policy.fallback().to_string(), "EVENTUAL W 1");
  BOOST_REQUIRE(policy.match("session:1") != nullptr);
  BOOST_CHECK_EQUAL(policy.match("session:1")->to_string(), "LOCAL");
  BOOST_CHECK_EQUAL(policy.match("sessx")->to_string(), "EVENTUAL W ALL TIMEOUT 9");
  BOOST_CHECK(policy.match("other") == nullptr);
}

BOOST_AUTO_TEST_CASE(a_pattern_may_be_called_like_a_level) {
  LevelPolicy policy;
  BOOST_REQUIRE(add(policy, "local eventual"));
  BOOST_CHECK_EQUAL(policy.match("local")->to_string(), "EVENTUAL");
  BOOST_CHECK(policy.fallback().level == Level::kStrong);
}

BOOST_AUTO_TEST_CASE(a_bad_directive_changes_nothing) {
  LevelPolicy policy;
  BOOST_CHECK(!add(policy, ""));
  BOOST_CHECK(!add(policy, "a* sometimes"));
  BOOST_CHECK(!add(policy, "a* eventual w=0"));
  BOOST_CHECK(!add(policy, "a* eventual colour=red"));
  BOOST_CHECK(!add(policy, "strong id=1"));
  BOOST_CHECK(!policy.has_patterns() && policy.fallback().plain());
}

BOOST_AUTO_TEST_SUITE_END()
