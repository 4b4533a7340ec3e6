// The messages of Raft groups on the wire: their grammar byte by byte, that all comes back, and that nothing malformed
// does harm.
#include "cluster/message_codec.h"

#include <boost/test/unit_test.hpp>
#include <limits>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/random_testing.h"
#include "resp/parser.h"

namespace capstan::cluster {

namespace {

using consensus::Message;
using consensus::MessageKind;

constexpr resp::Limits kLimits;
constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();

std::string encoded(ShardId shard, const Message& message) {
  resp::OutputBuffer out;
  encode_message(shard, message, out);
  return std::string(out.view());
}

resp::Arguments words_of(std::string_view bytes) {
  resp::Parser parser(kLimits);
  resp::Arguments words;
  const resp::Parsed parsed = parser.next(bytes, words);
  BOOST_TEST_REQUIRE((parsed.outcome == resp::Outcome::kCommand));
  BOOST_TEST(parsed.consumed == bytes.size());
  return words;
}

ErrorCode error_of(const resp::Arguments& words) {
  ShardMessage decoded;
  const Result<> result = decode_message(words, decoded);
  BOOST_TEST_REQUIRE(!result.ok());
  return result.error().code;
}

bool is_invalid(const resp::Arguments& words) { return error_of(words) == ErrorCode::kInvalid; }

// The text of an array of these words, separated by one space.
std::string array(std::string_view text) {
  std::string out;
  size_t count = 0;
  for (size_t at = 0; at <= text.size(); ++count) {
    const size_t end = std::min(text.find(' ', at), text.size());
    const std::string_view word = text.substr(at, end - at);
    out += "$" + std::to_string(word.size()) + "\r\n" + std::string(word) + "\r\n";
    at = end + 1;
  }
  return "*" + std::to_string(count) + "\r\n" + out;
}

resp::Arguments head(std::initializer_list<std::string_view> more = {}) {
  resp::Arguments words{"raft", "1", "3", "append", "11", "22", "7"};
  words.insert(words.end(), more);
  return words;
}

uint64_t random_number(Random& random) { return random.chance(0.4) ? 0 : random.next() >> random.below(64); }

Message random_message(Random& random, const std::string& bytes) {
  Message message;
  message.kind = static_cast<MessageKind>(1 + random.below(8));
  message.from = random_number(random);
  message.to = random_number(random);
  message.term = random_number(random);
  message.previous = random_number(random) / 2;
  message.previous_term = random_number(random);
  message.commit = random_number(random);
  message.round = random_number(random);
  message.match = random_number(random);
  message.received = random_number(random);
  message.rejected = random.chance(0.5);
  message.rebuilding = random.chance(0.5);
  message.hint = random_number(random);
  message.hint_term = random_number(random);
  message.transfer = random.chance(0.5);
  message.gated = random.chance(0.5);
  message.promised = random_number(random);
  message.first = random_number(random);
  for (uint64_t count = random.below(4); count > 0; --count) {
    const size_t at = random.below(bytes.size());
    message.entries.push_back({random_number(random), std::string_view(bytes).substr(at),
                               random.chance(0.8) ? std::string_view() : std::string_view(bytes).substr(0, at)});
  }
  return message;
}

// Replaces, drops, doubles and moves words, and bytes in them. `storage` keeps the new ones.
void mutate(resp::Arguments& words, Random& random, std::vector<std::string>& storage) {
  const size_t at = random.below(words.size());
  switch (random.below(6)) {
    case 0:
      words.erase(words.begin() + static_cast<ptrdiff_t>(at));
      break;
    case 1:
      words.insert(words.begin() + static_cast<ptrdiff_t>(at), words[random.below(words.size())]);
      break;
    case 2:
      std::swap(words[at], words[random.below(words.size())]);
      break;
    case 3:
      words[at] = words[at].substr(0, random.below(words[at].size() + 1));
      break;
    case 4:
      words.resize(at + 1);
      break;
    default:
      storage.emplace_back(words[at]);
      storage.back().insert(random.below(storage.back().size() + 1), 1, static_cast<char>(random.next()));
      words[at] = storage.back();
  }
}

void run_mutations(uint64_t seed) {
  Random random(seed);
  const std::string bytes = "some bytes\r\n$3\r\n";
  const std::string original = encoded(static_cast<ShardId>(random.next()), random_message(random, bytes));
  resp::Arguments words = words_of(original);
  std::vector<std::string> storage;
  storage.reserve(16);
  ShardMessage decoded;
  for (int changes = 0; changes < 16 && !words.empty(); ++changes) {
    mutate(words, random, storage);
    if (words.empty() || !decode_message(words, decoded)) continue;
    // What was taken is a message: it comes back as it is.
    ShardMessage again;
    const std::string written = encoded(decoded.shard, decoded.message);
    BOOST_TEST_REQUIRE(decode_message(words_of(written), again).ok());
    BOOST_TEST_REQUIRE(encoded(again.shard, again.message) == written);
  }
}

void run_random_bytes(uint64_t seed) {
  Random random(seed);
  std::vector<std::string> storage(random.below(20));
  resp::Arguments words = random.chance(0.5) ? head() : resp::Arguments{};
  for (std::string& word : storage) {
    for (uint64_t size = random.below(6); size > 0; --size) word += static_cast<char>(random.next());
    words.push_back(random.chance(0.2) ? std::string_view("entries") : std::string_view(word));
  }
  ShardMessage decoded;
  [[maybe_unused]] const bool taken = decode_message(words, decoded).ok();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(message_codec_test)

BOOST_AUTO_TEST_CASE(a_message_is_an_array_that_people_can_read) {
  Message vote{.kind = MessageKind::kVote, .from = 11, .to = 22, .term = 7, .previous = 5, .previous_term = 4};
  BOOST_TEST(encoded(3, vote) == array("raft 1 3 vote 11 22 7 previous 5 previous-term 4"));
  Message append{.kind = MessageKind::kAppend, .from = 1, .to = 2, .term = 3, .commit = 9, .round = 8, .first = 1};
  append.entries = {{3, "abc", ""}, {3, "", "conf"}};
  BOOST_TEST(encoded(0, append) == array("raft 1 0 append 1 2 3 commit 9 round 8 first 1 entries 2 3 abc  3  conf"));
}

BOOST_AUTO_TEST_CASE(every_kind_has_its_word) {
  const std::pair<MessageKind, std::string> kinds[] = {{MessageKind::kAppend, "append"},
                                                       {MessageKind::kAppendReply, "append-reply"},
                                                       {MessageKind::kPreVote, "pre-vote"},
                                                       {MessageKind::kPreVoteReply, "pre-vote-reply"},
                                                       {MessageKind::kVote, "vote"},
                                                       {MessageKind::kVoteReply, "vote-reply"},
                                                       {MessageKind::kTimeoutNow, "timeout-now"},
                                                       {MessageKind::kCommitted, "committed"}};
  for (const auto& [kind, word] : kinds) {
    const std::string bytes = encoded(1, Message{.kind = kind, .from = 1, .to = 2, .term = 3});
    BOOST_TEST(bytes == array("raft 1 1 " + word + " 1 2 3"));
    ShardMessage decoded;
    BOOST_TEST_REQUIRE(decode_message(words_of(bytes), decoded).ok());
    BOOST_TEST((decoded.message.kind == kind));
  }
}

BOOST_AUTO_TEST_CASE(every_field_comes_back) {
  Message message{.kind = MessageKind::kAppendReply,
                  .from = kMost,
                  .to = 2,
                  .term = 3,
                  .previous = 4,
                  .previous_term = 5,
                  .commit = 6,
                  .round = 7,
                  .match = 8,
                  .received = 9,
                  .rejected = true,
                  .gated = true,
                  .rebuilding = true,
                  .promised = 14,
                  .hint = 10,
                  .hint_term = 11,
                  .transfer = true,
                  .first = 12,
                  .ordered = true,
                  .ordered_round = 15};
  message.entries = {{13, "record", "configuration"}};
  const std::string bytes = encoded(4'000'000'000, message);
  ShardMessage decoded;
  BOOST_TEST_REQUIRE(decode_message(words_of(bytes), decoded).ok());
  const Message& m = decoded.message;
  BOOST_TEST(decoded.shard == 4'000'000'000);
  BOOST_TEST((m.kind == MessageKind::kAppendReply && m.from == kMost && m.to == 2 && m.term == 3));
  BOOST_TEST((m.previous == 4 && m.previous_term == 5 && m.commit == 6 && m.round == 7));
  BOOST_TEST((m.match == 8 && m.received == 9 && m.rejected && m.rebuilding));
  BOOST_TEST((m.hint == 10 && m.hint_term == 11 && m.transfer && m.first == 12));
  BOOST_TEST((m.gated && m.promised == 14 && m.ordered && m.ordered_round == 15));
  BOOST_TEST_REQUIRE(m.entries.size() == 1u);
  BOOST_TEST((m.entries[0].term == 13 && m.entries[0].record == "record"));
  BOOST_TEST(m.entries[0].configuration == "configuration");
}

BOOST_AUTO_TEST_CASE(entries_are_views_into_the_input_and_their_vector_is_used_again) {
  Message message{.from = 1, .to = 2, .term = 3};
  message.entries = {{3, "first", ""}, {3, "second", ""}};
  const std::string bytes = encoded(0, message);
  ShardMessage decoded;
  BOOST_TEST_REQUIRE(decode_message(words_of(bytes), decoded).ok());
  BOOST_TEST((decoded.message.entries[1].record.data() == bytes.data() + bytes.find("second")));
  const auto* const before = decoded.message.entries.data();
  BOOST_TEST_REQUIRE(decode_message(words_of(bytes), decoded).ok());
  BOOST_TEST((decoded.message.entries.data() == before));
  BOOST_TEST(decoded.message.entries.size() == 2u);
  // Nothing of the one before is left.
  BOOST_TEST_REQUIRE(decode_message(head(), decoded).ok());
  BOOST_TEST(decoded.message.entries.empty());
  BOOST_TEST(decoded.message.commit == 0u);
}

BOOST_AUTO_TEST_CASE(random_messages_come_back) {
  const std::string bytes("a record\0with any bytes\r\n*3\r\n", 28);
  with_new_seeds(300, [&](uint64_t seed) {
    Random random(seed);
    const auto shard = static_cast<ShardId>(random.next());
    const std::string once = encoded(shard, random_message(random, bytes));
    ShardMessage decoded;
    BOOST_TEST_REQUIRE(decode_message(words_of(once), decoded).ok());
    BOOST_TEST_REQUIRE(decoded.shard == shard);
    BOOST_TEST_REQUIRE(encoded(shard, decoded.message) == once);
  });
}

BOOST_AUTO_TEST_CASE(names_of_newer_versions_are_skipped) {
  ShardMessage decoded;
  BOOST_TEST_REQUIRE(
      decode_message(head({"colour", "red", "commit", "5", "previous", "2", "priority", "9"}), decoded).ok());
  BOOST_TEST(decoded.message.commit == 5u);
  BOOST_TEST(decoded.message.previous == 2u);
}

BOOST_AUTO_TEST_CASE(a_kind_of_a_newer_version_is_told_from_a_malformed_message) {
  BOOST_TEST((error_of({"raft", "1", "3", "snapshot", "11", "22", "7"}) == ErrorCode::kNotFound));
  BOOST_TEST(is_invalid({"raft", "1", "3", "snapshot", "11", "22", "seven"}));
}

BOOST_AUTO_TEST_CASE(a_wrong_head_is_invalid) {
  BOOST_TEST(is_invalid({}));
  BOOST_TEST(is_invalid({"raft"}));
  BOOST_TEST(is_invalid({"raft", "1", "3", "append", "11", "22"}));
  BOOST_TEST(is_invalid({"gossip", "1", "3", "append", "11", "22", "7"}));
  BOOST_TEST(is_invalid({"raft", "2", "3", "append", "11", "22", "7"}));
  for (const size_t place : {2, 4, 5, 6}) {
    for (const char* const wrong : {"", "-1", "+1", " 1", "1 ", "x", "1.5", "18446744073709551616"}) {
      resp::Arguments words = head();
      words[place] = wrong;
      BOOST_TEST(is_invalid(words), "word " << place << " is \"" << wrong << "\"");
    }
  }
  BOOST_TEST(is_invalid({"raft", "1", "4294967296", "append", "11", "22", "7"}));
}

BOOST_AUTO_TEST_CASE(wrong_fields_are_invalid) {
  BOOST_TEST(is_invalid(head({"commit"})));
  BOOST_TEST(is_invalid(head({"commit", "five"})));
  BOOST_TEST(is_invalid(head({"commit", "5", "commit", "5"})));
  BOOST_TEST(is_invalid(head({"rejected", "2"})));
}

BOOST_AUTO_TEST_CASE(wrong_entries_are_invalid) {
  BOOST_TEST(is_invalid(head({"entries"})));
  BOOST_TEST(is_invalid(head({"entries", "1"})));
  BOOST_TEST(is_invalid(head({"entries", "1", "3", "record"})));
  BOOST_TEST(is_invalid(head({"entries", "2", "3", "record", ""})));
  BOOST_TEST(is_invalid(head({"entries", "1", "3", "record", "", "commit", "5"})));
  BOOST_TEST(is_invalid(head({"entries", "1", "three", "record", ""})));
  BOOST_TEST(is_invalid(head({"entries", "6148914691236517206", "3", "record", ""})));
  BOOST_TEST(is_invalid(head({"previous", "18446744073709551615", "entries", "1", "3", "record", ""})));
}

BOOST_AUTO_TEST_CASE(mutated_words_do_no_harm) { with_new_seeds(2000, run_mutations); }

BOOST_AUTO_TEST_CASE(random_bytes_do_no_harm) { with_new_seeds(2000, run_random_bytes); }

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::cluster
