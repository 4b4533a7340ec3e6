// Random lives of a node's journals against a model that is a plain list of entries: whatever crashes, recovery gives
// back, for each journal, a prefix of what was appended that has everything that was synced.
#include <boost/test/unit_test.hpp>
#include <map>
#include <set>

#include "lmdb-store/journal_testing.h"

namespace capstan::lmdb_store {
namespace {

constexpr ShardId kShards = 5;

struct ModelEntry {
  TestEntry entry;
  std::pair<uint64_t, uint32_t> journal;  // start, worker
  bool written = false;
  bool synced = false;
  bool released = false;
};

class JournalLife {
 public:
  explicit JournalLife(uint64_t seed, bool background) : random_(seed), node_(seed + 1) {
    node_.options.background = background;
    node_.options.prepared_segments = static_cast<uint32_t>(1 + random_.below(2));
    node_.options.spare_segments = static_cast<uint32_t>(random_.below(4));
    node_.options.retry_ms = 1;
  }

  void run(int starts) {
    for (int i = 0; i < starts; ++i) {
      start();
      if (random_.chance(0.8)) node_.files.crash_at(node_.files.operations() + random_.below(120));
      const uint64_t steps = 1 + random_.below(150);
      for (uint64_t step = 0; step < steps && !node_.files.crashed(); ++step) act();
      end_process();
    }
    start();
  }

 private:
  // Recovers, with crashes during the recovery too, and checks what came back.
  void start() {
    ++start_;
    node_.workers = static_cast<uint32_t>(1 + random_.below(3));
    for (;;) {
      if (random_.chance(0.4)) node_.files.crash_at(node_.files.operations() + random_.below(25));
      const Result<> started = node_.start();
      if (started) break;
      BOOST_REQUIRE_MESSAGE(node_.files.crashed(), started.error().message);
      end_process();
    }
    if (random_.chance(0.5)) node_.files.restart();
    check();
  }

  void end_process() {
    node_.stop();
    node_.recovery = {};
    if (random_.chance(0.5)) {
      node_.files.restart();
    } else {
      node_.files.lose_power();
      power_lost_ = true;
    }
  }

  uint32_t worker_of(ShardId shard) const { return shard % node_.workers; }

  void act() {
    const auto shard = static_cast<ShardId>(random_.below(kShards));
    Journal& journal = node_.journal(worker_of(shard));
    switch (random_.below(10)) {
      case 0:
      case 1:
        write(worker_of(shard));
        break;
      case 2:
        sync(worker_of(shard));
        break;
      case 3:
        if (random_.chance(0.3)) release(shard);
        break;
      case 4:
        journal.request_sync();
        break;
      default:
        append(shard);
    }
    note_synced(worker_of(shard));
  }

  void append(ShardId shard) {
    const uint64_t size = random_.chance(0.1) ? random_.below(20000) : random_.below(300);
    std::string payload = std::to_string(serial_++) + ':';
    while (payload.size() < size) payload.push_back(static_cast<char>(random_.next()));
    const auto type = static_cast<uint8_t>(1 + random_.below(255));
    auto position = node_.put(payload, shard, type, worker_of(shard));
    if (!position) return;
    entries_.push_back({{type, shard, *position, std::move(payload)}, {start_, worker_of(shard)}});
  }

  void write(uint32_t worker) {
    if (!node_.journal(worker).write()) return;
    for (ModelEntry& entry : entries_) {
      if (entry.journal == std::pair(start_, worker)) entry.written = true;
    }
  }

  void sync(uint32_t worker) {
    if (!node_.journal(worker).sync()) return;
    BOOST_REQUIRE(node_.journal(worker).synced() == node_.journal(worker).written());
  }

  void note_synced(uint32_t worker) {
    const Position synced = node_.journal(worker).synced();
    for (ModelEntry& entry : entries_) {
      if (entry.journal == std::pair(start_, worker) && entry.written && entry.entry.position < synced) {
        entry.synced = true;
      }
    }
  }

  void release(ShardId shard) {
    const Position end = node_.journal(worker_of(shard)).end();
    Position position = end;
    if (random_.chance(0.5)) {
      for (const ModelEntry& entry : entries_) {
        if (entry.entry.shard == shard && random_.chance(0.05)) position = entry.entry.position;
      }
    }
    for (ModelEntry& entry : entries_) {
      if (entry.entry.shard == shard && entry.entry.position < position) entry.released = true;
    }
    node_.journal(worker_of(shard)).release(shard, position);
  }

  void check() {
    std::map<std::string, size_t> index;
    for (size_t i = 0; i < entries_.size(); ++i) index[entries_[i].entry.payload] = i;
    std::map<std::pair<uint64_t, uint32_t>, size_t> last_of_journal;
    std::map<ShardId, Position> last_of_shard;
    std::set<size_t> back;
    for (const TestEntry& entry : node_.recovered) {
      const auto found = index.find(entry.payload);
      BOOST_REQUIRE_MESSAGE(found != index.end(), "an entry that was never written, or lost before, came back");
      const ModelEntry& known = entries_[found->second];
      BOOST_REQUIRE(known.entry == entry);
      BOOST_REQUIRE(last_of_shard[entry.shard] < entry.position);
      last_of_shard[entry.shard] = entry.position;
      auto& last = last_of_journal[known.journal];
      BOOST_REQUIRE(back.empty() || last <= found->second);
      last = found->second;
      back.insert(found->second);
    }
    std::vector<ModelEntry> kept;
    for (size_t i = 0; i < entries_.size(); ++i) {
      ModelEntry& entry = entries_[i];
      const bool must = entry.synced || (entry.written && !power_lost_) ||
                        (last_of_journal.contains(entry.journal) && i < last_of_journal[entry.journal]);
      if (!back.contains(i)) {
        BOOST_REQUIRE_MESSAGE(entry.released || !must, "lost: entry " << i << " of start " << entry.journal.first);
        continue;
      }
      entry.written = entry.synced = true;
      kept.push_back(std::move(entry));
    }
    entries_ = std::move(kept);
    power_lost_ = false;
  }

  Random random_;
  TestNode node_;
  std::vector<ModelEntry> entries_;  // in the order in which they were appended
  uint64_t serial_ = 0;
  uint64_t start_ = 0;
  bool power_lost_ = false;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(journal_property_test)

BOOST_AUTO_TEST_CASE(random_lives_lose_nothing_that_was_synced_and_invent_nothing) {
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    BOOST_TEST_CONTEXT("seed " << seed) JournalLife(seed, false).run(6);
  }
}

BOOST_AUTO_TEST_CASE(the_same_with_the_journals_own_threads) {
  for (uint64_t seed = 1001; seed <= 1060; ++seed) {
    BOOST_TEST_CONTEXT("seed " << seed) JournalLife(seed, true).run(4);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::lmdb_store
