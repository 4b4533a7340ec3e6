#include "server/commands/expiry_time.h"

#include <limits>
#include <string>

#include "server/text.h"

namespace capstan {

std::optional<int64_t> expiry_at_ms(int64_t amount, TimeForm form, int64_t now_ms) {
  int64_t at_ms = amount;
  if (form.seconds && __builtin_mul_overflow(amount, 1000, &at_ms)) return std::nullopt;
  if (!form.absolute && __builtin_add_overflow(at_ms, now_ms, &at_ms)) return std::nullopt;
  return at_ms;
}

std::optional<int64_t> positive_expiry_at_ms(int64_t amount, TimeForm form, int64_t now_ms) {
  if (amount <= 0) return std::nullopt;
  return expiry_at_ms(amount, form, now_ms);
}

Outcome reply_invalid_expiry(Call& call) {
  return reply_error(call, "ERR invalid expire time in '" + lower(call.args[0]) + "' command");
}

void expire_at(Call& call, const KeyRef& key, int64_t at_ms) {
  if (at_ms > call.eval().now_ms()) {
    call.eval().set_expiry(key, at_ms);
  } else {
    call.eval().remove(key);
  }
}

}  // namespace capstan
