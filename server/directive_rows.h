// How rows of the directive table are written down.
#pragma once

#include <charconv>
#include <cstdint>
#include <string_view>

#include "server/directives.h"

namespace capstan {

inline constexpr uint64_t kMaxLong = INT64_MAX;
inline constexpr uint64_t kMaxInt = INT32_MAX;
inline constexpr int64_t kMinInt = INT32_MIN;

constexpr Directive yes_no(std::string_view name, std::string_view initial, StoreValue store = nullptr) {
  return {.name = name, .kind = ValueKind::kYesNo, .initial = initial, .store = store};
}
constexpr Directive integer(std::string_view name, std::string_view initial, int64_t low, uint64_t high,
                            StoreValue store = nullptr) {
  return {.name = name, .kind = ValueKind::kInteger, .initial = initial, .low = low, .high = high, .store = store};
}
constexpr Directive memory(std::string_view name, std::string_view initial, int64_t low, uint64_t high,
                           StoreValue store = nullptr) {
  return {.name = name, .kind = ValueKind::kMemory, .initial = initial, .low = low, .high = high, .store = store};
}
constexpr Directive choice(std::string_view name, std::string_view initial, std::string_view choices,
                           StoreValue store = nullptr) {
  return {.name = name, .kind = ValueKind::kChoice, .initial = initial, .choices = choices, .store = store};
}
constexpr Directive text(std::string_view name, std::string_view initial, StoreValue store = nullptr) {
  return {.name = name, .kind = ValueKind::kText, .initial = initial, .store = store};
}
constexpr Directive own(std::string_view name, std::string_view initial, ParseValue parse, StoreValue store = nullptr) {
  return {.name = name, .kind = ValueKind::kOwn, .initial = initial, .parse = parse, .store = store};
}
constexpr Directive with(Directive directive, uint32_t flags) {
  directive.flags |= flags;
  return directive;
}
constexpr Directive also_named(Directive directive, std::string_view alias) {
  directive.alias = alias;
  return directive;
}

// What a store function makes of its value, which parse_value() has checked.
template <typename T>
T number_of(std::string_view value, int base = 10) {
  T number{};
  std::from_chars(value.data(), value.data() + value.size(), number, base);
  return number;
}

}  // namespace capstan
