// A keyspace becomes what another one is, while that one changes.
#include "server/rebuild.h"

#include <boost/test/unit_test.hpp>
#include <memory>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/random_testing.h"
#include "lmdb-store/memory_store.h"
#include "quorum/random_record.h"
#include "resp/parser.h"

namespace capstan {

using consensus::Configuration;
using consensus::Index;
using lmdb_store::Keyspace;
using lmdb_store::MemoryStore;

BOOST_AUTO_TEST_SUITE(rebuild_test)

namespace {

const LogId kAgreed{LogId::kAgreedBit | 7};
constexpr ShardId kShard = 3;

// The words of the one message in the buffer, which is emptied.
struct Message {
  explicit Message(resp::OutputBuffer& out) : bytes(out.view()), parser(limits) {
    limits.max_bulk_bytes = uint64_t{1} << 30;
    const resp::Parsed parsed = parser.next(bytes, words);
    BOOST_REQUIRE(parsed.outcome == resp::Outcome::kCommand && parsed.consumed == bytes.size());
    out.clear();
  }
  std::string bytes;
  resp::Limits limits;
  resp::Parser parser;
  resp::Arguments words;
};

struct Replica {
  Replica() : keyspace(std::move(Keyspace::open(store, {}).value())) {}
  MemoryStore store;
  std::unique_ptr<Keyspace> keyspace;
};

// A leader that has applied all of its log.
struct Source : Replica {
  explicit Source(uint64_t seed)
      : records(seed), log({0, 0, Configuration({{1, "n1"}})}), side(kShard, kAgreed, *keyspace) {}

  void change() {
    Record record = records.next();
    const uint64_t number = log.last() + 1;
    record.dot = {kAgreed, number};
    record.hlc = Hlc{number << 16};
    record.context.clear();
    record.context.set(kAgreed, number - 1);
    for (KeyEffect& effect : record.keys) effect.key = effect.key.substr(0, 2);
    if (record.keys.size() > 1) record.keys.resize(1);
    std::string bytes;
    Encoder out(bytes);
    encode_record(record, out);
    log.append({1, bytes, {}});
    keyspace->apply(record, Replay::kNo);
  }
  resp::OutputBuffer answer(resp::OutputBuffer& question) {
    resp::OutputBuffer out;
    const Message message(question);
    BOOST_REQUIRE(side.answer(message.words, log, 1, log.last(), 0, out).ok());
    return out;
  }

  RandomRecords records;
  consensus::Log log;
  RebuildSource side;
};

// Applies what came with the rebuild, as the group does.
void replay(Keyspace& keyspace, const Rebuild::Outcome& outcome) {
  BOOST_REQUIRE_EQUAL(keyspace.applied()[kAgreed], outcome.base.index);
  for (const consensus::Entry& entry : outcome.entries) {
    Record record;
    Decoder in(entry.record);
    BOOST_REQUIRE(decode_record_into(kAgreed, in, record));
    keyspace.apply(record, keyspace.has_newer_rows() ? Replay::kYes : Replay::kNo);
  }
  BOOST_TEST(!keyspace.has_newer_rows());
}

void expect_same(Keyspace& one, Keyspace& other) {
  BOOST_REQUIRE(one.applied() == other.applied());
  for (Database database = 0; database < kDatabases; ++database) {
    BOOST_REQUIRE_EQUAL(one.keys(database), other.keys(database));
    std::vector<Keyspace::ScannedKey> keys;
    for (uint64_t position = 0, first = true; first || position != 0; first = false) {
      one.scan(database, position, 100, Keyspace::kEverything, keys, position);
    }
    for (const Keyspace::ScannedKey& key : keys) {
      KeyState here, there;
      BOOST_REQUIRE(one.state_of(database, key.name, here) && other.state_of(database, key.name, there));
      BOOST_REQUIRE(here == there);
    }
  }
}

}  // namespace

// Whatever the source writes meanwhile, and whatever the replica held before.
BOOST_AUTO_TEST_CASE(a_replica_becomes_what_its_source_is) {
  with_new_seeds(60, [](uint64_t seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      Source source(seed);
      Replica old;
      Random& random = source.records.random();
      for (uint64_t left = random.below(2000); left > 0; --left) source.change();
      Rebuild rebuild(kShard, kAgreed, 11, "n1", *old.keyspace, 0);
      resp::OutputBuffer question;
      int64_t now_ms = 0;
      while (rebuild.state() != Rebuild::State::kDone) {
        rebuild.go_on(now_ms, question);
        resp::OutputBuffer answer = source.answer(question);
        for (uint64_t left = random.below(100); left > 0; --left) source.change();
        now_ms += 3;
        BOOST_REQUIRE(rebuild.receive(Message(answer).words, now_ms).ok());
        // Twice as long, others have their turn.
        rebuild.go_on(now_ms + 5, question);
        BOOST_TEST(question.empty());
        now_ms = std::min(now_ms + 6, rebuild.next_question_ms());
        BOOST_REQUIRE(rebuild.state() != Rebuild::State::kFailed);
      }
      replay(*old.keyspace, rebuild.finish());
      // What the source did since, as any follower gets it.
      for (Index next = old.keyspace->applied()[kAgreed] + 1; next <= source.log.last(); ++next) {
        Record record;
        Decoder in(source.log.entry(next).record);
        BOOST_REQUIRE(decode_record_into(kAgreed, in, record));
        old.keyspace->apply(record, Replay::kNo);
      }
      expect_same(*source.keyspace, *old.keyspace);
      expect_same(*old.keyspace, *source.keyspace);
    }
  });
}

