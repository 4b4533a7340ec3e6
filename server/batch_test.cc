#include "server/batch.h"

#include <boost/test/unit_test.hpp>
#include <thread>

BOOST_AUTO_TEST_SUITE(batch_test)

using namespace capstan;

namespace {

// Writes down what it receives.
struct Recorder {
  std::vector<std::string> seen;
  void command(const ForwardedCommand& command, std::span<const std::string_view> arguments) {
    std::string text = "command " + std::to_string(command.shard);
    for (const std::string_view argument : arguments) text.append(" ").append(argument);
    seen.push_back(text);
  }
  void reply(const ForwardedReply& reply, std::string_view bytes) {
    seen.push_back("reply " + std::to_string(reply.to.place) + " " + std::string(bytes));
  }
  void action(Action&) { seen.push_back("action"); }
};

ForwardedCommand for_shard(ShardId shard) {
  ForwardedCommand command;
  command.shard = shard;
  return command;
}

}  // namespace

BOOST_AUTO_TEST_CASE(everything_comes_out_in_the_order_it_went_in) {
  Batch batch;
  const std::vector<std::string_view> set = {"set", "k", ""};
  const std::vector<std::string_view> ping = {"ping"};
  for (int round = 0; round < 2; ++round) {
    batch.add_command(for_shard(3), set);
    batch.add_reply({.place = 7}, "+OK\r\n", 0);
    batch.add_action([](Worker&) {});
    batch.add_reply({.place = 8}, "", 0);
    batch.add_command(for_shard(4), ping);
    Recorder recorder;
    batch.visit(recorder);
    const std::vector<std::string> expected = {"command 3 set k ", "reply 7 +OK\r\n", "action", "reply 8 ",
                                               "command 4 ping"};
    BOOST_CHECK_EQUAL_COLLECTIONS(recorder.seen.begin(), recorder.seen.end(), expected.begin(), expected.end());
    batch.clear();
    BOOST_CHECK(batch.empty());
  }
}

BOOST_AUTO_TEST_CASE(a_full_queue_leaves_the_batch_with_the_caller) {
  BatchQueue queue;
  size_t pushed = 0;
  std::unique_ptr<Batch> batch = queue.fresh();
  while (queue.push(batch)) {
    ++pushed;
    batch = queue.fresh();
  }
  BOOST_REQUIRE(batch != nullptr);
  BOOST_CHECK_GT(pushed, 0u);
  queue.give_back(queue.pop());
  BOOST_CHECK(queue.push(batch));
  BOOST_CHECK(batch == nullptr);
}

BOOST_AUTO_TEST_CASE(two_threads_hand_over_everything_once_and_in_order) {
  const uint64_t kReplies = 200'000;
  BatchQueue queue;
  std::thread producer([&queue, kReplies] {
    std::unique_ptr<Batch> batch;
    for (uint64_t i = 0; i < kReplies;) {
      if (!batch) batch = queue.fresh();
      for (uint64_t end = std::min(i + 7, kReplies); i < end; ++i) batch->add_reply({.place = i}, "x", 0);
      queue.push(batch);  // full: the batch grows
    }
    while (batch && !queue.push(batch)) std::this_thread::yield();
  });
  struct Counter {
    uint64_t next = 0;
    bool ordered = true;
    void command(const ForwardedCommand&, std::span<const std::string_view>) {}
    void reply(const ForwardedReply& reply, std::string_view) { ordered &= reply.to.place == next++; }
    void action(Action&) {}
  } counter;
  while (counter.next < kReplies) {
    std::unique_ptr<Batch> batch = queue.pop();
    if (!batch) {
      std::this_thread::yield();
      continue;
    }
    batch->visit(counter);
    queue.give_back(std::move(batch));
  }
  producer.join();
  BOOST_CHECK(counter.ordered);
  BOOST_CHECK_EQUAL(counter.next, kReplies);
}

BOOST_AUTO_TEST_SUITE_END()
