#include "server/commands/slot_walk.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <functional>

#include "lmdb-store/memory_store.h"
#include "quorum/effects.h"
#include "quorum/element_value.h"

BOOST_AUTO_TEST_SUITE(slot_walk_test)

using namespace capstan;
using lmdb_store::Keyspace;

namespace {
// A keyspace that records are applied to, one after the other.
class World {
 public:
  World() : keyspace(std::move(*Keyspace::open(store_, {}))) {}

  void put(Database database, std::string_view key, int64_t expire_at_ms = kNeverExpires) {
    effects_.remove(database, key);
    effects_.element(database, key, {.kind = ElementKind::kString, .value = "v"});
    std::string time;
    if (expire_at_ms != kNeverExpires) {
      append_time(expire_at_ms, time);
      effects_.element(database, key, {.kind = ElementKind::kTtl, .value = time});
    }
    commit();
  }
  void remove(Database database, std::string_view key) {
    effects_.remove(database, key);
    commit();
  }

 private:
  void commit() {
    Record& record = effects_.record();
    record.context = keyspace->applied();
    record.dot = Dot{kAgreed, record.context[kAgreed] + 1};
    record.hlc = Hlc::at_ms(static_cast<int64_t>(record.dot.number));
    keyspace->apply(record, Replay::kNo);
    effects_.reset();
  }

  static constexpr LogId kAgreed{LogId::kAgreedBit | 7};
  lmdb_store::MemoryStore store_;
  Effects effects_;

 public:
  std::unique_ptr<Keyspace> keyspace;
};

struct Walked {
  std::vector<std::string> keys;
  int turns = 0;
};

Walked walk(
    World& world, Slot slot, uint64_t count, Database database = 0, int64_t now_ms = 1'000'000,
    const std::function<void()>& between = [] {}) {
  SlotWalk walk(database, slot, count);
  int turns = 1;
  for (; walk.advance(*world.keyspace, now_ms); ++turns) between();
  std::vector<std::string> keys = walk.keys();
  std::sort(keys.begin(), keys.end());
  return {keys, turns};
}

const Slot kSlot = slot_of("tag");

std::string key(int number) { return "{tag}" + std::to_string(100'000 + number); }

}  // namespace

BOOST_AUTO_TEST_CASE(an_empty_slot) {
  World world;
  BOOST_CHECK(walk(world, kSlot, 10).keys.empty());
  world.put(0, "other");
  world.put(1, key(1));
  BOOST_CHECK(walk(world, kSlot, 10).keys.empty());
  BOOST_CHECK_EQUAL(walk(world, kSlot, 10).turns, 1);
  BOOST_CHECK_EQUAL(walk(world, kSlot, 10, 1).keys.size(), 1u);
}

BOOST_AUTO_TEST_CASE(the_keys_of_a_slot_and_no_others) {
  World world;
  std::vector<std::string> expected;
  for (int i = 0; i < 5000; ++i) {
    world.put(0, key(i));
    world.put(0, "other" + std::to_string(i));
    expected.push_back(key(i));
  }
  const Walked all = walk(world, kSlot, UINT64_MAX);
  BOOST_CHECK(all.keys == expected);
  BOOST_CHECK(all.turns > 1);
  BOOST_CHECK_EQUAL(walk(world, kSlot, 0).keys.size(), 0u);
  for (const size_t count : {size_t{1}, size_t{99}, size_t{100}, size_t{101}, size_t{4999}}) {
    const Walked some = walk(world, kSlot, count);
    BOOST_CHECK_EQUAL(some.keys.size(), count);
    BOOST_CHECK(std::includes(expected.begin(), expected.end(), some.keys.begin(), some.keys.end()));
  }
}

BOOST_AUTO_TEST_CASE(the_last_slot) {
  World world;
  int number = 0;
  while (slot_of(std::to_string(number)) != kSlots - 1) ++number;
  const std::string last = std::to_string(number);
  world.put(0, last);
  world.put(1, last);
  BOOST_CHECK(walk(world, kSlots - 1, 10).keys == std::vector{last});
}

BOOST_AUTO_TEST_CASE(neither_removed_nor_expired_keys) {
  World world;
  for (int i = 0; i < 3000; ++i) world.put(0, key(i));
  for (int i = 0; i < 2990; ++i) world.remove(0, key(i));
  world.put(0, key(2999), 900'000);
  const Walked left = walk(world, kSlot, 100);
  BOOST_CHECK_EQUAL(left.keys.size(), 9u);
  BOOST_CHECK(left.keys.front() == key(2990) && left.keys.back() == key(2998));
}

BOOST_AUTO_TEST_CASE(what_is_there_all_the_time_is_met_once) {
  World world;
  for (int i = 0; i < 6000; ++i) world.put(0, key(i));
  int next = 0;
  const Walked walked = walk(world, kSlot, UINT64_MAX, 0, 1'000'000, [&] {
    for (int i = 0; i < 100; ++i, ++next) {
      world.remove(0, key(next));
      world.put(0, key(50'000 + next));
    }
  });
  for (int i = next; i < 6000; ++i) BOOST_REQUIRE(std::count(walked.keys.begin(), walked.keys.end(), key(i)) == 1);
}

BOOST_AUTO_TEST_SUITE_END()
