// MONITOR's lines.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "server/command.h"

namespace capstan {

// +<seconds>.<microseconds> [<database> <address>] "<word>" … with what is not printable escaped, as Redis writes it.
std::string monitor_line(int64_t now_us, Database database, std::string_view address,
                         std::span<const std::string_view> words);

// The words of a command, a level before it included, as they may be shown (MONITOR, SLOWLOG): without the passwords of
// AUTH, HELLO … AUTH and CONFIG SET.
std::vector<std::string_view> redacted(const CommandSpec& spec, std::span<const std::string_view> words);

}  // namespace capstan
