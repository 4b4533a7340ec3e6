#include "bench/reply_scanner.h"

#include <algorithm>
#include <charconv>

namespace capstan::bench {

namespace {
constexpr size_t kMaxLine = 64 * 1024;
constexpr int64_t kMaxLength = int64_t{1} << 32;
}  // namespace

uint32_t ReplyScanner::feed(std::string_view bytes) {
  uint32_t replies = 0;
  while (!bytes.empty() && !malformed_) {
    if (body_left_ > 0) {
      size_t skipped = std::min<uint64_t>(body_left_, bytes.size());
      bytes.remove_prefix(skipped);
      body_left_ -= skipped;
      if (body_left_ == 0) replies += element_done();
      continue;
    }
    size_t end = bytes.find('\n');
    if (end == std::string_view::npos) {
      partial_line_ += bytes;
      malformed_ = partial_line_.size() > kMaxLine;
      break;
    }
    std::string_view text = bytes.substr(0, end);
    bytes.remove_prefix(end + 1);
    if (!partial_line_.empty()) {
      partial_line_ += text;
      text = partial_line_;
    }
    if (text.size() < 2 || text.back() != '\r') {
      malformed_ = true;
      break;
    }
    text.remove_suffix(1);
    replies += line(text);
    partial_line_.clear();
  }
  return replies;
}

bool ReplyScanner::line(std::string_view text) {
  char type = text.front();
  if (std::string_view("+:_#,(").find(type) != std::string_view::npos) return element_done();
  if (type == '-') {
    error(text.substr(1));
    return element_done();
  }
  int64_t length = 0;
  auto [end, code] = std::from_chars(text.data() + 1, text.data() + text.size(), length);
  if (code != std::errc() || end != text.data() + text.size() || length < -1 || length > kMaxLength) {
    malformed_ = true;
    return false;
  }
  if (length == -1 && (type == '$' || type == '*')) return element_done();
  auto count = static_cast<uint64_t>(std::max<int64_t>(length, 0));
  switch (type) {
    case '!':
      error("(blob error)");
      [[fallthrough]];
    case '$':
    case '=':
      body_left_ = count + 2;
      return false;
    case '>':
      in_push_ = true;
      [[fallthrough]];
    case '*':
    case '~':
      elements_left_ += count;
      return element_done();
    case '%':
      elements_left_ += 2 * count;
      return element_done();
    case '|':  // an attribute stands before the value it belongs to, and is none itself
      elements_left_ += 2 * count;
      return false;
    default:
      malformed_ = true;
      return false;
  }
}

bool ReplyScanner::element_done() {
  if (--elements_left_ > 0) return false;
  elements_left_ = 1;
  bool push = in_push_;
  in_push_ = false;
  return !push;
}

void ReplyScanner::error(std::string_view text) {
  if (errors_++ == 0) first_error_ = text;
}

}  // namespace capstan::bench
