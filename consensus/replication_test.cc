// Replication: what counts as committed, how logs are made equal, what is sent when (thesis §3.5, §3.6, §10.2).
#include <boost/test/unit_test.hpp>

#include "consensus/group_testing.h"

namespace capstan::consensus {

namespace {

using Role = Group::Role;
using Terms = std::vector<Term>;

const Options kDefaults;

// Three, of which 1 leads.
struct Three : TestGroups {
  explicit Three(const Options& options = {}) : TestGroups(3, options) { elect(1); }
  // Long enough for heartbeats to be sent and answered.
  void some_heartbeats() { run_for(5 * kDefaults.heartbeat); }
};

// Replicas 1 … with these logs, all at the term of the newest entry.
void with_logs(TestGroups& groups, const std::vector<Terms>& logs) {
  std::vector<PeerId> voters;
  Term term = 0;
  for (const Terms& terms : logs) {
    voters.push_back(voters.size() + 1);
    for (const Term each : terms) term = std::max(term, each);
  }
  for (const PeerId peer : voters) {
    groups.add(peer, {0, 0, configuration_of(voters)}, entries_of(logs[peer - 1]), {term, kNoPeer});
  }
}

bool same_logs(TestGroups& groups, PeerId one, PeerId other) {
  const Log& left = groups[one].log();
  const Log& right = groups[other].log();
  if (left.last() != right.last()) return false;
  for (Index i = std::max(left.first(), right.first()); i <= left.last(); ++i) {
    if (OwnedEntry(left.entry(i)) != OwnedEntry(right.entry(i))) return false;
  }
  return true;
}

// What it is sent of entries, without any of it arriving.
std::vector<Parcel> sent_to(TestGroups& groups, PeerId peer) {
  std::vector<Parcel> out;
  while (auto parcel = groups.take(MessageKind::kAppend, kNoPeer, peer)) {
    if (!parcel->entries.empty()) out.push_back(*parcel);
  }
  return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(replication_test)

BOOST_AUTO_TEST_CASE(what_is_proposed_is_committed_everywhere_in_order) {
  Three groups;
  const Index first = groups.propose(1, "a");
  BOOST_TEST(groups.propose(1, "b") == first + 1);
  groups.some_heartbeats();
  for (const PeerId peer : {1, 2, 3}) {
    BOOST_TEST(groups[peer].commit() == first + 1);
    BOOST_TEST(groups.record(peer, first) == "a");
    BOOST_TEST(groups.record(peer, first + 1) == "b");
  }
}

BOOST_AUTO_TEST_CASE(only_the_leader_takes_proposals) {
  Three groups;
  const Index last = groups[2].log().last();
  BOOST_TEST(!groups[2].propose("x", groups.now).has_value());
  BOOST_TEST(groups[2].log().last() == last);
}

BOOST_AUTO_TEST_CASE(a_term_begins_with_an_entry_of_the_leaders_own) {
  Three groups;
  BOOST_TEST(groups[1].log().last() == 1u);
  BOOST_TEST(groups.record(1, 1) == "empty 1");
  BOOST_TEST(groups[1].log().term_at(1) == groups[1].term());
}

// --- what counts only when it is durable (thesis §3.8; §10.2.1 for writing to the leader's disk in parallel)

BOOST_AUTO_TEST_CASE(the_own_copy_counts_only_when_it_is_durable) {
  Three groups;
  groups.isolate(3);
  groups.node(1).disk_works = false;
  const Index index = groups.put(1, "x");
  BOOST_TEST(groups[1].progress(2)->match() == index);
  BOOST_TEST(groups[1].commit() == index - 1);
  BOOST_TEST(groups[1].durable_index() == index - 1);
  groups.sync(1);
  BOOST_TEST(groups[1].commit() == index);
  BOOST_TEST(groups[1].durable_index() == index);
}

BOOST_AUTO_TEST_CASE(a_majority_of_others_is_enough_while_the_own_disk_still_works) {
  Three groups;
  groups.node(1).disk_works = false;
  const Index index = groups.put(1, "x");
  BOOST_TEST(groups[1].commit() == index);
}

BOOST_AUTO_TEST_CASE(an_acknowledgement_leaves_only_when_it_is_durable) {
  Three groups;
  groups.isolate(3);
  groups.node(2).disk_works = false;
  const Index index = groups.put(1, "x");
  BOOST_TEST(groups[2].log().last() == index);
  groups.some_heartbeats();
  BOOST_TEST(groups[1].leads(), "heartbeats are answered meanwhile");
  BOOST_TEST(groups[1].progress(2)->match() == index - 1);
  BOOST_TEST(groups[1].commit() == index - 1);
  groups.sync(2);
  groups.settle();
  BOOST_TEST(groups[1].progress(2)->match() == index);
  BOOST_TEST(groups[1].commit() == index);
}

BOOST_AUTO_TEST_CASE(marks_may_be_skipped_and_tell_of_no_more_than_they_cover) {
  Three groups;
  groups.isolate(3);
  groups.isolate(2);
  groups.node(1).disk_works = false;
  std::vector<Mark> marks;
  for (int i = 0; i < 3; ++i) {
    groups.propose(1, "x");
    const Ready ready = groups[1].take_ready(groups.now);
    BOOST_TEST(ready.first_new == ready.last_new);
    marks.push_back(ready.mark);
  }
  const Index last = groups[1].log().last();
  BOOST_TEST(marks[0] < marks[1]);
  groups[1].durable(marks[1], groups.now);
  BOOST_TEST(groups[1].durable_index() == last - 1);
  groups[1].durable(marks[0], groups.now);
  BOOST_TEST(groups[1].durable_index() == last - 1);
  groups[1].durable(marks[2], groups.now);
  BOOST_TEST(groups[1].durable_index() == last);
}

// A write that was replaced before it was durable says nothing of what replaced it.
BOOST_AUTO_TEST_CASE(a_late_mark_does_not_make_durable_what_replaced_its_entries) {
  TestGroups groups(3);
  const auto append = [&](PeerId leader, Term term) {
    const std::vector<OwnedEntry> entries = entries_of({term});
    groups.give(2, {.kind = MessageKind::kAppend,
                    .from = leader,
                    .to = 2,
                    .term = term,
                    .entries = views(entries),
                    .round = 1,
                    .first = 1});
    return groups[2].take_ready(groups.now).mark;
  };
  const Mark first = append(1, 1);
  const Mark second = append(3, 2);
  BOOST_TEST(first < second);
  groups[2].durable(first, groups.now);
  BOOST_TEST(groups[2].durable_index() == 0u);
  for (const Message& message : groups[2].take_ready(groups.now).messages) BOOST_TEST(message.match == 0u);
  groups[2].durable(second, groups.now);
  BOOST_TEST(groups[2].durable_index() == 1u);
  groups.turn(2);
  const auto reply = groups.take(MessageKind::kAppendReply, 2, 3);
  BOOST_REQUIRE(reply.has_value());
  BOOST_TEST(reply->head.match == 1u);
}

// --- thesis §3.6.2, figure 3.7

BOOST_AUTO_TEST_CASE(entries_of_older_terms_are_not_committed_by_counting_them) {
  Options options;
  options.max_message_bytes = 1;  // one entry each
  TestGroups groups(options);
  with_logs(groups, {{1, 2}, {1, 2}, {1}, {1}, {1, 3}});
  groups.isolate(5);
  groups.loses = [](const Parcel& parcel) { return parcel.last() > 2 && !parcel.entries.empty(); };
  groups.elect(1);
  groups.run_for(100 * kMillisecond);
  BOOST_TEST(groups[3].log().matches(2, 2));
  BOOST_TEST(groups[4].log().matches(2, 2));
  BOOST_TEST(groups[1].progress(3)->match() == 2u);
  BOOST_TEST(groups[1].commit() < 2u, "a majority has it, and yet (d)");
  groups.loses = nullptr;
  groups.run_for(100 * kMillisecond);
  BOOST_TEST(groups[1].commit() == groups[1].log().last(), "(e)");
}

BOOST_AUTO_TEST_CASE(until_then_another_leader_may_replace_them) {
  Options options;
  options.max_message_bytes = 1;
  TestGroups groups(options);
  with_logs(groups, {{1, 2}, {1, 2}, {1}, {1}, {1, 3}});
  groups.isolate(5);
  groups.loses = [](const Parcel& parcel) { return parcel.last() > 2 && !parcel.entries.empty(); };
  groups.elect(1);
  groups.run_for(100 * kMillisecond);
  groups.crash(1);
  groups.loses = nullptr;
  groups.heal();
  groups.elect(5);
  groups.run_for(100 * kMillisecond);
  for (const PeerId peer : {2, 3, 4, 5}) {
    BOOST_TEST(groups[peer].log().matches(2, 3));
    BOOST_TEST(groups[peer].commit() == groups[5].log().last());
  }
}

// --- making logs equal

// Thesis figure 3.6.
BOOST_AUTO_TEST_CASE(followers_of_every_kind_get_the_leaders_log) {
  TestGroups groups;
  with_logs(groups, {{1, 1, 1, 4, 4, 5, 5, 6, 6, 6},
                     {1, 1, 1, 4, 4, 5, 5, 6, 6},
                     {1, 1, 1, 4},
                     {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6},
                     {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7},
                     {1, 1, 1, 4, 4, 4, 4},
                     {1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3}});
  groups.elect(1);
  groups.run_for(100 * kMillisecond);
  for (const PeerId peer : {2, 3, 4, 5, 6, 7}) {
    BOOST_TEST(same_logs(groups, 1, peer), "follower " << peer);
    BOOST_TEST(groups[peer].commit() == groups[1].log().last());
  }
}

// Thesis §3.5: one answer per differing term, not per entry.
BOOST_AUTO_TEST_CASE(a_long_conflict_takes_as_many_rejections_as_there_are_terms) {
  Terms own(20, 1), others(20, 1);
  for (const Term term : {2, 3, 4}) own.insert(own.end(), 60, term);
  for (const Term term : {5, 6, 7, 8}) others.insert(others.end(), 70, term);
  for (const bool longer : {true, false}) {
    TestGroups groups;
    Terms leading = others;
    if (!longer) leading.resize(90);  // the follower has more
    with_logs(groups, {leading, leading, own});
    size_t rejections = 0;
    groups.loses = [&](const Parcel& parcel) {
      if (parcel.head.kind == MessageKind::kAppendReply && parcel.head.rejected) ++rejections;
      return false;
    };
    groups.elect(1);
    groups.run_for(100 * kMillisecond);
    BOOST_TEST(same_logs(groups, 1, 3));
    BOOST_TEST(rejections <= 4u);
    BOOST_TEST(rejections >= 1u);
  }
}

BOOST_AUTO_TEST_CASE(a_late_duplicate_takes_nothing_away) {
  Three groups;
  groups.propose(1, "a");
  groups.turn(1);
  const std::vector<Parcel> old = sent_to(groups, 2);
  BOOST_REQUIRE(old.size() == 1u);
  groups.give_parcel(old[0]);
  groups.put(1, "b");
  groups.some_heartbeats();
  const Index last = groups[2].log().last();
  groups.give_parcel(old[0]);
  groups.settle();
  BOOST_TEST(groups[2].log().last() == last);
  BOOST_TEST(same_logs(groups, 1, 2));
  groups[2].cut(last);
  groups.give_parcel(old[0]);
  groups.settle();
  BOOST_TEST(groups[2].log().base() == last, "willemt/raft#118: nor is what was cut appended again");
  BOOST_TEST(groups[2].log().last() == last);
  BOOST_TEST(groups[2].needs_rebuild() == false);
}

// A heartbeat proves nothing beyond the entries that it names.
BOOST_AUTO_TEST_CASE(a_heartbeat_commits_only_what_it_has_verified) {
  TestGroups groups;
  with_logs(groups, {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}});
  groups.give(2, {.kind = MessageKind::kAppend,
                  .from = 1,
                  .to = 2,
                  .term = 2,
                  .previous = 1,
                  .previous_term = 1,
                  .entries = {},
                  .commit = 3,
                  .round = 1,
                  .first = 1});
  BOOST_TEST(groups[2].commit() == 1u);
  BOOST_TEST(groups[2].log().last() == 3u);
}

// Entries may be large and take long; what is small goes past them (cluster/link.h).
BOOST_AUTO_TEST_CASE(heartbeats_that_overtake_entries_do_not_have_them_sent_again) {
  Three groups;
  groups.elect(1);
  groups.settle();
  std::deque<Parcel> late;
  groups.loses = [&](const Parcel& parcel) {
    if (parcel.head.to != 2 || !parcel.head.ordered) return false;
    late.push_back(parcel);
    return true;
  };
  const Index large = groups.put(1, "large");
  groups.run_for(500 * kMillisecond);
  BOOST_TEST(std::count_if(late.begin(), late.end(), [](const auto& parcel) { return !parcel.entries.empty(); }) == 1);
  BOOST_TEST(late.size() > 1u, "now and then one behind them asks whether they came");
  BOOST_TEST(groups[1].leads());
  BOOST_TEST(groups.now - groups[1].progress(2)->heard_at() < 50 * kMillisecond);
  BOOST_TEST(groups[2].log().last() < large);
  groups.loses = nullptr;
  for (const Parcel& parcel : std::exchange(late, {})) groups.give_parcel(parcel);
  groups.run_for(100 * kMillisecond);
  BOOST_TEST(groups[1].progress(2)->match() == groups[1].log().last());
}

BOOST_AUTO_TEST_CASE(entries_that_are_lost_are_sent_again_when_what_is_behind_them_came) {
  Three groups;
  groups.elect(1);
  groups.settle();
  groups.loses = [](const Parcel& parcel) { return parcel.head.to == 2 && !parcel.entries.empty(); };
  groups.put(1, "lost once");
  groups.loses = nullptr;
  groups.run_for(100 * kMillisecond);
  BOOST_TEST(groups[1].progress(2)->match() == groups[1].log().last());
}

// What it knows to be its old leader's, the new one need not have.
BOOST_AUTO_TEST_CASE(a_candidate_learns_a_committed_prefix_that_differs_from_its_old_leaders_log) {
  TestGroups groups(3);
  const std::vector<OwnedEntry> lost = entries_of({1, 1});
  groups.give(
      2, {.kind = MessageKind::kAppend, .from = 1, .to = 2, .term = 1, .entries = views(lost), .round = 1, .first = 1});
  groups.turn(2);
  groups.isolate(2);
  groups.run_for(2 * kDefaults.election_timeout_max);
  groups.give(2, {.kind = MessageKind::kPreVoteReply, .from = 3, .to = 2, .term = 2});
  groups.turn(2);
  BOOST_TEST(groups[2].term() == 2u, "it asks for votes, and another one is elected");
  const std::vector<OwnedEntry> committed = entries_of({2});
  groups.give(
      2, {.kind = MessageKind::kCommitted, .from = 3, .to = 2, .term = 2, .entries = views(committed), .commit = 1});
  BOOST_TEST(groups[2].commit() == 1u);
  BOOST_TEST(groups[2].log().matches(1, 2));
}

BOOST_AUTO_TEST_CASE(what_a_deposed_leader_had_not_committed_is_replaced) {
  Three groups;
  groups.isolate(1);
  const Index index = groups.put(1, "lost");
  groups.elect(2);
  groups.put(2, "kept");
  groups.heal();
  groups.some_heartbeats();
  BOOST_TEST(same_logs(groups, 1, 2));
  BOOST_TEST(groups.record(1, index) != "lost");
  BOOST_TEST(groups.node(1).journal.has(groups[2].log().last(), groups[2].term()));
}

// --- sending

BOOST_AUTO_TEST_CASE(entries_are_sent_without_waiting_for_answers) {
  Three groups;
  groups.settle();
  for (int i = 0; i < 10; ++i) {
    groups.propose(1, "x");
    groups.turn(1);
  }
  const std::vector<Parcel> parcels = sent_to(groups, 2);
  size_t entries = 0;
  for (const Parcel& parcel : parcels) entries += parcel.entries.size();
  BOOST_TEST(entries == 10u);
  BOOST_TEST(parcels.size() == 10u);
}

BOOST_AUTO_TEST_CASE(entries_wait_a_moment_for_those_before_them) {
  Options options;
  options.batch_delay = 5 * kMillisecond;
  Three groups(options);
  groups.some_heartbeats();
  for (int i = 0; i < 10; ++i) {
    groups.propose(1, "x");
    groups.turn(1);
  }
  std::vector<Parcel> parcels = sent_to(groups, 2);
  BOOST_REQUIRE_EQUAL(parcels.size(), 1u);  // it is lost
  BOOST_TEST(parcels[0].entries.size() == 1u);
  BOOST_TEST(groups[1].next_deadline() <= groups.now + options.batch_delay);
  // Not for long, whether or not the first one is answered.
  groups.now += options.batch_delay;
  groups.turn(1);
  parcels = sent_to(groups, 2);
  BOOST_REQUIRE_EQUAL(parcels.size(), 1u);
  BOOST_TEST(parcels[0].entries.size() == 9u);
  // What fills a message does not wait.
  groups.propose(1, std::string(options.max_message_bytes, 'x'));
  groups.turn(1);
  BOOST_TEST(sent_to(groups, 2).size() == 1u);
  groups.some_heartbeats();
  BOOST_TEST(groups[2].commit() == groups[1].log().last());
}

BOOST_AUTO_TEST_CASE(one_acknowledgement_says_what_came_and_that_it_is_durable) {
  Three groups;
  groups.some_heartbeats();
  for (const bool disk_works : {true, false}) {
    groups.node(2).disk_works = disk_works;
    const Index index = groups.propose(1, "x");
    groups.turn(1);
    groups.give_parcel(*groups.take(MessageKind::kAppend, 1, 2));
    groups.turn(2);
    BOOST_TEST(groups.on_wire(MessageKind::kAppendReply, 2) == 1u);
    const Message came = groups.take(MessageKind::kAppendReply, 2)->head;
    BOOST_TEST(came.received == index);
    BOOST_TEST((came.match == index) == disk_works);
    groups.settle();
  }
}

BOOST_AUTO_TEST_CASE(what_is_on_its_way_is_bounded) {
  Options options;
  options.max_message_bytes = 300;
  options.max_bytes_in_flight = 1000;
  Three groups(options);
  groups.some_heartbeats();
  for (int i = 0; i < 50; ++i) groups.propose(1, std::string(100, 'x'));
  groups.turn(1);
  size_t bytes = 0;
  size_t copies = 0;
  for (const Parcel& parcel : groups.wire) {
    BOOST_TEST(parcel.bytes() <= options.max_message_bytes);
    if (parcel.head.to != 2) continue;
    bytes += parcel.bytes();
    copies += parcel.entries.size();
  }
  BOOST_TEST(bytes >= 900u);
  BOOST_TEST(bytes < options.max_bytes_in_flight + options.max_message_bytes);
  BOOST_TEST(copies < 50u);
  groups.settle();
  BOOST_TEST(groups[1].commit() == groups[1].log().last());
  BOOST_TEST(same_logs(groups, 1, 2));
}

BOOST_AUTO_TEST_CASE(an_entry_larger_than_a_message_fills_one) {
  Options options;
  options.max_message_bytes = 300;
  options.max_bytes_in_flight = 1000;
  Three groups(options);
  groups.some_heartbeats();
  groups.propose(1, std::string(5000, 'x'));
  groups.propose(1, "small");
  groups.turn(1);
  const std::vector<Parcel> parcels = sent_to(groups, 2);
  BOOST_REQUIRE(!parcels.empty());
  BOOST_TEST(parcels[0].entries.size() == 1u);
  BOOST_TEST(parcels[0].bytes() == 5000u);
  groups.some_heartbeats();
  BOOST_TEST(same_logs(groups, 1, 2));
}

BOOST_AUTO_TEST_CASE(a_message_that_was_lost_is_sent_again) {
  Three groups;
  groups.some_heartbeats();
  const Index index = groups.propose(1, "lost");
  groups.turn(1);
  BOOST_TEST(sent_to(groups, 2).size() == 1u);
  groups.some_heartbeats();
  BOOST_TEST(groups[2].log().last() == index);
  BOOST_TEST(groups[2].commit() == index);
}

BOOST_AUTO_TEST_CASE(over_a_new_connection_at_once) {
  Three groups;
  groups.some_heartbeats();
  const Index index = groups.propose(1, "lost");
  groups.turn(1);
  BOOST_TEST(sent_to(groups, 2).size() == 1u);
  groups[1].peer_lost(2, groups.now);
  groups[1].peer_connected(2, groups.now);
  groups.settle();
  BOOST_TEST(groups[2].log().last() == index);
}

BOOST_AUTO_TEST_CASE(messages_may_overtake_each_other) {
  Three groups;
  groups.some_heartbeats();
  std::vector<Parcel> parcels;
  for (int i = 0; i < 6; ++i) {
    groups.propose(1, "x");
    groups.turn(1);
    for (const Parcel& parcel : sent_to(groups, 2)) parcels.push_back(parcel);
  }
  for (auto parcel = parcels.rbegin(); parcel != parcels.rend(); ++parcel) groups.give_parcel(*parcel);
  groups.some_heartbeats();
  BOOST_TEST(same_logs(groups, 1, 2));
  BOOST_TEST(groups[2].commit() == groups[1].commit());
}

BOOST_AUTO_TEST_CASE(a_late_acknowledgement_takes_nothing_back) {
  Three groups;
  groups.propose(1, "a");
  groups.turn(1);
  groups.deliver_all();
  groups.turn(2);
  const auto old = groups.take(MessageKind::kAppendReply, 2, 1);
  BOOST_REQUIRE(old.has_value());
  groups.give_parcel(*old);
  const Index index = groups.put(1, "b");
  groups.give_parcel(*old);
  BOOST_TEST(groups[1].progress(2)->match() == index);
}

BOOST_AUTO_TEST_CASE(one_that_was_away_catches_up) {
  Three groups;
  groups.isolate(3);
  for (int i = 0; i < 100; ++i) groups.put(1, std::string(2000, 'x'));
  groups.heal();
  groups.some_heartbeats();
  BOOST_TEST(same_logs(groups, 1, 3));
  BOOST_TEST(groups[3].commit() == groups[1].commit());
}

// --- disks

// hashicorp/raft#503: heartbeats alone would keep it in office for ever.
BOOST_AUTO_TEST_CASE(a_leader_whose_disk_stalls_gives_up_its_term) {
  Three groups;
  groups.node(1).disk_works = false;
  groups.put(1, "x");
  groups.run_for(kDefaults.disk_stall + 20 * kMillisecond);
  BOOST_TEST(!groups[1].leads());
  BOOST_REQUIRE(groups.run_until([&] { return groups.leader() == 2 || groups.leader() == 3; }));
  const PeerId leader = groups.leader();
  groups.run_for(1000 * kMillisecond);
  BOOST_TEST(groups.leader() == leader, "and does not want it back while its disk stalls");
  const Index index = groups.put(leader, "y");
  BOOST_TEST(groups[leader].commit() == index);
}

BOOST_AUTO_TEST_CASE(a_leader_with_nothing_to_write_does_not_notice) {
  Three groups;
  groups.some_heartbeats();
  groups.node(1).disk_works = false;
  groups.run_for(3 * kDefaults.disk_stall);
  BOOST_TEST(groups[1].leads());
}

BOOST_AUTO_TEST_CASE(followers_whose_disks_stall_keep_following) {
  Three groups;
  groups.node(2).disk_works = false;
  for (int i = 0; i < 20; ++i) {
    groups.put(1, "x");
    groups.run_for(100 * kMillisecond);
  }
  BOOST_TEST(groups.leader() == 1u);
  BOOST_TEST(groups[1].commit() == groups[1].log().last());
}

// --- the gate (model, "Settling")

BOOST_AUTO_TEST_CASE(an_entry_whose_context_is_missing_is_taken_only_when_it_is_there) {
  Three groups;
  groups.some_heartbeats();
  for (const PeerId peer : {2, 3}) groups.node(peer).host.closed.insert("needs context");
  groups.propose(1, "before");
  const Index index = groups.propose(1, "needs context");
  groups.propose(1, "after");
  groups.run_for(500 * kMillisecond);
  for (const PeerId peer : {2, 3}) {
    BOOST_TEST(groups[peer].log().last() == index - 1);
    BOOST_TEST(groups[peer].leader() == 1u);
    BOOST_TEST(!groups[peer].needs_rebuild());
  }
  BOOST_TEST(groups[1].commit() == index - 1);
  groups.node(2).host.closed.clear();
  groups.some_heartbeats();
  BOOST_TEST(groups[1].commit() == index + 1);
  BOOST_TEST(groups[2].commit() == index + 1);
  BOOST_TEST(groups[3].log().last() == index - 1);
  BOOST_TEST(groups[3].commit() == index - 1);
  groups.node(3).host.closed.clear();
  groups.some_heartbeats();
  BOOST_TEST(same_logs(groups, 1, 3));
}

// --- committed prefixes from any peer (model, "Rebuild": the term comes with them)

BOOST_AUTO_TEST_CASE(a_committed_prefix_may_come_from_any_peer) {
  Three groups;
  groups.some_heartbeats();
  groups.cut_way(1, 3);
  groups.cut_way(3, 1);
  const Index index = groups.put(1, "x");
  groups.some_heartbeats();
  BOOST_REQUIRE(groups[2].commit() == index);
  const Message prefix = groups[2].committed_after(3, groups[3].log().last());
  BOOST_TEST((prefix.kind == MessageKind::kCommitted));
  BOOST_TEST(prefix.to == 3u);
  groups.give(3, Parcel(prefix).view());
  groups.settle();
  BOOST_TEST(groups[3].commit() == index);
  BOOST_TEST(groups.record(3, index) == "x");
}

BOOST_AUTO_TEST_CASE(it_replaces_what_was_not_committed_and_brings_its_term) {
  Three groups;
  groups.some_heartbeats();
  groups.isolate(1);
  const Index index = groups.put(1, "lost");
  groups.elect(2);
  groups.put(2, "kept");
  groups.run_for(100 * kMillisecond, {1});
  const Message prefix = groups[3].committed_after(1, groups[1].commit());
  BOOST_REQUIRE(!prefix.entries.empty());
  groups[1].receive(Parcel(prefix).view(), groups.now);
  groups.settle();
  BOOST_TEST(same_logs(groups, 1, 3));
  BOOST_TEST(groups[1].commit() == groups[3].commit());
  BOOST_TEST(groups[1].term() == groups[3].term());
  BOOST_TEST(!groups[1].leads());
  BOOST_TEST(groups.record(1, index) != "lost");
  BOOST_TEST(groups.node(1).journal.hard_state().term == groups[3].term());
}

BOOST_AUTO_TEST_CASE(one_that_does_not_fit_changes_nothing) {
  Three groups;
  groups.some_heartbeats();
  groups.isolate(1);
  const Index index = groups.put(1, "lost");
  groups.elect(2);
  groups.put(2, "kept");
  groups.put(2, "kept too");
  groups.run_for(100 * kMillisecond, {1});
  const Message prefix = groups[3].committed_after(1, index);
  BOOST_REQUIRE(!prefix.entries.empty());
  BOOST_REQUIRE(prefix.previous == index);
  const Index commit = groups[1].commit();
  groups[1].receive(Parcel(prefix).view(), groups.now);
  BOOST_TEST(groups[1].commit() == commit, "the entry before it is another one here");
  BOOST_TEST(!groups[1].log().matches(index + 1, groups[2].term()));
}

BOOST_AUTO_TEST_CASE(who_has_nothing_more_or_has_cut_it_cannot_help) {
  Three groups;
  for (int i = 0; i < 5; ++i) groups.put(1, "x");
  groups.some_heartbeats();
  const Index commit = groups[2].commit();
  BOOST_TEST(groups[2].committed_after(3, commit).entries.empty());
  BOOST_TEST(groups[2].committed_after(3, commit + 5).entries.empty());
  BOOST_TEST(groups[2].committed_after(3, 0).entries.size() == commit);
  groups[2].cut(4);
  BOOST_TEST(groups[2].committed_after(3, 3).entries.empty());
  BOOST_TEST(groups[2].committed_after(3, 4).entries.size() == commit - 4);
}

// --- restarts

BOOST_AUTO_TEST_CASE(after_a_restart_of_all_everything_is_there_and_goes_on) {
  Three groups;
  const Index index = groups.put(1, "x");
  for (const PeerId peer : {1, 2, 3}) groups.crash(peer);
  for (const PeerId peer : {1, 2, 3}) groups.restart(peer, 1);
  for (const PeerId peer : {1, 2, 3}) {
    BOOST_TEST(groups[peer].commit() == 1u, "what is applied is committed");
    BOOST_TEST(groups[peer].durable_index() == index);
    BOOST_TEST(groups.record(peer, index) == "x");
  }
  BOOST_REQUIRE(groups.run_until([&] { return groups.leader() != kNoPeer; }));
  groups.some_heartbeats();
  for (const PeerId peer : {1, 2, 3}) BOOST_TEST(groups[peer].commit() == index + 1);
}

BOOST_AUTO_TEST_CASE(what_was_not_durable_comes_again_from_the_leader) {
  Three groups;
  groups.node(3).disk_works = false;
  const Index index = groups.put(1, "x");
  groups.crash(3);
  groups.node(3).disk_works = true;
  groups.restart(3);
  BOOST_TEST(groups[3].log().last() < index);
  groups.some_heartbeats();
  BOOST_TEST(same_logs(groups, 1, 3));
}

// What no correct peer of this version sends is not taken, and stops nobody.
BOOST_AUTO_TEST_CASE(entries_that_cannot_be_taken_are_left_where_they_are) {
  TestGroups groups;
  groups.add(2, {0, 0, configuration_of({1, 2, 3})}, entries_of({3}), {4, kNoPeer});
  const std::vector<OwnedEntry> older = entries_of({2}, 2);
  Message append = {.kind = MessageKind::kAppend,
                    .from = 1,
                    .to = 2,
                    .term = 4,
                    .previous = 1,
                    .previous_term = 3,
                    .entries = views(older),
                    .round = 1,
                    .first = 1};
  groups.give(2, append);
  BOOST_TEST(groups[2].log().last() == 1u, "terms never fall");
  std::vector<OwnedEntry> unknown = entries_of({4}, 2);
  unknown[0].configuration = "\2 of a version to come";
  append.entries = views(unknown);
  groups.give(2, append);
  BOOST_TEST(groups[2].log().last() == 1u);
  const std::vector<OwnedEntry> good = entries_of({4}, 2);
  append.entries = views(good);
  groups.give(2, append);
  BOOST_TEST(groups[2].log().last() == 2u);
}

BOOST_AUTO_TEST_CASE(a_gate_that_opens_while_nobody_leads_leaves_nothing_to_take) {
  Three groups;
  groups.some_heartbeats();
  groups.node(2).host.closed.insert("x");
  groups.put(1, "x");
  groups.crash(1);
  groups.campaign(2);
  groups.wire.clear();
  groups[2].gate_opened(groups.now);
  BOOST_TEST(!groups[2].has_ready(groups.now));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::consensus
