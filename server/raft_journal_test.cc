#include "server/raft_journal.h"

#include <boost/test/unit_test.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/random_testing.h"
#include "lmdb-store/journal_testing.h"

namespace capstan {

using consensus::Configuration;
using consensus::Entry;
using consensus::HardState;
using consensus::Index;
using consensus::Log;
using consensus::Ready;
using consensus::Term;

BOOST_AUTO_TEST_SUITE(raft_journal_test)

namespace {

constexpr ShardId kShard = 3;

const Configuration kThree({{1, "n1"}, {2, "n2"}, {3, "n3"}});

// A group's log and its journal, without the group.
struct World {
  World() { BOOST_REQUIRE(node.start().ok()); }

  void append(Term term, const std::string& record, const std::string& configuration = {}) {
    if (term > std::max(known_term, ready.hard_state ? ready.hard_state->term : 0))
      ready.hard_state = HardState{term, 0};
    log.append({term, record, configuration});
    if (ready.first_new == 0 || ready.first_new > log.last()) ready.first_new = log.last();
  }
  void truncate_from(Index index) {
    log.truncate_from(index);
    if (ready.first_new >= index) ready.first_new = 0;
  }
  void replace(const Log::Base& base) {
    log = Log(base);
    ready.replaced = true;
    ready.first_new = 0;
  }
  void write() {
    ready.last_new = log.last();
    BOOST_REQUIRE(append_ready(ready, log, kShard, node.journal()).ok());
    BOOST_REQUIRE(node.journal().write().ok());
    if (ready.hard_state) known_term = ready.hard_state->term;
    journaled += (ready.hard_state ? 1 : 0) + (ready.replaced ? 1 : 0);
    if (ready.first_new != 0) journaled += log.last() + 1 - ready.first_new;
    ready = {};
  }
  // What a start finds that has this state on disk, after all entries or only the first so many.
  Result<consensus::Recovered> recover(const Log::Base& base, size_t entries = SIZE_MAX) {
    if (node.recovered.size() != journaled) {
      BOOST_REQUIRE(node.recover().ok());
      BOOST_REQUIRE_EQUAL(node.recovered.size(), journaled);
      BOOST_REQUIRE(node.open().ok());  // goes on behind it
    }
    RaftRecovery recovery(base);
    for (size_t i = 0; i < std::min(entries, node.recovered.size()); ++i) {
      const lmdb_store::TestEntry& entry = node.recovered[i];
      BOOST_REQUIRE(is_raft_entry(entry.type) && entry.shard == kShard);
      if (Result<> done = recovery.replay(entry.type, entry.position, entry.payload); !done) return done.error();
    }
    return recovery.take();
  }
  Log::Base base_at(Index index) const { return {index, log.term_at(index), log.configuration_at(index)}; }

