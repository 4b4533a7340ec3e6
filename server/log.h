// The server's log: one line per event. Thread safe; off the path of commands.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "server/settings.h"

namespace capstan {

// Before the first line: to a file (appended to), or to standard output if the path is empty.
Result<> open_log(const std::string& path);
void set_log_level(LogLevel level);

void log_info(std::string_view message);
void log_warning(std::string_view message);

}  // namespace capstan
