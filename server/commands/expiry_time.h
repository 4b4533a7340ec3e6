// Times at which keys expire, as commands are given them: EX, PX, EXAT, PXAT, EXPIRE's and its relatives' argument.
#pragma once

#include <cstdint>
#include <optional>

#include "server/command.h"

namespace capstan {

struct TimeForm {
  bool seconds = true;    // else milliseconds
  bool absolute = false;  // Unix time, else from now on
  bool operator==(const TimeForm&) const = default;
};

// Unix time in ms; nullopt where it does not fit into 64 bits. It may lie in the past.
std::optional<int64_t> expiry_at_ms(int64_t amount, TimeForm form, int64_t now_ms);
// The same for SET and its relatives, which take only what is above 0.
std::optional<int64_t> positive_expiry_at_ms(int64_t amount, TimeForm form, int64_t now_ms);

// -ERR invalid expire time in '<the command's name>' command
Outcome reply_invalid_expiry(Call& call);

// Gives an existing key the TTL; removes the key where that has passed already.
void expire_at(Call& call, const KeyRef& key, int64_t at_ms);

}  // namespace capstan
