// What replies look like; every line is what redis-server 7.0.15 sends (DEBUG PROTOCOL, EVAL, ZSCORE, GEOPOS).
#include "resp/writer.h"

#include <boost/test/unit_test.hpp>
#include <functional>
#include <limits>
#include <string>

#include "base/random.h"
#include "resp/number.h"

namespace capstan::resp {

namespace {

using namespace std::literals;

std::string written(Protocol protocol, const std::function<void(Writer&)>& write) {
  OutputBuffer out;
  Writer writer(out, protocol);
  write(writer);
  return std::string(out.view());
}

void expect(const std::function<void(Writer&)>& write, std::string_view resp2, std::string_view resp3) {
  BOOST_TEST(written(Protocol::kResp2, write) == resp2);
  BOOST_TEST(written(Protocol::kResp3, write) == resp3);
}

void expect_both(const std::function<void(Writer&)>& write, std::string_view reply) { expect(write, reply, reply); }

}  // namespace

BOOST_AUTO_TEST_SUITE(writer_test)

BOOST_AUTO_TEST_CASE(what_both_protocols_have) {
  expect_both([](Writer& w) { w.ok(); }, "+OK\r\n");
  expect_both([](Writer& w) { w.simple("Background saving started"); }, "+Background saving started\r\n");
  expect_both([](Writer& w) { w.error("ERR syntax error"); }, "-ERR syntax error\r\n");
  expect_both([](Writer& w) { w.error("ERR A\r\nb"); }, "-ERR A  b\r\n");
  expect_both([](Writer& w) { w.simple("A\r\nb"); }, "+A  b\r\n");
  expect_both([](Writer& w) { w.integer(12345); }, ":12345\r\n");
  expect_both([](Writer& w) { w.integer(INT64_MIN); }, ":-9223372036854775808\r\n");
  expect_both([](Writer& w) { w.bulk("Hello World"); }, "$11\r\nHello World\r\n");
  expect_both([](Writer& w) { w.bulk({}); }, kEmptyBulk);
  expect_both([](Writer& w) { w.bulk("\r\n\0"sv); }, "$3\r\n\r\n\0\r\n"sv);
  expect_both([](Writer& w) { w.bulk_integer(-17); }, "$3\r\n-17\r\n");
  expect_both([](Writer& w) { std::memcpy(w.bulk_room(3), "abc", 3); }, "$3\r\nabc\r\n");
  expect_both([](Writer& w) { w.array(0); }, kEmptyArray);
  expect_both([](Writer& w) { w.array(3); }, "*3\r\n");
}

BOOST_AUTO_TEST_CASE(what_resp2_has_to_imitate) {
  expect([](Writer& w) { w.null(); }, "$-1\r\n", "_\r\n");
  expect([](Writer& w) { w.null_array(); }, "*-1\r\n", "_\r\n");
  expect([](Writer& w) { w.boolean(true); }, ":1\r\n", "#t\r\n");
  expect([](Writer& w) { w.boolean(false); }, ":0\r\n", "#f\r\n");
  expect([](Writer& w) { w.map(3); }, "*6\r\n", "%3\r\n");
  expect([](Writer& w) { w.set(3); }, "*3\r\n", "~3\r\n");
  expect([](Writer& w) { w.push(2); }, "*2\r\n", ">2\r\n");
  expect([](Writer& w) { w.verbatim("txt", "This is a verbatim\nstring"); }, "$25\r\nThis is a verbatim\nstring\r\n",
         "=29\r\ntxt:This is a verbatim\nstring\r\n");
  expect([](Writer& w) { w.big_number("1234567999999999999999999999999999999"); },
         "$37\r\n1234567999999999999999999999999999999\r\n", "(1234567999999999999999999999999999999\r\n");
  BOOST_TEST(written(Protocol::kResp3, [](Writer& w) { w.attribute(1); }) == "|1\r\n");
}

BOOST_AUTO_TEST_CASE(doubles) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  expect([](Writer& w) { w.real(3.141); }, "$5\r\n3.141\r\n", ",3.141\r\n");
  expect([](Writer& w) { w.real(3.3); }, "$18\r\n3.2999999999999998\r\n", ",3.2999999999999998\r\n");
  expect([](Writer& w) { w.real(kInfinity); }, "$3\r\ninf\r\n", ",inf\r\n");
  expect([](Writer& w) { w.real(-kInfinity); }, "$4\r\n-inf\r\n", ",-inf\r\n");
  expect([](Writer& w) { w.real(-0.0); }, "$2\r\n-0\r\n", ",-0\r\n");
  expect([](Writer& w) { w.long_double(*parse_long_double("1234567890.123456789012345678")); },
         "$28\r\n1234567890.12345678906422108\r\n", ",1234567890.12345678906422108\r\n");
}

