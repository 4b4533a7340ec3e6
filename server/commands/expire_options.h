// The words behind EXPIRE's time (and its relatives'): NX, XX, GT, LT.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace capstan {

struct ExpireOptions {
  enum class Refusal : uint8_t {
    kNone,
    kUnknown,          // the word in `unknown`
    kMissingAndOther,  // NX beside another option
    kGreaterAndLess,   // GT beside LT
  };

  bool if_missing = false;  // NX: only where the key has no TTL
  bool if_exists = false;   // XX: only where it has one
  bool if_greater = false;  // GT: only a later time; never counts as the latest
  bool if_less = false;     // LT: only an earlier time
  Refusal refusal = Refusal::kNone;
  std::string_view unknown;

  // Whether a key that expires at old_ms (or kNeverExpires) may expire at new_ms instead.
  bool allow(int64_t old_ms, int64_t new_ms) const;
};

ExpireOptions parse_expire_options(std::span<const std::string_view> words);

}  // namespace capstan
