#include "quorum/number.h"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

#include "base/random.h"

namespace capstan {

namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr long double kInfinity = std::numeric_limits<long double>::infinity();

std::string text(const Number& number) {
  std::string out;
  number.append_to(out);
  return out;
}

void round_trips(const Number& number) {
  std::string bytes;
  Encoder encoder(bytes);
  number.encode(encoder);
  Decoder in(bytes);
  BOOST_REQUIRE(Number::decode(in) == number);
  BOOST_REQUIRE(in.done());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(number_test)

BOOST_AUTO_TEST_CASE(a_value_is_an_integer_where_incrby_takes_it_else_a_float) {
  BOOST_TEST((Number::parse("10") == Number::integer(10)));
  BOOST_TEST((Number::parse("10.0") == Number::real(10)));
  BOOST_TEST((Number::parse("010") == Number::real(10)));
  BOOST_TEST((Number::parse("inf") == Number::real(kInfinity)));
  BOOST_TEST(!Number::parse("ten").has_value());
  BOOST_TEST(!Number::parse("nan").has_value());
  BOOST_TEST(!Number::parse("").has_value());
}

BOOST_AUTO_TEST_CASE(integers_saturate) {
  BOOST_TEST((Number::integer(kMax) + Number::integer(1) == Number::integer(kMax)));
  BOOST_TEST((Number::integer(kMin) + Number::integer(-1) == Number::integer(kMin)));
  BOOST_TEST((Number::integer(kMin) + Number::integer(kMax) == Number::integer(-1)));
}

BOOST_AUTO_TEST_CASE(an_integer_plus_a_float_is_a_float) {
  BOOST_TEST(text(Number::integer(10) + Number::real(0.5L)) == "10.5");
  BOOST_TEST(text(Number::real(0.5L) + Number::integer(10)) == "10.5");
  BOOST_TEST((Number::integer(1) + Number::real(1)).is_real());
}

BOOST_AUTO_TEST_CASE(a_sum_that_would_be_nan_is_zero) {
  BOOST_TEST((Number::real(kInfinity) + Number::real(-kInfinity) == Number::real(0)));
}

BOOST_AUTO_TEST_CASE(every_number_comes_back_exactly) {
  Random random(1);
  for (const int64_t value : {int64_t{0}, int64_t{1}, int64_t{-1}, kMax, kMin}) round_trips(Number::integer(value));
  using Limits = std::numeric_limits<long double>;
  for (const long double value : {0.0L, 0.5L, 0.1L, Limits::max(), Limits::min(), Limits::denorm_min(), kInfinity}) {
    round_trips(Number::real(value));
    round_trips(Number::real(-value));
  }
  for (int i = 0; i < 20000; ++i) {
    round_trips(Number::integer(static_cast<int64_t>(random.next() >> random.below(64))));
    const long double mantissa = static_cast<long double>(random.next()) * (random.chance(0.5) ? 1 : -1);
    round_trips(Number::real(std::ldexp(mantissa, static_cast<int>(random.between(-16500, 16000)))));
  }
}

BOOST_AUTO_TEST_CASE(what_no_number_encodes_to_is_refused) {
  struct Case {
    uint64_t mantissa;
    int64_t exponent;
    bool canonical;
  };
  for (const Case& c : {Case{1, 16383, true},
                        {1, 16384, false},
                        {1, 1 << 20, false},
                        {1, -16445, true},
                        {1, -16600, false},
                        {3, -16496, false},
                        {2, 0, false},
                        {0, 1, false},
                        {0, 0, true}}) {
    std::string bytes;
    Encoder encoder(bytes);
    encoder.u8(1);
    encoder.varint(c.mantissa);
    encoder.signed_varint(c.exponent);
    Decoder in(bytes);
    Number::decode(in);
    BOOST_TEST(in.ok() == c.canonical, c.mantissa << " * 2^" << c.exponent);
  }
}

BOOST_AUTO_TEST_CASE(any_bytes_decode_or_fail) {
  Random random(2);
  for (int i = 0; i < 50000; ++i) {
    std::string bytes;
    for (uint64_t left = random.below(24); left > 0; --left) bytes += static_cast<char>(random.next());
    if (!bytes.empty()) bytes[0] = static_cast<char>(random.below(6));
    Decoder in(bytes);
    const Number number = Number::decode(in);
    if (in.ok()) round_trips(number);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
