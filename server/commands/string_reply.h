// What commands on strings have in common.
#pragma once

#include "server/command.h"

namespace capstan {

// A bulk string, null for a missing key, WRONGTYPE for another type; kFetch where the value is not in memory.
inline Outcome reply_string(Call& call, const StringRead& read) {
  if (read.lookup == Lookup::kFound) {
    call.reply().bulk(read.value);
  } else if (read.lookup == Lookup::kMissing) {
    call.reply().null();
  } else {
    return refuse(call, read.lookup);
  }
  return Outcome::kDone;
}

// The lookup gave a string, or no key at all, which most commands take for an empty one.
inline bool is_usable(Lookup lookup) { return lookup == Lookup::kFound || lookup == Lookup::kMissing; }

}  // namespace capstan
