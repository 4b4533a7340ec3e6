// What the parser takes, what it refuses, and that it does not matter in which pieces the bytes come. Every error text
// and every odd form below is what redis-server 7.0.15 answers to these bytes.
#include "resp/parser.h"

#include <boost/test/unit_test.hpp>
#include <memory>
#include <string>

namespace capstan::resp {

namespace {

using namespace std::literals;

constexpr Limits kDefaults;

using Words = std::vector<std::string>;

// All that a parser makes of a stream.
struct Reading {
  std::vector<Words> commands;
  std::string error;
  size_t rest = 0;  // bytes of a command that is not complete
  bool operator==(const Reading&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Reading& reading) {
  for (const Words& words : reading.commands) {
    out << "(";
    for (const std::string& word : words) out << "[" << word << "]";
    out << ") ";
  }
  return out << "error: " << reading.error << ", rest: " << reading.rest;
}

// A connection: keeps what it received in a buffer of its own, which moves at every receipt.
class Reader {
 public:
  explicit Reader(const Limits& limits, bool authenticated = true) : parser_(limits) {
    parser_.set_authenticated(authenticated);
  }

  void receive(std::string_view bytes) {
    buffer_ = std::make_unique<std::string>(*buffer_ + std::string(bytes));
    while (reading_.error.empty()) {
      const Parsed parsed = parser_.next(*buffer_, arguments_);
      if (parsed.outcome == Outcome::kError) reading_.error = parser_.error();
      if (parsed.outcome == Outcome::kCommand) reading_.commands.emplace_back(arguments_.begin(), arguments_.end());
      buffer_->erase(0, parsed.consumed);
      if (parsed.outcome == Outcome::kIncomplete) break;
    }
    reading_.rest = reading_.error.empty() ? buffer_->size() : 0;
  }
  const Reading& reading() const { return reading_; }
  Parser& parser() { return parser_; }

