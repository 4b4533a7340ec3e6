#include "server/forwarding.h"

#include <boost/test/unit_test.hpp>
#include <string>
#include <vector>

#include "resp/parser.h"

namespace capstan {

BOOST_AUTO_TEST_SUITE(forwarding_test)

namespace {

// The words of the one message that the bytes are; it owns them.
struct Message {
  explicit Message(const resp::OutputBuffer& out) : bytes(out.view()), parser(limits) {
    const resp::Parsed parsed = parser.next(bytes, words);
    BOOST_REQUIRE(parsed.outcome == resp::Outcome::kCommand && parsed.consumed == bytes.size());
  }
  std::span<const std::string_view> view() const { return words; }

  std::string bytes;
  resp::Limits limits;
  resp::Parser parser;
  resp::Arguments words;
};

OwnedArguments arguments(std::vector<std::string_view> words) { return OwnedArguments(words); }

Task command(std::vector<std::string_view> words) {
  Task task;
  task.reply_to = {3, 0, 77, 9};
  task.shard = 5;
  task.protocol = resp::Protocol::kResp3;
  task.timeout_ms = 1234;
  task.database = 7;
  task.spec = find_by_full_name(words[0]);
  task.arguments = arguments(std::move(words));
  return task;
}

std::unique_ptr<Task> decoded(uint64_t id, const Task& task) {
  resp::OutputBuffer out;
  encode_call(id, task, out);
  Result<std::unique_ptr<Task>> read = decode_call(Message(out).view());
  BOOST_REQUIRE(read.ok());
  return std::move(*read);
}

std::vector<std::string> strings(const OwnedArguments& arguments) {
  return {arguments.words().begin(), arguments.words().end()};
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_command_arrives_as_it_was_sent) {
  const std::string binary("\r\n\0x", 4);
  const auto task = decoded(41, command({"set", "key", binary}));
  BOOST_TEST(task->remote);
  BOOST_TEST(task->reply_to.place == 41u);
  BOOST_TEST(task->reply_to.client == 77u);
  BOOST_TEST(task->shard == 5u);
  BOOST_TEST((task->level == Level::kStrong));
  BOOST_TEST((task->protocol == resp::Protocol::kResp3));
  BOOST_TEST(task->timeout_ms == 1234);
  BOOST_TEST(task->database == 7);
  BOOST_TEST(task->spec == find_by_full_name("set"));
  BOOST_TEST(strings(task->arguments) == (std::vector<std::string>{"set", "key", binary}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(what_its_level_asks_for_goes_along) {
  Task task = command({"incr", "key"});
  task.once = std::make_unique<RequestId>(RequestId{"me", 12});
  task.after = "c0ffee";
  task.max_age_ms = 250;
  task.session = true;
  task.seen = 17;
  const auto read = decoded(1, task);
  BOOST_REQUIRE(read->once);
  BOOST_TEST(read->once->client == "me");
  BOOST_TEST(read->once->serial == 12u);
  BOOST_TEST(read->after == "c0ffee");
  BOOST_TEST(read->max_age_ms == 250);
  BOOST_TEST(read->session);
  BOOST_TEST(read->seen == 17u);
  BOOST_TEST(strings(read->arguments) == (std::vector<std::string>{"incr", "key"}), boost::test_tools::per_element());
  BOOST_TEST(!decoded(1, command({"incr", "key"}))->once);
}

BOOST_AUTO_TEST_CASE(a_transaction_arrives_with_its_watched_keys) {
  Task task = command({"exec"});
  task.transaction = std::make_unique<Transaction>();
  task.transaction->watched.push_back({2, "watched", 0xffffffffffffffffu});
  task.transaction->commands.push_back({find_by_full_name("set"), 1, arguments({"SET", "a", "1"})});
  task.transaction->commands.push_back({find_by_full_name("get"), 3, arguments({"get", "a"})});
  const auto read = decoded(1, task);
  BOOST_REQUIRE(read->transaction);
  BOOST_TEST(read->spec == find_by_full_name("exec"));
  BOOST_REQUIRE_EQUAL(read->transaction->watched.size(), 1u);
  BOOST_TEST(read->transaction->watched[0].name == "watched");
  BOOST_TEST(read->transaction->watched[0].digest == 0xffffffffffffffffu);
  BOOST_REQUIRE_EQUAL(read->transaction->commands.size(), 2u);
  BOOST_TEST(strings(read->transaction->commands[0].arguments) == (std::vector<std::string>{"SET", "a", "1"}),
             boost::test_tools::per_element());
  BOOST_TEST(read->transaction->commands[1].database == 3);
  // Its outcome finds its way back.
  read->transaction->reply_ends = {5, 12};
  resp::OutputBuffer out;
  encode_answer(*read, "+OK\r\n$1\r\n1\r\n", 8, 1000, out);
  const Message message(out);
  const Result<Answer> answer = decode_answer(message.view());
  BOOST_REQUIRE(answer.ok());
  BOOST_TEST(answer->id == 1u);
  BOOST_TEST(answer->weight == 8u);
  BOOST_TEST(answer->seen == 1000u);
  BOOST_REQUIRE(take_answer(*answer, task));
  BOOST_TEST(task.transaction->reply_ends == (std::vector<size_t>{5, 12}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(an_aborted_transaction_is_told_from_one_that_ran) {
  Task task = command({"exec"});
  task.transaction = std::make_unique<Transaction>();
  task.transaction->aborted = true;
  resp::OutputBuffer out;
  encode_answer(task, {}, 0, 0, out);
  const Message message(out);
  Task asked = command({"exec"});
  asked.transaction = std::make_unique<Transaction>();
  BOOST_REQUIRE(take_answer(decode_answer(message.view()).value(), asked));
  BOOST_TEST(asked.transaction->aborted);
}

BOOST_AUTO_TEST_CASE(watched_keys_come_back_with_their_digests) {
  Task task = command({"get", "x"});
  task.digests = std::make_unique<DigestRequest>();
  task.digests->keys.push_back({1, "a", 0});
  task.digests->keys.push_back({2, "b", 0});
  const auto read = decoded(3, task);
  BOOST_REQUIRE(read->digests && read->digests->keys.size() == 2);
  read->digests->keys[0].digest = 11;
  read->digests->keys[1].digest = 22;
  resp::OutputBuffer out;
  encode_answer(*read, {}, 0, 0, out);
  const Message message(out);
  BOOST_REQUIRE(take_answer(decode_answer(message.view()).value(), task));
  BOOST_TEST(task.digests->keys[1].digest == 22u);
}

BOOST_AUTO_TEST_CASE(how_many_hold_it_comes_back) {
  Task task = command({"wait", "1", "0"});
  task.holders = std::make_unique<HoldersRequest>(HoldersRequest{77, 0});
  const auto read = decoded(3, task);
  BOOST_REQUIRE(read->holders);
  BOOST_TEST(read->holders->index == 77u);
  read->holders->holders = 2;
  resp::OutputBuffer out;
  encode_answer(*read, {}, 0, 0, out);
  const Message message(out);
  BOOST_REQUIRE(take_answer(decode_answer(message.view()).value(), task));
  BOOST_TEST(task.holders->holders == 2u);
}

BOOST_AUTO_TEST_CASE(a_refusal_says_that_the_task_was_not_accepted) {
  resp::OutputBuffer out;
  encode_refusal(*decoded(99, command({"get", "x"})), out);
  const Message message(out);
  const Result<Answer> answer = decode_answer(message.view());
  BOOST_REQUIRE(answer.ok());
  BOOST_TEST(answer->refused);
  BOOST_TEST(answer->id == 99u);
}

BOOST_AUTO_TEST_CASE(what_is_malformed_is_refused) {
  using Words = std::vector<std::string_view>;
  const Words good = {"call", "1", "1", "2", "0", "STRONG", "2", "100", "command", "0", "get", "get", "k"};
  BOOST_TEST(decode_call(good).ok());
  for (size_t size = 0; size + 2 < good.size(); ++size)
    BOOST_TEST(!decode_call(Words(good.begin(), good.begin() + static_cast<long>(size))).ok());
  const auto with = [&good](size_t index, std::string_view word) {
    Words words = good;
    words[index] = word;
    return decode_call(words);
  };
  BOOST_TEST(!with(1, "2").ok());
  BOOST_TEST(!with(2, "x").ok());
  BOOST_TEST(!with(5, "WEAK").ok());
  BOOST_TEST(!with(6, "4").ok());
  BOOST_TEST(!with(9, "16").ok());  // reserved
  BOOST_TEST(!with(9, "256").ok());
  BOOST_TEST((with(10, "nosuchcommand").error().code == ErrorCode::kNotFound));
  BOOST_TEST(!with(10, "ping").ok());  // not of a shard
  BOOST_TEST(!decode_answer(Words{"answer", "1", "5"}).ok());
  BOOST_TEST(!decode_answer(Words{"answer", "1", "5", "perhaps"}).ok());
  BOOST_TEST(!decode_answer(Words{"answer", "1", "5", "done", "0", "0"}).ok());
}

BOOST_AUTO_TEST_CASE(an_answer_that_does_not_fit_its_task_is_refused) {
  using Words = std::vector<std::string_view>;
  Task task = command({"exec"});
  task.transaction = std::make_unique<Transaction>();
  task.transaction->commands.push_back({find_by_full_name("get"), 0, arguments({"get", "a"})});
  const auto fits = [&task](const Words& words) {
    task.transaction->reply_ends.clear();
    return take_answer(decode_answer(words).value(), task);
  };
  BOOST_TEST(fits({"answer", "1", "1", "done", "0", "0", "+OK\r\n", "5"}));
  BOOST_TEST(!fits({"answer", "1", "1", "done", "0", "0", "+OK\r\n", "6"}));
  BOOST_TEST(!fits({"answer", "1", "1", "done", "0", "0", "+OK\r\n"}));
  BOOST_TEST(!fits({"answer", "1", "1", "done", "0", "0", "+OK\r\n", "2", "5"}));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
