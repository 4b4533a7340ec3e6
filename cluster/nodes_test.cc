// The list of nodes: what is read, what is completed, and what is said of each mistake.
#include "cluster/nodes.h"

#include <boost/test/unit_test.hpp>

namespace capstan::cluster {

namespace {

using Lines = std::vector<std::string>;

const Lines kThree = {"me n2", "node n2 10.0.0.2:7002", "node n1 10.0.0.1:7001 zone dc1/a",
                      "node n3 10.0.0.3:7003 cluster-port 9003", "secret s3cret"};

Nodes read(const Lines& lines) {
  const Result<Nodes> nodes = parse_nodes(lines);
  BOOST_TEST_REQUIRE(nodes.ok(), (nodes.ok() ? "" : nodes.error().message));
  return *nodes;
}

std::string error_of(const Lines& lines) {
  const Result<Nodes> nodes = parse_nodes(lines);
  BOOST_TEST_REQUIRE(!nodes.ok());
  BOOST_TEST((nodes.error().code == ErrorCode::kInvalid));
  return nodes.error().message;
}

// Of one wrong line among three right ones.
std::string error_of_line(const std::string& line) {
  Lines lines = kThree;
  lines.push_back(line);
  return error_of(lines);
}

Lines without(Lines lines, const std::string& line) {
  std::erase(lines, line);
  return lines;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(nodes_test)

BOOST_AUTO_TEST_CASE(nodes_are_read_and_ordered_by_name) {
  const Nodes nodes = read(kThree);
  BOOST_TEST(nodes.me == "n2");
  BOOST_TEST(nodes.cluster_name == "capstan");
  BOOST_TEST(nodes.secret == "s3cret");
  BOOST_TEST(nodes.replicas == 3u);
  BOOST_TEST_REQUIRE(nodes.all.size() == 3u);
  BOOST_TEST((nodes.all[0] == Node{"n1", "10.0.0.1", 7001, 17001, "dc1/a"}));
  BOOST_TEST((nodes.all[1] == Node{"n2", "10.0.0.2", 7002, 17002, ""}));
  BOOST_TEST((nodes.all[2] == Node{"n3", "10.0.0.3", 7003, 9003, ""}));
  BOOST_TEST(&nodes.self() == &nodes.all[1]);
  BOOST_TEST(nodes.find("n3") == &nodes.all[2]);
  BOOST_TEST((nodes.find("n4") == nullptr));
}

BOOST_AUTO_TEST_CASE(the_number_of_replicas_is_said_once) {
  Lines lines = kThree;
  lines.emplace_back("replicas 5");
  BOOST_TEST(read(lines).replicas == 5u);
  lines.emplace_back("replicas 5");
  BOOST_TEST(error_of(lines) == "cluster replicas: it was said before");
}

BOOST_AUTO_TEST_CASE(hosts_are_addresses_or_names) {
  const Nodes nodes = read({"me a", "node a [::1]:1 cluster-port 2", "node b node-b.example.com:3 zone dc1",
                            "node c [fe80::1]:4", "secret x"});
  BOOST_TEST(nodes.find("a")->host == "::1");
  BOOST_TEST(nodes.find("b")->host == "node-b.example.com");
  BOOST_TEST(nodes.find("b")->zone == "dc1");
  BOOST_TEST(nodes.find("c")->cluster_port == 10004);
}

BOOST_AUTO_TEST_CASE(words_may_be_quoted_and_lines_empty_or_comments) {
  const Nodes nodes = read(
      {"", "# the cluster", "  me \"n1\"", "node n1 127.0.0.1:7001", "name my-cluster", "secret \"two words \\x21\""});
  BOOST_TEST(nodes.cluster_name == "my-cluster");
  BOOST_TEST(nodes.secret == "two words !");
}

BOOST_AUTO_TEST_CASE(nodes_may_do_without_a_secret) {
  BOOST_TEST(read({"me n1", "node n1 127.0.0.1:7001"}).secret == "");
  BOOST_TEST(read(without(kThree, "secret s3cret")).secret == "");
}

BOOST_AUTO_TEST_CASE(it_must_be_clear_which_node_this_is) {
  BOOST_TEST(error_of(without(kThree, "me n2")) == "cluster: no line says which node this is; add \"me <name>\"");
  BOOST_TEST(error_of_line("me n3") == "cluster me: it was said before");
  BOOST_TEST(error_of({"me n4", "node n1 127.0.0.1:7001"}) == "cluster: no \"node\" line lists n4, which is this node");
  BOOST_TEST(error_of({}) == "cluster: no line says which node this is; add \"me <name>\"");
}

BOOST_AUTO_TEST_CASE(names_are_checked) {
  BOOST_TEST(error_of_line("node n/4 10.0.0.4:7004") ==
             "cluster node n/4 10.0.0.4:7004: \"n/4\" is no name: 1 to 64 letters, digits, '.', '_' or '-'");
  BOOST_TEST(is_name("N-1_a.b"));
  BOOST_TEST(is_name(std::string(64, 'n')));
  BOOST_TEST(!is_name(std::string(65, 'n')));
  BOOST_TEST(!is_name(""));
  BOOST_TEST(!is_name("a b"));
  BOOST_TEST(!is_name("\xc3\xa4"));
}

BOOST_AUTO_TEST_CASE(ports_are_checked) {
  for (const std::string wrong : {"0", "65536", "x", "", "-1", "7004x", " "}) {
    const std::string line = "node n4 \"10.0.0.4:" + wrong + "\"";
    BOOST_TEST(error_of_line(line) == "cluster " + line + ": \"" + wrong + "\" is no port from 1 to 65535");
  }
  BOOST_TEST(error_of_line("node n4 10.0.0.4:7004 cluster-port 0").ends_with("\"0\" is no port from 1 to 65535"));
  BOOST_TEST(error_of_line("node n4 10.0.0.4:60000")
                 .ends_with("its port + 10000 is above 65535; add \"cluster-port <port>\""));
  BOOST_TEST(read({"me n4", "node n4 10.0.0.4:60000 cluster-port 60001"}).self().cluster_port == 60001);
  BOOST_TEST(error_of_line("node n4 10.0.0.4:7004 cluster-port 7004").ends_with("are the same"));
}

BOOST_AUTO_TEST_CASE(addresses_are_checked) {
  BOOST_TEST(error_of_line("node n4 10.0.0.4").ends_with("the port is missing in \"10.0.0.4\""));
  BOOST_TEST(error_of_line("node n4 ::1:7001").ends_with("an IPv6 address stands in brackets, as in [::1]:7001"));
  BOOST_TEST(error_of_line("node n4 [::x]:7001").ends_with("\"::x\" is no IPv6 address"));
  BOOST_TEST(error_of_line("node n4 :7001").ends_with("\"\" is neither an address nor the name of a host"));
  BOOST_TEST(error_of_line("node n4 a/b:7001").ends_with("\"a/b\" is neither an address nor the name of a host"));
}

BOOST_AUTO_TEST_CASE(nothing_may_be_there_twice) {
  BOOST_TEST(error_of_line("node n1 10.0.0.4:7004").ends_with("there are two nodes n1"));
  BOOST_TEST(error_of_line("node n4 10.0.0.1:7001 cluster-port 5").ends_with("10.0.0.1, port 7001, as n1 does"));
  BOOST_TEST(error_of_line("node n4 10.0.0.1:5 cluster-port 17001").ends_with("10.0.0.1, port 17001, as n1 does"));
  BOOST_TEST(error_of_line("node n4 10.0.0.1:17001 cluster-port 5").ends_with("10.0.0.1, port 17001, as n1 does"));
  BOOST_TEST(error_of_line("node n4 10.0.0.4:7004 zone a zone b").ends_with("it has two zones"));
  BOOST_TEST(
      error_of_line("node n4 10.0.0.4:7004 cluster-port 1 cluster-port 2").ends_with("it has two cluster ports"));
  BOOST_TEST(error_of_line("secret other") == "cluster secret: it was said before");
}

BOOST_AUTO_TEST_CASE(other_mistakes_are_named) {
  BOOST_TEST(error_of_line("node n4").ends_with("node <name> <host>:<port> [cluster-port <port>] [zone <zone>]"));
  BOOST_TEST(error_of_line("node n4 10.0.0.4:7004 zone").ends_with("[zone <zone>]"));
  BOOST_TEST(error_of_line("node n4 10.0.0.4:7004 zone a/b/c").ends_with("is no zone, as \"dc1\" or \"dc1/rack2\" is"));
  BOOST_TEST(error_of_line("node n4 10.0.0.4:7004 rack b").ends_with("may be cluster-port or zone"));
  BOOST_TEST(error_of_line("me").ends_with("\"me\" takes one word"));
  BOOST_TEST(error_of_line("name \"a b\"").ends_with("letters, digits, '.', '_' or '-'"));
  BOOST_TEST(error_of_line("join 10.0.0.1:7001") ==
             "cluster join: \"join\" is not known here; it may be me, node, name, replicas or secret");
  BOOST_TEST(error_of_line("replicas 0").ends_with("\"0\" is no number from 1 to 1024"));
  BOOST_TEST(error_of_line("replicas three").ends_with("\"three\" is no number from 1 to 1024"));
}

BOOST_AUTO_TEST_CASE(no_message_shows_a_secret) {
  for (const std::string line : {"secret hunter2 x", "secret \"hunter2", "secret hunter2", "secrte hunter2"}) {
    BOOST_TEST(error_of_line(line).find("hunter2") == std::string::npos);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::cluster
