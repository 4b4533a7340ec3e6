// What this server says that it is.
#pragma once

#include <string_view>

namespace capstan {

inline constexpr std::string_view kCapstanVersion = "0.1.0";
// The level of compatibility, which clients look for.
inline constexpr std::string_view kRedisVersion = "7.0.15";

}  // namespace capstan
