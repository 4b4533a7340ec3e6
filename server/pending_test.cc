#include "server/pending.h"

#include <boost/test/unit_test.hpp>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/random_testing.h"
#include "lmdb-store/memory_store.h"
#include "quorum/random_record.h"

namespace capstan {

using lmdb_store::Keyspace;
using lmdb_store::MemoryStore;

BOOST_AUTO_TEST_SUITE(pending_test)

namespace {

const LogId kAgreed{LogId::kAgreedBit | 7};

std::unique_ptr<Keyspace> open(MemoryStore& store) {
  Result<std::unique_ptr<Keyspace>> opened = Keyspace::open(store, {});
  BOOST_REQUIRE(opened.ok());
  return std::move(*opened);
}

KeyState state_in(Keyspace& keyspace, Database database, std::string_view key) {
  KeyState state;
  const Keyspace::Found found = keyspace.find(database, key, hash64(key), true);
  if (found.row == nullptr || found.row->absent()) return state;
  std::vector<lmdb_store::WantedRow> missing;
  while (!keyspace.decode(*found.row, state, missing)) keyspace.read_now(missing);
  return state;
}

// A SET of that value, or a DEL.
Record record_of(uint64_t number, std::string_view key, std::string_view value, bool removes = false) {
  Record record;
  record.dot = {kAgreed, number};
  record.hlc = Hlc{number};
  record.context.set(kAgreed, number - 1);
  KeyEffect effect;
  effect.key = key;
  effect.remove = true;
  if (!removes) {
    effect.elements.emplace_back();
    effect.elements.back().value = value;
  }
  record.keys.push_back(effect);
  return record;
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_is_pending_shows_until_it_is_applied) {
  MemoryStore store;
  const auto keyspace = open(store);
  PendingKeys pending(*keyspace);
  BOOST_TEST(pending.find(0, "k") == nullptr);
  const Record first = record_of(1, "k", "one"), second = record_of(2, "k", "two");
  pending.add(first);
  BOOST_TEST(pending.find(0, "k")->find(ElementKind::kString)->versions[0].value == "one");
  BOOST_TEST(!state_in(*keyspace, 0, "k").exists(), "nobody else sees it");
  BOOST_TEST(pending.find(1, "k") == nullptr);
  pending.add(second);
  keyspace->apply(first, Replay::kNo);
  pending.applied(first);
  BOOST_TEST(pending.find(0, "k")->find(ElementKind::kString)->versions[0].value == "two");
  keyspace->apply(second, Replay::kNo);
  pending.applied(second);
  BOOST_TEST(pending.empty());
}

BOOST_AUTO_TEST_CASE(a_pending_removal_shows_as_a_key_without_elements) {
  MemoryStore store;
  const auto keyspace = open(store);
  PendingKeys pending(*keyspace);
  keyspace->apply(record_of(1, "k", "there"), Replay::kNo);
  pending.add(record_of(2, "k", {}, true));
  BOOST_REQUIRE(pending.find(0, "k") != nullptr);
  BOOST_TEST(pending.find(0, "k")->empty());
}

BOOST_AUTO_TEST_CASE(what_is_lost_with_the_leadership_was_never_there) {
  MemoryStore store;
  const auto keyspace = open(store);
  PendingKeys pending(*keyspace);
  keyspace->apply(record_of(1, "k", "there"), Replay::kNo);
  pending.add(record_of(2, "k", "lost"));
  pending.drop();
  BOOST_TEST(pending.find(0, "k") == nullptr);
  // Another leader's record has the number.
  pending.add(record_of(2, "k", "another"));
  BOOST_TEST(pending.find(0, "k")->find(ElementKind::kString)->versions[0].value == "another");
}

// Whatever is pending or applied: the leader sees what applying all of it at once gives, records of all kinds.
BOOST_AUTO_TEST_CASE(pending_and_applied_records_give_what_applied_ones_do) {
  with_new_seeds(200, [](uint64_t seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      MemoryStore store, other_store;
      const auto keyspace = open(store), at_once = open(other_store);
      PendingKeys pending(*keyspace);
      RandomRecords records(seed);
      std::deque<std::string> under_way;  // encoded
      uint64_t number = 0;
      const auto apply_one = [&] {
        Record record;
        Decoder in(under_way.front());
        BOOST_REQUIRE(decode_record_into(kAgreed, in, record));
        keyspace->apply(record, Replay::kNo);
        pending.applied(record);
        under_way.pop_front();
      };
      for (int step = 0; step < 100; ++step) {
        Record record = records.next();
        record.clears.clear();
        record.dot = {kAgreed, ++number};
        record.context.clear();
        record.context.set(kAgreed, number - 1);
        for (KeyEffect& effect : record.keys) {
          effect.database = static_cast<Database>(effect.database % 2);
          effect.key = effect.key.substr(0, 1);  // so that they meet
        }
        if (record.keys.size() > 1) record.keys.resize(1);
        under_way.emplace_back();
        Encoder out(under_way.back());
        encode_record(record, out);
        pending.add(record);
        at_once->apply(record, Replay::kNo);
        for (const KeyEffect& effect : record.keys) {
          BOOST_REQUIRE(*pending.find(effect.database, effect.key) == state_in(*at_once, effect.database, effect.key));
        }
        while (!under_way.empty() && records.random().chance(0.4)) apply_one();
      }
      while (!under_way.empty()) apply_one();
      BOOST_REQUIRE(pending.empty());
      BOOST_REQUIRE_EQUAL(keyspace->keys(0), at_once->keys(0));
    }
  });
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
