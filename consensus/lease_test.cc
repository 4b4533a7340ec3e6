// Reads: released by a round that was sent after they came, or by a lease (thesis §6.4; model, "Levels").
#include <boost/test/unit_test.hpp>

#include "consensus/group_testing.h"

namespace capstan::consensus {

namespace {

const Options kDefaults;

Options without_leases() {
  Options options;
  options.lease = 0;
  return options;
}

// Three, of which 1 leads and has committed.
struct Three : TestGroups {
  explicit Three(const Options& options = {}) : TestGroups(3, options) {
    elect(1);
    run_for(50 * kMillisecond);
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(lease_test)

// --- by a round

BOOST_AUTO_TEST_CASE(without_a_lease_a_read_waits_for_a_round_of_answers) {
  Three groups(without_leases());
  BOOST_TEST(groups[1].lease_end() == 0);
  const ReadPoint point = groups[1].read(groups[1].commit(), groups.now);
  BOOST_TEST(!groups[1].released(point));
  BOOST_TEST(point.index >= groups[1].commit());
  groups.turn(1);
  BOOST_TEST(groups.on_wire(MessageKind::kAppend, 1) == 2u, "it is sent at once");
  BOOST_TEST(!groups[1].released(point));
  groups.settle();
  BOOST_TEST(groups[1].released(point));
}

BOOST_AUTO_TEST_CASE(reads_of_one_turn_share_a_round) {
  Three groups(without_leases());
  std::vector<ReadPoint> points;
  for (int i = 0; i < 10; ++i) points.push_back(groups[1].read(groups[1].commit(), groups.now));
  groups.turn(1);
  BOOST_TEST(groups.on_wire(MessageKind::kAppend, 1) == 2u);
  groups.settle();
  for (const ReadPoint& point : points) BOOST_TEST(groups[1].released(point));
}

// Model, "Levels": the commit of a record sent earlier proves nothing. The leader may have been deposed since.
BOOST_AUTO_TEST_CASE(the_commit_of_a_record_that_was_sent_before_the_read_does_not_release_it) {
  Three groups(without_leases());
  const Index index = groups.propose(1, "x");
  groups.turn(1);
  const ReadPoint point = groups[1].read(groups[1].commit(), groups.now);
  groups.deliver_all();
  groups.turn(2);
  groups.turn(3);
  groups.deliver_all();
  BOOST_TEST(groups[1].commit() == index);
  BOOST_TEST(!groups[1].released(point));
  groups.settle();
  BOOST_TEST(groups[1].released(point));
}

BOOST_AUTO_TEST_CASE(nor_do_late_answers_to_older_heartbeats) {
  Three groups(without_leases());
  groups.now += kDefaults.heartbeat;
  groups.tick(1);
  groups.turn(1);
  const ReadPoint point = groups[1].read(groups[1].commit(), groups.now);
  groups.deliver_all();
  groups.turn(2);
  groups.turn(3);
  groups.deliver_all();
  BOOST_TEST(!groups[1].released(point));
}

BOOST_AUTO_TEST_CASE(the_commit_of_a_record_that_was_sent_after_the_read_releases_it) {
  Three groups(without_leases());
  const ReadPoint point = groups[1].read(groups[1].commit(), groups.now);
  const Index index = groups.put(1, "x");
  BOOST_TEST(groups[1].commit() == index);
  BOOST_TEST(groups[1].released(point));
}

BOOST_AUTO_TEST_CASE(a_deposed_leader_that_does_not_know_releases_nothing) {
  Three groups(without_leases());
  groups.isolate(1);
  const ReadPoint point = groups[1].read(groups[1].commit(), groups.now);
  groups.elect(2);
  groups.put(2, "newer");
  BOOST_TEST(groups[1].leads());
  BOOST_TEST(!groups[1].released(point));
}

BOOST_AUTO_TEST_CASE(learners_confirm_nothing) {
  TestGroups groups(without_leases());
  for (const PeerId peer : {1, 2, 3, 4, 5}) groups.add(peer, {0, 0, configuration_of({1, 2, 3}, {4, 5})});
  groups.elect(1);
  groups.run_for(50 * kMillisecond);
  groups.isolate(2);
  groups.isolate(3);
  const ReadPoint point = groups[1].read(groups[1].commit(), groups.now);
  const Index index = groups.put(1, "x");
  groups.run_for(60 * kMillisecond);
  BOOST_TEST(groups[4].log().last() == index);
  BOOST_TEST(!groups[1].released(point));
  BOOST_TEST(groups[1].commit() == index - 1);
}

// --- the new term's first commit (etcd#7331; thesis §6.4, step 1)

BOOST_AUTO_TEST_CASE(a_new_leader_releases_no_read_before_it_has_committed_in_its_term) {
  for (const Time lease : {Time{0}, kDefaults.lease}) {
    Options options;
    options.lease = lease;
    Three groups(options);
    const Index index = groups.put(1, "x");  // committed, and 2 may not know
    groups.crash(1);
    for (const PeerId peer : {2, 3}) groups.node(peer).disk_works = false;
    for (int i = 0; i < 400 && !groups[2].leads(); ++i) {
      groups.now += kMillisecond;
      groups.tick(2);
      groups.settle();
      // Votes need the disk, entries do not get it.
      const auto role = groups[2].role();
      if (role != Group::Role::kLeader) {
        groups.sync(2);
        groups.sync(3);
      }
    }
    BOOST_REQUIRE(groups[2].leads());
    const ReadPoint point = groups[2].read(groups[2].commit(), groups.now);
    BOOST_TEST(point.index >= index);
    groups.run_for(50 * kMillisecond);
    BOOST_TEST(!groups[2].released(point), "answered, but not committed");
    groups.sync(2);
    groups.sync(3);
    groups.settle();
    BOOST_TEST(groups[2].released(point));
    BOOST_TEST(groups[2].commit() > index);
  }
}

// --- leases (thesis §6.4.1)

BOOST_AUTO_TEST_CASE(under_a_lease_a_read_is_released_at_once) {
  Three groups;
  BOOST_REQUIRE(groups[1].lease_end() > groups.now);
  const ReadPoint point = groups[1].read(groups[1].commit(), groups.now);
  BOOST_TEST(groups[1].released(point));
}

// Model, "Levels": the last pending record that it saw must have committed.
BOOST_AUTO_TEST_CASE(but_not_before_what_it_saw_has_committed) {
  Three groups;
  groups.isolate(3);
  groups.isolate(2);
  groups.propose(1, "pending");
  const ReadPoint point = groups[1].read(groups[1].log().last(), groups.now);
  BOOST_REQUIRE(groups[1].lease_end() > groups.now);
  BOOST_TEST(point.index == groups[1].log().last());
  BOOST_TEST(!groups[1].released(point));
  groups.heal();
  groups.settle();
  groups.run_for(2 * kDefaults.heartbeat);
  BOOST_TEST(groups[1].released(point));
}

// yugabyte-db#16: from the sending, for the promise began no earlier than that.
BOOST_AUTO_TEST_CASE(a_lease_counts_from_the_sending_of_what_was_answered) {
  Three groups;
  groups.now += kDefaults.heartbeat;
  groups.tick(1);
  groups.turn(1);
  const Time sent = groups.now;
  groups.now += 40 * kMillisecond;
  groups.deliver_all();
  groups.turn(2);
  groups.turn(3);
  groups.now += 10 * kMillisecond;
  groups.deliver_all();
  const double usable = static_cast<double>(kDefaults.lease) * (1 - kDefaults.max_drift);
  BOOST_TEST(groups[1].lease_end() > groups.now);
  BOOST_TEST(groups[1].lease_end() <= sent + static_cast<Time>(usable) + 1);
}

BOOST_AUTO_TEST_CASE(without_answers_it_runs_out) {
  Three groups;
  groups.isolate(1);
  groups.run_for(kDefaults.lease);
  BOOST_TEST(groups[1].leads());
  BOOST_TEST(groups[1].lease_end() <= groups.now);
  const ReadPoint point = groups[1].read(groups[1].commit(), groups.now);
  BOOST_TEST(!groups[1].released(point));
  groups.run_for(50 * kMillisecond);
  BOOST_TEST(!groups[1].released(point));
}

// etcd#6005: what counts is the clock, not the ticks that were missed.
BOOST_AUTO_TEST_CASE(it_runs_out_while_the_loop_stands_still) {
  Three groups;
  groups.now += 2 * kDefaults.lease;
  const ReadPoint point = groups[1].read(groups[1].commit(), groups.now);
  BOOST_TEST(!groups[1].released(point));
  BOOST_TEST(groups[1].lease_end() <= groups.now);
}

BOOST_AUTO_TEST_CASE(answers_of_one_follower_of_three_are_enough_and_those_of_none_are_not) {
  Three groups;
  groups.isolate(3);
  groups.run_for(500 * kMillisecond);
  BOOST_TEST(groups[1].lease_end() > groups.now);
  TestGroups five(5);
  five.elect(1);
  for (const PeerId peer : {3, 4, 5}) five.isolate(peer);
  five.run_for(100 * kMillisecond);
  BOOST_TEST(five[1].leads());
  BOOST_TEST(five[1].lease_end() <= five.now);
}

BOOST_AUTO_TEST_CASE(nobody_else_leads_before_it_has_run_out) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Three groups;
    groups.run_for(static_cast<Time>(seed) * kMillisecond);
    groups.isolate(1);
    for (const PeerId peer : {2, 3}) groups[peer].peer_lost(1, groups.now);
    for (int i = 0; i < 1000 && !groups[2].leads() && !groups[3].leads(); ++i) {
      groups.run_for(kMillisecond);
      if (groups[2].leads() || groups[3].leads()) BOOST_TEST(groups[1].lease_end() <= groups.now);
    }
    BOOST_TEST((groups[2].leads() || groups[3].leads()));
  }
}

BOOST_AUTO_TEST_CASE(a_follower_has_none) {
  Three groups;
  BOOST_TEST(groups[2].lease_end() == 0);
  groups.isolate(1);
  groups.elect(2);
  groups.heal();
  groups.run_for(50 * kMillisecond);
  BOOST_TEST(!groups[1].leads());
  BOOST_TEST(groups[1].lease_end() == 0);
}

// Else its clients would keep it from noticing that nobody hears it.
BOOST_AUTO_TEST_CASE(a_leader_that_reads_all_the_time_steps_down_without_a_majority_too) {
  Three groups;
  groups.isolate(1);
  for (int i = 0; i < 500 && groups[1].leads(); ++i) {
    (void)groups[1].read(groups[1].commit(), groups.now);
    groups.run_for(kMillisecond, {2, 3});
  }
  BOOST_TEST(!groups[1].leads());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::consensus
