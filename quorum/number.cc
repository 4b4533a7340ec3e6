#include "quorum/number.h"

#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/number_text.h"

namespace capstan {

namespace {

// Beyond any exponent of an odd 64-bit mantissa: keeps ldexpl's argument in range.
constexpr int64_t kExponentLimit = 1 << 20;

}  // namespace

Number Number::integer(int64_t value) {
  Number number;
  number.integer_ = value;
  return number;
}

Number Number::real(long double value) {
  CHECK(!std::isnan(value));
  Number number;
  number.real_ = true;
  number.float_ = value;
  return number;
}

std::optional<Number> Number::parse(std::string_view text) {
  if (const auto value = parse_integer(text)) return integer(*value);
  if (const auto value = parse_long_double(text)) return real(*value);
  return std::nullopt;
}

void Number::append_to(std::string& out) const {
  if (real_) {
    append_long_double(out, float_);
  } else {
    append_integer(out, integer_);
  }
}

Number operator+(const Number& a, const Number& b) {
  if (a.real_ || b.real_) {
    const long double sum = a.as_real() + b.as_real();
    return Number::real(std::isnan(sum) ? 0 : sum);
  }
  int64_t sum;
  if (__builtin_add_overflow(a.integer_, b.integer_, &sum)) {
    sum = b.integer_ > 0 ? std::numeric_limits<int64_t>::max() : std::numeric_limits<int64_t>::min();
  }
  return Number::integer(sum);
}

bool operator==(const Number& a, const Number& b) {
  if (a.real_ != b.real_) return false;
  return a.real_ ? a.float_ == b.float_ && std::signbit(a.float_) == std::signbit(b.float_) : a.integer_ == b.integer_;
}

Number Number::decode(Decoder& in) {
  const uint8_t tag = in.u8();
  constexpr long double kInfinity = std::numeric_limits<long double>::infinity();
  switch (tag) {
    case kInteger:
      return integer(in.signed_varint());
    case kPositiveInfinity:
      return real(kInfinity);
    case kNegativeInfinity:
      return real(-kInfinity);
    case kPositive:
    case kNegative:
      break;
    default:
      in.fail();
      return {};
  }
  const uint64_t mantissa = in.varint();
  const int64_t exponent = in.signed_varint();
  const bool canonical = mantissa == 0 ? exponent == 0 : (mantissa & 1) != 0;
  if (!canonical || exponent > kExponentLimit || exponent < -kExponentLimit) {
    in.fail();
    return {};
  }
  const long double value = std::ldexp(static_cast<long double>(mantissa), static_cast<int>(exponent));
  // Too large, or so small that it was rounded: no writer had such a number.
  if (std::ldexp(value, static_cast<int>(-exponent)) != static_cast<long double>(mantissa)) {
    in.fail();
    return {};
  }
  return real(tag == kNegative ? -value : value);
}

}  // namespace capstan