BOOST_AUTO_TEST_CASE(a_header_can_come_after_its_elements) {
  const auto deferred = [](Writer& w) {
    w.ok();
    const size_t outer = w.position();
    w.integer(1);
    const size_t inner = w.position();
    w.bulk("a");
    w.bulk("b");
    w.map_at(inner, 1);
    const size_t members = w.position();
    w.integer(2);
    w.set_at(members, 1);
    w.array_at(outer, 3);
  };
  expect(deferred, "+OK\r\n*3\r\n:1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n*1\r\n:2\r\n",
         "+OK\r\n*3\r\n:1\r\n%1\r\n$1\r\na\r\n$1\r\nb\r\n~1\r\n:2\r\n");
}

BOOST_AUTO_TEST_CASE(what_was_not_sent_stays_in_order) {
  const uint64_t seed = 3;
  Random random(seed);
  OutputBuffer out;
  std::string expected;
  for (int i = 0; i < 20'000; ++i) {
    if (random.chance(0.6)) {
      const std::string bytes(random.below(random.chance(0.01) ? 50'000 : 300), static_cast<char>('a' + i % 26));
      out.append(bytes);
      expected += bytes;
    } else {
      const size_t sent = random.below(expected.size() + 1);
      out.consume(sent);
      expected.erase(0, sent);
    }
    BOOST_TEST_REQUIRE((out.view() == expected), "seed " << seed << ", step " << i);
  }
}

BOOST_AUTO_TEST_CASE(a_large_reply_leaves_no_memory_behind) {
  OutputBuffer out;
  out.append("x");
  const size_t small = out.capacity();
  out.consume(1);
  BOOST_TEST(out.capacity() == small);
  Writer(out, Protocol::kResp2).bulk(std::string(1'000'000, 'x'));
  BOOST_TEST(out.size() == 1'000'012u);
  BOOST_TEST(out.capacity() < 1'001'000u, "room is made once, for the whole reply");
  out.consume(1'000'000);
  out.consume(12);
  BOOST_TEST(out.empty());
  BOOST_TEST(out.capacity() == 0u);
}

BOOST_AUTO_TEST_CASE(a_slow_reader_does_not_make_the_buffer_grow_for_ever) {
  OutputBuffer out;
  out.append(std::string(1000, 'x'));
  for (int i = 0; i < 100'000; ++i) {
    out.append(std::string(100, 'x'));
    out.consume(100);
  }
  BOOST_TEST(out.capacity() <= 8000u);
}

BOOST_AUTO_TEST_CASE(a_reply_can_be_taken_back) {
  OutputBuffer out;
  out.append("sent+kept");
  out.consume(4);
  const size_t position = out.size();
  Writer(out, Protocol::kResp2).array(3);
  out.truncate(position);
  BOOST_TEST(out.view() == "+kept");
  out.append("!");
  BOOST_TEST(out.view() == "+kept!");
}

BOOST_AUTO_TEST_CASE(a_buffer_can_be_moved) {
  OutputBuffer out;
  out.append("abc");
  OutputBuffer other(std::move(out));
  BOOST_TEST(other.view() == "abc");
  out = std::move(other);
  BOOST_TEST(out.view() == "abc");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::resp
