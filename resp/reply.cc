#include "resp/reply.h"

#include <algorithm>
#include <cstring>

#include "resp/header.h"
#include "resp/number.h"

namespace capstan::resp {

namespace {

// So that a sum of counts cannot overflow.
constexpr int64_t kMaxCount = INT32_MAX;
constexpr int64_t kMaxLength = INT64_C(1) << 48;

}  // namespace

ReplyParser::Shape ReplyParser::shape_of(char type) {
  switch (type) {
    case '+':
    case '-':
    case ':':
    case '_':
    case '#':
    case ',':
    case '(':
      return Shape::kLine;
    case '$':
    case '=':
    case '!':
      return Shape::kBlob;
    case '*':
    case '%':
    case '~':
    case '>':
    case '|':
      return Shape::kAggregate;
    default:
      return Shape::kUnknown;
  }
}

ReplyParser::Outcome ReplyParser::next(std::string_view input, Reply& reply) {
  while (missing_ > 0) {
    const Outcome outcome = read_element(input);
    if (outcome != Outcome::kReply) return outcome;
  }
  reply = {type_, is_null_, input.substr(text_offset_, text_size_), input.substr(0, at_)};
  *this = {};
  return Outcome::kReply;
}

// Reads one value, or the header of an aggregate.
ReplyParser::Outcome ReplyParser::read_element(std::string_view input) {
  if (at_ == input.size()) return Outcome::kIncomplete;
  const char type = input[at_];
  const Shape shape = shape_of(type);
  size_t behind = at_;
  int64_t length = 0;
  const Outcome outcome = read_header(input, shape, behind, length);
  if (outcome != Outcome::kReply) return outcome;

  size_t text = at_ + 1, text_end = behind - kLineEnd.size();
  if (shape == Shape::kBlob && length >= 0) {
    text = behind;
    text_end = text + static_cast<size_t>(length);
    behind = text_end + kLineEnd.size();
    if (behind > input.size()) return Outcome::kIncomplete;
  }
  // The reply is the last element that is expected; what precedes it are its attributes.
  if (missing_ == 1 && type_ == 0 && type != '|') {
    type_ = type;
    is_null_ = length < 0 || type == '_';
    text_offset_ = text;
    text_size_ = text_end - text;
  }
  if (shape == Shape::kAggregate && length > 0)
    missing_ += static_cast<uint64_t>(length) * (type == '%' || type == '|' ? 2 : 1);
  if (type != '|') --missing_;
  at_ = searched_ = behind;
  return Outcome::kReply;
}

// Reads the line at at_; `length` is set unless the shape is a line, to -1 for a null.
ReplyParser::Outcome ReplyParser::read_header(std::string_view input, Shape shape, size_t& behind, int64_t& length) {
  if (shape == Shape::kUnknown) return Outcome::kMalformed;
  if (shape != Shape::kLine && read_common_header(input, behind, length)) return Outcome::kReply;
  size_t line_end;
  if (!find_line_end(input, line_end)) return Outcome::kIncomplete;
  behind = line_end + kLineEnd.size();
  if (shape == Shape::kLine) return Outcome::kReply;
  const auto number = parse_integer(input.substr(at_ + 1, line_end - at_ - 1));
  if (!number || *number < -1 || *number > (shape == Shape::kBlob ? kMaxLength : kMaxCount)) return Outcome::kMalformed;
  length = *number;
  return Outcome::kReply;
}

bool ReplyParser::find_line_end(std::string_view input, size_t& end) {
  const size_t from = std::max(searched_, at_);
  const void* const found = std::memchr(input.data() + from, '\r', input.size() - from);
  end = found == nullptr ? input.size() : static_cast<size_t>(static_cast<const char*>(found) - input.data());
  searched_ = end;
  return end + kLineEnd.size() <= input.size();
}

}  // namespace capstan::resp
