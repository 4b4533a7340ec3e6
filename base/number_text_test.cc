#include "base/number_text.h"

#include <boost/test/unit_test.hpp>

namespace capstan {

namespace {

// What redis-server 7.0.15 answered to SET a <text>, INCRBYFLOAT a <add>.
std::string increment(std::string_view text, std::string_view add) {
  const auto a = parse_long_double(text);
  const auto b = parse_long_double(add);
  if (!a || !b) return "not a float";
  std::string out;
  append_long_double(out, *a + *b);
  return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(number_text_test)

BOOST_AUTO_TEST_CASE(integers_are_read_as_strictly_as_incrby_reads_them) {
  BOOST_TEST(parse_integer("0").value() == 0);
  BOOST_TEST(parse_integer("-5").value() == -5);
  BOOST_TEST(parse_integer("9223372036854775807").value() == INT64_MAX);
  BOOST_TEST(parse_integer("-9223372036854775808").value() == INT64_MIN);
  for (const char* text : {"", "+5", "05", " 5", "5 ", "-0", "00", "-", "1.0", "9223372036854775808", "0x1", "1e3"}) {
    BOOST_TEST(!parse_integer(text), text);
  }
}

BOOST_AUTO_TEST_CASE(floats_are_read_as_incrbyfloat_reads_them) {
  for (const char* text : {"nan", "nan(1)", " 1", "1 ", "1e", "", "1e5000", "1e-5000", "1_0", "\t1", "-", "."}) {
    BOOST_TEST(!parse_long_double(text), text);
  }
  BOOST_TEST(!parse_long_double(std::string_view("1\0", 2)));
  BOOST_TEST(parse_long_double(std::string(5118, '0') + "1").value() == 1);
  BOOST_TEST(!parse_long_double(std::string(5119, '0') + "1"));
  BOOST_TEST(increment("0x10", "1") == "17");
  BOOST_TEST(increment("0x1p3", "1") == "9");
  BOOST_TEST(increment("+5", "1") == "6");
  BOOST_TEST(increment(".5", "1") == "1.5");
  BOOST_TEST(increment("5.", "1") == "6");
  BOOST_TEST(increment("007", "1") == "8");
  BOOST_TEST(increment("1e-4940", "1") == "1");
  BOOST_TEST(increment("infinity", "1") == "inf");
  BOOST_TEST(increment("-inf", "1") == "-inf");
}

BOOST_AUTO_TEST_CASE(floats_are_printed_as_incrbyfloat_prints_them) {
  BOOST_TEST(increment("10.5", "1") == "11.5");
  BOOST_TEST(increment("3.0e3", "1") == "3001");
  BOOST_TEST(increment("1e20", "1") == "100000000000000000000");
  BOOST_TEST(increment("123456789012345678901234567890", "1") == "123456789012345678899921813504");
  BOOST_TEST(increment("0.1", "0.2") == "0.3");
  BOOST_TEST(increment("1.1", "2.2") == "3.3");
  BOOST_TEST(increment("1", "1e-17") == "1.00000000000000001");
  BOOST_TEST(increment("1", "1e-18") == "1");
  BOOST_TEST(increment("3", "-3") == "0");
  BOOST_TEST(increment("-4.9e-18", "0") == "0");
  BOOST_TEST(increment("-1e-17", "0") == "-0.00000000000000001");
  BOOST_TEST(increment("1e4932", "0").size() == 4933u);
}

BOOST_AUTO_TEST_CASE(integers_print_in_decimal) {
  std::string out = "n=";
  append_integer(out, INT64_MIN);
  BOOST_TEST(out == "n=-9223372036854775808");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
