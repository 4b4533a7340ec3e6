#include "server/shard.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <initializer_list>
#include <map>
#include <thread>

#include "lmdb-store/journal_testing.h"
#include "lmdb-store/store_testing.h"
#include "resp/writer.h"

namespace capstan {

BOOST_AUTO_TEST_SUITE(shard_test)

namespace {

// One worker's shards: their environments on the disk, the journal on a file system that can break.
struct World {
  explicit World(ShardId number_of_shards) : count(number_of_shards) {
    BOOST_REQUIRE(files.make_directory(kData).ok());
    start();
  }
  ~World() { stop(); }

  // Recovers what is there and serves.
  void start() {
    pool = std::make_unique<lmdb_store::ReadPool>(1);
    flush_thread = std::make_unique<lmdb_store::FlushThread>();
    for (ShardId id = 0; id < count; ++id) {
      auto opened =
          Shard::open(id, directory.path + '/' + std::to_string(id), {*pool, *flush_thread, completions}, options);
      BOOST_REQUIRE_MESSAGE(opened.ok(), (opened.ok() ? "" : opened.error().message));
      shards.push_back(std::move(*opened));
    }
    const auto replay = [this](const lmdb_store::JournalEntry& entry) {
      return shards.at(entry.shard)->replay(entry.type, entry.position, entry.payload);
    };
    lmdb_store::RecoveryOptions recovery_options;
    for (const auto& shard : shards) {
      recovery_options.contained = std::max(recovery_options.contained, shard->flushed_position());
    }
    auto recovery = lmdb_store::recover_journals(files, kData, recovery_options, replay);
    BOOST_REQUIRE_MESSAGE(recovery.ok(), (recovery.ok() ? "" : recovery.error().message));
    auto opened = lmdb_store::Journal::open(files, kData, 0, journal_options, *recovery);
    BOOST_REQUIRE(opened.ok());
    journal = std::move(*opened);
    for (const auto& shard : shards) BOOST_REQUIRE(shard->start(*journal, recovery->cut).ok());
    turn();
    settle();
  }
  // The process ends, as with kill -9.
  void stop() {
    flush_thread.reset();
    pool.reset();
    completions.drain();
    shards.clear();
    journal.reset();
  }
  void restart() {
    stop();
    files.restart();
    start();
  }
  // The system crashes.
  void lose_power() {
    stop();
    files.lose_power();
    boot_again();
    start();
  }
  void boot_again() { options.boot += '+'; }
  void stop_cleanly() {
    for (const auto& shard : shards) BOOST_REQUIRE(shard->close(true).ok());
    stop();
  }
  LogId log(ShardId shard = 0) { return shards[shard]->keyspace().agreed_log().id; }

  // The reply to a command.
  std::string call(ShardId shard, std::initializer_list<std::string_view> words) {
    const std::vector<std::string_view> args(words);
    resp::OutputBuffer out;
    resp::Writer writer(out, resp::Protocol::kResp2);
    Call call;
    call.spec = find_command(args[0]);
    call.args = args;
    call.now_ms = now_ms;
    call.writer = &writer;
    BOOST_REQUIRE(shards[shard]->run(*call.spec, call, Level::kStrong) == Outcome::kDone);
    return std::string(out.view());
  }
  // The end of a loop's turn.
  void turn() {
    completions.drain();
    BOOST_REQUIRE(journal->write().ok());
    for (const auto& shard : shards) shard->turn(now_ms);
  }
  // No flush is under way.
  void settle() {
    turn_until([this] {
      return std::none_of(shards.begin(), shards.end(), [](const auto& s) { return s->keyspace().flushing(); });
    });
  }
  // All shards flush what is dirty, and what they released is gone.
  void idle() {
    now_ms += 60'000;
    turn();
    settle();
  }
  template <typename Condition>
  void turn_until(Condition condition) {
    for (; !condition(); std::this_thread::yield()) turn();
  }

