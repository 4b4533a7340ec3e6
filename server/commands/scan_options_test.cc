#include "server/commands/scan_options.h"

#include <boost/test/unit_test.hpp>
#include <limits>
#include <vector>

namespace capstan {

BOOST_AUTO_TEST_SUITE(scan_options_test)

namespace {

using Refusal = ScanOptions::Refusal;

ScanOptions parse(const std::vector<std::string_view>& words) { return parse_scan_options(words); }

}  // namespace

BOOST_AUTO_TEST_CASE(cursors_are_read_as_strtoul_reads_them) {
  BOOST_TEST(*parse_cursor("0") == 0u);
  BOOST_TEST(*parse_cursor("9007199254740991") == 9007199254740991u);
  BOOST_TEST(*parse_cursor("") == 0u);
  BOOST_TEST(*parse_cursor("+1") == 1u);
  BOOST_TEST(*parse_cursor("007") == 7u);
  BOOST_TEST(*parse_cursor("-0") == 0u);
  BOOST_TEST(*parse_cursor("-1") == std::numeric_limits<uint64_t>::max());
  BOOST_TEST(*parse_cursor("18446744073709551615") == std::numeric_limits<uint64_t>::max());
  for (const std::string_view text : {"a", "1a", " 1", "1 ", "+", "-", "+-1", "1.5", "18446744073709551616"}) {
    BOOST_TEST(!parse_cursor(text), text);
  }
}

BOOST_AUTO_TEST_CASE(options_come_in_any_order_and_the_last_one_counts) {
  const ScanOptions options = parse({"type", "string", "COUNT", "5", "match", "a*", "count", "7"});
  BOOST_TEST((options.refusal == Refusal::kNone));
  BOOST_TEST(options.count == 7u);
  BOOST_TEST((options.filter.pattern == "a*"));
  BOOST_TEST((options.filter.type == "string"));
  BOOST_TEST(parse({}).count == 10u);
}

BOOST_AUTO_TEST_CASE(malformed_options_are_refused) {
  for (const std::string_view word : {"MATCH", "COUNT", "TYPE", "x"}) {
    BOOST_TEST((parse({word}).refusal == Refusal::kSyntax), word);
  }
  BOOST_TEST((parse({"COUNT", "0"}).refusal == Refusal::kSyntax));
  BOOST_TEST((parse({"COUNT", "-1"}).refusal == Refusal::kSyntax));
  BOOST_TEST((parse({"COUNT", "x"}).refusal == Refusal::kNotInteger));
  BOOST_TEST((parse({"COUNT", "x", "y", "z"}).refusal == Refusal::kNotInteger));
  BOOST_TEST((parse({"y", "z", "COUNT", "x"}).refusal == Refusal::kSyntax));
}

BOOST_AUTO_TEST_CASE(a_filter_takes_pattern_and_type_together) {
  const KeyFilter filter{.pattern = "a*", .type = "ZSet"};
  BOOST_TEST(filter.matches("abc", ElementKind::kScore));
  BOOST_TEST(!filter.matches("abc", ElementKind::kMember));
  BOOST_TEST(!filter.matches("bc", ElementKind::kScore));
  BOOST_TEST(KeyFilter{}.matches("", ElementKind::kString));
  BOOST_TEST(!KeyFilter{.type = "nothing"}.matches("a", ElementKind::kString));
  BOOST_TEST(!KeyFilter{.pattern = ""}.matches("a", ElementKind::kString));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
