// Changes of who is in the group, and of who leads it (thesis §3.10, §4).
#include <boost/test/unit_test.hpp>

#include "consensus/group_testing.h"

namespace capstan::consensus {

namespace {

using Ids = std::vector<PeerId>;

const Options kDefaults;

// Of these voters and learners 1 leads.
struct Members : TestGroups {
  Members(const Ids& voters, const Ids& learners, const Options& options = {}) : TestGroups(options) {
    for (const Ids& each : {voters, learners}) {
      for (const PeerId peer : each) add(peer, {0, 0, configuration_of(voters, learners)});
    }
    elect(1);
    some_heartbeats();
  }
  void some_heartbeats() { run_for(5 * kDefaults.heartbeat); }
  Result<> change(PeerId leader, const Ids& voters, const Ids& learners = {}) {
    return (*this)[leader].change_members(configuration_of(voters, learners), now);
  }
  // Everybody of those knows that exactly these vote, for good.
  bool settled_on(const Ids& voters, const Ids& peers) {
    for (const PeerId peer : peers) {
      const Group& group = (*this)[peer];
      if (group.configuration().joint() || ids(group.configuration().voters()) != voters) return false;
      if (group.commit() < group.log().configuration_index()) return false;
    }
    return true;
  }
};

bool invalid(const Result<>& result) {
  return !result.ok() && result.error().code == ErrorCode::kInvalid && !result.error().message.empty();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(membership_test)

BOOST_AUTO_TEST_CASE(a_new_member_learns_before_it_votes) {
  Members groups({1, 2, 3}, {});
  groups.put(1, "before");
  groups.add(4, {0, 0, configuration_of({1, 2, 3})});
  BOOST_REQUIRE(groups.change(1, {1, 2, 3}, {4}).ok());
  BOOST_TEST(!groups[1].configuration().joint(), "no voter changes");
  groups.some_heartbeats();
  BOOST_TEST((groups[4].configuration() == configuration_of({1, 2, 3}, {4})));
  BOOST_TEST(groups[4].commit() == groups[1].commit());
  BOOST_REQUIRE(groups.change(1, {1, 2, 3, 4}).ok());
  BOOST_TEST(groups[1].configuration().joint());
  groups.some_heartbeats();
  BOOST_TEST(groups.settled_on({1, 2, 3, 4}, {1, 2, 3, 4}));
}

BOOST_AUTO_TEST_CASE(several_voters_may_change_at_once) {
  Members groups({1, 2, 3}, {4, 5});
  BOOST_REQUIRE(groups.change(1, {1, 4, 5}, {2, 3}).ok());
  groups.some_heartbeats();
  BOOST_TEST(groups.settled_on({1, 4, 5}, {1, 2, 3, 4, 5}));
  groups.isolate(2);
  groups.isolate(3);
  const Index index = groups.put(1, "x");
  BOOST_TEST(groups[1].commit() == index);
}

BOOST_AUTO_TEST_CASE(learners_that_go_are_dropped_at_once) {
  Members groups({1, 2, 3}, {4});
  BOOST_REQUIRE(groups.change(1, {1, 2, 3}).ok());
  BOOST_TEST(!groups[1].configuration().joint());
  groups.some_heartbeats();
  BOOST_TEST(groups[1].progress(4) == nullptr);
  BOOST_TEST((groups[2].configuration() == configuration_of({1, 2, 3})));
}

BOOST_AUTO_TEST_CASE(learners_neither_count_nor_campaign) {
  Members groups({1, 2, 3}, {4, 5});
  groups.isolate(2);
  groups.isolate(3);
  const Index index = groups.put(1, "x");
  BOOST_TEST(groups[4].log().last() == index);
  BOOST_TEST(groups[1].commit() == index - 1);
  groups.crash(1);
  groups.run_for(1500 * kMillisecond, {2, 3});
  for (const PeerId peer : {4, 5}) BOOST_TEST((groups[peer].role() == Group::Role::kFollower));
}

BOOST_AUTO_TEST_CASE(what_cannot_be_done_now_is_refused_with_the_reason) {
  Options options;
  options.max_promotion_lag = 10;
  Members groups({1, 2, 3}, {4}, options);
  BOOST_TEST(invalid(groups.change(2, {1, 2, 3, 4})), "not the leader");
  BOOST_TEST(invalid(groups[1].change_members(Configuration(), groups.now)), "no voter");
  groups.isolate(4);
  for (int i = 0; i < 20; ++i) groups.put(1, "x");
  BOOST_TEST(invalid(groups.change(1, {1, 2, 3, 4})), "it lacks too much");
  groups.heal();
  groups.some_heartbeats();
  groups.isolate(1);
  BOOST_REQUIRE(groups.change(1, {1, 2, 3, 4}).ok());
  BOOST_TEST(invalid(groups.change(1, {1, 2, 3})), "another change is not over");
  groups.heal();
  groups.some_heartbeats();
  BOOST_TEST(groups.settled_on({1, 2, 3, 4}, {1, 2, 3, 4}));
}

// baidu/braft#182 and the thread on raft-dev of 2015: a bug of the single-server change; here it keeps changes apart.
BOOST_AUTO_TEST_CASE(a_new_leader_changes_nothing_before_it_has_committed_in_its_term) {
  Members groups({1, 2, 3}, {4});
  groups.crash(1);
  groups.loses = [](const Parcel& parcel) { return parcel.head.kind == MessageKind::kAppend; };
  groups.elect(2);
  BOOST_TEST(invalid(groups.change(2, {1, 2, 3, 4})));
  groups.loses = nullptr;
  groups.some_heartbeats();
  BOOST_TEST(groups.change(2, {1, 2, 3, 4}).ok());
}

// --- joint consensus (thesis §4.3)

BOOST_AUTO_TEST_CASE(a_change_needs_a_majority_of_the_old_and_of_the_new_voters) {
  Members groups({1, 2, 3}, {4, 5});
  const Index before = groups[1].commit();
  groups.isolate(4);
  groups.isolate(5);
  BOOST_REQUIRE(groups.change(1, {1, 4, 5}, {2, 3}).ok());
  groups.some_heartbeats();
  BOOST_TEST(groups[1].commit() == before, "the old ones alone");
  groups.heal();
  groups.some_heartbeats();
  BOOST_TEST(groups[1].commit() > before);
}

BOOST_AUTO_TEST_CASE(nor_do_the_new_voters_alone_decide_on_it) {
  Members groups({1, 2, 3}, {4, 5});
  const Index before = groups[1].commit();
  groups.isolate(2);
  groups.isolate(3);
  BOOST_REQUIRE(groups.change(1, {1, 4, 5}, {2, 3}).ok());
  groups.some_heartbeats();
  BOOST_TEST(groups[4].log().last() > before);
  BOOST_TEST(groups[1].commit() == before);
  groups.heal();
  groups.some_heartbeats();
  BOOST_TEST(groups.settled_on({1, 4, 5}, {1, 2, 3, 4, 5}));
}

BOOST_AUTO_TEST_CASE(a_dead_voter_is_replaced) {
  Members groups({1, 2, 3}, {4});
  groups.crash(3);
  BOOST_REQUIRE(groups.change(1, {1, 2, 4}).ok());
  groups.some_heartbeats();
  BOOST_TEST(groups.settled_on({1, 2, 4}, {1, 2, 4}));
  if (groups[1].configuration().is_member(3)) BOOST_REQUIRE(groups.change(1, {1, 2, 4}).ok());
  groups.some_heartbeats();
  BOOST_TEST(!groups[1].configuration().is_member(3));
  BOOST_TEST(!groups[1].configuration().joint());
}

// cockroachdb/cockroach#42251: those who stay must get by though those who went vanish at once.
BOOST_AUTO_TEST_CASE(voters_that_went_may_vanish_as_soon_as_the_leader_has_left_the_joint_configuration) {
  Members groups({1, 2, 3}, {4, 5});
  BOOST_REQUIRE(groups.change(1, {1, 4, 5}, {2, 3}).ok());
  while (groups[1].configuration().joint() || groups[1].commit() < groups[1].log().configuration_index()) {
    groups.deliver_all();
    for (const PeerId peer : groups.peers()) groups.turn(peer);
  }
  for (const PeerId peer : {1, 2, 3}) groups.crash(peer);
  groups.run_for(2000 * kMillisecond);
  BOOST_TEST((groups[4].leads() || groups[5].leads()), "4 and 5 are two of {1, 4, 5}");
}

BOOST_AUTO_TEST_CASE(another_leader_finishes_a_joint_change) {
  Members groups({1, 2, 3}, {4});
  BOOST_REQUIRE(groups.change(1, {1, 2, 4}, {3}).ok());
  groups.turn(1);
  groups.deliver_all();
  groups.crash(1);
  groups.wire.clear();
  BOOST_TEST(groups[2].configuration().joint(), "thesis §4.1: used as soon as it is in the log");
  groups.elect(2);
  groups.some_heartbeats();
  BOOST_TEST(groups.settled_on({1, 2, 4}, {2, 3, 4}));
}

BOOST_AUTO_TEST_CASE(a_change_that_did_not_commit_is_taken_back_with_the_log) {
  Members groups({1, 2, 3}, {4});
  groups.isolate(1);
  BOOST_REQUIRE(groups.change(1, {1, 2, 3, 4}).ok());
  groups.settle();
  BOOST_TEST(groups[1].configuration().joint());
  groups.elect(2);
  groups.heal();
  groups.some_heartbeats();
  BOOST_TEST((groups[1].configuration() == configuration_of({1, 2, 3}, {4})));
}

// etcd-io/etcd#10998.
BOOST_AUTO_TEST_CASE(a_promoted_learner_that_does_not_know_elects_the_next_leader) {
  Members groups({1, 2, 3}, {4});
  groups.crash(3);
  groups.loses = [](const Parcel& parcel) { return parcel.head.to == 4 && !parcel.entries.empty(); };
  BOOST_REQUIRE(groups.change(1, {1, 2, 4}, {3}).ok());
  groups.some_heartbeats();
  BOOST_TEST(!groups[4].configuration().is_voter(4));
  BOOST_TEST(groups[2].configuration().is_voter(4));
  groups.crash(1);
  groups.restart(3);
  groups.elect(2);  // of the old voters 2 and 3, of the new ones 2 and 4
  groups.loses = nullptr;
  groups.some_heartbeats();
  BOOST_TEST(groups.settled_on({1, 2, 4}, {2, 4}));
}

// Thesis §4.2.2.
BOOST_AUTO_TEST_CASE(a_leader_that_is_removed_leads_until_then_and_does_not_count_itself) {
  Members groups({1, 2, 3}, {});
  groups.isolate(3);
  BOOST_REQUIRE(groups.change(1, {2, 3}).ok());
  groups.some_heartbeats();
  BOOST_TEST(groups[1].leads());
  BOOST_TEST(groups[1].commit() < groups[1].log().configuration_index(), "1 and 2 have it, but it needs 2 and 3");
  groups.heal();
  BOOST_TEST(groups.run_until([&] { return !groups[1].leads(); }));
  BOOST_REQUIRE(groups.run_until([&] { return groups[2].leads() || groups[3].leads(); }));
  groups.run_for(1000 * kMillisecond);
  BOOST_TEST(groups.settled_on({2, 3}, {2, 3}));
  BOOST_TEST(!groups[1].leads());
  BOOST_TEST((groups[2].leads() || groups[3].leads()));
}

// Thesis §4.2.2, figure 4.6: until the new configuration has committed, those whom it leaves out may be the only ones
// who can lead: here 2 has an entry that 3 lacks, and only 3 votes in the end.
BOOST_AUTO_TEST_CASE(a_voter_that_is_left_out_campaigns_until_that_has_committed) {
  Members groups({1, 2, 3}, {});
  groups.loses = [](const Parcel& parcel) { return parcel.head.to == 3 && parcel.last() > 2; };
  BOOST_REQUIRE(groups[1].log().last() == 1u);
  BOOST_REQUIRE(groups.change(1, {3}, {1, 2}).ok());
  groups.some_heartbeats();
  BOOST_REQUIRE(!groups[2].configuration().is_voter(2));
  BOOST_REQUIRE(groups[3].configuration().joint());
  groups.crash(1);
  groups.loses = nullptr;
  BOOST_TEST(groups.run_until([&] { return groups.settled_on({3}, {2, 3}); }));
  BOOST_TEST(groups.run_until([&] { return groups.leader() == 3u; }));
  BOOST_TEST(!groups[2].leads());
}

// Thesis §4.2.3; hashicorp/raft#524.
BOOST_AUTO_TEST_CASE(a_removed_voter_that_does_not_know_disturbs_nobody) {
  Members groups({1, 2, 3}, {});
  groups.isolate(3);
  BOOST_REQUIRE(groups.change(1, {1, 2}).ok());
  groups.some_heartbeats();
  if (groups[1].configuration().is_member(3)) BOOST_REQUIRE(groups.change(1, {1, 2}).ok());
  groups.some_heartbeats();
  BOOST_REQUIRE(!groups[1].configuration().is_member(3));
  groups.heal();
  const Term term = groups[1].term();
  groups.run_for(2000 * kMillisecond);
  BOOST_TEST(groups[1].leads());
  BOOST_TEST(groups[1].term() == term);
  for (const PeerId peer : {1, 2}) {
    groups.give(peer, {.kind = MessageKind::kVote,
                       .from = 3,
                       .to = peer,
                       .term = term + 5,
                       .previous = 100,
                       .previous_term = term,
                       .entries = {}});
  }
  groups.run_for(500 * kMillisecond);
  BOOST_TEST(groups[1].leads());
  BOOST_TEST(groups[1].term() == term);
}

BOOST_AUTO_TEST_CASE(one_that_knows_that_it_was_demoted_does_not_campaign) {
  Members groups({1, 2, 3}, {});
  BOOST_REQUIRE(groups.change(1, {1, 2}, {3}).ok());
  groups.some_heartbeats();
  BOOST_TEST(groups.settled_on({1, 2}, {1, 2, 3}));
  groups.isolate(3);
  groups.run_for(1500 * kMillisecond, {1, 2});
  BOOST_TEST((groups[3].role() == Group::Role::kFollower));
}

BOOST_AUTO_TEST_CASE(after_a_restart_the_configuration_in_the_log_counts) {
  Members groups({1, 2, 3}, {4});
  BOOST_REQUIRE(groups.change(1, {1, 2, 4}, {3}).ok());
  groups.some_heartbeats();
  for (const PeerId peer : {1, 2, 4}) groups.crash(peer);
  groups.restart(1, 1);
  groups.restart(2);
  BOOST_TEST((groups[1].configuration() == configuration_of({1, 2, 4}, {3})));
  groups.elect(2);  // of {1, 2, 4}: 3 could not help
  const Index commit = groups[2].commit();
  groups[2].cut(commit);
  groups.node(2).journal.cut_to(commit);
  groups.crash(2);
  groups.restart(2, commit);
  BOOST_TEST(groups[2].log().base() == commit);
  BOOST_TEST((groups[2].configuration() == configuration_of({1, 2, 4}, {3})));
}

// --- transfer of the leadership (thesis §3.10)

BOOST_AUTO_TEST_CASE(leadership_goes_over_at_once_though_followers_have_promised) {
  Members groups({1, 2, 3}, {});
  const Term term = groups[1].term();
  BOOST_REQUIRE(groups[1].transfer(2, groups.now).ok());
  BOOST_TEST(groups[1].lease_end() == 0, "the lease ends first");
  groups.settle();
  BOOST_TEST(groups[2].leads());
  BOOST_TEST(groups[2].term() == term + 1);
  groups.some_heartbeats();
  BOOST_TEST(!groups[1].leads());
  BOOST_TEST(groups[1].leader() == 2u);
}

BOOST_AUTO_TEST_CASE(only_when_the_successor_has_everything) {
  Members groups({1, 2, 3}, {});
  groups.cut_way(1, 2);
  const Index index = groups.put(1, "x");
  groups.heal();
  BOOST_REQUIRE(groups[1].transfer(2, groups.now).ok());
  BOOST_TEST(groups[1].transferring_to() == 2u);
  BOOST_TEST(!groups[1].propose("y", groups.now).has_value(), "else it would never end");
  bool early = false;
  groups.loses = [&](const Parcel& parcel) {
    if (parcel.head.kind != MessageKind::kTimeoutNow) return false;
    early = early || groups[2].durable_index() < index;
    BOOST_TEST(groups[1].lease_end() == 0, "it ends before the successor is asked");
    return false;
  };
  BOOST_TEST(groups.run_until([&] { return groups[2].leads(); }));
  BOOST_TEST(!early);
  BOOST_TEST(groups.record(2, index) == "x");
}

BOOST_AUTO_TEST_CASE(a_transfer_to_one_that_is_gone_is_given_up) {
  Members groups({1, 2, 3}, {});
  groups.isolate(2);
  BOOST_REQUIRE(groups[1].transfer(2, groups.now).ok());
  groups.run_for(kDefaults.election_timeout_max + 20 * kMillisecond);
  BOOST_TEST(groups[1].leads());
  BOOST_TEST(groups[1].transferring_to() == kNoPeer);
  const Index index = groups.put(1, "x");
  BOOST_TEST(groups[1].commit() == index);
  const ReadPoint point = groups[1].read(groups[1].commit(), groups.now);
  groups.settle();
  BOOST_TEST(groups[1].released(point));
}

BOOST_AUTO_TEST_CASE(only_another_voter_may_succeed) {
  Members groups({1, 2, 3}, {4});
  BOOST_TEST(invalid(groups[1].transfer(4, groups.now)));
  BOOST_TEST(invalid(groups[1].transfer(9, groups.now)));
  BOOST_TEST(invalid(groups[2].transfer(3, groups.now)));
  BOOST_TEST(groups[1].transferring_to() == kNoPeer);
  BOOST_TEST(groups[1].lease_end() > groups.now, "nothing happened");
}

BOOST_AUTO_TEST_CASE(an_old_wish_for_a_transfer_is_ignored) {
  Members groups({1, 2, 3}, {4});
  const Term term = groups[2].term();
  groups.give(2, {.kind = MessageKind::kTimeoutNow, .from = 1, .to = 2, .term = term - 1, .entries = {}});
  groups.settle();
  BOOST_TEST(groups[2].term() == term);
  groups.give(4, {.kind = MessageKind::kTimeoutNow, .from = 1, .to = 4, .term = term, .entries = {}});
  groups.settle();
  BOOST_TEST(groups[4].term() == term, "learners do not campaign");
  BOOST_TEST(groups[1].leads());
}

// The leader of term 2 has lost its disk. A voter of the joint configuration, which only it has, needs the vote of the
// one that was to become a voter; that one's log is longer, and by itself it is a learner.
BOOST_AUTO_TEST_CASE(a_learner_leads_where_nobody_else_can) {
  TestGroups groups;
  const Log::Base base{0, 0, configuration_of({1, 2, 3}, {4})};
  std::vector<OwnedEntry> joint = entries_of({1, 1, 1});
  joint.back().configuration = configuration_of({1, 2, 3}, {4}).joint_with(configuration_of({1, 2, 3, 4})).encode();
  groups.add(1, base, entries_of({1}), {2, kNoPeer});
  groups.add(2, base, joint, {2, kNoPeer});
  groups.add(4, base, entries_of({1, 1, 2, 2}), {2, kNoPeer});
  groups.run_for(3000 * kMillisecond);
  const auto leads = [&](PeerId peer) { return groups[peer].leads(); };
  BOOST_TEST((leads(1) || leads(2)), "it has handed over to a voter");
  for (const PeerId peer : {1, 2, 4}) {
    BOOST_TEST(groups[static_cast<PeerId>(peer)].commit() >= 5u);
    BOOST_TEST(groups[static_cast<PeerId>(peer)].log().matches(4, 2));
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::consensus
