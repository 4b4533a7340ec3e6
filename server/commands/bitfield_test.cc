#include "server/commands/bitfield.h"

#include <boost/test/unit_test.hpp>
#include <limits>

namespace capstan {

BOOST_AUTO_TEST_SUITE(bitfield_test)

namespace {

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr FieldType kI8 = {.is_signed = true, .bits = 8};
constexpr FieldType kU8 = {.is_signed = false, .bits = 8};
constexpr FieldType kI64 = {.is_signed = true, .bits = 64};
constexpr FieldType kU63 = {.is_signed = false, .bits = 63};

}  // namespace

BOOST_AUTO_TEST_CASE(types) {
  BOOST_TEST((parse_field_type("i8") == kI8));
  BOOST_TEST((parse_field_type("u8") == kU8));
  BOOST_TEST((parse_field_type("i64") == kI64));
  BOOST_TEST((parse_field_type("u63") == kU63));
  for (const std::string_view text : {"", "i", "u", "8", "x8", "I8", "U8", "i0", "u0", "i65", "u64", "u08", "u+8",
                                      "u-8", "u8 ", "u99999999999999999999"}) {
    BOOST_TEST(!parse_field_type(text), text);
  }
}

BOOST_AUTO_TEST_CASE(a_field_is_read_with_its_sign) {
  BOOST_TEST(load_field("\xff", 0, kU8) == 255);
  BOOST_TEST(load_field("\xff", 0, kI8) == -1);
  BOOST_TEST(load_field("\x0f\xf0", 4, kI8) == -1);
  BOOST_TEST(load_field("\x80", 0, kI64) == kMin);
  BOOST_TEST(load_field("", 0, kI8) == 0);
}

BOOST_AUTO_TEST_CASE(sums_wrap_saturate_or_fail) {
  BOOST_TEST(*field_sum(100, 100, kI8, Overflow::kWrap) == -56);
  BOOST_TEST(*field_sum(100, 100, kI8, Overflow::kSaturate) == 127);
  BOOST_TEST(!field_sum(100, 100, kI8, Overflow::kFail));
  BOOST_TEST(*field_sum(-100, -100, kI8, Overflow::kWrap) == 56);
  BOOST_TEST(*field_sum(-100, -100, kI8, Overflow::kSaturate) == -128);
  BOOST_TEST(*field_sum(250, 10, kU8, Overflow::kWrap) == 4);
  BOOST_TEST(*field_sum(250, 10, kU8, Overflow::kSaturate) == 255);
  BOOST_TEST(*field_sum(5, -10, kU8, Overflow::kWrap) == 251);
  BOOST_TEST(*field_sum(5, -10, kU8, Overflow::kSaturate) == 0);
  BOOST_TEST(*field_sum(5, -5, kU8, Overflow::kFail) == 0);
}

BOOST_AUTO_TEST_CASE(sums_at_the_bounds_of_64_bits) {
  BOOST_TEST(*field_sum(kMax, 1, kI64, Overflow::kWrap) == kMin);
  BOOST_TEST(*field_sum(kMax, kMax, kI64, Overflow::kSaturate) == kMax);
  BOOST_TEST(*field_sum(kMin, kMin, kI64, Overflow::kWrap) == 0);
  BOOST_TEST(*field_sum(kMin, -1, kI64, Overflow::kSaturate) == kMin);
  BOOST_TEST(!field_sum(kMin, -1, kI64, Overflow::kFail));
  BOOST_TEST(*field_sum(kMax, 1, kU63, Overflow::kWrap) == 0);
  BOOST_TEST(*field_sum(kMax, 1, kU63, Overflow::kSaturate) == kMax);
  BOOST_TEST(*field_sum(0, kMin, kU63, Overflow::kSaturate) == 0);
}

BOOST_AUTO_TEST_CASE(stored_values_are_fitted_too) {
  BOOST_TEST(*field_value(200, kI8, Overflow::kWrap) == -56);
  BOOST_TEST(*field_value(200, kI8, Overflow::kSaturate) == 127);
  BOOST_TEST(!field_value(-129, kI8, Overflow::kFail));
  BOOST_TEST(*field_value(-128, kI8, Overflow::kFail) == -128);
  // To an unsigned field a negative number is a very large one.
  BOOST_TEST(*field_value(-1, kU8, Overflow::kWrap) == 255);
  BOOST_TEST(*field_value(-1, kU8, Overflow::kSaturate) == 255);
  BOOST_TEST(*field_value(-1, kU63, Overflow::kSaturate) == kMax);
}

BOOST_AUTO_TEST_CASE(wrapping_agrees_with_modular_arithmetic_for_every_small_field) {
  for (unsigned bits = 1; bits <= 8; ++bits) {
    const int64_t range = int64_t{1} << bits;
    for (const bool is_signed : {false, true}) {
      const FieldType type{.is_signed = is_signed, .bits = bits};
      const int64_t min = is_signed ? -range / 2 : 0;
      for (int64_t value = min; value < min + range; ++value) {
        for (int64_t addend = -3 * range; addend <= 3 * range; ++addend) {
          const int64_t expected = ((value + addend - min) % range + range) % range + min;
          BOOST_REQUIRE_EQUAL(*field_sum(value, addend, type, Overflow::kWrap), expected);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(ways_of_overflow) {
  BOOST_TEST((parse_overflow("WRAP") == Overflow::kWrap));
  BOOST_TEST((parse_overflow("sat") == Overflow::kSaturate));
  BOOST_TEST((parse_overflow("Fail") == Overflow::kFail));
  BOOST_TEST(!parse_overflow("saturate"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
