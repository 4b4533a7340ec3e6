// A command's words, copied out of the buffer they were parsed from: for commands that wait (MULTI's queue, parked
// ones). Two allocations.
#pragma once

#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace capstan {

class OwnedArguments {
 public:
  OwnedArguments() = default;
  explicit OwnedArguments(std::span<const std::string_view> words) {
    for (const std::string_view word : words) bytes_ += word.size();
    storage_ = std::make_unique_for_overwrite<char[]>(bytes_);
    words_.reserve(words.size());
    char* to = storage_.get();
    for (const std::string_view word : words) {
      if (!word.empty()) std::memcpy(to, word.data(), word.size());
      words_.emplace_back(to, word.size());
      to += word.size();
    }
  }

  // Valid as long as this object, also after it was moved.
  std::span<const std::string_view> words() const { return words_; }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
  std::unique_ptr<char[]> storage_;
  std::vector<std::string_view> words_;
};

}  // namespace capstan
