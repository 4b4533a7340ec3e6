// The line that begins a RESP element, in the form that nearly all have. Shared by the parsers of requests and replies.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace capstan::resp {

inline constexpr std::string_view kLineEnd = "\r\n";

// Reads, at `at`, a marker (any byte), a length of at most nine digits without leading zeros, '\r' and one more byte;
// moves `at` behind it. False, with nothing changed, for any other form, incomplete or wrong ones included: the
// caller judges those, slowly. Precondition: at <= input.size().
inline bool read_common_header(std::string_view input, size_t& at, int64_t& length) {
  const size_t available = input.size() - at;
  if (available < 4) return false;
  uint32_t value = static_cast<uint8_t>(input[at + 1]) - uint32_t{'0'};
  if (value > 9) return false;
  // '\r' is at the latest before `stop`; a zero is the only digit.
  const char* const stop = input.data() + at + std::min<size_t>(available - 1, value == 0 ? 3 : 11);
  const char* next = input.data() + at + 2;
  for (; next != stop; ++next) {
    const uint32_t digit = static_cast<uint8_t>(*next) - uint32_t{'0'};
    if (digit > 9) break;
    value = value * 10 + digit;
  }
  if (next == stop || *next != '\r') return false;
  length = value;
  at = static_cast<size_t>(next - input.data()) + kLineEnd.size();
  return true;
}

}  // namespace capstan::resp
