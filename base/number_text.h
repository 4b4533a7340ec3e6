// Numbers as text, as redis-server 7.0.15 reads and writes them (observed, number by number, in number_text_test.cc).
// Every reader takes its whole input or refuses it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace capstan {

// Decimal, in the one form in which Redis itself would write the number: no spaces, plus sign, leading zeros or "-0".
std::optional<int64_t> parse_integer(std::string_view text);
// What INCRBYFLOAT accepts: C's strtold (decimal, hexadecimal, infinities) without leading space, at most 5119 bytes,
// no NaN, no overflow, no underflow to zero.
std::optional<long double> parse_long_double(std::string_view text);

void append_integer(std::string& out, int64_t value);
// As INCRBYFLOAT prints: never an exponent, 17 digits after the point without trailing zeros, "0" for what rounds to
// minus zero. Infinities are "inf" and "-inf". Precondition: not NaN.
void append_long_double(std::string& out, long double value);

}  // namespace capstan
