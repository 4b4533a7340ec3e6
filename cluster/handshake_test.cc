// Both sides of a handshake, with the bytes handed from one to the other: who is let in, who is not, and what the log
// says about it.
#include "cluster/handshake.h"

#include <boost/test/unit_test.hpp>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/random_testing.h"
#include "resp/parser.h"
#include "resp/writer.h"

namespace capstan::cluster {

namespace {

using Role = Handshake::Role;

constexpr resp::Limits kLimits;

Nodes nodes_as(const std::string& me) {
  Nodes nodes;
  nodes.me = me;
  nodes.all = {
      {"n1", "10.0.0.1", 7001, 17001, ""}, {"n2", "10.0.0.2", 7001, 17001, ""}, {"n3", "10.0.0.3", 7001, 17001, ""}};
  nodes.secret = "correct horse battery staple";
  return nodes;
}

Nonce nonce_of(char letter) {
  Nonce nonce;
  nonce.fill(letter);
  return nonce;
}

// One side, with all that it has.
struct Side {
  Side(Role role, Nodes list, const std::string& expected, char nonce, uint64_t process)
      : nodes(std::move(list)), handshake(role, nodes, expected, nonce_of(nonce), process) {
    if (role == Role::kConnecting) handshake.begin(out);
  }

  const Nodes nodes;
  Handshake handshake;
  resp::OutputBuffer out;
  std::string error;

  // What it has sent is on its way to somebody else.
  std::string take_output() {
    std::string sent(out.view());
    out.clear();
    return sent;
  }
  // Takes a message of these words.
  bool take(const resp::Arguments& words) {
    const Result<> taken = handshake.receive(words, out);
    if (!taken) error = taken.error().message;
    return taken.ok();
  }
  // Takes what the other side has sent: a whole message each time, as the protocol goes. False: there was nothing.
  bool take_from(Side& other) {
    resp::Parser parser(kLimits);
    resp::Arguments words;
    const resp::Parsed parsed = parser.next(other.out.view(), words);
    if (parsed.outcome != resp::Outcome::kCommand) return false;
    BOOST_TEST(parsed.consumed == other.out.size());
    BOOST_TEST(other.out.size() < 300u);
    take(words);
    other.out.clear();
    return true;
  }
};

struct Pair {
  explicit Pair(Nodes connecting_nodes = nodes_as("n1"), Nodes accepting_nodes = nodes_as("n2"),
                const std::string& expected = "n2")
      : connecting(Role::kConnecting, std::move(connecting_nodes), expected, 'c', 111),
        accepting(Role::kAccepting, std::move(accepting_nodes), "", 'a', 222) {}

  // Until one fails or both are done or silent. Returns how many messages went to and fro.
  int run() {
    int messages = 0;
    for (;; messages += 2) {
      if (over(accepting) || !accepting.take_from(connecting)) return messages;
      if (over(connecting) || !connecting.take_from(accepting)) return messages + 1;
    }
  }
  static bool over(const Side& side) { return side.handshake.done() || !side.error.empty(); }

