// The words behind SET's value and GETEX's key, in any order.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "server/commands/expiry_time.h"

namespace capstan {

struct SetOptions {
  // When SET sets: always, where the key is missing (NX) or there (XX), where its value (IFEQ) or its version
  // (IFVERSION) is the operand.
  enum class Condition : uint8_t { kNone, kMissing, kExists, kValue, kVersion };
  // What becomes of the TTL: unless told, SET drops it and GETEX leaves it.
  enum class Ttl : uint8_t { kUnspecified, kKeep, kPersist, kSet };

  Condition condition = Condition::kNone;
  std::string_view operand;
  bool get = false;
  Ttl ttl = Ttl::kUnspecified;
  TimeForm form;               // kSet
  std::string_view time_text;  // kSet: as given, not yet known to be a number
};

// nullopt: a syntax error. An option may stand twice (the last one counts), but not beside one that contradicts it.
std::optional<SetOptions> parse_set_options(std::span<const std::string_view> words);
std::optional<SetOptions> parse_getex_options(std::span<const std::string_view> words);

}  // namespace capstan
