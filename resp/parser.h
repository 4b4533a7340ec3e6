// Incremental parser of requests: arrays of bulk strings (RESP2 and RESP3 alike) and inline commands, accepted and
// refused as redis-server 7.0 does, with its error texts.
//
// It owns no input. The connection keeps what it has received in contiguous bytes and shows the unread ones; arguments
// are views into them, nothing is copied (but inline arguments that have quotes). A command that is not complete is
// resumed, not parsed again: what has been recognised is remembered as offsets from its first byte, so the connection
// may move its buffer between calls, and a command costs time linear in its bytes, however many pieces it comes in.
//
// Two differences from Redis, both where it leaves a client without an answer: a NUL byte is an ordinary byte of an
// inline command and an error in a header, while Redis reads no further; and a line is too long if it does not end
// within the limit, while with Redis that depends on how the bytes arrived.
//
// Not thread-safe; one per connection (about 100 bytes while no command is in progress).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "resp/limits.h"

namespace capstan::resp {

// The words of a command, its name first. Reused from command to command, also by several parsers in turn.
using Arguments = std::vector<std::string_view>;

enum class Outcome {
  kCommand,     // `arguments` holds a command of at least one argument
  kIncomplete,  // more bytes are needed
  kError,       // the stream is not RESP: answer error() and close the connection
};

struct Parsed {
  Outcome outcome;
  // The caller drops so many bytes from the front of its input, whatever the outcome (for kCommand, when it is done
  // with the arguments). Empty commands, which get no reply, are dropped even if nothing follows them. After
  // kIncomplete the input has to begin with the same remaining bytes, with more behind them.
  size_t consumed;
  // kCommand: some arguments may lie in the parser (inline commands), and not only until the input moves but also until
  // the next call on this parser.
  bool in_parser = false;
};

class Parser {
 public:
  // `limits` has to outlive the parser.
  explicit Parser(const Limits& limits) : limits_(&limits) {}

  // Parses the first command of `input`, all bytes not yet consumed. `arguments` is overwritten; its views are valid
  // until the input moves or the next call on this parser. After kError every call gives kError.
  [[nodiscard]] Parsed next(std::string_view input, Arguments& arguments);

  // The next call begins with the first byte of its input, as if it followed a whole command: for a caller that parsed
  // ahead and now goes back to an earlier command.
  void restart();

  // After kIncomplete: how many more bytes are certainly needed, at least 1. It exceeds a few bytes only for the rest
  // of an argument whose length has been announced (and is within the limits), so that a connection can make room for
  // it once and receive in place.
  size_t needed() const { return needed_; }

  // After kError: the error to reply, without the leading '-' and the line end; may contain any byte of the input.
  std::string_view error() const { return text_; }

  // Lifts the limits for strangers. Parsers begin authenticated, as connections do where no password is set.
  void set_authenticated(bool authenticated) { authenticated_ = authenticated; }

  // Heap bytes held for a command in progress and for unescaped arguments.
  size_t memory() const { return pending_.capacity() * sizeof(Range) + text_.capacity(); }

 private:
  struct Range {
    size_t offset;  // from the first byte of the command in progress
    size_t size;
  };
  enum class Step { kDone, kIncomplete, kError };

  Step parse_array(std::string_view input, Arguments& arguments);
  Step parse_arguments(std::string_view input, Arguments& arguments);
  Step parse_inline(std::string_view input, Arguments& arguments);
  Step begin_array(std::string_view input);
  Step begin_argument(std::string_view input);
  Step find_line_end(std::string_view input, char terminator, size_t max_bytes, const char* too_big, size_t& end);
  Step incomplete(size_t needed_bytes);
  Step fail(std::string_view reason);
  void suspend(std::string_view input, const Arguments& arguments);
  void resume(std::string_view input, Arguments& arguments);
  void finish();

  static constexpr int64_t kNoLength = -1;

  const Limits* limits_;
  size_t at_ = 0;               // what is parsed next, as an offset from the first byte of the command in progress
  size_t searched_ = 0;         // up to here, no line end is after at_
  size_t needed_ = 1;           // see needed()
  int64_t length_ = kNoLength;  // of the argument that begins at at_, once its header has been read
  uint32_t expected_ = 0;       // arguments of the command in progress; 0 before its header has been read
  bool authenticated_ = true;
  bool failed_ = false;
  std::vector<Range> pending_;  // arguments found by earlier calls
  std::string text_;            // unescaped inline arguments, or the error
};

}  // namespace capstan::resp
