#include "resp/reply.h"

#include <boost/test/unit_test.hpp>
#include <memory>
#include <string>
#include <vector>

namespace capstan::resp {

namespace {

using namespace std::literals;
using Outcome = ReplyParser::Outcome;

Reply only_reply(std::string_view stream) {
  ReplyParser parser;
  Reply reply;
  BOOST_TEST_REQUIRE((parser.next(stream, reply) == Outcome::kReply), stream);
  BOOST_TEST(reply.bytes == stream);
  return reply;
}

void expect(std::string_view stream, char type, std::string_view text) {
  const Reply reply = only_reply(stream);
  BOOST_TEST(reply.type == type);
  BOOST_TEST(reply.text == text);
}

const std::vector<std::string> kReplies = {"+OK\r\n",
                                           "-ERR no\r\n",
                                           ":-12\r\n",
                                           "$5\r\nhello\r\n",
                                           "$0\r\n\r\n",
                                           "$-1\r\n",
                                           "*-1\r\n",
                                           "*0\r\n",
                                           "*2\r\n$2\r\n\r\n\r\n*2\r\n:1\r\n*0\r\n",
                                           "_\r\n",
                                           "#t\r\n",
                                           ",3.14\r\n",
                                           "(123456\r\n",
                                           "=7\r\ntxt:abc\r\n",
                                           "!5\r\nERR x\r\n",
                                           "%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n",
                                           "~1\r\n+a\r\n",
                                           ">2\r\n+pubsub\r\n+x\r\n",
                                           "|1\r\n+ttl\r\n*2\r\n:1\r\n:2\r\n$1\r\nx\r\n",
                                           "|1\r\n+a\r\n:1\r\n*2\r\n|1\r\n+b\r\n:2\r\n:3\r\n:4\r\n"};

}  // namespace

BOOST_AUTO_TEST_SUITE(reply_test)

BOOST_AUTO_TEST_CASE(a_reply_has_a_type_and_a_text) {
  expect("+OK\r\n", '+', "OK");
  expect("-ERR no\r\n", '-', "ERR no");
  expect(":-12\r\n", ':', "-12");
  expect("$5\r\na\r\nbc\r\n", '$', "a\r\nbc");
  expect("$-1\r\n", '$', "-1");
  expect("*2\r\n:1\r\n$1\r\na\r\n", '*', "2");
  expect("=7\r\ntxt:abc\r\n", '=', "txt:abc");
  expect("_\r\n", '_', "");
  expect("|1\r\n+ttl\r\n*2\r\n:1\r\n:2\r\n$1\r\nx\r\n", '$', "x");
  expect("|1\r\n+a\r\n:1\r\n*1\r\n|1\r\n+b\r\n:2\r\n:3\r\n", '*', "1");
}

BOOST_AUTO_TEST_CASE(errors_pushes_and_nulls_are_told_apart) {
  BOOST_TEST(only_reply("-ERR\r\n").is_error());
  BOOST_TEST(only_reply("!3\r\nERR\r\n").is_error());
  BOOST_TEST(!only_reply("*1\r\n-ERR\r\n").is_error());
  BOOST_TEST(only_reply(">1\r\n+x\r\n").is_push());
  BOOST_TEST(!only_reply("*1\r\n+x\r\n").is_push());
  BOOST_TEST(only_reply("_\r\n").is_null);
  BOOST_TEST(only_reply("$-1\r\n").is_null);
  BOOST_TEST(only_reply("*-1\r\n").is_null);
  BOOST_TEST(!only_reply("$2\r\n-1\r\n").is_null);
  BOOST_TEST(!only_reply(":-1\r\n").is_null);
}

BOOST_AUTO_TEST_CASE(a_stream_may_come_in_any_pieces) {
  std::string stream;
  for (const std::string& reply : kReplies) stream += reply;
  for (size_t piece = 1; piece <= stream.size(); ++piece) {
    ReplyParser parser;
    std::vector<std::string> replies;
    auto buffer = std::make_unique<std::string>();
    for (size_t at = 0; at < stream.size(); at += piece) {
      buffer = std::make_unique<std::string>(*buffer + stream.substr(at, piece));  // moves at every receipt
      Reply reply;
      while (parser.next(*buffer, reply) == Outcome::kReply) {
        replies.emplace_back(reply.bytes);
        buffer->erase(0, reply.bytes.size());
      }
    }
    BOOST_TEST(replies == kReplies, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(what_is_not_resp_is_refused) {
  for (const char* stream : {"x", "\r\n", "$x\r\n", "$-2\r\n", "*1x\r\n", "$01\r\na\r\n", "*1\r\nx", "$\r\n",
                             "*9999999999\r\n", "$9999999999999999\r\n"}) {
    ReplyParser parser;
    Reply reply;
    BOOST_TEST((parser.next(stream, reply) == Outcome::kMalformed), stream);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::resp
