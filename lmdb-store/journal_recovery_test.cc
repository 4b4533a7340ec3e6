#include "lmdb-store/journal_recovery.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>

#include "lmdb-store/journal_testing.h"

namespace capstan::lmdb_store {
namespace {

using Strings = std::vector<std::string>;

// "<from>", "<from + 1>", … "<to - 1>"
Strings numbers(int from, int to) {
  Strings all;
  for (int i = from; i < to; ++i) all.push_back(std::to_string(i));
  return all;
}

// Each number as an entry and a frame of its own, synced.
void put_synced(TestNode& node, int from, int to, size_t padding = 0) {
  for (int i = from; i < to; ++i) {
    BOOST_REQUIRE(node.put(std::to_string(i) + std::string(padding, ' ')).ok());
    BOOST_REQUIRE(node.journal().write().ok());
  }
  BOOST_REQUIRE(node.journal().sync().ok());
}

bool is_prefix(const Strings& prefix, const Strings& of) {
  return prefix.size() <= of.size() && std::equal(prefix.begin(), prefix.end(), of.begin());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(journal_recovery_test)

BOOST_AUTO_TEST_CASE(a_torn_last_frame_is_cut_off_wherever_it_is_torn) {
  for (uint64_t torn = 0; torn < 64; ++torn) {
    TestNode node;
    BOOST_REQUIRE(node.start().ok());
    put_synced(node, 0, 3);
    const uint64_t begin = offset_of(node.journal().written());
    BOOST_REQUIRE(node.put("the last one, 24 bytes..").ok());
    const uint64_t end = offset_of(node.journal().write().value());
    if (begin + torn >= end) break;
    node.stop();
    // What the tail of the frame was before it was written: zero fill.
    node.files.overwrite(node.segment(1), begin + torn, std::string(end - begin - torn, '\0'));
    BOOST_REQUIRE(node.recover().ok());
    BOOST_TEST(node.payloads() == numbers(0, 3), boost::test_tools::per_element());
    // With not even its tag there, not even that something was cut can be seen.
    BOOST_TEST(node.recovery.cut == (torn >= 16));
    BOOST_REQUIRE(node.recover().ok());
    BOOST_TEST(node.payloads() == numbers(0, 3), boost::test_tools::per_element());
    BOOST_TEST(!node.recovery.cut);
  }
}

BOOST_AUTO_TEST_CASE(a_flipped_bit_before_what_was_synced_stops_the_recovery_and_truncation_cuts_there) {
  TestNode original;
  BOOST_REQUIRE(original.start().ok());
  put_synced(original, 0, 4);
  put_synced(original, 4, 5);  // this frame says that the four before it are synced
  const uint64_t end = offset_of(original.journal().written());
  const std::string path = original.segment(1);
  const std::string content = original.files.content(path);
  const uint64_t last = end - align_frame(kFrameHeaderBytes + kEntryHeaderBytes + 1);
  for (uint64_t offset = 0; offset < last; offset += offset < kSegmentHeaderBytes ? 61 : 1) {
    TestNode node;
    BOOST_REQUIRE(node.start().ok());
    put_synced(node, 0, 5);
    put_synced(node, 5, 6);
    node.stop();
    node.files.flip_bit(path, offset, offset % 8);
    const Result<> stopped = node.recover();
    BOOST_REQUIRE(!stopped.ok());
    BOOST_TEST((stopped.error().code == ErrorCode::kCorrupt));
    BOOST_TEST(stopped.error().message.find(path) != std::string::npos);
    BOOST_TEST(stopped.error().message.find("--journal-damage truncate") != std::string::npos);
    BOOST_TEST(!node.recover().ok(), "looking at damage does not mend it");

    BOOST_REQUIRE(node.recover(JournalDamage::kTruncate).ok());
    BOOST_TEST(node.recovery.cut);
    BOOST_TEST(!node.recovery.notes.empty());
    const Strings left = node.payloads();
    BOOST_TEST(is_prefix(left, numbers(0, 5)));
    BOOST_REQUIRE_MESSAGE(node.recover().ok(), "after truncation it is whole again");
    BOOST_TEST(node.payloads() == left, boost::test_tools::per_element());
    BOOST_TEST(!node.recovery.cut);
  }
}

BOOST_AUTO_TEST_CASE(once_recovered_everything_counts_as_synced) {
  TestNode node;
  BOOST_REQUIRE(node.start().ok());
  BOOST_REQUIRE(node.put("never synced").ok());
  BOOST_REQUIRE(node.journal().write().ok());
  node.stop();
  BOOST_REQUIRE(node.start().ok());
  BOOST_TEST(node.payloads() == Strings{"never synced"}, boost::test_tools::per_element());
  node.stop();
  node.files.lose_power();
  BOOST_REQUIRE(node.recover().ok());
  BOOST_TEST(node.payloads() == Strings{"never synced"}, boost::test_tools::per_element());
  node.files.flip_bit(node.segment(1), kSegmentHeaderBytes + kFrameHeaderBytes, 0);
  BOOST_TEST(!node.recover().ok());
}

BOOST_AUTO_TEST_CASE(a_lost_frame_hides_the_unsynced_ones_behind_it_for_good) {
  TestNode node;
  BOOST_REQUIRE(node.start().ok());
  put_synced(node, 0, 1);
  const uint64_t lost = offset_of(node.journal().written());
  for (const char* payload : {"1", "2", "3"}) {
    BOOST_REQUIRE(node.put(payload).ok());
    BOOST_REQUIRE(node.journal().write().ok());
  }
  node.stop();
  const std::string zeros(align_frame(kFrameHeaderBytes + kEntryHeaderBytes + 1), '\0');
  node.files.overwrite(node.segment(1), lost, zeros);
  for (int i = 0; i < 3; ++i) {
    BOOST_REQUIRE(node.recover().ok());
    BOOST_TEST(node.payloads() == Strings{"0"}, boost::test_tools::per_element());
    BOOST_TEST(node.recovery.cut == (i == 0));
  }
}

BOOST_AUTO_TEST_CASE(a_missing_segment_is_damage) {
  TestNode node;
  BOOST_REQUIRE(node.start().ok());
  put_synced(node, 0, 40, 400);
  node.stop();
  BOOST_REQUIRE(node.files.exists(node.segment(3)));
  BOOST_REQUIRE(node.files.unlink(node.segment(3)).ok());
  BOOST_TEST(!node.recover().ok());
  BOOST_REQUIRE(node.recover(JournalDamage::kTruncate).ok());
  const Strings left = node.payloads();
  BOOST_TEST((left.size() > 10 && left.size() < 40));
  BOOST_REQUIRE(node.recover().ok());
  BOOST_TEST(node.payloads() == left, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(truncation_drops_later_starts_because_they_build_on_what_is_lost) {
  TestNode node;
  BOOST_REQUIRE(node.start().ok());
  put_synced(node, 0, 3);
  node.stop();
  BOOST_REQUIRE(node.start().ok());
  put_synced(node, 3, 6);
  node.stop();
  node.files.flip_bit(node.segment(1), kSegmentHeaderBytes + 40, 3);
  BOOST_TEST(!node.recover().ok());
  BOOST_REQUIRE(node.recover(JournalDamage::kTruncate).ok());
  const Strings left = node.payloads();
  BOOST_TEST(is_prefix(left, numbers(0, 3)));
  BOOST_TEST(left.size() < 3);
  BOOST_TEST(node.recovery.notes.size() >= 2);
}

BOOST_AUTO_TEST_CASE(an_unfinished_large_entry_at_the_end_is_as_if_it_had_never_been) {
  TestNode node;
  BOOST_REQUIRE(node.start().ok());
  put_synced(node, 0, 2);
  BOOST_REQUIRE(node.put(std::string(3000, 'x')).ok());
  const uint64_t end = offset_of(node.journal().write().value());
  node.stop();
  node.files.overwrite(node.segment(1), end - 8, std::string(8, '\1'));
  for (int i = 0; i < 3; ++i) {
    BOOST_REQUIRE(node.start().ok());
    BOOST_TEST(node.payloads() == numbers(0, 2 + i), boost::test_tools::per_element());
    put_synced(node, 2 + i, 3 + i);
    node.stop();
  }
}

BOOST_AUTO_TEST_CASE(a_crash_while_a_journal_of_nothing_but_an_unfinished_entry_is_dropped_leaves_no_damage) {
  for (uint64_t k = 0;; ++k) {
    BOOST_TEST_CONTEXT("operation " << k) {
      TestNode node(k);
      BOOST_REQUIRE(node.start().ok());
      BOOST_REQUIRE(node.put(std::string(20000, 'x')).ok());  // over several segments
      const Position end = node.journal().write().value();
      node.stop();
      BOOST_REQUIRE(segment_of(end) > 2);
      node.files.overwrite(node.segment(segment_of(end)), offset_of(end) - 8, std::string(8, '\1'));
      node.files.crash_at(node.files.operations() + k);
      const bool whole = node.recover().ok();
      node.files.restart();
      const Result<> recovered = node.recover();
      BOOST_REQUIRE_MESSAGE(recovered.ok(), (recovered.ok() ? "" : recovered.error().message));
      BOOST_TEST(node.payloads().empty());
      if (whole) break;
    }
  }
}

BOOST_AUTO_TEST_CASE(the_number_of_workers_may_change_between_starts) {
  TestNode node;
  int next = 0;
  for (const uint32_t workers : {3u, 1u, 4u, 2u, 1u}) {
    node.workers = workers;
    BOOST_REQUIRE(node.start().ok());
    for (ShardId shard = 0; shard < 4; ++shard) {
      int last = -1;
      int seen = 0;
      for (const TestEntry& entry : node.recovered) {
        if (entry.shard != shard) continue;
        BOOST_TEST(std::stoi(entry.payload) > last);
        last = std::stoi(entry.payload);
        ++seen;
      }
      BOOST_TEST(seen == next / 4);
    }
    for (int i = 0; i < 100; ++i, ++next) {
      const auto shard = static_cast<ShardId>(next % 4);
      BOOST_REQUIRE(node.put(std::to_string(next), shard, 1, shard % workers).ok());
    }
    for (uint32_t worker = 0; worker < workers; ++worker) BOOST_REQUIRE(node.journal(worker).write().ok());
    node.stop();
  }
  // One worker now; the directories of the others go with their last entries.
  BOOST_REQUIRE(node.start().ok());
  BOOST_TEST(node.files.exists(journal_directory(TestNode::kDirectory, 3)));
  BOOST_TEST(node.recovery.old->bytes_in_use() > 0);
  for (ShardId shard = 0; shard < 4; ++shard) node.journal().release(shard, node.journal().end());
  BOOST_TEST(node.recovery.old->bytes_in_use() == 0);
  for (uint32_t worker = 1; worker < 4; ++worker) {
    BOOST_TEST(!node.files.exists(journal_directory(TestNode::kDirectory, worker)));
  }
}

BOOST_AUTO_TEST_CASE(starts_that_write_nothing_leave_nothing) {
  TestNode node;
  uint64_t used = 0;
  for (int i = 0; i < 5; ++i) {
    BOOST_REQUIRE(node.start().ok());
    if (i == 0) used = node.files.used_bytes();
    BOOST_TEST(node.files.used_bytes() == used);
    BOOST_TEST(node.recovery.old->bytes_in_use() == 0);
    node.stop();
  }
}

BOOST_AUTO_TEST_CASE(an_error_of_the_callback_ends_the_recovery) {
  TestNode node;
  BOOST_REQUIRE(node.start().ok());
  put_synced(node, 0, 3);
  node.stop();
  int calls = 0;
  auto result = recover_journals(node.files, TestNode::kDirectory, {}, [&](const JournalEntry&) -> Result<> {
    if (++calls == 2) return Error{ErrorCode::kInvalid, "an unknown type"};
    return {};
  });
  BOOST_REQUIRE(!result.ok());
  BOOST_TEST(result.error().message == "an unknown type");
  BOOST_TEST(calls == 2);
}

// A short life with segment ends, large entries, releases and recycling, told twice: once to count its operations, then
// once for each of them with a crash there, with and without the power lost, and a crash at each operation of the
// recovery after it.
namespace {

struct Story {
  explicit Story(uint64_t seed) : node(seed) {
    node.options.prepared_segments = 1;
    node.options.spare_segments = 1;
  }
  // Plays until the end or the crash.
  void play() {
    if (!node.start()) return;
    for (int i = 0; i < 60; ++i) {
      const std::string payload = std::to_string(i) + std::string(i % 7 == 0 ? 1500 : 300, ' ');
      const auto position = node.put(payload);
      if (!position) return;
      appended.push_back(payload);
      if (!node.journal().write()) return;
      written = appended.size();
      if (i % 3 != 0) continue;
      if (!node.journal().sync()) return;
      synced = appended.size();
      if (i % 12 != 9) continue;
      released = appended.size();
      node.journal().release(0, node.journal().end());
    }
  }
  // Whatever is back is a piece of what was appended that begins with nothing but released entries before it and ends
  // not before the last one that had to survive.
  void expect_all_but_the_tail(size_t at_least) const {
    const Strings back = node.payloads();
    const auto first = back.empty() ? appended.end() : std::find(appended.begin(), appended.end(), back.front());
    const auto skipped = static_cast<size_t>(first - appended.begin());
    if (back.empty()) {
      BOOST_REQUIRE(at_least <= released);
      return;
    }
    BOOST_REQUIRE(first != appended.end());
    BOOST_REQUIRE(skipped <= released);
    BOOST_REQUIRE(skipped + back.size() <= appended.size());
    BOOST_REQUIRE(std::equal(back.begin(), back.end(), first));
    BOOST_REQUIRE(skipped + back.size() >= at_least);
  }

  TestNode node;
  Strings appended;
  size_t written = 0;
  size_t synced = 0;
  size_t released = 0;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_crash_at_any_operation_loses_nothing_that_was_synced) {
  Story whole(1);
  whole.play();
  const uint64_t operations = whole.node.files.operations();
  BOOST_REQUIRE(whole.appended.size() == 60);
  for (uint64_t k = 0; k <= operations; ++k) {
    for (const bool power : {false, true}) {
      BOOST_TEST_CONTEXT("operation " << k << " power " << power) {
        Story story(k * 2 + power);
        story.node.files.crash_at(k);
        story.play();
        story.node.stop();
        power ? story.node.files.lose_power() : story.node.files.restart();
        const Result<> recovered = story.node.start();
        BOOST_REQUIRE_MESSAGE(recovered.ok(), (recovered.ok() ? "" : recovered.error().message));
        story.expect_all_but_the_tail(power ? story.synced : story.written);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_crash_at_any_operation_of_the_recovery_does_no_harm) {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    for (uint64_t k = 0;; ++k) {
      BOOST_TEST_CONTEXT("seed " << seed << " operation " << k) {
        Story story(seed);
        story.node.files.crash_at(30 + seed * 13);
        story.play();
        story.node.stop();
        story.node.files.lose_power();
        story.node.files.crash_at(story.node.files.operations() + k);
        const bool whole = story.node.start().ok();
        story.node.stop();
        seed % 2 == 0 ? story.node.files.lose_power() : story.node.files.restart();
        const Result<> recovered = story.node.start();
        BOOST_REQUIRE_MESSAGE(recovered.ok(), (recovered.ok() ? "" : recovered.error().message));
        story.expect_all_but_the_tail(story.synced);
        if (whole) break;
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_power_loss_soon_after_a_crash_of_the_process_does_no_harm) {
  Story whole(1);
  whole.play();
  const uint64_t operations = whole.node.files.operations();
  for (uint64_t k = 0; k < operations; k += 2) {
    for (uint64_t after = 0; after < 16; ++after) {
      BOOST_TEST_CONTEXT("operation " << k << " and " << after << " later") {
        Story story(k * 16 + after);
        story.node.files.crash_at(k);
        story.play();
        story.node.stop();
        story.node.files.restart();
        story.node.files.crash_at(story.node.files.operations() + after);
        (void)story.node.start().ok();
        story.node.stop();
        story.node.files.lose_power();
        const Result<> recovered = story.node.start();
        BOOST_REQUIRE_MESSAGE(recovered.ok(), (recovered.ok() ? "" : recovered.error().message));
        story.expect_all_but_the_tail(story.synced);
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::lmdb_store
