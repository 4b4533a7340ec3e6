// Checks for what cannot happen. They stay on in release builds: a server that people trust with data stops rather
// than go on from a state nobody thought of. Bad input is never a CHECK; it is a Result.
#pragma once

#include <string_view>

namespace capstan {

// Prints where and what to stderr and aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* condition, std::string_view why = {});

}  // namespace capstan

#define CHECK(condition, ...)                                                             \
  do {                                                                                    \
    if (!(condition)) [[unlikely]]                                                        \
      ::capstan::check_failed(__FILE__, __LINE__, #condition __VA_OPT__(, ) __VA_ARGS__); \
  } while (false)
