#include "server/commands/set_options.h"

#include <boost/test/unit_test.hpp>
#include <string>
#include <vector>

namespace capstan {

BOOST_AUTO_TEST_SUITE(set_options_test)

namespace {

using Condition = SetOptions::Condition;
using Ttl = SetOptions::Ttl;
using Words = std::vector<std::string_view>;

std::optional<SetOptions> set(const Words& words) { return parse_set_options(words); }
std::optional<SetOptions> getex(const Words& words) { return parse_getex_options(words); }

}  // namespace

BOOST_AUTO_TEST_CASE(no_words_ask_for_nothing) {
  const auto options = set({});
  BOOST_REQUIRE(options);
  BOOST_TEST((options->condition == Condition::kNone));
  BOOST_TEST((options->ttl == Ttl::kUnspecified));
  BOOST_TEST(!options->get);
}

BOOST_AUTO_TEST_CASE(options_come_in_any_order_and_case) {
  for (const Words& words : {Words{"nx", "GET", "px", "50"}, Words{"Px", "50", "get", "NX"}}) {
    const auto options = set(words);
    BOOST_REQUIRE(options);
    BOOST_TEST((options->condition == Condition::kMissing));
    BOOST_TEST(options->get);
    BOOST_TEST((options->ttl == Ttl::kSet));
    BOOST_TEST((options->form == TimeForm{.seconds = false, .absolute = false}));
    BOOST_TEST(options->time_text == "50");
  }
}

BOOST_AUTO_TEST_CASE(each_kind_of_time) {
  BOOST_TEST((set({"EX", "1"})->form == TimeForm{.seconds = true, .absolute = false}));
  BOOST_TEST((set({"PX", "1"})->form == TimeForm{.seconds = false, .absolute = false}));
  BOOST_TEST((set({"EXAT", "1"})->form == TimeForm{.seconds = true, .absolute = true}));
  BOOST_TEST((set({"PXAT", "1"})->form == TimeForm{.seconds = false, .absolute = true}));
}

BOOST_AUTO_TEST_CASE(an_operand_is_any_word) {
  const auto by_value = set({"IFEQ", "NX", "XX"});
  BOOST_TEST(!by_value);
  const auto value = set({"KEEPTTL", "IFEQ", "XX"});
  BOOST_REQUIRE(value);
  BOOST_TEST((value->condition == Condition::kValue));
  BOOST_TEST(value->operand == "XX");
  BOOST_TEST((value->ttl == Ttl::kKeep));
  const auto version = set({"ifversion", "00", "get"});
  BOOST_REQUIRE(version);
  BOOST_TEST((version->condition == Condition::kVersion));
  BOOST_TEST(version->operand == "00");
  BOOST_TEST(version->get);
}

BOOST_AUTO_TEST_CASE(what_stands_twice_counts_once_and_the_last_one) {
  BOOST_TEST(set({"EX", "1", "EX", "2"})->time_text == "2");
  BOOST_TEST((set({"NX", "NX"})->condition == Condition::kMissing));
  BOOST_TEST(set({"IFEQ", "a", "IFEQ", "b"})->operand == "b");
  BOOST_TEST((getex({"PERSIST", "persist"})->ttl == Ttl::kPersist));
}

BOOST_AUTO_TEST_CASE(contradictions_are_syntax_errors) {
  const Words options[] = {{"NX"}, {"XX"}, {"IFEQ", "a"}, {"IFVERSION", "a"}};
  const Words times[] = {{"KEEPTTL"}, {"EX", "1"}, {"PX", "1"}, {"EXAT", "1"}, {"PXAT", "1"}};
  const auto check_pairs = [](std::span<const Words> alternatives) {
    for (const Words& a : alternatives) {
      for (const Words& b : alternatives) {
        Words both = a;
        both.insert(both.end(), b.begin(), b.end());
        BOOST_TEST(set(both).has_value() == (a == b), a.front() << " " << b.front());
      }
    }
  };
  check_pairs(options);
  check_pairs(times);
}

BOOST_AUTO_TEST_CASE(unknown_words_and_missing_operands_are_syntax_errors) {
  for (const Words& words : {Words{"x"}, Words{""}, Words{"EX"}, Words{"NX", "PXAT"}, Words{"IFEQ"}, Words{"PERSIST"},
                             Words{"EX", "1", "x"}}) {
    BOOST_TEST(!set(words));
  }
  for (const Words& words : {Words{"KEEPTTL"}, Words{"NX"}, Words{"GET"}, Words{"IFEQ", "a"}, Words{"EX"},
                             Words{"EX", "1", "PERSIST"}, Words{"PERSIST", "EX", "1"}}) {
    BOOST_TEST(!getex(words));
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
