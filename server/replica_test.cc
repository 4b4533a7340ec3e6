#include "server/replica.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/random_testing.h"
#include "consensus/journal_testing.h"
#include "lmdb-store/journal_testing.h"

namespace capstan {

using consensus::Index;
using consensus::kMillisecond;
using consensus::Parcel;
using consensus::PeerId;
using consensus::Time;

BOOST_AUTO_TEST_SUITE(replica_test)

namespace {

constexpr ShardId kShard = 7;

// Three nodes with journals that can lose power, and a wire between them. What they apply are records, in order.
struct World {
  struct Node {
    explicit Node(uint64_t seed) : disk(seed) {}
    lmdb_store::TestNode disk;
    std::unique_ptr<Replica> replica;  // nullptr: it is down
    std::vector<std::string> applied;
    size_t checked = 0;  // of them
    uint64_t lives = 0;
  };

  explicit World(uint64_t its_seed = 1) : seed(its_seed) {
    for (const PeerId peer : {1, 2, 3}) {
      nodes.try_emplace(peer, seed * 10 + peer);
      start(peer);
    }
  }

  // Recovers what its journal has; nothing of the state was flushed.
  void start(PeerId peer) {
    Node& node = nodes.at(peer);
    node.disk.options.segment_bytes = 256 * 1024;
    BOOST_REQUIRE(node.disk.start().ok());
    const consensus::Configuration three({{1, "n1"}, {2, "n2"}, {3, "n3"}});
    RaftRecovery recovery(consensus::Log::Base{0, 0, three});
    for (const lmdb_store::TestEntry& entry : node.disk.recovered) {
      BOOST_REQUIRE(recovery.replay(entry.type, entry.position, entry.payload).ok());
    }
    consensus::Options options;
    options.self = peer;
    node.applied.clear();
    node.checked = 0;
    Replica::Services services{
        node.disk.journal(),
        [this](const consensus::Message& message) { wire.emplace_back(message); },
        [&node](Index index, const consensus::Entry& entry) {
          BOOST_REQUIRE_EQUAL(index, node.applied.size() + 1);
          node.applied.emplace_back(entry.record);
        },
        [](Index) { return std::string("-"); },
        [](Index, std::string_view) { return true; },
    };
    node.replica = std::make_unique<Replica>(kShard, options, std::move(services), recovery.take(), 0,
                                             seed * 1000 + peer * 100 + ++node.lives, now);
  }
  // The process ends and with it what it had not written; without power also what was not synced.
  void stop(PeerId peer, bool power_fails) {
    Node& node = nodes.at(peer);
    node.replica.reset();
    node.disk.stop();
    if (power_fails) node.disk.files.lose_power();
  }

  // One turn of everybody's loop.
  void turn(bool sync = true) {
    now += kMillisecond;
    std::vector<Parcel> parcels;
    parcels.swap(wire);
    for (const Parcel& parcel : parcels) {
      Node& to = nodes.at(parcel.head.to);
      if (to.replica) to.replica->group().receive(parcel.view(), now);
    }
    for (auto& [peer, node] : nodes) {
      if (!node.replica) continue;
      node.replica->group().tick(now);
      node.replica->end_turn(now);
      BOOST_REQUIRE(node.disk.journal().write().ok());
      if (sync && node.replica->awaits_sync()) BOOST_REQUIRE(node.disk.journal().sync().ok());
      node.replica->journal_advanced(now);
    }
  }
  template <typename Condition>
  bool run_until(Condition&& condition) {
    for (int i = 0; i < 5000 && !condition(); ++i) turn();
    return condition();
  }
  PeerId leader() {
    PeerId found = 0;
    for (auto& [peer, node] : nodes) {
      if (node.replica && node.replica->group().leads()) {
        if (found == 0 || nodes.at(found).replica->group().term() < node.replica->group().term()) found = peer;
      }
    }
    return found;
  }
  Replica& at(PeerId peer) { return *nodes.at(peer).replica; }
  bool all_applied(const std::string& record) {
    return std::all_of(nodes.begin(), nodes.end(), [&](const auto& each) {
      const std::vector<std::string>& applied = each.second.applied;
      return std::find(applied.begin(), applied.end(), record) != applied.end();
    });
  }

