#include "lmdb-store/journal.h"

#include <algorithm>
#include <atomic>
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <filesystem>

#include "lmdb-store/journal_testing.h"

namespace capstan::lmdb_store {

BOOST_AUTO_TEST_SUITE(journal_test)

using Strings = std::vector<std::string>;

BOOST_AUTO_TEST_CASE(what_was_written_and_synced_comes_back_in_order) {
  TestNode node;
  BOOST_REQUIRE(node.start().ok());
  BOOST_TEST(node.recovered.empty());
  const Position first = node.put("one", 3, 7).value();
  const Position second = node.put("", 0, 255).value();
  BOOST_TEST(first < second);
  BOOST_TEST(node.journal().write().ok());
  BOOST_TEST(node.journal().sync().ok());
  BOOST_TEST(node.journal().synced() == node.journal().written());
  node.stop();
  node.files.lose_power();
  BOOST_REQUIRE(node.recover().ok());
  BOOST_TEST((node.recovered == std::vector<TestEntry>{{7, 3, first, "one"}, {255, 0, second, ""}}));
}

BOOST_AUTO_TEST_CASE(entries_of_every_size_come_back) {
  TestNode node;
  BOOST_REQUIRE(node.start().ok());
  std::vector<TestEntry> expected;
  for (size_t size = 0; size < 1500; ++size) {
    const std::string payload(size, static_cast<char>('a' + size % 26));
    const Position position = node.put(payload, static_cast<ShardId>(size % 5)).value();
    expected.push_back({1, static_cast<ShardId>(size % 5), position, payload});
    if (size % 7 == 0) BOOST_REQUIRE(node.journal().write().ok());
  }
  BOOST_REQUIRE(node.journal().write().ok());
  node.stop();
  BOOST_REQUIRE(node.recover().ok());
  BOOST_TEST(node.recovered.size() == expected.size());
  BOOST_TEST((node.recovered == expected));
  BOOST_TEST(!node.recovery.cut);
}

BOOST_AUTO_TEST_CASE(records_are_encoded_in_place_and_may_be_dropped) {
  TestNode node;
  BOOST_REQUIRE(node.start().ok());
  Encoder(node.journal().begin_entry(9, 2)).bytes("in place");
  BOOST_REQUIRE(node.journal().end_entry().ok());
  Encoder(node.journal().begin_entry(9, 2)).bytes("thought better of");
  node.journal().drop_entry();
  BOOST_REQUIRE(node.put("after").ok());
  BOOST_REQUIRE(node.journal().write().ok());
  node.stop();
  BOOST_REQUIRE(node.recover().ok());
  BOOST_TEST(node.payloads() == (Strings{"\x08in place", "after"}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_batch_costs_one_write_and_an_empty_one_none) {
  TestNode node;
  BOOST_REQUIRE(node.start().ok());
  const uint64_t writes = node.files.pwrites();
  for (int i = 0; i < 100; ++i) BOOST_REQUIRE(node.put("0123456789").ok());
  BOOST_REQUIRE(node.journal().write().ok());
  BOOST_TEST(node.files.pwrites() == writes + 1);
  BOOST_REQUIRE(node.journal().write().ok());
  BOOST_TEST(node.files.pwrites() == writes + 1);
  const uint64_t syncs = node.files.datasyncs();
  BOOST_REQUIRE(node.journal().sync().ok());
  BOOST_REQUIRE(node.journal().sync().ok());
  BOOST_TEST(node.files.datasyncs() == syncs + 1);
}

BOOST_AUTO_TEST_CASE(released_segments_are_used_again_and_the_disk_does_not_fill) {
  TestNode node;
  BOOST_REQUIRE(node.start().ok());
  uint64_t most = 0;
  for (int i = 0; i < 1000; ++i) {
    BOOST_REQUIRE(node.put(std::string(500, 'x')).ok());
    BOOST_REQUIRE(node.journal().write().ok());
    node.journal().release(0, node.journal().end());
    most = std::max(most, node.files.used_bytes());
    BOOST_REQUIRE(node.journal().bytes_in_use() == node.options.segment_bytes);
  }
  BOOST_TEST(most <= 5 * node.options.segment_bytes);
}

BOOST_AUTO_TEST_CASE(a_shard_with_an_entry_left_keeps_its_segment_and_one_without_keeps_none) {
  TestNode node;
  BOOST_REQUIRE(node.start().ok());
  const Position idle = node.put("of a shard that then falls silent", 1).value();
  for (int i = 0; i < 100; ++i) {
    BOOST_REQUIRE(node.put(std::string(500, 'x'), 0).ok());
    BOOST_REQUIRE(node.journal().write().ok());
  }
  node.journal().release(0, node.journal().end());
  const uint64_t pinned = node.journal().bytes_in_use();
  BOOST_TEST(pinned > 10 * node.options.segment_bytes);
  node.journal().release(1, idle);
  BOOST_TEST(node.journal().bytes_in_use() == pinned, "the entry at the position itself is not released");
  node.journal().release(1, idle + 1);
  BOOST_TEST(node.journal().bytes_in_use() == node.options.segment_bytes);
}

// In a recycled segment the old frames lie exactly where the new ones end, valid but for whose they are.
BOOST_AUTO_TEST_CASE(stale_frames_of_a_recycled_segment_never_pass) {
  TestNode node;
  node.options.prepared_segments = 1;
  BOOST_REQUIRE(node.start().ok());
  const auto fill = [&](char c, int count) {
    for (int i = 0; i < count; ++i) {
      BOOST_REQUIRE(node.put(std::string(400, c)).ok());
      BOOST_REQUIRE(node.journal().write().ok());
    }
  };
  fill('a', 50);
  BOOST_REQUIRE(node.journal().sync().ok());
  node.journal().release(0, node.journal().end());
  const Position kept = node.journal().end();
  fill('b', 20);
  const auto current = segment_of(node.journal().written());
  BOOST_REQUIRE(node.files.content(node.segment(current)).find("aaaa") != std::string::npos);
  node.stop();
  BOOST_REQUIRE(node.recover().ok());
  int seen = 0;
  for (const TestEntry& entry : node.recovered) {
    if (entry.position < kept) continue;  // released, not yet recycled
    BOOST_TEST(entry.payload == std::string(400, 'b'));
    ++seen;
  }
  BOOST_TEST(seen == 20);
  BOOST_TEST(!node.recovery.cut, "old frames are no torn tail");
}

BOOST_AUTO_TEST_CASE(spares_are_deleted_when_others_lack_the_space) {
  TestNode node;
  BOOST_REQUIRE(node.start().ok());
  const auto fill = [&node](int entries) {
    for (int i = 0; i < entries; ++i) {
      BOOST_REQUIRE(node.put(std::string(400, 'x')).ok());
      BOOST_REQUIRE(node.journal().write().ok());
    }
  };
  const auto spares = [&node] {
    const std::vector<std::string> paths = node.files.paths();
    return std::count_if(paths.begin(), paths.end(), [](const std::string& p) { return p.ends_with(".spare"); });
  };
  fill(100);
  node.journal().release(0, node.journal().end());
  BOOST_TEST(spares() > 0);
  node.journal().drop_spares();
  BOOST_TEST(spares() == 0);
  fill(100);
  BOOST_TEST(!node.journal().failed());
}

// On the real file system, with the journal's threads and entries larger than a segment.
BOOST_AUTO_TEST_CASE(a_64_mib_entry_is_split_and_comes_back_whole) {
  char directory[] = "/tmp/capstan-journal-test-XXXXXX";
  BOOST_REQUIRE(::mkdtemp(directory) != nullptr);
  JournalOptions options;
  options.segment_bytes = 16u << 20;
  std::atomic<int> events{0};
  options.on_event = [&] { events.fetch_add(1), events.notify_all(); };
  Random random(7);
  std::string large(64u << 20, '\0');
  for (size_t i = 0; i < large.size(); i += 8) store_le(large.data() + i, random.next());
  const Strings expected = {"small", large, std::string(kMaxFrameBytes, 'x'), std::string(kMaxFrameBytes - 32, 'y'),
                            "last"};
  auto nothing = recover_journals(posix_file_system(), directory, {}, [](const JournalEntry&) { return Result<>(); });
  BOOST_REQUIRE(nothing.ok());
  {
    auto journal = Journal::open(posix_file_system(), directory, 0, options, *nothing);
    BOOST_REQUIRE(journal.ok());
    for (const std::string& payload : expected) BOOST_REQUIRE((*journal)->append(1, 0, payload).ok());
    const Position written = (*journal)->write().value();
    (*journal)->request_sync();
    for (int seen = 0; (*journal)->synced() < written; seen = events.load()) events.wait(seen);
    BOOST_TEST(!(*journal)->failed());
    BOOST_TEST((*journal)->last_sync_ns() > 0);
  }
  Strings back;
  auto recovery = recover_journals(posix_file_system(), directory, {}, [&](const JournalEntry& entry) {
    back.emplace_back(entry.payload);
    return Result<>();
  });
  BOOST_TEST(recovery.ok());
  BOOST_TEST((back == expected));
  std::filesystem::remove_all(directory);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::lmdb_store
