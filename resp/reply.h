// Incremental reader of replies, RESP2 and RESP3 alike, for clients (load generator, tests, links between nodes). It
// finds where a reply ends and what it is, and copies nothing; who wants the elements of an aggregate reads its bytes.
// Resumes, like Parser, where the bytes of the previous call ended: linear time, and the buffer may move.
// Not thread-safe; one per connection.
#pragma once

#include <cstdint>
#include <string_view>

namespace capstan::resp {

struct Reply {
  char type = 0;          // its first byte, '+', '-', ':', '$', '*', …; that of the reply itself if it has attributes
  bool is_null = false;   // "_", "$-1" or "*-1"
  std::string_view text;  // what follows the type: the line, the bytes of a bulk string, the count of an aggregate
  std::string_view bytes;  // all of it, attributes included: what to drop from the front of the input

  bool is_error() const { return type == '-' || type == '!'; }
  // Out of band: not the reply to a command.
  bool is_push() const { return type == '>'; }
};

class ReplyParser {
 public:
  enum class Outcome { kReply, kIncomplete, kMalformed };

  // Reads the first reply of `input`; `reply` is set with kReply alone, its views point into the input. After
  // kIncomplete the input has to begin with the same bytes, with more behind them; after kMalformed all is lost.
  [[nodiscard]] Outcome next(std::string_view input, Reply& reply);

 private:
  // A line; a length and so many bytes; a count and so many elements.
  enum class Shape { kLine, kBlob, kAggregate, kUnknown };
  static Shape shape_of(char type);

  Outcome read_element(std::string_view input);
  Outcome read_header(std::string_view input, Shape shape, size_t& behind, int64_t& length);
  bool find_line_end(std::string_view input, size_t& end);

  size_t at_ = 0;         // the next element, as an offset from the first byte of the reply
  size_t searched_ = 0;   // up to here, no line end is after at_
  uint64_t missing_ = 1;  // elements to come until the reply is complete
  char type_ = 0;         // of the reply, once known
  bool is_null_ = false;
  size_t text_offset_ = 0;
  size_t text_size_ = 0;
};

}  // namespace capstan::resp
