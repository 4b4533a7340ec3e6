#include "resp/parser.h"

#include <algorithm>
#include <cstring>

#include "resp/header.h"
#include "resp/inline.h"
#include "resp/number.h"

namespace capstan::resp {

namespace {

// Capacity that one huge command may leave behind for the next, small ones.
constexpr size_t kKeptArguments = 1024;
constexpr size_t kKeptTextBytes = 1024;

void prepare(Arguments& arguments) {
  arguments.clear();
  if (arguments.capacity() > kKeptArguments) [[unlikely]]
    Arguments().swap(arguments);
}

}  // namespace

Parsed Parser::next(std::string_view input, Arguments& arguments) {
  prepare(arguments);
  if (failed_) [[unlikely]]
    return {Outcome::kError, 0};
  if (text_.capacity() > kKeptTextBytes) [[unlikely]]
    std::string().swap(text_);
  size_t skipped = 0;
  while (skipped < input.size()) {
    const std::string_view command = input.substr(skipped);
    const bool is_array = command.front() == '*';
    const Step step = is_array ? parse_array(command, arguments) : parse_inline(command, arguments);
    if (step == Step::kError) [[unlikely]]
      return {Outcome::kError, 0};
    if (step == Step::kIncomplete) return {Outcome::kIncomplete, skipped};
    skipped += at_;
    finish();
    if (!arguments.empty()) return {Outcome::kCommand, skipped, !is_array};
  }
  needed_ = 1;
  return {Outcome::kIncomplete, skipped};
}

Parser::Step Parser::parse_array(std::string_view input, Arguments& arguments) {
  if (expected_ == 0) {
    const Step step = begin_array(input);
    if (step != Step::kDone || expected_ == 0) return step;
  }
  const Step step = parse_arguments(input, arguments);
  if (step != Step::kDone) [[unlikely]] {
    if (step == Step::kIncomplete) suspend(input, arguments);
    arguments.clear();
    return step;
  }
  if (!pending_.empty()) [[unlikely]]
    resume(input, arguments);
  return Step::kDone;
}

Parser::Step Parser::parse_arguments(std::string_view input, Arguments& arguments) {
  const size_t missing = expected_ - pending_.size();
  const uint64_t max_bytes =
      authenticated_ ? limits_->max_bulk_bytes : std::min(limits_->max_bulk_bytes, kMaxUnauthenticatedBulkBytes);
  while (arguments.size() < missing) {
    size_t at = at_;
    int64_t length = length_;
    if (length == kNoLength) {
      const bool common = at < input.size() && input[at] == '$' && read_common_header(input, at, length) &&
                          static_cast<uint64_t>(length) <= max_bytes;
      if (!common) [[unlikely]] {
        const Step step = begin_argument(input);
        if (step != Step::kDone) return step;
        at = at_;
        length = length_;
      }
    }
    // Like Redis, this passes over the two bytes after an argument without looking at them.
    const size_t end = at + static_cast<size_t>(length) + kLineEnd.size();
    if (end > input.size()) [[unlikely]] {
      at_ = at;
      length_ = length;
      return incomplete(end - input.size());
    }
    arguments.emplace_back(input.data() + at, static_cast<size_t>(length));
    at_ = end;
    length_ = kNoLength;
  }
  return Step::kDone;
}

Parser::Step Parser::begin_array(std::string_view input) {
  int64_t count;
  size_t behind = 0;
  if (!read_common_header(input, behind, count)) [[unlikely]] {
    size_t line_end;
    const Step step = find_line_end(input, '\r', kMaxHeaderBytes, "too big mbulk count string", line_end);
    if (step != Step::kDone) return step;
    const std::optional<int64_t> number = parse_integer(input.substr(1, line_end - 1));
    if (!number) return fail("invalid multibulk length");
    count = *number;
    behind = line_end + kLineEnd.size();
  }
  if (count > limits_->max_arguments) [[unlikely]]
    return fail("invalid multibulk length");
  if (count > kMaxUnauthenticatedArguments && !authenticated_) [[unlikely]]
    return fail("unauthenticated multibulk length");
  at_ = behind;
  expected_ = static_cast<uint32_t>(std::max<int64_t>(count, 0));
  return Step::kDone;
}

// Reads the header of an argument in any form, or says what is wrong with it, in the order in which Redis looks.
Parser::Step Parser::begin_argument(std::string_view input) {
  size_t line_end;
  const Step step = find_line_end(input, '\r', kMaxHeaderBytes, "too big bulk count string", line_end);
  if (step != Step::kDone) return step;
  if (input[at_] != '$') return fail(std::string("expected '$', got '") + input[at_] + "'");
  const std::optional<int64_t> length = parse_integer(input.substr(at_ + 1, line_end - at_ - 1));
  if (!length || *length < 0 || static_cast<uint64_t>(*length) > limits_->max_bulk_bytes)
    return fail("invalid bulk length");
  if (static_cast<uint64_t>(*length) > kMaxUnauthenticatedBulkBytes && !authenticated_)
    return fail("unauthenticated bulk length");
  at_ = line_end + kLineEnd.size();
  length_ = *length;
  return Step::kDone;
}

Parser::Step Parser::parse_inline(std::string_view input, Arguments& arguments) {
  size_t line_end;
  const Step step = find_line_end(input, '\n', limits_->max_inline_bytes, "too big inline request", line_end);
  if (step != Step::kDone) return step;
  if (!split_inline(input.substr(0, line_end), arguments, text_)) {
    arguments.clear();
    return fail("unbalanced quotes in request");
  }
  at_ = line_end + 1;
  return Step::kDone;
}

// Finds the first `terminator` behind at_, of which `max_bytes` bytes from at_ may not be all other bytes. A '\r' only
// counts once the byte behind it is there.
Parser::Step Parser::find_line_end(std::string_view input, char terminator, size_t max_bytes, const char* too_big,
                                   size_t& end) {
  const size_t from = std::max(searched_, at_);
  const size_t available = std::min(input.size(), at_ + max_bytes + 1);
  const void* const found = from < available ? std::memchr(input.data() + from, terminator, available - from) : nullptr;
  if (found == nullptr) {
    if (input.size() - at_ > max_bytes) return fail(too_big);
    searched_ = available;
    return incomplete(1);
  }
  end = static_cast<size_t>(static_cast<const char*>(found) - input.data());
  if (terminator == '\r' && end + kLineEnd.size() > input.size()) {
    searched_ = end;
    return incomplete(1);
  }
  return Step::kDone;
}

Parser::Step Parser::incomplete(size_t needed_bytes) {
  needed_ = needed_bytes;
  return Step::kIncomplete;
}

Parser::Step Parser::fail(std::string_view reason) {
  failed_ = true;
  std::vector<Range>().swap(pending_);
  text_.assign("ERR Protocol error: ").append(reason);
  return Step::kError;
}

// Keeps what this call has found, for the call that completes the command.
void Parser::suspend(std::string_view input, const Arguments& arguments) {
  for (const std::string_view argument : arguments)
    pending_.push_back({static_cast<size_t>(argument.data() - input.data()), argument.size()});
}

// Puts what earlier calls have found before what this one has.
void Parser::resume(std::string_view input, Arguments& arguments) {
  const size_t found_now = arguments.size();
  arguments.resize(found_now + pending_.size());
  std::move_backward(arguments.begin(), arguments.begin() + static_cast<ptrdiff_t>(found_now), arguments.end());
  for (size_t i = 0; i < pending_.size(); ++i) arguments[i] = input.substr(pending_[i].offset, pending_[i].size);
  pending_.clear();
  if (pending_.capacity() > kKeptArguments) std::vector<Range>().swap(pending_);
}

void Parser::restart() {
  finish();
  length_ = kNoLength;
  needed_ = 1;
  failed_ = false;
  pending_.clear();
}

void Parser::finish() {
  at_ = searched_ = 0;
  expected_ = 0;
}

}  // namespace capstan::resp
