// What an increment adds: an integer, or a float as Redis' *FLOAT commands have it (long double). A float may be
// infinite (a score can be), but is never NaN: where a sum would be (inf − inf), it is 0, as in Redis' ZUNIONSTORE.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace capstan {

class Number {
 public:
  Number() = default;
  static Number integer(int64_t value);
  static Number real(long double value);

  bool is_real() const { return real_; }
  int64_t as_integer() const { return integer_; }
  long double as_real() const { return real_ ? float_ : static_cast<long double>(integer_); }

  // The number that a value is: an integer if INCRBY would accept it, else a float if INCRBYFLOAT would.
  static std::optional<Number> parse(std::string_view text);
  // As Redis prints it: an integer in decimal; a float as INCRBYFLOAT does (base/number_text.h).
  void append_to(std::string& out) const;

  // Integers saturate at the bounds of int64; an integer plus a float is a float.
  friend Number operator+(const Number& a, const Number& b);
  friend bool operator==(const Number& a, const Number& b);

  // Exact and portable: a float travels as mantissa × 2^exponent. (Where long double has more than 64 bits of mantissa,
  // it is rounded to 64.)
  template <typename Out>
  void encode(Out& out) const;
  static Number decode(Decoder& in);

 private:
  enum Tag : uint8_t { kInteger, kPositive, kNegative, kPositiveInfinity, kNegativeInfinity };

  bool real_ = false;
  int64_t integer_ = 0;
  long double float_ = 0;
};

template <typename Out>
void Number::encode(Out& out) const {
  if (!real_) {
    out.u8(kInteger);
    out.signed_varint(integer_);
    return;
  }
  const bool negative = std::signbit(float_);
  if (std::isinf(float_)) {
    out.u8(negative ? kNegativeInfinity : kPositiveInfinity);
    return;
  }
  int exponent;
  const long double fraction = std::frexp(std::fabs(float_), &exponent);
  auto mantissa = static_cast<uint64_t>(std::ldexp(fraction, 64));
  const int zeros = mantissa == 0 ? 0 : std::countr_zero(mantissa);
  mantissa >>= zeros;
  out.u8(negative ? kNegative : kPositive);
  out.varint(mantissa);
  out.signed_varint(mantissa == 0 ? 0 : exponent - 64 + zeros);
}

}  // namespace capstan
