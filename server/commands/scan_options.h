// The arguments of SCAN and its relatives.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "quorum/record.h"

namespace capstan {

// A cursor as Redis reads it (C's strtoul, but no leading space): also "", "+1", "007", and negative numbers, which
// wrap around. nullopt: malformed, or more than 64 bits.
std::optional<uint64_t> parse_cursor(std::string_view text);

// Which keys KEYS and SCAN show.
struct KeyFilter {
  std::optional<std::string_view> pattern;  // glob
  std::optional<std::string_view> type;     // as TYPE replies it, in any case; an unknown one matches no key
  bool matches(std::string_view key, ElementKind kind) const;
};

struct ScanOptions {
  enum class Refusal : uint8_t { kNone, kSyntax, kNotInteger };

  uint64_t count = 10;  // how many keys to look at, about
  KeyFilter filter;
  Refusal refusal = Refusal::kNone;
};
// The words behind the cursor: MATCH pattern, COUNT n, TYPE name; each may stand more than once, the last one counts.
ScanOptions parse_scan_options(std::span<const std::string_view> words);

}  // namespace capstan
