// Elections: votes, pre-votes, promises, stalls (thesis §3.4, §4.2.3, §6.4.1, §9.6).
#include <boost/test/unit_test.hpp>

#include "consensus/group_testing.h"

namespace capstan::consensus {

namespace {

using Role = Group::Role;

Message vote(PeerId from, PeerId to, Term term, Index last = 0, Term last_term = 0) {
  return {.kind = MessageKind::kVote,
          .from = from,
          .to = to,
          .term = term,
          .previous = last,
          .previous_term = last_term,
          .entries = {}};
}

Message pre_vote(PeerId from, PeerId to, Term term, Index last = 0, Term last_term = 0) {
  Message message = vote(from, to, term, last, last_term);
  message.kind = MessageKind::kPreVote;
  return message;
}

Message heartbeat(PeerId from, PeerId to, Term term) {
  return {.kind = MessageKind::kAppend, .from = from, .to = to, .term = term, .entries = {}, .round = 1, .first = 1};
}

// One replica with that log, which has waited long enough after its start to vote.
struct Voter {
  TestGroups groups;
  explicit Voter(const Log::Base& base, const std::vector<OwnedEntry>& entries = {}, HardState hard_state = {}) {
    groups.add(2, base, entries, hard_state);
    groups.now += kLongestLease;
  }
  bool grants(const Message& request) { return groups.grants(2, request); }
};

const Options kDefaults;

}  // namespace

BOOST_AUTO_TEST_SUITE(election_test)

BOOST_AUTO_TEST_CASE(of_three_that_start_one_is_elected_and_all_know_it) {
  TestGroups groups(3);
  BOOST_REQUIRE(groups.run_until([&] { return groups.leader() != kNoPeer; }));
  groups.run_for(kDefaults.heartbeat);
  for (const PeerId peer : {1, 2, 3}) BOOST_TEST(groups[peer].leader() == groups.leader());
  const PeerId leader = groups.leader();
  const Term term = groups[leader].term();
  groups.run_for(2000 * kMillisecond);
  BOOST_TEST(groups.leader() == leader);
  BOOST_TEST(groups[leader].term() == term, "while it is heard nobody else campaigns");
}

BOOST_AUTO_TEST_CASE(one_alone_elects_itself_and_commits) {
  TestGroups groups(1);
  groups.elect(1);
  const Index index = groups.put(1, "x");
  BOOST_TEST(groups[1].commit() == index);
}

BOOST_AUTO_TEST_CASE(nobody_campaigns_before_its_deadline_and_it_does_then) {
  TestGroups groups(3);
  const Time deadline = groups[1].next_deadline();
  BOOST_TEST(deadline > groups.now);
  while (groups[1].role() == Role::kFollower) {
    groups.now += kMillisecond;
    BOOST_REQUIRE(groups.now <= Time{1000 * kMillisecond} + kDefaults.election_timeout_max + kMillisecond);
    const Time due = groups[1].next_deadline();
    groups.tick(1);
    if (groups[1].role() != Role::kFollower) BOOST_TEST(due <= groups.now);
  }
  BOOST_TEST(groups.now >= 1000 * kMillisecond + kDefaults.election_timeout_min);
}

// --- votes

BOOST_AUTO_TEST_CASE(a_voter_votes_for_one_candidate_of_a_term_and_again_for_the_same) {
  Voter voter({0, 0, configuration_of({1, 2, 3})});
  BOOST_TEST(voter.grants(vote(1, 2, 1)));
  BOOST_TEST(!voter.grants(vote(3, 2, 1)));
  BOOST_TEST(voter.grants(vote(1, 2, 1)), "the reply may have been lost");
  BOOST_TEST(voter.grants(vote(3, 2, 2)));
}

BOOST_AUTO_TEST_CASE(a_vote_outlives_a_restart) {
  Voter voter({0, 0, configuration_of({1, 2, 3})});
  BOOST_TEST(voter.grants(vote(1, 2, 1)));
  voter.groups.crash(2);
  voter.groups.restart(2);
  voter.groups.now += kLongestLease;
  BOOST_TEST(voter.groups[2].term() == 1u);
  BOOST_TEST(!voter.grants(vote(3, 2, 1)));
}

// Thesis §3.6.1.
BOOST_AUTO_TEST_CASE(a_voter_refuses_a_candidate_whose_log_is_behind) {
  Voter voter({0, 0, configuration_of({1, 2, 3})}, entries_of({1, 1, 2, 2}), {2, kNoPeer});
  BOOST_TEST(!voter.grants(pre_vote(1, 2, 3, 3, 2)));
  BOOST_TEST(!voter.grants(vote(1, 2, 3, 3, 2)), "shorter");
  BOOST_TEST(!voter.grants(vote(1, 2, 4, 9, 1)), "longer, but of an older term");
  BOOST_TEST(voter.grants(vote(1, 2, 5, 4, 2)));
  BOOST_TEST(voter.grants(vote(1, 2, 6, 1, 3)), "shorter, but of a newer term");
}

// NuRaft#668: after everything was cut, what is known of the last entry decides.
BOOST_AUTO_TEST_CASE(an_empty_log_is_as_good_as_its_base) {
  Voter voter({5, 2, configuration_of({1, 2, 3})}, {}, {2, kNoPeer});
  BOOST_TEST(!voter.grants(vote(1, 2, 3, 5, 1)));
  BOOST_TEST(!voter.grants(vote(1, 2, 4, 4, 2)));
  BOOST_TEST(!voter.grants(vote(1, 2, 5, 0, 0)));
  BOOST_TEST(voter.grants(vote(1, 2, 6, 5, 2)));
}

// etcd#10998: the configuration in its own log may be an old one.
BOOST_AUTO_TEST_CASE(a_promoted_learner_votes_before_it_knows_that_it_was_promoted) {
  Voter learner({0, 0, configuration_of({1, 3}, {2})});
  BOOST_TEST(learner.grants(pre_vote(1, 2, 1)));
  BOOST_TEST(learner.grants(vote(1, 2, 1)));
  Voter stranger({0, 0, configuration_of({1, 3})});
  BOOST_TEST(stranger.grants(vote(1, 2, 1)));
}

BOOST_AUTO_TEST_CASE(a_vote_leaves_only_when_it_is_durable) {
  TestGroups groups(3);
  groups.now += kLongestLease;
  groups.node(2).disk_works = false;
  BOOST_TEST(!groups.grants(2, vote(1, 2, 1)));
  BOOST_TEST(!groups.grants(2, vote(1, 2, 1)), "nor when it is asked again");
  groups.sync(2);
  groups.turn(2);
  const auto reply = groups.take(MessageKind::kVoteReply, 2, 1);
  BOOST_REQUIRE(reply.has_value());
  BOOST_TEST(!reply->head.rejected);
  BOOST_TEST(reply->head.term == 1u);
}

// What a crash would take back counts for nothing: it could vote for somebody else in the same term.
BOOST_AUTO_TEST_CASE(the_own_vote_counts_only_when_it_is_durable) {
  TestGroups groups(1);
  groups.node(1).disk_works = false;
  groups.run_for(kDefaults.election_timeout_max + 10 * kMillisecond);
  BOOST_TEST(!groups[1].leads());
  groups.sync(1);
  groups.settle();
  BOOST_TEST(groups[1].leads());
}

// A candidate that forgot its campaign would lead the same term twice, if its voters vote for it again.
BOOST_AUTO_TEST_CASE(nobody_leads_before_its_own_term_is_durable) {
  TestGroups groups(3);
  groups.node(1).disk_works = false;
  for (int i = 0; i < 400 && groups[1].role() != Role::kCandidate; ++i) {
    groups.now += kMillisecond;
    groups.tick(1);
    groups.settle();
  }
  BOOST_REQUIRE((groups[1].role() == Role::kCandidate));
  groups.settle();
  BOOST_TEST(!groups[1].leads(), "though two others may have voted for it");
  groups.sync(1);
  groups.settle();
  BOOST_TEST(groups[1].leads());
}

// --- pre-votes (thesis §9.6)

BOOST_AUTO_TEST_CASE(a_pre_vote_changes_neither_term_nor_vote) {
  Voter voter({0, 0, configuration_of({1, 2, 3})});
  BOOST_TEST(voter.grants(vote(1, 2, 1)));
  BOOST_TEST(voter.grants(pre_vote(3, 2, 9)));
  BOOST_TEST(voter.grants(pre_vote(1, 2, 9)), "it binds nobody");
  BOOST_TEST(voter.groups[2].term() == 1u);
  BOOST_TEST((voter.groups.node(2).journal.hard_state() == HardState{1, 1}));
  BOOST_TEST(!voter.grants(vote(3, 2, 1)), "canonical/raft#196: the vote is still given");
}

BOOST_AUTO_TEST_CASE(asking_for_pre_votes_changes_no_term) {
  TestGroups groups(3);
  groups.isolate(1);
  groups.run_for(3000 * kMillisecond, {2, 3});
  BOOST_TEST((groups[1].role() == Role::kPreCandidate));
  BOOST_TEST(groups[1].term() == 0u);
}

BOOST_AUTO_TEST_CASE(pre_votes_are_not_counted_as_votes) {
  TestGroups groups(5);
  groups.campaign(1);
  groups.deliver_all();
  for (PeerId peer = 2; peer <= 5; ++peer) groups.turn(peer);
  std::vector<Parcel> replies;
  for (PeerId peer = 2; peer <= 5; ++peer) {
    auto reply = groups.take(MessageKind::kPreVoteReply, peer, 1);
    BOOST_REQUIRE(reply.has_value());
    BOOST_TEST(!reply->head.rejected);
    replies.push_back(*reply);
  }
  for (const Parcel& reply : replies) groups.give_parcel(reply);
  groups.turn(1);
  BOOST_TEST((groups[1].role() == Role::kCandidate));
  for (int i = 0; i < 2; ++i) {
    for (const Parcel& reply : replies) groups.give_parcel(reply);
  }
  groups.turn(1);
  BOOST_TEST((groups[1].role() == Role::kCandidate), "canonical/raft#196");
  groups.settle();
  BOOST_TEST(groups[1].leads());
}

BOOST_AUTO_TEST_CASE(late_votes_are_not_counted_as_pre_votes) {
  TestGroups groups(5);
  groups.campaign(1);
  groups.loses = [](const Parcel& parcel) { return parcel.head.kind == MessageKind::kVoteReply; };
  std::vector<Parcel> votes;
  while (groups[1].role() != Role::kCandidate || !groups.wire.empty()) {
    for (const Parcel& parcel : groups.wire) {
      if (parcel.head.kind == MessageKind::kVoteReply) votes.push_back(parcel);
    }
    groups.deliver_all();
    for (const PeerId peer : groups.peers()) groups.turn(peer);
  }
  const Term term = groups[1].term();
  for (int i = 0; i < 3000 && groups[1].role() != Role::kPreCandidate; ++i) {
    groups.now += kMillisecond;
    groups.tick(1);
  }
  BOOST_REQUIRE((groups[1].role() == Role::kPreCandidate));
  BOOST_REQUIRE(votes.size() >= 2u);
  for (const Parcel& parcel : votes) groups[1].receive(parcel.view(), groups.now);
  BOOST_TEST(groups[1].term() == term);
}

// etcd#8243, etcd#8501: a node of a lower term must learn of it, even from those who would not vote for it.
BOOST_AUTO_TEST_CASE(a_message_of_an_older_term_is_answered_with_the_newer_one) {
  Voter voter({0, 0, configuration_of({1, 2, 3})}, entries_of({4}), {7, kNoPeer});
  for (const Message& old : {vote(1, 2, 3), heartbeat(1, 2, 3), pre_vote(1, 2, 3)}) {
    voter.groups.give(2, old);
    voter.groups.turn(2);
    BOOST_REQUIRE(voter.groups.wire.size() == 1u);
    BOOST_TEST(voter.groups.wire[0].head.term == 7u);
    BOOST_TEST(voter.groups.wire[0].head.to == 1u);
    voter.groups.wire.clear();
  }
}

BOOST_AUTO_TEST_CASE(a_deposed_leader_learns_it_from_the_answer_to_its_heartbeat) {
  TestGroups groups(3);
  groups.elect(1);
  groups.isolate(1);
  groups.elect(2);
  groups.heal();
  groups.now += kDefaults.heartbeat;
  groups.tick(1);
  groups.settle();
  BOOST_TEST(!groups[1].leads());
  BOOST_TEST(groups[1].term() == groups[2].term());
}

BOOST_AUTO_TEST_CASE(a_candidate_follows_the_leader_of_its_own_term) {
  TestGroups groups(3);
  groups.campaign(1);
  while (groups[1].role() != Role::kCandidate) {
    groups.deliver_all();
    for (const PeerId peer : groups.peers()) groups.turn(peer);
  }
  groups.give(1, heartbeat(3, 1, groups[1].term()));
  BOOST_TEST((groups[1].role() == Role::kFollower));
  BOOST_TEST(groups[1].leader() == 3u);
}

// --- promises (thesis §6.4.1; §4.2.3)

BOOST_AUTO_TEST_CASE(who_follows_votes_for_nobody_else_until_its_promise_has_run_out) {
  TestGroups groups(3);
  groups.elect(1);
  const Term term = groups[2].term();
  groups.give(2, heartbeat(1, 2, term));
  const Index last = groups[2].log().last();
  groups.now += kDefaults.lease - 1;
  BOOST_TEST(!groups.grants(2, pre_vote(3, 2, term + 1, last, term)));
  BOOST_TEST(!groups.grants(2, vote(3, 2, term + 1, last, term)));
  BOOST_TEST(groups[2].term() == term, "not even the term is taken over");
  groups[2].peer_lost(1, groups.now);
  BOOST_TEST(!groups.grants(2, pre_vote(3, 2, term + 1, last, term)), "nor after a closed connection");
  BOOST_TEST(!groups.grants(2, vote(3, 2, term + 1, last, term)));
  groups.now += 1;
  BOOST_TEST(groups.grants(2, vote(3, 2, term + 1, last, term)));
}

BOOST_AUTO_TEST_CASE(a_closed_connection_leads_to_an_election_as_soon_as_the_promises_have_run_out) {
  TestGroups groups(3);
  groups.elect(1);
  groups.now += kDefaults.heartbeat;
  groups.tick(1);
  groups.settle();
  const Time heard = groups.now;
  groups.isolate(1);
  groups[2].peer_lost(1, groups.now);
  while (!groups[2].leads() && groups.now < heard + kDefaults.election_timeout_min) {
    BOOST_TEST(!groups[2].leads());
    groups.run_for(kMillisecond, {1});
    if (groups.now < heard + kDefaults.lease) BOOST_TEST(groups[2].term() == groups[1].term());
  }
  BOOST_TEST(groups[2].leads(), "before an election timeout");
}

BOOST_AUTO_TEST_CASE(without_leases_too) {
  Options options;
  options.lease = 0;
  TestGroups groups(3, options);
  groups.elect(1);
  groups.isolate(1);
  const Time lost = groups.now;
  groups[2].peer_lost(1, groups.now);
  groups[3].peer_lost(1, groups.now);
  BOOST_TEST(groups.run_until([&] { return groups[2].leads() || groups[3].leads(); }));
  BOOST_TEST(groups.now < lost + 2 * options.election_timeout_max);
  BOOST_TEST(groups[2].lease_end() == 0);
}

// It may have promised something before the crash.
BOOST_AUTO_TEST_CASE(a_restarted_voter_waits_the_longest_lease_before_it_votes) {
  TestGroups groups(3);
  groups.elect(1);
  groups.crash(2);
  groups.restart(2);
  const Term term = groups[2].term();
  const Index last = groups[2].log().last();
  groups.now += kLongestLease - 1;
  BOOST_TEST(!groups.grants(2, pre_vote(3, 2, term + 1, last, term)));
  BOOST_TEST(!groups.grants(2, vote(3, 2, term + 1, last, term)));
  groups.now += 1;
  BOOST_TEST(groups.grants(2, vote(3, 2, term + 1, last, term)));
}

BOOST_AUTO_TEST_CASE(a_leader_with_a_valid_lease_votes_for_nobody) {
  TestGroups groups(3);
  groups.elect(1);
  BOOST_REQUIRE(groups[1].lease_end() > groups.now);
  const Term term = groups[1].term();
  const Index last = groups[1].log().last();
  BOOST_TEST(!groups.grants(1, pre_vote(3, 1, term + 1, last, term)));
  BOOST_TEST(!groups.grants(1, vote(3, 1, term + 1, last, term)));
  BOOST_TEST(groups[1].leads());
  BOOST_TEST(groups[1].term() == term);
}

BOOST_AUTO_TEST_CASE(one_that_was_cut_off_disturbs_nobody_when_it_comes_back) {
  TestGroups groups(3);
  groups.elect(1);
  groups.isolate(3);
  groups.run_for(2000 * kMillisecond);
  const Term term = groups[1].term();
  groups.heal();
  groups.run_for(500 * kMillisecond);
  BOOST_TEST(groups.leader() == 1u);
  BOOST_TEST(groups[1].term() == term);
  BOOST_TEST(groups[3].leader() == 1u);
}

// --- check-quorum, stalls

BOOST_AUTO_TEST_CASE(a_leader_without_a_majority_steps_down) {
  TestGroups groups(3);
  groups.elect(1);
  groups.isolate(1);
  groups.run_for(kDefaults.election_timeout_max + 20 * kMillisecond, {2, 3});
  BOOST_TEST(!groups[1].leads());
}

BOOST_AUTO_TEST_CASE(a_leader_with_a_majority_does_not_though_one_is_gone) {
  TestGroups groups(3);
  groups.elect(1);
  groups.isolate(3);
  groups.run_for(2000 * kMillisecond);
  BOOST_TEST(groups[1].leads());
}

// etcd#13527, etcd#15247: what waits to be received after a stall decides, not the clock.
BOOST_AUTO_TEST_CASE(a_follower_whose_loop_stood_still_does_not_campaign_before_it_has_received) {
  TestGroups groups(3);
  groups.elect(1);
  groups.run_for(100 * kMillisecond);
  groups.now += 1000 * kMillisecond;
  groups.tick(2);
  groups.turn(2);
  BOOST_TEST((groups[2].role() == Role::kFollower));
  BOOST_TEST(groups.on_wire(MessageKind::kPreVote) == 0u);
  groups.run_for(500 * kMillisecond);
  BOOST_TEST(groups.leader() == 1u);
}

BOOST_AUTO_TEST_CASE(a_leader_whose_loop_stood_still_does_not_step_down_before_it_has_received) {
  TestGroups groups(3);
  groups.elect(1);
  groups.run_for(100 * kMillisecond);
  groups.now += 1000 * kMillisecond;
  BOOST_TEST(groups[1].lease_end() < groups.now);
  groups.tick(1);
  BOOST_TEST(groups[1].leads());
  groups.run_for(500 * kMillisecond);
  BOOST_TEST(groups.leader() == 1u);
}

BOOST_AUTO_TEST_CASE(after_a_stall_silence_counts_again) {
  TestGroups groups(3);
  groups.elect(1);
  groups.isolate(1);
  groups.now += 1000 * kMillisecond;
  groups.run_for(2 * kDefaults.election_timeout_max + 20 * kMillisecond);
  BOOST_TEST(!groups[1].leads());
  BOOST_TEST((groups[2].leads() || groups[3].leads() || groups.run_until([&] { return groups.leader() != kNoPeer; })));
}

// Another led last, and may still count on its promise: it need not know yet that it is no voter any more.
BOOST_AUTO_TEST_CASE(the_only_voter_waits_at_its_start_if_another_led_last) {
  TestGroups groups;
  groups.add(1, {0, 0, configuration_of({1}, {2})}, entries_of({5}), {5, 2});
  groups.run_for(kLongestLease - kMillisecond);
  BOOST_TEST(!groups[1].leads());
  BOOST_TEST(groups.run_until([&] { return groups[1].leads(); }));
}

// It would be journaled and spread, and no term could follow it.
BOOST_AUTO_TEST_CASE(a_term_that_cannot_be_is_not_taken_over) {
  TestGroups groups(3);
  groups.elect(1);
  const Term term = groups[2].term();
  groups.give(2, heartbeat(3, 2, UINT64_MAX));
  groups.give(2, vote(3, 2, UINT64_MAX - 1));
  BOOST_TEST(groups[2].term() == term);
}

BOOST_AUTO_TEST_CASE(a_message_of_a_kind_to_come_is_ignored) {
  TestGroups groups(3);
  groups.elect(1);
  const Term term = groups[2].term();
  Message message = heartbeat(3, 2, term + 1);
  message.kind = static_cast<MessageKind>(99);
  groups.give(2, message);
  BOOST_TEST(groups[2].term() == term);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::consensus
