#include "server/commands/expire_options.h"

#include <boost/test/unit_test.hpp>
#include <vector>

#include "quorum/record.h"

namespace capstan {

BOOST_AUTO_TEST_SUITE(expire_options_test)

namespace {

using Refusal = ExpireOptions::Refusal;

ExpireOptions parse(const std::vector<std::string_view>& words) { return parse_expire_options(words); }

}  // namespace

BOOST_AUTO_TEST_CASE(without_options_every_time_is_allowed) {
  BOOST_TEST(parse({}).allow(kNeverExpires, 5));
  BOOST_TEST(parse({}).allow(9, 5));
  BOOST_TEST(parse({}).allow(1, 5));
}

BOOST_AUTO_TEST_CASE(nx_and_xx_ask_whether_there_is_a_ttl) {
  BOOST_TEST(parse({"NX"}).allow(kNeverExpires, 5));
  BOOST_TEST(!parse({"nx"}).allow(9, 5));
  BOOST_TEST(!parse({"XX"}).allow(kNeverExpires, 5));
  BOOST_TEST(parse({"xx"}).allow(9, 5));
}

BOOST_AUTO_TEST_CASE(gt_and_lt_compare_with_the_ttl_and_no_ttl_is_the_latest) {
  BOOST_TEST(parse({"GT"}).allow(4, 5));
  BOOST_TEST(!parse({"GT"}).allow(5, 5));
  BOOST_TEST(!parse({"GT"}).allow(6, 5));
  BOOST_TEST(!parse({"GT"}).allow(kNeverExpires, 5));
  BOOST_TEST(!parse({"LT"}).allow(4, 5));
  BOOST_TEST(!parse({"LT"}).allow(5, 5));
  BOOST_TEST(parse({"LT"}).allow(6, 5));
  BOOST_TEST(parse({"LT"}).allow(kNeverExpires, 5));
  BOOST_TEST(!parse({"LT", "XX"}).allow(kNeverExpires, 5));
  BOOST_TEST(parse({"XX", "GT"}).allow(4, 5));
}

BOOST_AUTO_TEST_CASE(contradictions_are_refused) {
  BOOST_TEST((parse({"NX", "XX"}).refusal == Refusal::kMissingAndOther));
  BOOST_TEST((parse({"GT", "NX"}).refusal == Refusal::kMissingAndOther));
  BOOST_TEST((parse({"LT", "GT", "NX"}).refusal == Refusal::kMissingAndOther));
  BOOST_TEST((parse({"GT", "LT"}).refusal == Refusal::kGreaterAndLess));
  BOOST_TEST((parse({"XX", "GT", "LT"}).refusal == Refusal::kGreaterAndLess));
  BOOST_TEST((parse({"XX", "XX"}).refusal == Refusal::kNone));
}

BOOST_AUTO_TEST_CASE(an_unknown_word_is_named_before_contradictions_are_seen) {
  const ExpireOptions options = parse({"NX", "XX", "zZ"});
  BOOST_TEST((options.refusal == Refusal::kUnknown));
  BOOST_TEST(options.unknown == "zZ");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
