// How many words a command takes.
#pragma once

#include <cstddef>
#include <cstdlib>

#include "server/command.h"

namespace capstan {

inline size_t words_needed(const CommandSpec& spec) { return static_cast<size_t>(std::abs(spec.arity)); }

inline bool arity_fits(const CommandSpec& spec, size_t words) {
  return spec.arity >= 0 ? words == words_needed(spec) : words >= words_needed(spec);
}

}  // namespace capstan
