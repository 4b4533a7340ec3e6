// MONITOR's lines.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"

namespace capstan {

// +<seconds>.<microseconds> [<database> <address>] "<word>" … with what is not printable escaped, as Redis writes it.
std::string monitor_line(int64_t now_us, Database database, std::string_view address,
                         std::span<const std::string_view> words);

// The words as they may be shown (MONITOR, SLOWLOG): passwords of AUTH and HELLO … AUTH are left out.
std::vector<std::string_view> redacted(std::span<const std::string_view> words);

}  // namespace capstan