  lmdb_store::TestNode node;
  size_t journaled = 0;
  Term known_term = 0;
  Log log{Log::Base{0, 0, kThree}};
  Ready ready;
};

using Entries = std::vector<std::pair<Term, std::string>>;

Entries entries_of(const Log& log) {
  Entries entries;
  for (Index i = log.first(); i <= log.last(); ++i)
    entries.emplace_back(log.term_at(i), std::string(log.entry(i).record));
  return entries;
}

void require_same(const Log& found, const Log& expected) {
  BOOST_REQUIRE_EQUAL(found.base(), expected.base());
  BOOST_REQUIRE_EQUAL(found.term_at(found.base()), expected.term_at(expected.base()));
  BOOST_REQUIRE(entries_of(found) == entries_of(expected));
  BOOST_REQUIRE(found.configuration() == expected.configuration());
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_was_journaled_is_found) {
  World world;
  world.ready.hard_state = HardState{4, 2};
  world.append(3, "a");
  world.append(4, std::string(2000, 'b'), Configuration({{1, "n1"}}).encode());
  world.write();
  world.append(4, "");
  world.write();
  const consensus::Recovered found = std::move(world.recover(Log::Base{0, 0, kThree}).value());
  BOOST_TEST((found.hard_state == HardState{4, 2}));
  require_same(found.log, world.log);
  BOOST_TEST(found.applied == 0u);
}

BOOST_AUTO_TEST_CASE(an_entry_takes_the_place_of_all_behind_it) {
  World world;
  for (int i = 0; i < 5; ++i) world.append(1, "old");
  world.write();
  world.truncate_from(3);
  world.append(2, "new");
  world.write();
  require_same(world.recover(Log::Base{0, 0, kThree})->log, world.log);
  BOOST_TEST(world.log.last() == 3u);
}

BOOST_AUTO_TEST_CASE(what_the_state_on_disk_contains_is_left_out) {
  World world;
  for (int i = 1; i <= 5; ++i) world.append(static_cast<Term>(i), "entry");
  world.write();
  world.log.cut_to(3);
  require_same(world.recover(world.base_at(3))->log, world.log);
  world.log.cut_to(5);
  const consensus::Recovered found = std::move(world.recover(world.base_at(5)).value());
  require_same(found.log, world.log);
  BOOST_TEST(found.applied == 5u);
}

// A rebuild: the state that came is on disk, the journal does not say so yet. What it has may lead elsewhere.
BOOST_AUTO_TEST_CASE(entries_that_do_not_lead_to_the_state_on_disk_are_void) {
  World world;
  for (int i = 1; i <= 9; ++i) world.append(1, "stale");
  world.write();
  for (const Index index : {Index{5}, Index{9}, Index{20}}) {
    const Log::Base base{index, 2, kThree};
    const consensus::Recovered found = std::move(world.recover(base).value());
    require_same(found.log, Log(base));
    BOOST_TEST(found.replaced, "and the journal has to say so before anything else");
  }
}

BOOST_AUTO_TEST_CASE(a_replaced_log_begins_anew) {
  World world;
  for (int i = 1; i <= 9; ++i) world.append(1, "stale");
  world.write();
  const Log::Base base{5, 2, kThree};
  world.replace(base);
  world.write();
  require_same(world.recover(base)->log, world.log);
  BOOST_TEST(!world.recover(base)->replaced);
  world.append(3, "first of the new");
  world.append(3, "second");
  world.write();
  require_same(world.recover(base)->log, world.log);
  world.log.cut_to(6);
  require_same(world.recover(world.base_at(6))->log, world.log);
}

BOOST_AUTO_TEST_CASE(a_replaced_log_may_begin_behind_a_gap) {
  World world;
  world.append(1, "stale");
  world.write();
  world.replace({100, 2, kThree});
  world.append(2, "new");
  world.write();
  require_same(world.recover(Log::Base{100, 2, kThree})->log, world.log);
}

BOOST_AUTO_TEST_CASE(gaps_falling_terms_and_rubbish_are_damage) {
  const auto entry = [](Index index, Term term) {
    std::string payload;
    Encoder out(payload);
    out.varint(index);
    out.varint(term);
    out.bytes({});
    return payload;
  };
  const std::string hard_state{"\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16};  // term 3
  const auto outcome = [&](const std::vector<std::pair<uint8_t, std::string>>& entries) {
    RaftRecovery recovery(Log::Base{2, 2, kThree});
    BOOST_TEST(recovery.replay(kHardStateEntry, 0, hard_state).ok());
    for (const auto& [type, payload] : entries) {
      if (const Result<> done = recovery.replay(type, 0, payload); !done) return done.error().code;
    }
    return ErrorCode::kExists;
  };
  BOOST_TEST((outcome({{kLogEntry, entry(3, 2)}, {kLogEntry, entry(4, 2)}}) == ErrorCode::kExists));
  BOOST_TEST((outcome({{kLogEntry, entry(4, 2)}}) == ErrorCode::kCorrupt));
  BOOST_TEST((outcome({{kLogEntry, entry(3, 2)}, {kLogEntry, entry(5, 2)}}) == ErrorCode::kCorrupt));
  BOOST_TEST((outcome({{kLogEntry, entry(3, 1)}}) == ErrorCode::kCorrupt));
  BOOST_TEST((outcome({{kLogEntry, entry(3, 3)}, {kLogEntry, entry(4, 2)}}) == ErrorCode::kCorrupt));
  BOOST_TEST((outcome({{kLogEntry, entry(3, 4)}}) == ErrorCode::kCorrupt), "a term that no hard state knows");
  BOOST_TEST((outcome({{kLogBase, std::string("\3\3", 2)}}) == ErrorCode::kCorrupt), "behind the state on disk");
  BOOST_TEST((outcome({{kLogEntry, ""}}) == ErrorCode::kCorrupt));
  BOOST_TEST((outcome({{kHardStateEntry, "short"}}) == ErrorCode::kCorrupt));
  BOOST_TEST((outcome({{kLogBase, entry(3, 3)}}) == ErrorCode::kCorrupt));
}

// Any sequence of what a group does, cut off behind any Ready, gives the log that it had then.
BOOST_AUTO_TEST_CASE(every_history_is_found_again) {
  struct Snapshot {
    size_t entries;
    HardState hard_state;
    Log::Base base;
    Entries log;
  };
  with_new_seeds(200, [](uint64_t seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      Random random(seed);
      World world;
      HardState hard_state;
      std::vector<Snapshot> snapshots;
      Index committed = 0;
      for (int step = 0; step < 40; ++step) {
        if (random.chance(0.2)) world.ready.hard_state = hard_state = {hard_state.term + 1, random.below(4)};
        if (random.chance(0.2) && world.log.last() > committed) {
          world.truncate_from(committed + 1 + random.below(world.log.last() - committed));
          world.append(std::max<Term>(hard_state.term, world.log.last_term()), "instead");
        }
        if (random.chance(0.05)) {
          committed = world.log.last() + random.below(5);
          const Index base = committed + 1;
          world.replace({base, std::max<Term>(hard_state.term, world.log.last_term()) + 1, kThree});
          hard_state = {world.log.term_at(base), 0};
          world.ready.hard_state = hard_state;
          committed = base;
        }
        for (uint64_t i = random.below(4); i > 0; --i) {
          world.append(std::max<Term>(hard_state.term, world.log.last_term()),
                       "record " + std::to_string(random.below(99)));
        }
        committed += random.below(world.log.last() - committed + 1);
        world.write();
        if (random.chance(0.3)) world.log.cut_to(committed);
        snapshots.push_back({world.journaled, hard_state, world.base_at(world.log.base()), entries_of(world.log)});
      }
      for (const Snapshot& snapshot : snapshots) {
        const consensus::Recovered found = std::move(world.recover(snapshot.base, snapshot.entries).value());
        BOOST_REQUIRE(found.hard_state == snapshot.hard_state);
        BOOST_REQUIRE(entries_of(found.log) == snapshot.log);
      }
    }
  });
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