  static constexpr const char* kData = "data";
  static lmdb_store::JournalOptions small_segments() {
    lmdb_store::JournalOptions options;
    options.segment_bytes = 256 << 10;
    options.background = false;
    return options;
  }

  const ShardId count;
  lmdb_store::TemporaryDirectory directory;
  lmdb_store::FaultFileSystem files{1};
  lmdb_store::JournalOptions journal_options = small_segments();
  Shard::Options options{.boot = "boot"};
  int64_t now_ms = 1'700'000'000'000;
  std::unique_ptr<lmdb_store::ReadPool> pool;
  std::unique_ptr<lmdb_store::FlushThread> flush_thread;
  lmdb_store::Completions completions{[] {}};
  std::unique_ptr<lmdb_store::Journal> journal;
  std::vector<std::unique_ptr<Shard>> shards;
};

constexpr std::string_view kOk = "+OK\r\n";

}  // namespace

BOOST_AUTO_TEST_CASE(a_checkpoint_asked_for_during_a_flush_ends_with_it_when_nothing_was_changed_meanwhile) {
  World world(2);
  BOOST_TEST(world.call(0, {"SET", "a", "1"}) == kOk);
  int ended = 0;
  const auto count = [&ended](const Result<>& result) { ended += result.ok(); };
  world.shards[0]->checkpoint(count);
  world.turn();
  // The journal is the worker's: another shard's entries are no reason to flush this one again.
  BOOST_TEST(world.call(1, {"SET", "b", "1"}) == kOk);
  world.shards[0]->checkpoint(count);
  world.turn_until([&] { return ended == 2; });
  world.turn();
  BOOST_TEST(world.shards[0]->stats().flushes == 2u, "one of them at the start");
}

// ---- the identity of log R (model, "Identities")

BOOST_AUTO_TEST_CASE(a_crash_of_the_process_or_a_clean_stop_loses_nothing_and_log_r_keeps_its_identity) {
  World world(1);
  const LogId log = world.log();
  BOOST_TEST(world.call(0, {"SET", "a", "1"}) == kOk);
  world.turn();
  world.restart();
  BOOST_TEST((world.log() == log));
  BOOST_TEST(world.call(0, {"INCR", "a"}) == ":2\r\n");
  world.stop_cleanly();
  world.boot_again();
  world.start();
  BOOST_TEST((world.log() == log));
  BOOST_TEST(world.call(0, {"INCR", "a"}) == ":3\r\n");
}

BOOST_AUTO_TEST_CASE(a_crash_of_the_system_may_lose_the_tail_so_log_r_gets_a_new_identity) {
  World world(1);
  const LogId first = world.log();
  BOOST_TEST(world.call(0, {"SET", "a", "1"}) == kOk);
  world.turn();
  world.lose_power();
  const LogId second = world.log();
  BOOST_TEST((second != first));
  BOOST_TEST(world.call(0, {"SET", "a", "2"}) == kOk);
  // What was promised before the first record holds also when its segment is gone.
  world.idle();
  world.lose_power();
  BOOST_TEST((world.log() != first));
  BOOST_TEST((world.log() != second));
}

BOOST_AUTO_TEST_CASE(with_appendfsync_always_a_crash_of_the_system_takes_nothing_until_that_is_changed) {
  World world(1);
  world.options.tail_may_be_lost = false;
  world.lose_power();
  const LogId log = world.log();
  BOOST_TEST(world.call(0, {"SET", "a", "1"}) == kOk);
  world.turn();
  BOOST_REQUIRE(world.journal->sync().ok());
  world.lose_power();
  BOOST_TEST((world.log() == log));
  BOOST_TEST(world.call(0, {"INCR", "a"}) == ":2\r\n");
  world.shards[0]->set_tail_may_be_lost(true);
  BOOST_TEST(world.call(0, {"INCR", "a"}) == ":3\r\n");
  world.turn();
  world.lose_power();
  BOOST_TEST((world.log() != log));
}

BOOST_AUTO_TEST_CASE(a_log_of_which_nobody_saw_a_record_is_not_given_up_again) {
  World world(1);
  BOOST_TEST(world.call(0, {"SET", "a", "1"}) == kOk);
  world.turn();
  world.lose_power();
  const LogId log = world.log();
  world.lose_power();
  BOOST_TEST((world.log() == log));
}

// A segment that was released may still be there after a crash.
BOOST_AUTO_TEST_CASE(what_lmdb_contains_is_ignored_in_the_journal_identities_too) {
  World world(1);
  const LogId first = world.log();
  BOOST_TEST(world.call(0, {"SET", "a", "1"}) == kOk);
  world.turn();
  const std::vector<std::string> paths = world.files.paths();
  std::map<std::string, std::string> old;
  for (const std::string& path : paths) old[path] = world.files.content(path);
  world.lose_power();
  const LogId second = world.log();
  BOOST_TEST((second != first));
  BOOST_TEST(world.call(0, {"SET", "a", "2"}) == kOk);
  world.stop_cleanly();
  for (const std::string& path : world.files.paths()) BOOST_REQUIRE(world.files.unlink(path).ok());
  for (const auto& [path, content] : old) {
    auto file = world.files.open(path, lmdb_store::FileSystem::Open::kCreate);
    BOOST_REQUIRE(file.ok());
    BOOST_REQUIRE((*file)->pwrite(content, 0).ok());
  }
  world.start();
  BOOST_TEST((world.log() == second));
  BOOST_TEST(world.call(0, {"GET", "a"}) == "$1\r\n2\r\n");
}

BOOST_AUTO_TEST_CASE(journals_begin_above_what_lmdb_contains_even_when_no_segment_is_left) {
  World world(1);
  for (int i = 0; i < 3; ++i) {
    BOOST_TEST(world.call(0, {"SET", "a", std::string(200'000, 'x')}) == kOk);
    world.turn();
  }
  world.stop_cleanly();
  for (const std::string& path : world.files.paths()) BOOST_REQUIRE(world.files.unlink(path).ok());
  world.start();
  BOOST_TEST(world.call(0, {"SET", "a", "acknowledged"}) == kOk);
  world.turn();
  world.restart();
  BOOST_TEST(world.call(0, {"GET", "a"}) == "$12\r\nacknowledged\r\n");
}

BOOST_AUTO_TEST_CASE(a_shard_that_nobody_writes_to_keeps_no_segment_of_earlier_starts) {
  World world(2);
  for (int i = 0; i < 5; ++i) {
    BOOST_TEST(world.call(0, {"SET", "a", "1"}) == kOk);
    world.turn();
    world.restart();
  }
  const std::vector<std::string> paths = world.files.paths();
  const auto segments = std::count_if(paths.begin(), paths.end(), [](const auto& p) { return p.ends_with(".wal"); });
  BOOST_TEST(segments <= 1 + world.journal_options.prepared_segments);
}

BOOST_AUTO_TEST_CASE(a_start_that_finds_the_disk_full_serves_reads_and_later_writes) {
  World world(1);
  BOOST_TEST(world.call(0, {"SET", "a", "1"}) == kOk);
  world.turn();
  world.stop();
  world.files.restart();
  const std::vector<std::string> paths = world.files.paths();
  for (const std::string& path : paths) {
    if (path != paths.front()) BOOST_REQUIRE(world.files.unlink(path).ok());  // the prepared ones
  }
  world.files.set_capacity(0);
  world.start();
  BOOST_TEST(world.call(0, {"GET", "a"}) == "$1\r\n1\r\n");
  BOOST_TEST(world.call(0, {"SET", "a", "2"}).starts_with("-MISCONF"));
  world.files.set_capacity(UINT64_MAX);
  world.restart();
  BOOST_TEST(world.call(0, {"SET", "a", "2"}) == kOk);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