  Side connecting;
  Side accepting;
};

resp::Arguments hello(std::string_view version, std::string_view cluster, std::string_view node) {
  return {"hello", version, cluster, node, "0123456789abcdef", "process!"};
}

// Takes a hello, which must get the same answer whatever it says, then a proof that must be wrong; returns what is said
// about it.
std::string refusal_of(const resp::Arguments& words) {
  Side accepting(Role::kAccepting, nodes_as("n2"), "", 'a', 1);
  BOOST_TEST_REQUIRE(accepting.take(words));
  Side other(Role::kAccepting, nodes_as("n2"), "", 'a', 1);
  BOOST_TEST_REQUIRE(other.take(hello("1", "capstan", "n1")));
  BOOST_TEST((accepting.out.view() == other.out.view()));
  accepting.out.clear();
  BOOST_TEST(!accepting.take({"proof", std::string_view("01234567890123456789012345678901")}));
  BOOST_TEST(accepting.out.empty());
  return accepting.error;
}

bool says(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

BOOST_AUTO_TEST_SUITE(handshake_test)

BOOST_AUTO_TEST_CASE(two_nodes_of_a_cluster_learn_who_the_other_is) {
  Pair pair;
  BOOST_TEST(pair.run() == 4);
  BOOST_TEST((pair.connecting.handshake.done() && pair.accepting.handshake.done()));
  BOOST_TEST(pair.connecting.handshake.peer() == "n2");
  BOOST_TEST(pair.accepting.handshake.peer() == "n1");
  BOOST_TEST(pair.connecting.handshake.peer_process() == 222u);
  BOOST_TEST(pair.accepting.handshake.peer_process() == 111u);
}

BOOST_AUTO_TEST_CASE(nodes_without_a_secret_know_each_other_and_nobody_who_has_one) {
  Nodes connecting = nodes_as("n1"), accepting = nodes_as("n2");
  connecting.secret.clear();
  Pair refused(connecting, accepting);
  refused.run();
  BOOST_TEST(!refused.accepting.handshake.done());
  accepting.secret.clear();
  Pair pair(connecting, accepting);
  BOOST_TEST(pair.run() == 4);
  BOOST_TEST((pair.connecting.handshake.done() && pair.accepting.handshake.done()));
}

BOOST_AUTO_TEST_CASE(the_connecting_side_speaks_first_and_nobody_is_done_before_a_proof) {
  Pair pair;
  BOOST_TEST(pair.accepting.out.empty());
  BOOST_TEST(pair.connecting.out.view().starts_with("*6\r\n$5\r\nhello\r\n$1\r\n1\r\n$7\r\ncapstan\r\n$2\r\nn1\r\n"));
  pair.accepting.take_from(pair.connecting);
  BOOST_TEST(!pair.accepting.handshake.done());
  pair.connecting.take_from(pair.accepting);
  BOOST_TEST(!pair.connecting.handshake.done());
  pair.accepting.take_from(pair.connecting);
  BOOST_TEST(pair.accepting.handshake.done());
  BOOST_TEST(!pair.connecting.handshake.done());
  pair.connecting.take_from(pair.accepting);
  BOOST_TEST(pair.connecting.handshake.done());
}

BOOST_AUTO_TEST_CASE(a_wrong_secret_gets_no_answer) {
  Nodes stranger = nodes_as("n1");
  stranger.secret = "guess";
  Pair pair(stranger);
  BOOST_TEST(pair.run() == 3);
  BOOST_TEST(says(pair.accepting.error, "does not know the cluster's secret"));
  BOOST_TEST(pair.accepting.out.empty());
  BOOST_TEST(says(pair.connecting.handshake.unfinished().message, "is the secret the same"));
}

BOOST_AUTO_TEST_CASE(who_accepts_has_to_prove_itself_too) {
  // An impostor at the address of n2, who lets everybody in.
  Side connecting(Role::kConnecting, nodes_as("n1"), "n2", 'c', 1);
  connecting.out.clear();
  BOOST_TEST(connecting.take(hello("1", "capstan", "n2")));
  // It gives back what it got.
  resp::Parser parser(kLimits);
  resp::Arguments words;
  const std::string own(connecting.out.view());
  BOOST_TEST_REQUIRE((parser.next(own, words).outcome == resp::Outcome::kCommand));
  BOOST_TEST(!connecting.take(words));
  BOOST_TEST(says(connecting.error, "does not know the cluster's secret"));
}

BOOST_AUTO_TEST_CASE(a_hello_that_was_changed_on_its_way_makes_the_proof_wrong) {
  for (const size_t word : {4, 5}) {
    Pair pair;
    resp::Parser parser(kLimits);
    resp::Arguments words;
    const std::string sent = pair.connecting.take_output();
    BOOST_TEST_REQUIRE((parser.next(sent, words).outcome == resp::Outcome::kCommand));
    const std::string other(words[word].size(), 'x');
    words[word] = other;
    pair.accepting.take(words);
    pair.connecting.take_from(pair.accepting);
    pair.accepting.take_from(pair.connecting);
    BOOST_TEST(says(pair.accepting.error, "does not know the cluster's secret"));
  }
}

BOOST_AUTO_TEST_CASE(a_node_cannot_pass_for_another_of_the_cluster) {
  Pair pair(nodes_as("n1"), nodes_as("n3"), "n3");
  const std::string sent = pair.connecting.take_output();
  resp::Parser parser(kLimits);
  resp::Arguments words;
  BOOST_TEST_REQUIRE((parser.next(sent, words).outcome == resp::Outcome::kCommand));
  words[3] = "n2";
  pair.accepting.take(words);
  pair.connecting.take_from(pair.accepting);
  pair.accepting.take_from(pair.connecting);
  BOOST_TEST(says(pair.accepting.error, "it calls itself n2, but does not know the cluster's secret"));
}

BOOST_AUTO_TEST_CASE(no_byte_of_the_connecting_side_may_be_another) {
  with_new_seeds(300, [](uint64_t seed) {
    Random random(seed);
    Pair pair;
    const uint64_t changed = random.below(2);  // its hello or its proof
    bool taken = true;
    for (uint64_t message = 0; message < 2 && taken; ++message) {
      const std::string sent = pair.connecting.take_output();
      resp::Parser parser(kLimits);
      resp::Arguments words;
      BOOST_TEST_REQUIRE((parser.next(sent, words).outcome == resp::Outcome::kCommand));
      const size_t place = random.below(words.size());
      std::string other(words[place]);
      other[random.below(other.size())] ^= static_cast<char>(1 + random.below(255));
      if (message == changed) words[place] = other;
      taken = pair.accepting.take(words);
      if (taken) pair.connecting.take_from(pair.accepting);
    }
    BOOST_TEST_REQUIRE((!taken && !pair.accepting.handshake.done() && !pair.connecting.handshake.done()));
  });
}

BOOST_AUTO_TEST_CASE(an_old_proof_is_worth_nothing) {
  Pair first;
  first.accepting.take_from(first.connecting);
  first.connecting.take_from(first.accepting);
  const std::string overheard(first.connecting.out.view());
  resp::Parser parser(kLimits);
  resp::Arguments words;
  BOOST_TEST_REQUIRE((parser.next(overheard, words).outcome == resp::Outcome::kCommand));
  // The same hello again, but this side has another nonce.
  Side accepting(Role::kAccepting, nodes_as("n2"), "", 'b', 222);
  Side again(Role::kConnecting, nodes_as("n1"), "n2", 'c', 111);
  accepting.take_from(again);
  BOOST_TEST(!accepting.take(words));
}

BOOST_AUTO_TEST_CASE(who_is_wrong_is_told_apart_in_the_log_only) {
  BOOST_TEST(says(refusal_of(hello("1", "capstan", "n1")), "does not know the cluster's secret"));
  BOOST_TEST(says(refusal_of(hello("2", "capstan", "n1")), "speaks version 2 of the protocol, this node version 1"));
  BOOST_TEST(says(refusal_of(hello("1", "other", "n1")), "belongs to the cluster other, this node to capstan"));
  BOOST_TEST(says(refusal_of(hello("1", "capstan", "n9")), "calls itself n9, which is not in this node's list"));
  BOOST_TEST(says(refusal_of(hello("1", "capstan", "n2")), "calls itself n2, as this node does"));
  BOOST_TEST(says(refusal_of(hello("1", "capstan", "n3")), "it is n3, to which this node connects"));
}

BOOST_AUTO_TEST_CASE(a_right_proof_does_not_help_who_is_wrong) {
  const auto refused_by_accepting = [](void (*change)(Nodes&), std::string_view why) {
    Nodes nodes = nodes_as("n1");
    change(nodes);
    Pair pair(nodes);
    pair.run();
    BOOST_TEST(says(pair.accepting.error, why), pair.accepting.error);
    BOOST_TEST(!pair.connecting.handshake.done());
  };
  refused_by_accepting([](Nodes& nodes) { nodes.cluster_name = "other"; }, "belongs to the cluster other");
  refused_by_accepting([](Nodes& nodes) { nodes.me = "n9"; }, "calls itself n9");
  refused_by_accepting([](Nodes& nodes) { nodes.me = "n3"; }, "it is n3");
}

BOOST_AUTO_TEST_CASE(the_connecting_side_knows_whom_it_means) {
  Pair pair(nodes_as("n1"), nodes_as("n2"), "n3");
  pair.run();
  BOOST_TEST(!pair.connecting.handshake.done());
  BOOST_TEST(says(pair.connecting.error, "it is n2 and not n3"));
  Pair itself(nodes_as("n1"), nodes_as("n1"), "n2");
  itself.run();
  BOOST_TEST(says(itself.connecting.handshake.unfinished().message, "calls itself n1, as this node does"));
}

BOOST_AUTO_TEST_CASE(a_proof_is_of_its_connection) {
  for (const bool same : {true, false}) {
    Pair pair;
    pair.connecting.handshake.bind("one connection");
    pair.accepting.handshake.bind(same ? "one connection" : "another");
    pair.run();
    BOOST_TEST(pair.accepting.handshake.done() == same);
    if (!same) BOOST_TEST(says(pair.accepting.error, "does not know the cluster's secret"));
  }
}

BOOST_AUTO_TEST_CASE(names_that_are_none_do_not_get_into_the_log) {
  BOOST_TEST(says(refusal_of(hello("1", "x\r\nfake line", "n1")), "belongs to the cluster (not a name)"));
  BOOST_TEST(says(refusal_of(hello("1", "capstan", std::string_view("\0\x1b[2J", 5))), "calls itself (not a name)"));
}

BOOST_AUTO_TEST_CASE(a_newer_version_may_say_more) {
  Pair pair;
  resp::Parser parser(kLimits);
  resp::Arguments words;
  const std::string sent = pair.connecting.take_output();
  BOOST_TEST_REQUIRE((parser.next(sent, words).outcome == resp::Outcome::kCommand));
  words.emplace_back("something new");
  BOOST_TEST(pair.accepting.take(words));
  pair.connecting.take_from(pair.accepting);
  pair.accepting.take_from(pair.connecting);
  BOOST_TEST(pair.accepting.handshake.done());
}

BOOST_AUTO_TEST_CASE(what_is_no_hello_is_refused_at_once) {
  const std::vector<resp::Arguments> wrong = {{"PING"},
                                              {"hello"},
                                              {"raft", "1", "capstan", "n1", "0123456789abcdef", "process!"},
                                              {"hello", "1", "capstan", "n1", "0123456789abcde", "process!"},
                                              {"hello", "1", "capstan", "n1", "0123456789abcdef", "process"},
                                              {"hello", "1", "capstan", "n1", "0123456789abcdef"}};
  for (const resp::Arguments& words : wrong) {
    Side accepting(Role::kAccepting, nodes_as("n2"), "", 'a', 1);
    BOOST_TEST(!accepting.take(words));
    BOOST_TEST(accepting.out.empty());
    BOOST_TEST(says(accepting.error, "does not say hello"));
  }
}

BOOST_AUTO_TEST_CASE(what_is_no_proof_is_refused) {
  const std::vector<resp::Arguments> wrong = {
      {"proof"}, {"raft", "1"}, {"proof", "short"}, {"hello", "01234567890123456789012345678901"}};
  for (const resp::Arguments& words : wrong) {
    Side accepting(Role::kAccepting, nodes_as("n2"), "", 'a', 1);
    BOOST_TEST_REQUIRE(accepting.take(hello("1", "capstan", "n1")));
    BOOST_TEST(!accepting.take(words));
    BOOST_TEST(says(accepting.error, "proves nothing"));
  }
}

BOOST_AUTO_TEST_CASE(who_says_nothing_is_described_too) {
  Side accepting(Role::kAccepting, nodes_as("n2"), "", 'a', 1);
  BOOST_TEST(says(accepting.handshake.unfinished().message, "no hello"));
  BOOST_TEST_REQUIRE(accepting.take(hello("1", "capstan", "n1")));
  BOOST_TEST(says(accepting.handshake.unfinished().message, "proved nothing"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::cluster
