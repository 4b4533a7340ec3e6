#include "server/commands/expire_options.h"

#include "quorum/record.h"
#include "server/text.h"

namespace capstan {

bool ExpireOptions::allow(int64_t old_ms, int64_t new_ms) const {
  const bool has_ttl = old_ms != kNeverExpires;
  if (if_missing && has_ttl) return false;
  if (if_exists && !has_ttl) return false;
  if (if_greater && (!has_ttl || new_ms <= old_ms)) return false;
  if (if_less && has_ttl && new_ms >= old_ms) return false;
  return true;
}

ExpireOptions parse_expire_options(std::span<const std::string_view> words) {
  using Refusal = ExpireOptions::Refusal;
  ExpireOptions options;
  for (const std::string_view word : words) {
    if (same_word(word, "nx")) {
      options.if_missing = true;
    } else if (same_word(word, "xx")) {
      options.if_exists = true;
    } else if (same_word(word, "gt")) {
      options.if_greater = true;
    } else if (same_word(word, "lt")) {
      options.if_less = true;
    } else {
      options.refusal = Refusal::kUnknown;
      options.unknown = word;
      return options;
    }
  }
  if (options.if_missing && (options.if_exists || options.if_greater || options.if_less)) {
    options.refusal = Refusal::kMissingAndOther;
  } else if (options.if_greater && options.if_less) {
    options.refusal = Refusal::kGreaterAndLess;
  }
  return options;
}

}  // namespace capstan
