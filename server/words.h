// Messages between nodes, RESP arrays of bulk strings: written word by word, and read so.
#pragma once

#include <charconv>
#include <concepts>
#include <cstdint>
#include <iterator>
#include <span>
#include <string_view>

#include "resp/output_buffer.h"
#include "resp/writer.h"

namespace capstan {

// An array whose length is known at its end.
class MessageWriter {
 public:
  explicit MessageWriter(resp::OutputBuffer& out)
      : writer_(out, resp::Protocol::kResp2), position_(writer_.position()) {}
  ~MessageWriter() { writer_.array_at(position_, words_); }
  MessageWriter(const MessageWriter&) = delete;
  MessageWriter& operator=(const MessageWriter&) = delete;

  void word(std::string_view bytes) {
    writer_.bulk(bytes);
    ++words_;
  }
  void number(uint64_t value) {
    char digits[20];
    word({digits, static_cast<size_t>(std::to_chars(digits, std::end(digits), value).ptr - digits)});
  }

 private:
  resp::Writer writer_;
  const size_t position_;
  size_t words_ = 0;
};

// Takes words one by one; what is missing or no number makes it fail, and everything behind it is empty or 0.
class WordReader {
 public:
  explicit WordReader(std::span<const std::string_view> words) : words_(words) {}

  std::string_view next() {
    if (at_ == words_.size()) {
      failed_ = true;
      return {};
    }
    return words_[at_++];
  }
  template <std::integral T>
  T number() {
    const std::string_view text = next();
    T value{};
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || stop != text.data() + text.size()) failed_ = true;
    return value;
  }
  std::span<const std::string_view> take(size_t count) {
    if (count > words_.size() - at_) {
      failed_ = true;
      return {};
    }
    at_ += count;
    return words_.subspan(at_ - count, count);
  }
  std::span<const std::string_view> rest() { return take(words_.size() - at_); }
  bool more() const { return !failed_ && at_ < words_.size(); }
  bool ok() const { return !failed_; }

 private:
  std::span<const std::string_view> words_;
  size_t at_ = 0;
  bool failed_ = false;
};

}  // namespace capstan
