// What must hold for any bytes a client may send. libFuzzer drives it in a build with CAPSTAN_FUZZ; parser_fuzz_test
// runs it over seeded inputs in every other build.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/hash.h"
#include "base/random.h"
#include "resp/parser.h"
#include "resp/reply.h"

namespace capstan::resp {

namespace {

// Low enough for small inputs to reach them.
constexpr Limits kLimits{.max_bulk_bytes = 300, .max_inline_bytes = 100, .max_arguments = 50};

struct Reading {
  std::vector<std::vector<std::string>> commands;
  std::string error;
  size_t rest = 0;
  bool operator==(const Reading&) const = default;
};

// Receives the stream in pieces whose sizes `draw` gives, each into a buffer of exactly the unread bytes, so that a
// sanitizer sees every read outside of it and every use of a buffer that has moved.
template <typename Draw>
Reading read_in_pieces(std::string_view stream, bool authenticated, Draw draw) {
  Parser parser(kLimits);
  parser.set_authenticated(authenticated);
  Arguments arguments;
  Reading reading;
  std::string unread;
  while (!stream.empty()) {
    const size_t piece = draw(stream.size());
    unread.append(stream.substr(0, piece));
    stream.remove_prefix(piece);
    while (true) {
      const auto input = std::make_unique<char[]>(unread.size());
      std::copy(unread.begin(), unread.end(), input.get());
      const Parsed parsed = parser.next({input.get(), unread.size()}, arguments);
      CHECK(parsed.consumed <= unread.size());
      CHECK(arguments.empty() == (parsed.outcome != Outcome::kCommand));
      if (parsed.outcome == Outcome::kError) {
        CHECK(parser.error().starts_with("ERR Protocol error: "));
        reading.error = parser.error();
        return reading;
      }
      if (parsed.outcome == Outcome::kCommand) reading.commands.emplace_back(arguments.begin(), arguments.end());
      unread.erase(0, parsed.consumed);
      CHECK(parser.memory() <= 4096 + 64 * unread.size());
      if (parsed.outcome == Outcome::kIncomplete) {
        CHECK(parser.needed() >= 1 && parser.needed() <= kLimits.max_bulk_bytes + 2);
        break;
      }
    }
  }
  reading.rest = unread.size();
  return reading;
}

template <typename Draw>
std::vector<std::string> replies_in_pieces(std::string_view stream, Draw draw) {
  ReplyParser parser;
  std::vector<std::string> replies;
  std::string unread;
  while (!stream.empty()) {
    const size_t piece = draw(stream.size());
    unread.append(stream.substr(0, piece));
    stream.remove_prefix(piece);
    while (true) {
      const auto input = std::make_unique<char[]>(unread.size());
      std::copy(unread.begin(), unread.end(), input.get());
      Reply reply;
      const auto outcome = parser.next({input.get(), unread.size()}, reply);
      if (outcome == ReplyParser::Outcome::kMalformed) {
        replies.push_back("malformed");
        return replies;
      }
      if (outcome == ReplyParser::Outcome::kIncomplete) break;
      CHECK(!reply.bytes.empty() && reply.type != 0);
      replies.push_back(reply.type + std::string(reply.text) + std::string(reply.bytes));
      unread.erase(0, reply.bytes.size());
    }
  }
  return replies;
}

// Every command that was read, sent as an array, is read as the same command.
void check_commands_survive_rewriting(const Reading& reading) {
  std::string stream;
  for (const auto& command : reading.commands) {
    stream += "*" + std::to_string(command.size()) + "\r\n";
    for (const std::string& word : command) stream += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
  }
  const Reading again = read_in_pieces(stream, true, [](size_t left) { return left; });
  CHECK(again.commands == reading.commands && again.error.empty() && again.rest == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view stream(reinterpret_cast<const char*>(data), size);
  Random random(hash64(stream));
  const auto whole = [](size_t left) { return left; };
  const auto byte = [](size_t) { return size_t{1}; };
  const auto pieces = [&](size_t left) { return 1 + random.below(std::min<size_t>(left, 40)); };
  for (const bool authenticated : {true, false}) {
    const Reading expected = read_in_pieces(stream, authenticated, whole);
    CHECK(read_in_pieces(stream, authenticated, byte) == expected);
    CHECK(read_in_pieces(stream, authenticated, pieces) == expected);
    check_commands_survive_rewriting(expected);
  }
  const std::vector<std::string> replies = replies_in_pieces(stream, whole);
  CHECK(replies_in_pieces(stream, byte) == replies);
  CHECK(replies_in_pieces(stream, pieces) == replies);
  return 0;
}

}  // namespace capstan::resp
