// Numbers, as redis-server 7.0.15 takes them (INCRBY; ZADD; INCRBYFLOAT) and replies them.
#include "resp/number.h"

#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <cfloat>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>

#include "base/random.h"

namespace capstan::resp {

namespace {

using namespace std::literals;

const double kInfinity = std::numeric_limits<double>::infinity();

// What ZADD and INCRBYFLOAT both refuse.
const std::vector<std::string> kNotNumbers = {
    "",    " 1", "1 ",  "\t1", "\n1", "1\n", "\v1", "nan",  "-nan",    "NaN",    "nan(1)",  "infi",     "1e", ".",
    "1,5", "0x", "1e+", "++1", "1_0", "1d",  "1f",  "1\0"s, "1\0002"s, "1e5000", "1e-5000", "1.2e4932", "-",  "+"};

}  // namespace

BOOST_AUTO_TEST_SUITE(number_test)

BOOST_AUTO_TEST_CASE(integers_have_one_form) {
  for (const int64_t value : {INT64_C(0), INT64_C(1), INT64_C(-1), INT64_C(10), INT64_MAX, INT64_MIN})
    BOOST_TEST((parse_integer(std::to_string(value)) == value), value);
  for (const auto& text : {""s, " 1"s, "1 "s, "+1"s, "01"s, "-0"s, "-01"s, "--1"s, "-"s, "+"s, "00"s, "1\0"s, "0x1"s,
                           "1e3"s, "9223372036854775808"s, "-9223372036854775809"s, "99999999999999999999999"s})
    BOOST_TEST(!parse_integer(text).has_value(), text);
}

BOOST_AUTO_TEST_CASE(scores_take_what_strtod_takes_but_leading_space_and_nan) {
  const std::vector<std::pair<std::string, double>> cases = {{"1", 1},
                                                             {"+1", 1},
                                                             {"01", 1},
                                                             {"-0", 0},
                                                             {"0x10", 16},
                                                             {"0x1p3", 8},
                                                             {"0X1P-3", 0.125},
                                                             {".5", 0.5},
                                                             {"5.", 5},
                                                             {"-.5", -0.5},
                                                             {"1e5", 1e5},
                                                             {"1E5", 1e5},
                                                             {"0x.8", 0.5},
                                                             {"1e308", 1e308},
                                                             {"4.9406564584124654e-324", 5e-324},
                                                             {"inf", kInfinity},
                                                             {"+inf", kInfinity},
                                                             {"INF", kInfinity},
                                                             {"Infinity", kInfinity},
                                                             {"-Infinity", -kInfinity},
                                                             {"0e99999", 0},
                                                             {"0e-99999", 0},
                                                             {"1e0000000000000000005", 1e5},
                                                             {std::string(6000, '0') + "1", 1}};
  for (const auto& [text, value] : cases) BOOST_TEST((parse_double(text) == value), text);
  for (const std::string& text : kNotNumbers) BOOST_TEST(!parse_double(text).has_value(), text);
  for (const char* text : {"1e400", "-1e400", "1.8e308", "1e-400", "2e-324"})
    BOOST_TEST(!parse_double(text).has_value(), text);
  BOOST_TEST(std::signbit(*parse_double("-0")));
  errno = ERANGE;
  BOOST_TEST(parse_double("+inf").has_value(), "what failed before does not matter");
}

BOOST_AUTO_TEST_CASE(long_doubles_reach_further_but_are_bounded_in_length) {
  const std::vector<std::pair<std::string, long double>> cases = {{"1", 1},
                                                                  {"+1", 1},
                                                                  {"0x1p3", 8},
                                                                  {".5", 0.5},
                                                                  {"1e400", 1e400L},
                                                                  {"1e-400", 1e-400L},
                                                                  {"1e4932", 1e4932L},
                                                                  {"-inf", -kInfinity},
                                                                  {"INFINITY", kInfinity},
                                                                  {"18446744073709551615", 18446744073709551615.0L},
                                                                  {std::string(5118, '0') + "1", 1}};
  for (const auto& [text, value] : cases) BOOST_TEST((parse_long_double(text) == value), text);
  for (const std::string& text : kNotNumbers) BOOST_TEST(!parse_long_double(text).has_value(), text);
  BOOST_TEST(!parse_long_double(std::string(5119, '0') + "1").has_value());
}

BOOST_AUTO_TEST_CASE(scores_are_replied_with_17_digits) {
  const std::vector<std::pair<double, std::string>> cases = {{3.3, "3.2999999999999998"},
                                                             {0.1, "0.10000000000000001"},
                                                             {3.0, "3"},
                                                             {-1.5, "-1.5"},
                                                             {100000, "100000"},
                                                             {1e16, "10000000000000000"},
                                                             {1e17, "1e+17"},
                                                             {123456789012345678.0, "1.2345678901234568e+17"},
                                                             {1e20, "1e+20"},
                                                             {1e-5, "1.0000000000000001e-05"},
                                                             {0.0001, "0.0001"},
                                                             {123456.789, "123456.789"},
                                                             {9007199254740993.0, "9007199254740992"},
                                                             {1e300, "1.0000000000000001e+300"},
                                                             {1234567890.123456789, "1234567890.1234567"},
                                                             {5e-324, "4.9406564584124654e-324"},
                                                             {-0.0, "-0"},
                                                             {kInfinity, "inf"},
                                                             {-kInfinity, "-inf"},
                                                             {std::nan(""), "nan"},
                                                             {-std::nan(""), "-nan"}};
  for (const auto& [value, text] : cases) BOOST_TEST(format_double(value) == text);
}

BOOST_AUTO_TEST_CASE(doubles_are_formatted_as_by_printf_and_read_back) {
  const uint64_t seed = 11;
  Random random(seed);
  for (int i = 0; i < 20'000; ++i) {
    const uint64_t bits = random.next();
    double value;
    std::memcpy(&value, &bits, sizeof value);
    char expected[64];
    std::snprintf(expected, sizeof expected, "%.17g", value);
    BOOST_TEST_REQUIRE(format_double(value) == expected, "seed " << seed);
    if (!std::isnan(value)) BOOST_TEST_REQUIRE((parse_double(expected) == value), expected);
  }
}

BOOST_AUTO_TEST_CASE(float_counters_have_17_decimals_and_no_exponent) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"3.3", "3.3"},
      {"0.1", "0.1"},
      {"-0.1", "-0.1"},
      {"1e-17", "0.00000000000000001"},
      {"1e-18", "0"},
      {"-1e-18", "0"},
      {"6e-18", "0.00000000000000001"},
      {"-6e-18", "-0.00000000000000001"},
      {"5e-18", "0"},
      {"123456789012345678", "123456789012345678"},
      {"18446744073709551615", "18446744073709551615"},
      {"18446744073709551617", "18446744073709551616"},
      {"1.23456789012345678901", "1.23456789012345679"},
      {"1e25", "10000000000000000000000000"},
      {"1000.50", "1000.5"},
      {"-0", "0"},
      {"3.0e3", "3000"},
      {"100", "100"},
      {"1234567890.123456789012345678", "1234567890.12345678906422108"},
      {"inf", "inf"},
      {"-inf", "-inf"}};
  for (const auto& [text, expected] : cases) BOOST_TEST(format_long_double(*parse_long_double(text)) == expected);
  BOOST_TEST(format_long_double(*parse_long_double("0.1") + *parse_long_double("0.2")) == "0.3");
  BOOST_TEST(format_long_double(LDBL_MAX).size() == 4933u);
  BOOST_TEST(format_long_double(*parse_long_double("1e308")).substr(0, 25) == "9999999999999999999668587");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::resp