BOOST_AUTO_TEST_CASE(a_source_keeps_what_will_be_asked_for_and_not_for_ever) {
  Source source(1);
  for (int i = 0; i < 100; ++i) source.change();
  BOOST_TEST(source.side.keep_from(0) == 0u);
  Replica other;
  Rebuild rebuild(kShard, kAgreed, 5, "n1", *other.keyspace, 0);
  resp::OutputBuffer question;
  rebuild.go_on(0, question);
  source.answer(question);
  BOOST_TEST(source.side.keep_from(1000) == 100u);
  BOOST_TEST(source.side.keep_from(60'000) == 0u);
}

BOOST_AUTO_TEST_CASE(a_source_that_has_cut_its_log_says_so) {
  Source source(1);
  for (int i = 0; i < 10; ++i) source.change();
  Replica other;
  Rebuild rebuild(kShard, kAgreed, 5, "n1", *other.keyspace, 0);
  resp::OutputBuffer question;
  rebuild.go_on(0, question);
  resp::OutputBuffer piece = source.answer(question);
  for (int i = 0; i < 10; ++i) source.change();
  source.log.cut_to(15);
  BOOST_REQUIRE(rebuild.receive(Message(piece).words, 0).ok());
  rebuild.go_on(rebuild.next_question_ms(), question);
  resp::OutputBuffer gone = source.answer(question);
  BOOST_REQUIRE(rebuild.receive(Message(gone).words, 0).ok());
  BOOST_TEST((rebuild.state() == Rebuild::State::kFailed));
}

BOOST_AUTO_TEST_CASE(what_is_malformed_changes_nothing) {
  using Words = std::vector<std::string_view>;
  Replica other;
  Rebuild rebuild(kShard, kAgreed, 5, "n1", *other.keyspace, 0);
  resp::OutputBuffer out;
  BOOST_TEST(!rebuild.receive(Words{"rebuild", "1", "3", "piece", "5", "0", "x", "1", ""}, 0).ok());
  BOOST_TEST(!rebuild.receive(Words{"rebuild", "1", "3", "piece", "5", "0", "1", "1", "\x11"}, 0).ok());
  BOOST_TEST(!rebuild.receive(Words{"rebuild", "1", "3", "log", "5", "1", "0", "0", ""}, 0).ok());
  BOOST_TEST(rebuild.receive(Words{"rebuild", "1", "3", "piece", "4", "0", "1", "1", ""}, 0).ok(), "of another one");
  BOOST_TEST((rebuild.state() == Rebuild::State::kCopying));
  Source source(1);
  const auto refused = [&](const Words& words) { return !source.side.answer(words, source.log, 1, 0, 0, out).ok(); };
  BOOST_TEST(refused({"rebuild", "1", "3", "ask", "5"}));
  BOOST_TEST(refused({"rebuild", "1", "3", "tell", "5", "0"}));
  BOOST_TEST(refused({"rebuild", "1", "3", "ask-log", "5", "0"}));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
