#include "bench/reply_scanner.h"

#include <boost/test/unit_test.hpp>

namespace capstan::bench {

BOOST_AUTO_TEST_SUITE(reply_scanner_test)

// Nine replies and one push, two errors among them.
const std::string kStream =
    "+OK\r\n:12\r\n$5\r\nhello\r\n$-1\r\n$0\r\n\r\n*2\r\n$1\r\na\r\n*1\r\n-ERR inner\r\n>2\r\n+pubsub\r\n:1\r\n*0\r\n"
    "|1\r\n+ttl\r\n:3\r\n%1\r\n+k\r\n_\r\n!5\r\nERR x\r\n";

BOOST_AUTO_TEST_CASE(replies_are_counted_however_the_stream_is_cut) {
  for (size_t piece = 1; piece <= kStream.size(); ++piece) {
    ReplyScanner scanner;
    uint32_t replies = 0;
    for (size_t at = 0; at < kStream.size(); at += piece)
      replies += scanner.feed(std::string_view(kStream).substr(at, piece));
    BOOST_TEST_INFO("pieces of " << piece);
    BOOST_TEST(replies == 9u);
    BOOST_TEST(!scanner.malformed());
    BOOST_TEST(scanner.errors() == 2u);
    BOOST_TEST(scanner.first_error() == "ERR inner");
  }
}

BOOST_AUTO_TEST_CASE(line_ends_inside_of_a_bulk_string_are_content) {
  ReplyScanner scanner;
  BOOST_TEST(scanner.feed("$6\r\n\r\n+a\r\n\r\n") == 1u);
  BOOST_TEST(!scanner.malformed());
}

BOOST_AUTO_TEST_CASE(what_is_not_resp_is_refused) {
  for (const char* bytes : {"HTTP/1.1 400\r\n", "$x\r\n", "$-2\r\n", "+OK\n", "\r\n", "*99999999999\r\n", "$5x\r\n"}) {
    ReplyScanner scanner;
    BOOST_TEST_INFO(bytes);
    BOOST_TEST(scanner.feed(bytes) == 0u);
    BOOST_TEST(scanner.malformed());
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::bench
