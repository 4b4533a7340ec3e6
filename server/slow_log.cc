#include "server/slow_log.h"

#include <algorithm>

namespace capstan {

std::vector<std::string> slow_log_words(std::span<const std::string_view> words) {
  constexpr size_t kMaxWords = 32;
  constexpr size_t kMaxBytes = 128;
  std::vector<std::string> kept;
  const bool too_many = words.size() > kMaxWords;
  for (const std::string_view word : words.first(too_many ? kMaxWords - 1 : words.size())) {
    kept.emplace_back(word.substr(0, kMaxBytes));
    if (word.size() > kMaxBytes) kept.back() += "... (" + std::to_string(word.size() - kMaxBytes) + " more bytes)";
  }
  if (too_many) kept.push_back("... (" + std::to_string(words.size() - kMaxWords + 1) + " more arguments)");
  return kept;
}

}  // namespace capstan
