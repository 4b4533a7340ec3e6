#include "quorum/resolve.h"

#include <boost/test/unit_test.hpp>
#include <string>

namespace capstan {

namespace {

constexpr LogId kB{2}, kC{3};

Versions siblings(std::initializer_list<const char*> values) {
  Versions out;
  uint64_t log = 0;
  for (const char* value : values) {
    ++log;
    out.push_back({{LogId{log}, 1}, Hlc{100 - log}, false, value, {}});  // the first is the newest
  }
  return out;
}

Version additive(Dot dot, uint64_t hlc, std::string value) {
  Version out;
  out.dot = dot;
  out.hlc = Hlc{hlc};
  out.additive = true;
  out.value = std::move(value);
  return out;
}

std::string read(Policy policy, const Versions& versions) {
  std::string scratch;
  const auto result = resolve(policy, versions, scratch);
  BOOST_REQUIRE(result.ok());
  return std::string(result.value().value_or("nothing"));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(resolve_test)

BOOST_AUTO_TEST_CASE(policies_have_names) {
  BOOST_TEST((parse_policy("lww") == Policy::kLww));
  BOOST_TEST((parse_policy("MAX") == Policy::kMax));
  BOOST_TEST((parse_policy("min") == Policy::kMin));
  BOOST_TEST((parse_policy("Union") == Policy::kUnion));
  BOOST_TEST((parse_policy("concat") == Policy::kConcat));
  BOOST_TEST((parse_policy("lua") == Policy::kLua));
  for (const char* name : {"", "lw", "lwww", "first"}) BOOST_TEST(!parse_policy(name).has_value(), name);
}

BOOST_AUTO_TEST_CASE(one_version_is_its_value_under_every_policy) {
  for (const Policy policy : {Policy::kLww, Policy::kMax, Policy::kMin, Policy::kUnion, Policy::kConcat}) {
    BOOST_TEST(read(policy, siblings({"b,a,a"})) == "b,a,a");
    BOOST_TEST(read(policy, {}) == "nothing");
  }
}

BOOST_AUTO_TEST_CASE(lww_takes_the_newest) { BOOST_TEST(read(Policy::kLww, siblings({"1", "3", "2"})) == "1"); }

BOOST_AUTO_TEST_CASE(max_and_min_compare_numbers_as_numbers) {
  BOOST_TEST(read(Policy::kMax, siblings({"9", "10", "-3"})) == "10");
  BOOST_TEST(read(Policy::kMin, siblings({"9", "10", "-3"})) == "-3");
  BOOST_TEST(read(Policy::kMax, siblings({"9.5", "9"})) == "9.5");
}

BOOST_AUTO_TEST_CASE(max_and_min_compare_text_by_bytes) {
  BOOST_TEST(read(Policy::kMax, siblings({"9", "10", "ten"})) == "ten");
  BOOST_TEST(read(Policy::kMin, siblings({"9", "10", "ten"})) == "10");
}

BOOST_AUTO_TEST_CASE(contributions_belong_to_their_sibling) {
  Versions versions = siblings({"9", "10"});
  versions[0].amendments = {{kC, 1, Number::integer(5)}};
  BOOST_TEST(read(Policy::kMax, versions) == "14");
  BOOST_TEST(read(Policy::kMin, versions) == "10");
  BOOST_TEST(read(Policy::kConcat, versions) == "1014");
}

BOOST_AUTO_TEST_CASE(additive_versions_newer_than_the_chosen_one_are_added) {
  Versions versions = siblings({"9", "10"});  // stamps 99 and 98
  const Version newer = additive({kC, 1}, 99, "100");
  const Version oldest = additive({kB, 1}, 1, "1");
  versions.push_back(newer);
  BOOST_TEST(read(Policy::kMax, versions) == "110");
  BOOST_TEST(read(Policy::kMin, versions) == "9");
  versions = {oldest, newer};
  BOOST_TEST(read(Policy::kMax, versions) == "101");
}

BOOST_AUTO_TEST_CASE(union_has_every_item_once) {
  BOOST_TEST(read(Policy::kUnion, siblings({"pear,apple", "fig,pear", "apple"})) == "apple,fig,pear");
}

BOOST_AUTO_TEST_CASE(concat_goes_from_the_oldest_to_the_newest) {
  BOOST_TEST(read(Policy::kConcat, siblings({"c", "b", "a"})) == "abc");
}

BOOST_AUTO_TEST_CASE(the_answer_depends_on_the_set_alone) {
  Versions versions = siblings({"9", "9.0", "009"});  // equal numbers: the newest
  BOOST_TEST(read(Policy::kMax, versions) == "9");
  BOOST_TEST(read(Policy::kMin, versions) == "9");
}

BOOST_AUTO_TEST_CASE(lua_is_an_error) {
  std::string scratch;
  BOOST_TEST(!resolve(Policy::kLua, siblings({"1"}), scratch).ok());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
