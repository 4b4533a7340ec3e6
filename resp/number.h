// Numbers as redis-server 7.0 reads and writes them. Every reader takes its whole input or refuses it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace capstan::resp {

// Decimal, in the one form in which Redis itself would write the number: no spaces, plus sign, leading zeros or "-0".
[[nodiscard]] std::optional<int64_t> parse_integer(std::string_view text);

}  // namespace capstan::resp
