// What a leader knows of a peer: probing, pipelining, and what was lost (thesis §3.5, §10.2.1).
#include "consensus/progress.h"

#include <boost/test/unit_test.hpp>

namespace capstan::consensus {

BOOST_AUTO_TEST_SUITE(progress_test)

namespace {

using State = Progress::State;

constexpr Progress::Window kWindow{100, 400};

// Whose log agrees up to 10.
Progress replicating() {
  Progress peer(kWindow, 11, 0);
  peer.probe_sent(1);
  peer.accepted(10, 10, 1, 1);
  return peer;
}

}  // namespace

BOOST_AUTO_TEST_CASE(it_probes_once_and_waits_for_the_answer) {
  Progress peer(kWindow, 11, 0);
  BOOST_TEST(peer.wants_probe());
  BOOST_TEST(!peer.wants_entries());
  peer.probe_sent(1);
  BOOST_TEST(!peer.wants_probe());
  peer.accepted(7, 10, 1, 1);
  BOOST_TEST((peer.state() == State::kReplicate));
  BOOST_TEST(peer.match() == 7u);
  BOOST_TEST(peer.next() == 11u);
}

BOOST_AUTO_TEST_CASE(a_rejected_probe_goes_back_to_where_the_logs_may_agree) {
  Progress peer(kWindow, 11, 0);
  peer.probe_sent(1);
  BOOST_TEST(peer.rejected(10, 4));
  BOOST_TEST(peer.wants_probe());
  BOOST_TEST(peer.next() == 5u);
  BOOST_TEST(!peer.rejected(10, 2), "an answer to an older probe");
  BOOST_TEST(peer.next() == 5u);
  peer.probe_sent(2);
  BOOST_TEST(peer.rejected(4, 9), "always further back");
  BOOST_TEST(peer.next() == 4u);
}

BOOST_AUTO_TEST_CASE(a_probe_is_repeated_when_a_later_round_is_answered) {
  Progress peer(kWindow, 11, 0);
  peer.probe_sent(5);
  peer.accepted(0, 0, 5, 5);
  BOOST_TEST(!peer.wants_probe(), "its rejection may be on the way");
  peer.accepted(0, 0, 6, 6);
  BOOST_TEST(peer.wants_probe());
}

BOOST_AUTO_TEST_CASE(entries_are_sent_before_earlier_ones_are_answered_up_to_the_window) {
  Progress peer = replicating();
  peer.entries_sent(12, 60, 2, 0);
  BOOST_TEST(peer.wants_entries());
  peer.entries_sent(13, 60, 3, 0);
  BOOST_TEST(!peer.wants_entries());
  BOOST_TEST(peer.next() == 14u);
  peer.accepted(10, 13, 3, 3);
  BOOST_TEST(peer.wants_entries(), "what it has in memory is not on its way");
  peer.entries_sent(14, 150, 4, 0);
  BOOST_TEST(peer.wants_entries(), "the window has grown");
  peer.entries_sent(15, 50, 4, 0);
  BOOST_TEST(!peer.wants_entries());
}

BOOST_AUTO_TEST_CASE(what_overtakes_entries_does_not_say_that_they_are_lost) {
  Progress peer = replicating();
  peer.entries_sent(12, 60, 2, 0);
  peer.accepted(10, 10, 5, 1);  // a heartbeat of round 5
  BOOST_TEST((peer.state() == State::kReplicate));
  BOOST_TEST(peer.in_flight());
  BOOST_TEST(!peer.wants_check(9, 10));
  BOOST_TEST(peer.wants_check(10, 10));
  peer.check_sent(10);
  BOOST_TEST(!peer.wants_check(19, 10));
  BOOST_TEST(peer.wants_check(20, 10));
  peer.accepted(10, 10, 6, 6);  // one that was sent behind them
  BOOST_TEST((peer.state() == State::kProbe));
  BOOST_TEST(!peer.wants_check(100, 10));
}

BOOST_AUTO_TEST_CASE(the_window_does_not_outgrow_its_bound) {
  Progress peer = replicating();
  for (Round round = 2; round < 20; ++round) peer.accepted(10, 10, round, round);
  peer.entries_sent(11, 399, 20, 0);
  BOOST_TEST(peer.wants_entries());
  peer.entries_sent(12, 1, 20, 0);
  BOOST_TEST(!peer.wants_entries());
}

BOOST_AUTO_TEST_CASE(what_a_later_answer_does_not_know_was_lost) {
  Progress peer = replicating();
  peer.entries_sent(12, 10, 2, 0);
  peer.entries_sent(14, 10, 4, 0);
  peer.accepted(10, 12, 4, 4);
  BOOST_TEST((peer.state() == State::kReplicate), "of that round's messages the second may be on its way");
  peer.accepted(10, 12, 5, 5);
  BOOST_TEST(peer.wants_probe());
  BOOST_TEST(peer.next() == 13u);
}

BOOST_AUTO_TEST_CASE(a_connection_made_anew_begins_at_what_is_durable) {
  Progress peer = replicating();
  peer.entries_sent(20, 10, 2, 0);
  peer.restart();
  BOOST_TEST(peer.wants_probe());
  BOOST_TEST(peer.next() == 11u);
}

// It has started anew, and does not know yet that its log is the leader's: or else it would never commit what it has.
BOOST_AUTO_TEST_CASE(who_knows_less_than_it_has_is_probed) {
  Progress peer = replicating();
  peer.accepted(10, 3, 2, 2);
  BOOST_TEST(peer.wants_probe());
  BOOST_TEST(peer.next() == 11u);
  peer.probe_sent(3);
  peer.accepted(10, 3, 3, 3);
  BOOST_TEST((peer.state() == State::kProbe));
  peer.accepted(10, 10, 3, 3);
  BOOST_TEST((peer.state() == State::kReplicate));
}

// Of what it had received, but had not made durable when it was last heard.
BOOST_AUTO_TEST_CASE(who_had_received_what_it_does_not_know_any_more_is_probed) {
  Progress peer = replicating();
  peer.entries_sent(20, 10, 2, 0);
  peer.accepted(10, 20, 2, 2);
  BOOST_TEST((peer.state() == State::kReplicate));
  peer.accepted(10, 10, 3, 3);
  BOOST_TEST(peer.wants_probe());
  BOOST_TEST(peer.next() == 11u);
}

BOOST_AUTO_TEST_CASE(match_never_goes_back) {
  Progress peer = replicating();
  peer.accepted(4, 12, 2, 2);
  BOOST_TEST(peer.match() == 10u);
  BOOST_TEST(!peer.rejected(10, 3), "what is durable there cannot be rejected");
  BOOST_TEST(!peer.rejected(4, 3));
}

BOOST_AUTO_TEST_CASE(behind_a_closed_gate_nothing_is_sent) {
  Progress peer = replicating();
  peer.entries_sent(15, 10, 2, 0);
  peer.heard(2, 0, 0);
  peer.gated(10, 12);
  BOOST_TEST(!peer.wants_entries());
  BOOST_TEST(!peer.wants_probe());
  peer.accepted(12, 12, 3, 3);
  BOOST_TEST(peer.wants_entries());
  BOOST_TEST(peer.next() == 13u);
}

BOOST_AUTO_TEST_CASE(who_started_anew_behind_a_closed_gate_is_probed) {
  Progress peer = replicating();
  peer.heard(2, 0, 0);
  peer.gated(10, 10);
  peer.accepted(10, 3, 3, 3);
  BOOST_TEST(peer.wants_probe());
}

BOOST_AUTO_TEST_CASE(a_rebuild_gets_no_entries_and_ends_with_a_probe) {
  Progress peer = replicating();
  peer.entries_sent(15, 10, 2, 0);
  peer.rebuilds();
  BOOST_TEST(!peer.wants_entries());
  BOOST_TEST(!peer.wants_probe());
  BOOST_TEST(!peer.rejected(14, 3));
  peer.accepted(30, 30, 5, 5);
  BOOST_TEST(peer.wants_probe());
  BOOST_TEST(peer.next() == 31u);
}

BOOST_AUTO_TEST_CASE(the_latest_answer_counts_with_its_promise) {
  Progress peer(kWindow, 1, 5);
  BOOST_TEST(peer.heard_at() == 5);
  peer.heard(3, 70, 10);
  peer.heard(2, 90, 12);
  BOOST_TEST(peer.answered() == 3u);
  BOOST_TEST(peer.promised() == 70);
  BOOST_TEST(peer.heard_at() == 12);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::consensus