  uint64_t seed;
  Time now = 1000 * kMillisecond;
  std::map<PeerId, Node> nodes;
  std::vector<Parcel> wire;
};

}  // namespace

BOOST_AUTO_TEST_CASE(three_elect_a_leader_and_apply_what_it_proposes) {
  World world;
  BOOST_REQUIRE(world.run_until([&] { return world.leader() != 0; }));
  const auto index = world.at(world.leader()).propose("hello", world.now);
  BOOST_REQUIRE(index.has_value());
  BOOST_TEST(world.run_until([&] { return world.all_applied("hello"); }));
  for (auto& [peer, node] : world.nodes) BOOST_TEST(node.applied.at(*index - 1) == "hello");
}

BOOST_AUTO_TEST_CASE(nothing_commits_before_it_is_durable) {
  World world;
  BOOST_REQUIRE(world.run_until([&] { return world.leader() != 0 && world.all_applied("-"); }));
  const PeerId leader = world.leader();
  const auto index = world.at(leader).propose("not yet", world.now);
  for (int i = 0; i < 50; ++i) world.turn(false);
  BOOST_TEST(world.at(leader).group().leads());
  BOOST_TEST(world.at(leader).applied() < *index);
  BOOST_TEST(world.at(leader).awaits_sync());
  BOOST_TEST(world.run_until([&] { return world.all_applied("not yet"); }));
}

BOOST_AUTO_TEST_CASE(what_was_committed_outlives_the_power_of_all) {
  World world;
  BOOST_REQUIRE(world.run_until([&] { return world.leader() != 0; }));
  world.at(world.leader()).propose("kept", world.now);
  BOOST_REQUIRE(world.run_until([&] { return world.all_applied("kept"); }));
  for (const PeerId peer : {1, 2, 3}) world.stop(peer, true);
  world.wire.clear();
  for (const PeerId peer : {1, 2, 3}) world.start(peer);
  BOOST_TEST(!world.all_applied("kept"), "nobody knows yet what is committed");
  BOOST_TEST(world.run_until([&] { return world.all_applied("kept"); }));
}

BOOST_AUTO_TEST_CASE(a_leader_whose_disk_is_full_hands_over) {
  World world;
  BOOST_REQUIRE(world.run_until([&] { return world.leader() != 0; }));
  const PeerId first = world.leader();
  world.nodes.at(first).disk.files.set_capacity(1);
  int proposed = 0;
  BOOST_TEST(world.run_until([&] {
    if (world.leader() == first) {
      world.at(first).propose("record " + std::to_string(++proposed) + std::string(500, '.'), world.now);
    }
    return world.leader() != 0 && world.leader() != first;
  }));
  const std::string after = "after";
  BOOST_REQUIRE(world.run_until([&] { return world.at(world.leader()).propose(after, world.now).has_value(); }));
  const PeerId second = world.leader();
  BOOST_TEST(world.run_until([&] {
    const auto& applied = world.nodes.at(second).applied;
    return std::find(applied.begin(), applied.end(), after) != applied.end();
  }));
  // It follows, and takes what it lacks once there is space.
  BOOST_TEST(world.at(first).group().leader() == second);
  world.nodes.at(first).disk.files.set_capacity(UINT64_MAX);
  world.nodes.at(first).disk.journal().drop_spares();  // in place of the pool's thread, which tries again by itself
  BOOST_TEST(world.run_until([&] { return world.all_applied(after); }));
}

// Restarts and losses of power at any time: what a leader saw committed is in everybody's state, once and in its place.
BOOST_AUTO_TEST_CASE(what_was_committed_stays_through_restarts_and_losses_of_power) {
  with_new_seeds(30, [](uint64_t seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      World world(seed);
      Random random(seed);
      std::vector<std::string> committed;  // as the first who applied it did
      int proposed = 0;
      for (int step = 0; step < 3000; ++step) {
        world.turn(!random.chance(0.3));
        const PeerId peer = 1 + random.below(3);
        World::Node& node = world.nodes.at(peer);
        if (!node.replica) {
          if (random.chance(0.05)) world.start(peer);
        } else if (random.chance(0.003)) {
          world.stop(peer, random.chance(0.5));
        }
        if (random.chance(0.1)) world.wire.clear();  // the network loses all of it
        if (const PeerId leader = world.leader(); leader != 0 && random.chance(0.5)) {
          world.at(leader).propose("record " + std::to_string(++proposed) + std::string(random.below(300), '.'),
                                   world.now);
        }
        for (auto& [each, its] : world.nodes) {
          for (size_t& i = its.checked; i < its.applied.size(); ++i) {
            if (i == committed.size()) committed.push_back(its.applied[i]);
            BOOST_REQUIRE_EQUAL(its.applied[i], committed[i]);
          }
        }
      }
      for (auto& [peer, node] : world.nodes) {
        if (!node.replica) world.start(peer);
      }
      BOOST_REQUIRE(world.run_until(
          [&] { return world.leader() != 0 && world.at(world.leader()).propose("the last", world.now).has_value(); }));
      BOOST_REQUIRE(world.run_until([&] { return world.all_applied("the last"); }));
      for (const auto& [peer, node] : world.nodes) {
        BOOST_REQUIRE(node.applied.size() > committed.size());
        BOOST_REQUIRE(std::equal(committed.begin(), committed.end(), node.applied.begin()));
      }
      BOOST_REQUIRE(committed.size() > 10u);
    }
  });
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
