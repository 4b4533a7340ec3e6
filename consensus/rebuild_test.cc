// Replicas that lack what others have cut are rebuilt (model, "Rebuild"); what snapshots are to Raft (thesis §5).
#include <boost/test/unit_test.hpp>

#include "consensus/group_testing.h"

namespace capstan::consensus {

namespace {

using Terms = std::vector<Term>;

const Options kDefaults;

Log::Base base_at(const Group& group, Index index) {
  return {index, group.log().term_at(index), group.log().configuration_at(index)};
}

std::vector<OwnedEntry> entries_after(const Group& group, Index index, Index last) {
  std::vector<OwnedEntry> out;
  for (Index i = index + 1; i <= last; ++i) out.emplace_back(group.log().entry(i));
  return out;
}

struct Rebuilding : TestGroups {
  explicit Rebuilding(size_t count) : TestGroups(count) {}
  Rebuilding() = default;

  void some_heartbeats() { run_for(5 * kDefaults.heartbeat); }
  // Its state is that of the source: pieces were read when that had applied `base`, and now. Whether its log went.
  bool finish(PeerId peer, PeerId source, Index base) {
    const Group& from = (*this)[source];
    return finish(peer, base_at(from, base), entries_after(from, base, from.commit()), from.term());
  }
  bool finish(PeerId peer, const Log::Base& base, const std::vector<OwnedEntry>& entries, Term term) {
    const Group& group = (*this)[peer];
    const bool replaces = base.index > group.commit() && !group.log().matches(base.index, base.term);
    node(peer).journal.state_rebuilt(base);
    (*this)[peer].rebuilt(base, views(entries), term, now);
    return replaces;
  }
};

// 1 leads, and 3 was away while 1 and 2 have committed twelve entries and cut eight.
struct Behind : Rebuilding {
  static constexpr Index kBase = 8;

