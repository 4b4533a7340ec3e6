// Numbers as redis-server 7.0 reads and writes them. Every reader takes its whole input or refuses it; none depends on
// a locale (the process stays in "C").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace capstan::resp {

// Decimal, in the one form in which Redis itself would write the number: no spaces, plus sign, leading zeros or "-0".
[[nodiscard]] std::optional<int64_t> parse_integer(std::string_view text);

// What ZADD takes as a score: C99's strtod without leading space, so also "+1", ".5", "0x1p3", "inf", "-Infinity";
// not NaN, nor a number that overflows or becomes zero though it is not.
[[nodiscard]] std::optional<double> parse_double(std::string_view text);

// What INCRBYFLOAT takes, as value and increment: the same in long double, of fewer than 5120 bytes. Infinities
// are taken; INCRBYFLOAT refuses them in its result.
[[nodiscard]] std::optional<long double> parse_long_double(std::string_view text);

// 17 significant digits, as a score is replied: "3.2999999999999998", "1e+17", "-0", "inf", "-nan" (printf's %.17g).
inline constexpr size_t kMaxDoubleBytes = 32;
// Writes at `to`, which has room for kMaxDoubleBytes; returns the end.
[[nodiscard]] char* store_double(char* to, double value);
[[nodiscard]] std::string format_double(double value);

// As INCRBYFLOAT stores and replies its result: 17 digits behind the point, without trailing zeros; never an exponent
// (up to 4934 bytes), never "-0"; "inf", "-inf".
[[nodiscard]] std::string format_long_double(long double value);

}  // namespace capstan::resp
