#include "server/once.h"

#include <boost/test/unit_test.hpp>

namespace capstan {
namespace {

constexpr auto kTwo = resp::Protocol::kResp2;
constexpr auto kThree = resp::Protocol::kResp3;

Remembered sample() {
  Remembered last;
  last.serial = 7;
  last.reply = ":1\r\n+OK\r\n";
  last.reply_ends = {4, 9};
  return last;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(once_test)

BOOST_AUTO_TEST_CASE(what_is_remembered_is_read_as_it_was_written) {
  const std::optional<Remembered> read = Remembered::decode(sample().encode());
  BOOST_REQUIRE(read);
  BOOST_TEST(read->serial == 7u);
  BOOST_TEST(read->kept);
  BOOST_TEST(!read->aborted);
  BOOST_TEST(read->reply == sample().reply);
  BOOST_CHECK(read->reply_ends == sample().reply_ends);
  BOOST_CHECK(read->protocol == kTwo);
}

BOOST_AUTO_TEST_CASE(of_a_long_reply_only_that_there_was_one) {
  Remembered last = sample();
  last.reply.assign(kMaxRememberedBytes + 1, 'x');
  const std::string bytes = last.encode();
  BOOST_TEST(bytes.size() < 100u);
  const std::optional<Remembered> read = Remembered::decode(bytes);
  BOOST_REQUIRE(read);
  BOOST_TEST(!read->kept);
  BOOST_TEST(read->reply_ends.empty());
  BOOST_TEST(check_repetition(*read, 7, kTwo)->starts_with("ERR ID"));
  BOOST_CHECK(!check_repetition(*read, 8, kTwo));
}

BOOST_AUTO_TEST_CASE(only_higher_numbers_are_new) {
  const Remembered last = sample();
  BOOST_CHECK(!check_repetition(last, 8, kTwo));
  BOOST_TEST(check_repetition(last, 7, kTwo)->empty());
  BOOST_TEST(check_repetition(last, 7, kThree)->find("RESP2") != std::string::npos);
  BOOST_TEST(check_repetition(last, 6, kTwo)->find("older than 7") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(what_is_malformed_is_refused) {
  const std::string bytes = sample().encode();
  for (size_t size = 0; size < bytes.size(); ++size) BOOST_CHECK(!Remembered::decode(bytes.substr(0, size)));
  BOOST_CHECK(!Remembered::decode(bytes + "x"));
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (const char flip : {'\x01', '\x40', '\x7f'}) {
      std::string other = bytes;
      other[at] = static_cast<char>(other[at] ^ flip);
      if (const std::optional<Remembered> read = Remembered::decode(other)) {
        BOOST_CHECK(read->reply_ends.empty() || read->reply_ends.back() <= read->reply.size());
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
