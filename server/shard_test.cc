#include "server/shard.h"

#include <boost/test/unit_test.hpp>
#include <initializer_list>
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
    auto recovery = lmdb_store::recover_journals(files, kData, {}, replay);
    BOOST_REQUIRE_MESSAGE(recovery.ok(), (recovery.ok() ? "" : recovery.error().message));
    auto opened = lmdb_store::Journal::open(files, kData, 0, journal_options, *recovery);
    BOOST_REQUIRE(opened.ok());
    journal = std::move(*opened);
    for (const auto& shard : shards) BOOST_REQUIRE(shard->start(*journal, recovery->cut).ok());
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
  Shard::Options options;
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
  BOOST_TEST(world.shards[0]->stats().flushes == 1u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
