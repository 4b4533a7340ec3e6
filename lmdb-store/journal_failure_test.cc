// What the journal does when the disk is full or refuses.
#include <boost/test/unit_test.hpp>

#include "lmdb-store/journal_testing.h"

namespace capstan::lmdb_store {

BOOST_AUTO_TEST_SUITE(journal_failure_test)

BOOST_AUTO_TEST_CASE(a_failed_sync_is_terminal_and_never_tried_again) {
  for (const bool on_the_thread : {false, true}) {
    TestNode node;
    BOOST_REQUIRE(node.start().ok());
    const Position start = node.journal().synced();
    BOOST_REQUIRE(node.put("x").ok());
    BOOST_REQUIRE(node.journal().write().ok());
    node.files.fail_datasync(0);
    const uint64_t syncs = node.files.datasyncs();
    if (on_the_thread) {
      node.journal().request_sync();
    } else {
      BOOST_TEST(!node.journal().sync().ok());
    }
    BOOST_TEST(node.journal().failed());
    BOOST_TEST(node.journal().failure().message == "the disk refused a sync");
    BOOST_TEST(!node.journal().sync().ok());
    BOOST_TEST(!node.put("y").ok());
    BOOST_TEST(!node.journal().write().ok());
    node.journal().request_sync();
    BOOST_TEST(node.files.datasyncs() == syncs + 1);
    BOOST_TEST(node.journal().synced() == start);
  }
}

BOOST_AUTO_TEST_CASE(a_failed_write_is_terminal_and_never_tried_again) {
  TestNode node;
  BOOST_REQUIRE(node.start().ok());
  BOOST_REQUIRE(node.put("kept").ok());
  BOOST_REQUIRE(node.journal().write().ok());
  BOOST_REQUIRE(node.journal().sync().ok());
  BOOST_REQUIRE(node.put("x").ok());
  node.files.fail_pwrite(0);
  BOOST_TEST(!node.journal().write().ok());
  const uint64_t writes = node.files.pwrites();
  BOOST_TEST(!node.journal().write().ok());
  BOOST_TEST(!node.journal().sync().ok());
  BOOST_TEST(!node.put("y").ok());
  BOOST_TEST(node.files.pwrites() == writes);
  node.stop();
  node.files.lose_power();
  BOOST_REQUIRE(node.start().ok());
  BOOST_REQUIRE(!node.recovered.empty());
  BOOST_TEST(node.recovered[0].payload == "kept");
}

BOOST_AUTO_TEST_CASE(on_a_full_disk_append_refuses_what_does_not_fit_and_everything_accepted_is_written) {
  TestNode node;
  BOOST_REQUIRE(node.start().ok());
  node.files.set_capacity(node.files.used_bytes());
  std::vector<std::string> accepted;
  const std::string payload(200, 'p');
  for (;;) {
    const bool certain = node.journal().room() >= node.journal().entry_cost(payload.size());
    const auto appended = node.put(payload);
    BOOST_REQUIRE_MESSAGE(appended.ok() || !certain, "room() promised what there is not");
    if (!appended.ok()) {
      BOOST_TEST((appended.error().code == ErrorCode::kFull));
      break;
    }
    accepted.push_back(payload);
  }
  BOOST_TEST(node.journal().full());
  BOOST_TEST(!node.journal().failed());
  BOOST_TEST(accepted.size() > 45);
  const Position end = node.journal().end();
  BOOST_TEST(!node.put(std::string(5000, 'q')).ok());
  BOOST_TEST(node.journal().end() == end, "a refused entry leaves the batch as it was");
  BOOST_REQUIRE(node.journal().write().ok());
  BOOST_REQUIRE(node.journal().sync().ok());
  node.stop();
  node.files.lose_power();
  BOOST_REQUIRE(node.recover().ok());
  BOOST_TEST((node.payloads() == accepted));
}

BOOST_AUTO_TEST_CASE(when_space_returns_the_journal_goes_on) {
  TestNode node;
  BOOST_REQUIRE(node.start().ok());
  node.files.set_capacity(node.files.used_bytes());
  while (node.put(std::string(300, 'p'))) {
  }
  BOOST_TEST(node.journal().full());
  node.files.set_capacity(UINT64_MAX);
  BOOST_TEST(node.put(std::string(300, 'p')).ok());
  BOOST_TEST(!node.journal().full());
  BOOST_TEST(node.journal().write().ok());
}

BOOST_AUTO_TEST_CASE(released_segments_are_room_again_on_a_full_disk) {
  TestNode node;
  BOOST_REQUIRE(node.start().ok());
  node.files.set_capacity(node.files.used_bytes());
  for (int round = 0; round < 10; ++round) {
    while (node.put(std::string(300, 'p'))) {
    }
    BOOST_REQUIRE(node.journal().write().ok());
    BOOST_REQUIRE(node.journal().sync().ok());
    BOOST_TEST(node.journal().full());
    node.journal().release(0, node.journal().end());
    BOOST_TEST(!node.journal().full());
    BOOST_TEST(node.put("goes on").ok());
  }
}

BOOST_AUTO_TEST_CASE(a_node_starts_on_a_full_disk_and_takes_writes_when_there_is_space) {
  TestNode node;
  BOOST_REQUIRE(node.start().ok());
  node.files.set_capacity(node.files.used_bytes());
  size_t written = 0;
  for (; node.put(std::string(300, 'p')); ++written) {
  }
  BOOST_REQUIRE(node.journal().write().ok());
  node.stop();
  BOOST_REQUIRE(node.start().ok());
  BOOST_TEST(node.recovered.size() == written);
  BOOST_TEST(node.journal().room() == 0);
  BOOST_TEST(node.journal().full());
  BOOST_TEST((node.put("refused").error().code == ErrorCode::kFull));
  BOOST_TEST(node.journal().write().ok(), "there is nothing to write");
  BOOST_TEST(node.journal().sync().ok());
  node.journal().release(0, node.journal().end());
  BOOST_TEST(node.recovery.old->bytes_in_use() == 0);
  BOOST_TEST(node.put("taken").ok());
  BOOST_TEST(node.journal().write().ok());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::lmdb_store