  Behind() : Rebuilding(3) {
    elect(1);
    some_heartbeats();
    isolate(3);
    while (put(1, "x") < 12) {
    }
    some_heartbeats();
    for (const PeerId peer : {1, 2}) (*this)[peer].cut(kBase);
    heal();
    some_heartbeats();
  }
};

// One alone with that in its journal, which is being rebuilt.
struct Alone : Rebuilding {
  Alone(const Terms& terms, Term term, Index applied = 0) {
    add(2, {0, 0, configuration_of({1, 2, 3})}, entries_of(terms), {term, kNoPeer});
    restart(2, applied);
    (*this)[2].begin_rebuild(now);
  }
  static Log::Base base(Index index, Term term) { return {index, term, configuration_of({1, 2, 3})}; }
  Group& group() { return (*this)[2]; }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(rebuild_test)

BOOST_AUTO_TEST_CASE(who_lacks_what_was_cut_learns_that_it_needs_a_rebuild) {
  Behind groups;
  BOOST_TEST(groups[3].needs_rebuild());
  BOOST_TEST(!groups[2].needs_rebuild());
  BOOST_TEST(!groups[3].rebuilding());
  BOOST_TEST(groups[3].leader() == 1u, "it follows all the same");
}

BOOST_AUTO_TEST_CASE(after_the_rebuild_it_goes_on_with_the_log) {
  Behind groups;
  groups[3].begin_rebuild(groups.now);
  groups.some_heartbeats();
  BOOST_TEST(groups[3].rebuilding());
  BOOST_TEST((groups[1].progress(3)->state() == Progress::State::kRebuild));
  BOOST_TEST(groups.finish(3, 2, Behind::kBase + 1));
  BOOST_TEST(!groups[3].rebuilding());
  BOOST_TEST(!groups[3].needs_rebuild());
  BOOST_TEST(groups[3].log().base() == Behind::kBase + 1);
  BOOST_TEST(groups[3].commit() == groups[2].commit());
  const Index index = groups.put(1, "x");
  groups.some_heartbeats();
  BOOST_TEST(groups[3].commit() == index);
  BOOST_TEST(groups[1].progress(3)->match() == index);
  BOOST_TEST(groups.node(3).journal.base().index == Behind::kBase + 1);
  BOOST_TEST(groups.node(3).journal.last() == index);
}

BOOST_AUTO_TEST_CASE(meanwhile_it_votes_and_follows_but_acknowledges_nothing_and_does_not_campaign) {
  Behind groups;
  groups[3].begin_rebuild(groups.now);
  groups.some_heartbeats();
  groups.isolate(2);
  const Index index = groups.put(1, "x");
  groups.some_heartbeats();
  BOOST_TEST(groups[1].commit() == index - 1);
  BOOST_TEST(groups[1].progress(3)->match() < index);
  groups.run_for(2 * kDefaults.election_timeout_max);
  BOOST_TEST(groups[1].leads(), "it is heard");
  groups.heal();
  groups.some_heartbeats();
  BOOST_TEST(groups[1].commit() == index);
  groups.crash(1);
  groups.run_for(1000 * kMillisecond, {2});
  BOOST_TEST((groups[3].role() == Group::Role::kFollower));
  groups.elect(2);
  BOOST_TEST(groups[3].leader() == 2u);
  BOOST_TEST(groups[2].commit() == index, "3 does not acknowledge the first entry of the new term");
}

BOOST_AUTO_TEST_CASE(what_a_rebuild_brought_is_acknowledged_when_it_is_durable) {
  Behind groups;
  groups.isolate(2);
  const Index index = groups.put(1, "x");
  groups[3].begin_rebuild(groups.now);
  groups.some_heartbeats();
  groups.node(3).disk_works = false;
  BOOST_TEST(groups.finish(3, 1, Behind::kBase));
  groups.some_heartbeats();
  BOOST_TEST(groups[1].progress(3)->match() == Behind::kBase, "the state itself is durable");
  BOOST_TEST(groups[1].commit() == index - 1);
  groups.node(3).disk_works = true;
  groups.sync(3);
  groups.some_heartbeats();
  BOOST_TEST(groups[1].progress(3)->match() == index);
  BOOST_TEST(groups[1].commit() == index);
}

// hashicorp/raft#704, databendlabs/openraft#559.
BOOST_AUTO_TEST_CASE(entries_that_differ_from_what_was_committed_are_dropped) {
  Alone alone({1, 1, 1, 1, 1, 2, 2, 2, 2, 2}, 2, 4);
  BOOST_TEST(!alone.finish(2, Alone::base(5, 1), entries_of({3, 3}, 6), 3), "the base itself is there");
  BOOST_TEST(terms_of(alone.group().log()) == (Terms{1, 1, 1, 1, 1, 3, 3}), boost::test_tools::per_element());
  BOOST_TEST(alone.group().commit() == 7u);
  BOOST_TEST(alone.group().term() == 3u, "the term comes with them");
  alone.settle();
  BOOST_TEST(alone.node(2).journal.last() == 7u);
  BOOST_TEST(alone.node(2).journal.has(7, 3));
  BOOST_TEST(alone.node(2).journal.hard_state().term == 3u);
}

BOOST_AUTO_TEST_CASE(also_where_only_the_base_differs) {
  Alone alone({1, 1, 1, 1, 1, 2, 2, 2, 2, 2}, 2, 4);
  BOOST_TEST(alone.finish(2, Alone::base(8, 3), {}, 3));
  BOOST_TEST(alone.group().log().base() == 8u);
  BOOST_TEST(alone.group().log().last() == 8u);
  BOOST_TEST(alone.group().log().last_term() == 3u);
  BOOST_TEST(alone.group().commit() == 8u);
}

BOOST_AUTO_TEST_CASE(a_log_that_ends_before_is_replaced) {
  Alone alone({1, 1, 1}, 1, 2);
  BOOST_TEST(alone.finish(2, Alone::base(9, 1), entries_of({1, 2}, 10), 2));
  BOOST_TEST(alone.group().log().base() == 9u);
  BOOST_TEST(alone.group().log().last() == 11u);
  BOOST_TEST(alone.group().commit() == 11u);
}

// etcd-io/etcd#1763: a stale snapshot must not truncate a log that agrees; others may count on what it acknowledged.
BOOST_AUTO_TEST_CASE(a_log_that_goes_as_far_and_agrees_stays) {
  Alone alone({1, 1, 1, 1, 1, 2, 2, 2, 2, 2}, 2, 4);
  BOOST_TEST(!alone.finish(2, Alone::base(5, 1), entries_of({2, 2}, 6), 2));
  BOOST_TEST(alone.group().log().base() == 0u);
  BOOST_TEST(alone.group().log().last() == 10u);
  BOOST_TEST(alone.group().commit() == 7u);
  BOOST_TEST(!alone.group().rebuilding());
}

BOOST_AUTO_TEST_CASE(nor_does_a_stale_rebuild_take_back_what_is_committed) {
  Alone alone({1, 1, 1, 1, 1, 2, 2, 2, 2, 2}, 2, 9);
  BOOST_TEST(!alone.finish(2, Alone::base(3, 1), entries_of({1, 1}, 4), 2));
  BOOST_TEST(alone.group().commit() == 9u);
  BOOST_TEST(alone.group().log().last() == 10u);
}

// The log moves on while the state is copied: a new leader truncates, and sends what the pieces have too.
BOOST_AUTO_TEST_CASE(a_rebuild_that_races_with_a_truncation_ends_with_the_leaders_log) {
  for (const bool truncated_first : {true, false}) {
    Behind groups;
    groups[3].begin_rebuild(groups.now);
    const Group& source = groups[2];
    const Log::Base base = base_at(source, Behind::kBase);
    const std::vector<OwnedEntry> entries = entries_after(source, base.index, source.commit());
    const Term term = source.term();
    groups.isolate(1);
    groups.put(1, "lost");
    groups.elect(2);
    groups.put(2, "of the new term");
    if (truncated_first) groups.run_for(100 * kMillisecond, {1});
    groups.finish(3, base, entries, term);
    groups.run_for(100 * kMillisecond, {1});
    const Index index = groups.put(2, "after");
    groups.run_for(100 * kMillisecond, {1});
    BOOST_TEST(groups[3].log().last() == index);
    BOOST_TEST(groups[3].commit() == index);
    BOOST_TEST(groups[3].term() == groups[2].term());
    for (Index i = groups[3].log().first(); i <= index; ++i) BOOST_TEST(groups.record(3, i) == groups.record(2, i));
  }
}

// Its leader is heard, but nothing of its entries is taken before the state is one again.
BOOST_AUTO_TEST_CASE(entries_that_come_during_a_rebuild_are_not_taken) {
  Alone alone({1, 1, 1, 1, 1, 2, 2, 2}, 2, 4);
  const std::vector<OwnedEntry> entries = entries_of({4, 4}, 6);
  const Message append = {.kind = MessageKind::kAppend,
                          .from = 1,
                          .to = 2,
                          .term = 4,
                          .previous = 5,
                          .previous_term = 1,
                          .entries = views(entries),
                          .commit = 5,
                          .round = 1,
                          .first = 1};
  alone.give(2, append);
  alone.settle();
  BOOST_TEST(terms_of(alone.group().log()) == (Terms{1, 1, 1, 1, 1, 2, 2, 2}), boost::test_tools::per_element());
  BOOST_TEST(alone.group().commit() == 4u);
  BOOST_TEST(!alone.finish(2, Alone::base(5, 1), entries_of({4}, 6), 4));
  BOOST_TEST(terms_of(alone.group().log()) == (Terms{1, 1, 1, 1, 1, 4}), boost::test_tools::per_element());
  BOOST_TEST(alone.group().commit() == 6u);
}

// NuRaft#668 again: the base's term counts when the log is empty.
BOOST_AUTO_TEST_CASE(a_rebuilt_replica_with_an_empty_log_does_not_vote_for_one_that_is_behind) {
  Alone alone({}, 0);
  BOOST_TEST(alone.finish(2, Alone::base(20, 4), {}, 5));
  alone.settle();
  alone.now += kLongestLease;
  const Message request = {
      .kind = MessageKind::kVote, .from = 1, .to = 2, .term = 6, .previous = 20, .previous_term = 3, .entries = {}};
  BOOST_TEST(!alone.grants(2, request));
  Message other = request;
  other.term = 7;
  other.previous_term = 4;
  BOOST_TEST(alone.grants(2, other));
}

// etcd-io/etcd#10864.
BOOST_AUTO_TEST_CASE(a_voter_may_learn_from_a_rebuild_that_it_was_demoted) {
  Alone alone({1, 1}, 1, 1);
  const Log::Base base{9, 1, configuration_of({1, 3}, {2})};
  BOOST_TEST(alone.finish(2, base, {}, 1));
  BOOST_TEST((alone.group().configuration() == base.configuration));
  alone.run_for(2000 * kMillisecond);
  BOOST_TEST((alone.group().role() == Group::Role::kFollower));
  alone.crash(2);
  alone.restart(2, 9);
  BOOST_TEST((alone.group().configuration() == base.configuration));
}

BOOST_AUTO_TEST_CASE(a_rebuild_that_fails_starts_over_after_a_restart) {
  Behind groups;
  groups[3].begin_rebuild(groups.now);
  groups.some_heartbeats();
  groups.crash(3);
  groups.restart(3);
  BOOST_TEST(!groups[3].rebuilding());
  groups.some_heartbeats();
  BOOST_TEST(groups[3].needs_rebuild());
  groups[3].begin_rebuild(groups.now);
  BOOST_TEST(groups.finish(3, 1, Behind::kBase));
  const Index index = groups.put(1, "x");
  groups.some_heartbeats();
  BOOST_TEST(groups[3].commit() == index);
}

// What a replica that lost its disk goes through.
BOOST_AUTO_TEST_CASE(a_new_member_is_rebuilt_and_promoted) {
  Behind groups;
  groups.add(4, {0, 0, configuration_of({1, 2, 3})});
  BOOST_REQUIRE(groups[1].change_members(configuration_of({1, 2, 3}, {4}), groups.now).ok());
  groups.some_heartbeats();
  BOOST_REQUIRE(groups[4].needs_rebuild());
  groups[4].begin_rebuild(groups.now);
  groups.some_heartbeats();
  BOOST_TEST(groups.finish(4, 1, Behind::kBase));
  groups.some_heartbeats();
  BOOST_TEST(groups[4].commit() == groups[1].commit());
  BOOST_REQUIRE(groups[1].change_members(configuration_of({1, 2, 4}), groups.now).ok());
  groups.some_heartbeats();
  BOOST_TEST(ids(groups[4].configuration().voters()) == (std::vector<PeerId>{1, 2, 4}),
             boost::test_tools::per_element());
  BOOST_TEST(!groups[4].configuration().joint());
}

BOOST_AUTO_TEST_CASE(who_follows_from_the_cut_on_needs_none) {
  TestGroups groups(3);
  groups.elect(1);
  for (int i = 0; i < 10; ++i) groups.put(1, "x");
  groups.run_for(100 * kMillisecond);
  for (const PeerId peer : {1, 2, 3}) groups[peer].cut(groups[peer].commit());
  const Index index = groups.put(1, "y");
  groups.run_for(100 * kMillisecond);
  for (const PeerId peer : {1, 2, 3}) {
    BOOST_TEST(!groups[peer].needs_rebuild());
    BOOST_TEST(groups[peer].commit() == index);
  }
}

// 1, which led, is gone with its disk. 2 has all of it, but starts anew from an older state, and 3 is being rebuilt: it
// acknowledges nothing, and cannot be rebuilt before its source has applied what 3 knows to be committed.
BOOST_AUTO_TEST_CASE(a_leader_learns_what_is_committed_from_one_that_it_rebuilds) {
  Behind groups;
  const Index committed = groups[1].commit();
  BOOST_REQUIRE(committed == 12u);
  groups[3].begin_rebuild(groups.now);
  groups.finish(3, 1, Behind::kBase);
  BOOST_REQUIRE(groups[3].commit() == committed);
  groups.crash(1);
  groups.crash(2);
  groups[3].begin_rebuild(groups.now);
  groups.restart(2, Behind::kBase);
  BOOST_REQUIRE(groups[2].commit() < committed);
  groups.elect(2);
  groups.some_heartbeats();
  BOOST_TEST(groups[3].rebuilding());
  BOOST_TEST(groups[2].commit() == committed);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::consensus
