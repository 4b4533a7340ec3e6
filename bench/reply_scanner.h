// Counts the replies in a stream of RESP2 or RESP3 without building them: a load generator need not know their content,
// only where each ends and whether it is an error.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace capstan::bench {

class ReplyScanner {
 public:
  // Takes the next bytes of the stream; returns how many top-level replies they completed. RESP3 pushes are not
  // counted.
  uint32_t feed(std::string_view bytes);

  // Once true, the stream is not RESP and feed() takes nothing more.
  bool malformed() const { return malformed_; }
  // Error replies seen so far, those inside of aggregates included, and the text of the first one.
  uint64_t errors() const { return errors_; }
  const std::string& first_error() const { return first_error_; }

 private:
  // Handles one header line without its CRLF; true when it completed a top-level reply.
  bool line(std::string_view text);
  bool element_done();
  void error(std::string_view text);

  std::string partial_line_;    // the beginning of a line whose end has not come yet
  uint64_t body_left_ = 0;      // bytes of a bulk string still to come, its CRLF included
  uint64_t elements_left_ = 1;  // values still to come until the top-level reply is complete
  bool in_push_ = false;
  bool malformed_ = false;
  uint64_t errors_ = 0;
  std::string first_error_;
};

}  // namespace capstan::bench