 private:
  Parser parser_;
  Arguments arguments_;
  Reading reading_;
  std::unique_ptr<std::string> buffer_ = std::make_unique<std::string>();
};

Reading read(std::string_view stream, const Limits& limits = {}, bool authenticated = true) {
  Reader reader(limits, authenticated);
  reader.receive(stream);
  return reader.reading();
}

Words only_command(std::string_view stream) {
  const Reading reading = read(stream);
  BOOST_TEST_REQUIRE(reading.error == "");
  BOOST_TEST_REQUIRE(reading.commands.size() == 1u);
  return reading.commands[0];
}

std::string error_of(std::string_view stream) {
  const Reading reading = read(stream);
  BOOST_TEST(reading.commands.empty());
  return reading.error;
}

std::string request(const Words& words) {
  std::string out = "*" + std::to_string(words.size()) + "\r\n";
  for (const std::string& word : words) out += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
  return out;
}

constexpr const char* kBadCount = "ERR Protocol error: invalid multibulk length";
constexpr const char* kBadLength = "ERR Protocol error: invalid bulk length";
constexpr const char* kBadQuotes = "ERR Protocol error: unbalanced quotes in request";

}  // namespace

BOOST_AUTO_TEST_SUITE(parser_test)

BOOST_AUTO_TEST_CASE(an_array_of_bulk_strings_is_a_command) {
  BOOST_TEST((only_command("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nv\r\n\0v\r\n"sv) == Words{"SET", "k", "v\r\n\0v"s}));
  BOOST_TEST((only_command("*1\r\n$0\r\n\r\n") == Words{""}));
  BOOST_TEST((only_command(request({"ECHO", std::string(100'000, 'x')})) == Words{"ECHO", std::string(100'000, 'x')}));
  BOOST_TEST((only_command(request(Words(12'345, "a"))) == Words(12'345, "a")));
}

BOOST_AUTO_TEST_CASE(arguments_are_views_into_the_input) {
  const std::string input = request({"GET", "key"});
  Parser parser{kDefaults};
  Arguments arguments;
  const Parsed parsed = parser.next(input, arguments);
  BOOST_TEST((parsed.outcome == Outcome::kCommand));
  BOOST_TEST(parsed.consumed == input.size());
  BOOST_TEST((static_cast<const void*>(arguments[1].data()) == input.data() + input.find("key")));
}

BOOST_AUTO_TEST_CASE(pipelined_commands_come_one_at_a_time) {
  const Reading reading = read(request({"A"}) + "B c\r\n" + request({"D", "e"}) + "*1\r\n$4\r\nPI");
  BOOST_TEST((reading.commands == std::vector<Words>{{"A"}, {"B", "c"}, {"D", "e"}}));
  BOOST_TEST(reading.rest == 10u);
}

BOOST_AUTO_TEST_CASE(commands_before_an_error_are_delivered_and_none_after_it) {
  const Reading reading = read("PING\r\n*x\r\nPING\r\n");
  BOOST_TEST((reading.commands == std::vector<Words>{{"PING"}}));
  BOOST_TEST(reading.error == kBadCount);
}

BOOST_AUTO_TEST_CASE(empty_commands_are_dropped_without_reply) {
  for (const char* empty :
       {"*0\r\n", "*-1\r\n", "*-5\r\n", "*-9223372036854775808\r\n", "\r\n", "\n", "   \r\n", "\r\r\n"}) {
    BOOST_TEST((read(empty) == Reading{}), empty);
    BOOST_TEST((only_command(std::string(empty) + "PING\r\n" + empty) == Words{"PING"}), empty);
  }
}

BOOST_AUTO_TEST_CASE(counts_are_strict) {
  for (const char* count : {"", "+1", " 1", "01", "1 ", "1x", "-0", "00", "-", "2147483648", "99999999999999999999",
                            "-9223372036854775809"})
    BOOST_TEST(error_of("*" + std::string(count) + "\r\n$4\r\nPING\r\n") == kBadCount, count);
  BOOST_TEST(error_of("*1\n$4\r\n") == kBadCount);
  BOOST_TEST(error_of("*1\0\r\n"sv) == kBadCount);
}

BOOST_AUTO_TEST_CASE(lengths_are_strict) {
  for (const char* length : {"", "+4", " 4", "04", "4 ", "4x", "-0", "-1", "00", "536870913", "99999999999999999999"})
    BOOST_TEST(error_of("*1\r\n$" + std::string(length) + "\r\nPING\r\n") == kBadLength, length);
  BOOST_TEST(error_of("*1\r\n$4\nPING\r\n") == kBadLength);
}

BOOST_AUTO_TEST_CASE(bytes_where_only_a_line_end_can_be_are_not_looked_at) {
  BOOST_TEST((only_command("*1\rX$4\rYPINGxx") == Words{"PING"}));
}

BOOST_AUTO_TEST_CASE(an_argument_begins_with_a_dollar) {
  for (const char marker : {':', '+', '\xff', '\'', '\\', '"', '\t', '\n', '4'})
    BOOST_TEST(error_of("*2\r\n$4\r\nPING\r\n"s + marker + "1\r\n") ==
               "ERR Protocol error: expected '$', got '"s + marker + "'");
  BOOST_TEST(error_of("*1\r\n\r\n") == "ERR Protocol error: expected '$', got '\r'");
  BOOST_TEST((read("*1\r\n+") == Reading{.rest = 5}), "judged when the line has ended, as Redis does");
}

BOOST_AUTO_TEST_CASE(a_header_ends_within_64_kib) {
  const std::string digits(65536, '1');
  BOOST_TEST(error_of("*" + digits) == "ERR Protocol error: too big mbulk count string");
  BOOST_TEST(error_of("*1\r\n$" + digits) == "ERR Protocol error: too big bulk count string");
  BOOST_TEST(error_of("*1\r\ny" + digits) == "ERR Protocol error: too big bulk count string");
  BOOST_TEST(read("*" + digits.substr(1)).rest == 65536u);
  BOOST_TEST(error_of("*" + digits.substr(1) + "\r\n") == kBadCount);
}

BOOST_AUTO_TEST_CASE(inline_commands_are_words) {
  const std::vector<std::pair<std::string_view, Words>> cases = {
      {"PING\r\n", {"PING"}},
      {"PING\n", {"PING"}},
      {"PING\r\r\n", {"PING"}},
      {"  PING  \r\n", {"PING"}},
      {"ECHO\ta\r\n", {"ECHO", "a"}},
      {"ECHO a\rb\r\n", {"ECHO", "a", "b"}},
      {"ECHO\va\r\n", {"ECHO\va"}},
      {"ECHO a \v\f b\r\n", {"ECHO", "a", "b"}},
      {"\"PING\"\r\n", {"PING"}},
      {"'PING'\r\n", {"PING"}},
      {"ECHO \"a b\"\r\n", {"ECHO", "a b"}},
      {"ECHO \"\" ''\r\n", {"ECHO", "", ""}},
      {"ECHO a\"b\"\tc\r\n", {"ECHO", "ab", "c"}},
      {"ECHO x'y z'\r\n", {"ECHO", "xy z"}},
      {"ECHO \"a\"\v\r\n", {"ECHO", "a"}},
      {R"(ECHO "a\x41\n\r\t\b\a\q\"\\")"
       "\n",
       {"ECHO", "aA\n\r\t\b\aq\"\\"}},
      {R"(ECHO 'a\'b\n\x41')"
       "\n",
       {"ECHO", R"(a'b\n\x41)"}},
      {R"(ECHO "\x4" "\xzz" "\x00b" a\x41)"
       "\n",
       {"ECHO", "x4", "xzz", "\0b"s, R"(a\x41)"}},
      {"ECHO a\0b\r\n"sv, {"ECHO", "a\0b"s}},  // Redis reads no further
  };
  for (const auto& [line, words] : cases) BOOST_TEST((only_command(line) == words), line);
}

BOOST_AUTO_TEST_CASE(quotes_are_balanced) {
  for (const char* line : {R"(ECHO "a"b)", R"(ECHO 'a'b)", R"(ECHO "a)", R"(ECHO 'a)", R"(ECHO "a\")", R"(ECHO 'a\')",
                           R"(ECHO a"b c"d)", R"(")", R"(ECHO "a\)"})
    BOOST_TEST(error_of(line + "\r\nPING\r\n"s) == kBadQuotes, line);
}

BOOST_AUTO_TEST_CASE(an_inline_command_ends_within_64_kib) {
  const std::string line(65536, 'x');
  BOOST_TEST((only_command(line + "\n") == Words{line}));
  BOOST_TEST(read(line).rest == line.size());
  BOOST_TEST(error_of(line + "x") == "ERR Protocol error: too big inline request");
  BOOST_TEST(error_of(line + "x\n") == "ERR Protocol error: too big inline request");
}

BOOST_AUTO_TEST_CASE(limits_are_heeded_and_may_change) {
  Limits limits{.max_bulk_bytes = 10, .max_inline_bytes = 8, .max_arguments = 3};
  BOOST_TEST(read(request(Words(3, "0123456789")), limits).error == "");
  BOOST_TEST(read(request(Words(4, "a")), limits).error == kBadCount);
  BOOST_TEST(read(request(Words(1, "0123456789a")), limits).error == kBadLength);
  BOOST_TEST(read("12345678\n", limits).error == "");
  BOOST_TEST(read("123456789\n", limits).error == "ERR Protocol error: too big inline request");
  Reader reader(limits);
  reader.receive("1234567");
  limits.max_inline_bytes = 4;
  reader.receive("8");
  BOOST_TEST(reader.reading().error == "ERR Protocol error: too big inline request");
}

BOOST_AUTO_TEST_CASE(strangers_have_narrow_limits) {
  const auto stranger_error = [](std::string_view stream) { return read(stream, {}, false).error; };
  BOOST_TEST(stranger_error(request(Words(10, "a"))) == "");
  BOOST_TEST(stranger_error(request(Words(11, "a"))) == "ERR Protocol error: unauthenticated multibulk length");
  BOOST_TEST(stranger_error("*2147483648\r\n") == kBadCount);
  BOOST_TEST(stranger_error("*1\r\n$16384\r\n") == "");
  BOOST_TEST(stranger_error("*1\r\n$16385\r\n") == "ERR Protocol error: unauthenticated bulk length");
  BOOST_TEST(stranger_error("*1\r\n$536870913\r\n") == kBadLength);
  BOOST_TEST(stranger_error("a b c d e f g h i j k l m\r\n") == "");
  Reader reader(kDefaults, false);
  reader.receive(request({"AUTH", "secret"}));
  reader.parser().set_authenticated(true);
  reader.receive(request(Words(11, "a")));
  BOOST_TEST(reader.reading().error == "");
}

BOOST_AUTO_TEST_CASE(a_stream_split_anywhere_gives_the_same) {
  for (const std::string& stream :
       {request({"SET", "key", "value"}) + request({"", "x", ""}) + "*0\r\nSET \"a b\" c\r\n\r\n" +
            request({"GET", "k"}),
        request(Words(12, "abc")) + "*1\r\n$-1\r\n", request({"A"}) + "*2\r\n$1\r\nB\r\nx\r\n", "A 'b c'\r\nB \"c\r\n"s,
        "*01\r\n"s, "*1\r\n$04\r\nPING\r\n"s, "*1\rX$4\rYPINGxx*-1\r\n\nA\n"s, "*1234567890\r\n"s}) {
    const Reading whole = read(stream);
    for (size_t cut = 0; cut <= stream.size(); ++cut) {
      Reader reader(kDefaults);
      reader.receive(stream.substr(0, cut));
      reader.receive(stream.substr(cut));
      BOOST_TEST(reader.reading() == whole);
    }
    Reader slow(kDefaults);
    for (const char c : stream) slow.receive({&c, 1});
    BOOST_TEST(slow.reading() == whole);
  }
}

BOOST_AUTO_TEST_CASE(it_tells_how_many_bytes_a_long_argument_lacks) {
  Reader reader(kDefaults);
  const std::string value(1'000'000, 'v');
  BOOST_TEST(reader.parser().needed() == 1u);
  reader.receive("*2\r\n$4\r\nECHO\r\n$1000000");
  BOOST_TEST(reader.parser().needed() == 1u);
  reader.receive("\r\n");
  BOOST_TEST(reader.parser().needed() == 1'000'002u);
  reader.receive(value.substr(0, 400'000));
  BOOST_TEST(reader.parser().needed() == 600'002u);
  reader.receive(value.substr(400'000));
  BOOST_TEST(reader.parser().needed() == 2u);
  reader.receive("\r\n");
  BOOST_TEST((reader.reading().commands == std::vector<Words>{{"ECHO", value}}));
}

BOOST_AUTO_TEST_CASE(one_huge_command_leaves_no_memory_behind) {
  Parser parser(kDefaults);
  Arguments arguments;
  const std::string huge = request(Words(100'000, "a"));
  BOOST_TEST(
      (parser.next(std::string_view(huge).substr(0, huge.size() - 1), arguments).outcome == Outcome::kIncomplete));
  BOOST_TEST(parser.memory() > 100'000u);
  BOOST_TEST((parser.next(huge, arguments).outcome == Outcome::kCommand));
  BOOST_TEST(arguments.size() == 100'000u);
  BOOST_TEST((parser.next("PING\r\n", arguments).outcome == Outcome::kCommand));
  BOOST_TEST(arguments.capacity() <= 1024u);
  BOOST_TEST(parser.memory() <= 32'768u);
  const std::string line = "ECHO \"" + std::string(60'000, 'a') + "\"\n";
  BOOST_TEST((parser.next(line, arguments).outcome == Outcome::kCommand));
  BOOST_TEST((parser.next("PING\r\n", arguments).outcome == Outcome::kCommand));
  BOOST_TEST(parser.memory() <= 32'768u);
}

BOOST_AUTO_TEST_CASE(who_parsed_ahead_can_go_back_to_an_earlier_command) {
  const std::string first = request({"GET", "a"});
  for (const std::string& ahead :
       {request({"SET", "b", "1"}), "*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$100\r\nxy"s, "*x\r\n"s}) {
    Parser parser(kDefaults);
    Arguments arguments;
    const std::string stream = first + ahead;
    for (int round = 0; round < 2; ++round) {
      const Parsed parsed = parser.next(stream, arguments);
      BOOST_TEST((parsed.outcome == Outcome::kCommand));
      BOOST_TEST(parsed.consumed == first.size());
      BOOST_TEST(arguments.size() == 2u);
      BOOST_TEST((parser.next(std::string_view(stream).substr(parsed.consumed), arguments).outcome ==
                  (ahead == "*x\r\n"       ? Outcome::kError
                   : ahead.ends_with("xy") ? Outcome::kIncomplete
                                           : Outcome::kCommand)));
      parser.restart();
    }
  }
}

BOOST_AUTO_TEST_CASE(an_announced_count_takes_no_memory) {
  Parser parser(kDefaults);
  Arguments arguments;
  BOOST_TEST((parser.next("*1048576\r\n$1048576\r\n", arguments).outcome == Outcome::kIncomplete));
  BOOST_TEST(parser.memory() + arguments.capacity() <= 64u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::resp
