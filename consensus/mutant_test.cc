// Broken rules (mutant.h) that chance hardly ever finds in the simulator, each with the schedule that needs it: the
// rule keeps its promise there, and without it the promise breaks. The others: simulation_test.cc.
#include "consensus/mutant.h"

#include <boost/test/unit_test.hpp>
#include <functional>
#include <stdexcept>

#include "consensus/group_testing.h"

namespace capstan::consensus {

BOOST_AUTO_TEST_SUITE(mutant_test)

namespace {

// Whether it grants a vote to 3 in the next term, with a log like its own.
bool votes_for_3(TestGroups& groups, PeerId peer) {
  const Log& log = groups[peer].log();
  return groups.grants(peer, {.kind = MessageKind::kVote,
                              .from = 3,
                              .to = peer,
                              .term = groups[peer].term() + 1,
                              .previous = log.last(),
                              .previous_term = log.last_term(),
                              .entries = {}});
}

// It may have promised something to a leader, who counts on it.
bool a_restarted_voter_waits() {
  TestGroups groups(3);
  groups.elect(1);
  groups.crash(2);
  groups.restart(2);
  return !votes_for_3(groups, 2);
}

// A leader counts on it until it has run out.
bool who_has_promised_votes_for_nobody_else() {
  TestGroups groups(3);
  groups.elect(1);
  groups.run_for(kLongestLease);
  return !votes_for_3(groups, 2);
}

// Thesis figure 3.7: an entry of an older term on a majority is not committed; 5 could still be elected without it.
bool entries_of_older_terms_are_not_counted() {
  Options options;
  options.max_message_bytes = 1;  // so that each has a message of its own
  TestGroups groups(options);
  const Log::Base base{0, 0, configuration_of({1, 2, 3, 4, 5})};
  groups.add(1, base, entries_of({1, 2}), {3, kNoPeer});
  groups.add(2, base, entries_of({1, 2}), {2, 1});
  groups.add(3, base, entries_of({1}), {1, kNoPeer});
  groups.add(4, base, entries_of({1}), {3, 5});
  groups.add(5, base, entries_of({1, 3}), {3, 5});
  groups.isolate(5);
  groups.loses = [](const Parcel& parcel) {
    return std::any_of(parcel.entries.begin(), parcel.entries.end(),
                       [](const OwnedEntry& entry) { return entry.term == 4; });
  };
  groups.elect(1);
  groups.run_for(50 * kMillisecond);
  BOOST_REQUIRE_EQUAL(groups[1].term(), 4u);
  BOOST_REQUIRE_EQUAL(groups[3].log().last(), 2u);
  return groups[1].commit() == 0;
}

// Thesis §4.3.
bool the_old_voters_are_asked_too() {
  TestGroups groups;
  for (const PeerId peer : {1, 2, 3, 4, 5}) groups.add(peer, {0, 0, configuration_of({1, 2, 3}, {4, 5})});
  groups.elect(1);
  groups.run_for(100 * kMillisecond);
  const Index before = groups[1].commit();
  groups.isolate(2);
  groups.isolate(3);
  BOOST_REQUIRE(groups[1].change_members(configuration_of({1, 4, 5}, {2, 3}), groups.now).ok());
  groups.run_for(100 * kMillisecond);
  return groups[1].commit() == before;
}

// 4 voted for 5 in term 3, and learns from 1, which leads term 4, an entry of term 2. The leader of term 3, which has
// another one there, has not heard of all that.
bool the_term_of_who_tells_comes_with_a_prefix() {
  TestGroups groups;
  groups.add(4, {0, 0, configuration_of({1, 2, 3, 4, 5})}, entries_of({1}), {3, 5});
  const std::vector<OwnedEntry> committed = entries_of({2}, 2);
  const std::vector<OwnedEntry> late = entries_of({3}, 2);
  groups.give(4, {.kind = MessageKind::kCommitted,
                  .from = 1,
                  .to = 4,
                  .term = 4,
                  .previous = 1,
                  .previous_term = 1,
                  .entries = views(committed),
                  .commit = 2});
  BOOST_REQUIRE(groups[4].commit() == 2u);
  groups.give(4, {.kind = MessageKind::kAppend,
                  .from = 5,
                  .to = 4,
                  .term = 3,
                  .previous = 1,
                  .previous_term = 1,
                  .entries = views(late),
                  .round = 1,
                  .first = 1});
  return groups[4].log().term_at(2) == 2u;
}

// Model, "Settling": else the record's acknowledgement would make something durable whose causes are not.
bool a_record_waits_for_its_context() {
  TestGroups groups(3);
  groups.elect(1);
  groups.node(3).host.closed.insert("its context is missing");
  const Index index = groups.put(1, "its context is missing");
  return groups[3].log().last() < index;
}

struct Case {
  Mutant mutant;
  bool (*holds)();
};
constexpr Case kCases[] = {
    {Mutant::kVoteBeforeLeaseEnd, who_has_promised_votes_for_nobody_else},
    {Mutant::kVoteAfterRestart, a_restarted_voter_waits},
    {Mutant::kCountOlderTerms, entries_of_older_terms_are_not_counted},
    {Mutant::kIncomingMajorityAlone, the_old_voters_are_asked_too},
    {Mutant::kLearnEntrysTerm, the_term_of_who_tells_comes_with_a_prefix},
    {Mutant::kNoGate, a_record_waits_for_its_context},
};

// A CHECK that stops it is as good as seeing it.
bool holds(const Case& each) {
  try {
    return each.holds();
  } catch (const std::runtime_error&) {
    return false;
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(rules_keep_what_breaks_without_them) {
  for (const Case& each : kCases) {
    const auto number = static_cast<int>(each.mutant);
    BOOST_TEST(holds(each), "mutant " << number << ": the rule does not keep its promise");
    set_mutant(each.mutant);
    BOOST_TEST(!holds(each), "mutant " << number << " is not caught");
    set_mutant(Mutant::kNone);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::consensus
