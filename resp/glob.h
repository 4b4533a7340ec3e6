// Glob-style patterns with the meaning they have in redis-server 7.0 (KEYS, SCAN, PSUBSCRIBE, CONFIG GET):
//   *      any bytes, also none           ?      any one byte
//   [ab]   a or b    [a-c]  a to c        [^ab]  any one byte but these
//   \x     the byte x, also in a class
// Nothing is malformed: a class that is not closed ends with the pattern, "[]" matches no byte and "[^]" any, the ends
// of a range may be swapped, '-' is a byte like others where no range can be, and a last '\' stands for itself. An
// oddity of Redis kept: of the patterns made of stars only "*" matches the empty text.
#pragma once

#include <string_view>

namespace capstan::resp {

enum class LetterCase {
  kExact,
  kIgnored,  // of ASCII letters, but for an escaped byte in a class
};

// Takes time bounded by the product of both lengths, whatever the pattern, and no memory.
[[nodiscard]] bool glob_match(std::string_view pattern, std::string_view text,
                              LetterCase letter_case = LetterCase::kExact);

}  // namespace capstan::resp
