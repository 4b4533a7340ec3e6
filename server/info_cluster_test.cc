#include <boost/test/unit_test.hpp>

#include "server/info_sections.h"
#include "server/topology_testing.h"

namespace capstan {

BOOST_AUTO_TEST_SUITE(info_cluster_test)

namespace {

std::string replication(const Topology& topology) {
  InfoText text;
  write_replication(text, topology, "run");
  return text.text();
}

std::string raft(const Topology& topology) {
  InfoText text;
  write_raft(text, topology);
  return text.text();
}

const std::string kNoBacklog =
    "second_repl_offset:-1\r\nrepl_backlog_active:0\r\nrepl_backlog_size:0\r\nrepl_backlog_first_byte_offset:0\r\n"
    "repl_backlog_histlen:0\r\n";

std::string of_the_data(const std::string& id, const std::string& offset) {
  return "master_failover_state:no-failover\r\nmaster_replid:" + id + "\r\nmaster_replid2:" + std::string(40, '0') +
         "\r\nmaster_repl_offset:" + offset + "\r\n" + kNoBacklog;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_single_node) {
  const Topology topology(nullptr, ShardMap(1), {ShardStatus{.leads = true, .serves = true}});
  BOOST_CHECK_EQUAL(replication(topology), "role:master\r\nconnected_slaves:0\r\n" + of_the_data("run", "0"));
  BOOST_CHECK_EQUAL(raft(topology), "");
}

BOOST_AUTO_TEST_CASE(a_leader) {
  const cluster::Nodes nodes = three_nodes("n1");
  ShardStatus shard = led_by("n1", 0, 5);
  shard.replicas[2].rebuilding = true;
  const Topology topology(&nodes, ShardMap(1), {shard});
  BOOST_CHECK_EQUAL(replication(topology),
                    "role:master\r\nconnected_slaves:2\r\n"
                    "slave0:ip=::1,port=7002,state=online,offset=11,lag=0\r\n"
                    "slave1:ip=db3,port=7003,state=send_bulk,offset=11,lag=0\r\n" +
                        of_the_data(node_id("capstan", ""), "12"));
  BOOST_CHECK_EQUAL(raft(topology),
                    "raft_shard0:role=leader,leader=n1,term=5,commit=10,applied=9,last=12,log_bytes=400\r\n");
}

BOOST_AUTO_TEST_CASE(a_follower) {
  const cluster::Nodes nodes = three_nodes("n3");
  ShardStatus shard = shard_of_three(0, "n1", 5);
  const Topology topology(&nodes, ShardMap(1), {shard});
  BOOST_CHECK_EQUAL(replication(topology),
                    "role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:7001\r\nmaster_link_status:up\r\n"
                    "master_last_io_seconds_ago:0\r\nmaster_sync_in_progress:0\r\nslave_read_repl_offset:12\r\n"
                    "slave_repl_offset:12\r\nslave_read_only:0\r\nreplica_announced:1\r\nconnected_slaves:0\r\n" +
                        of_the_data(node_id("capstan", ""), "12"));
  BOOST_CHECK(raft(topology).starts_with("raft_shard0:role=follower,leader=n1,term=5,"));
}

BOOST_AUTO_TEST_CASE(a_learner_whose_leader_is_lost) {
  const cluster::Nodes nodes = three_nodes("n3");
  ShardStatus shard = shard_of_three(0, "", 5);
  shard.replicas[2].voter = false;
  shard.replicas[2].rebuilding = true;
  const Topology topology(&nodes, ShardMap(1), {shard});
  BOOST_CHECK(replication(topology).starts_with(
      "role:slave\r\nmaster_host:\r\nmaster_port:0\r\nmaster_link_status:down\r\nmaster_last_io_seconds_ago:-1\r\n"
      "master_sync_in_progress:1\r\nslave_read_repl_offset:12\r\nslave_repl_offset:12\r\n"
      "master_link_down_since_seconds:-1\r\n"));
  BOOST_CHECK(raft(topology).starts_with("raft_shard0:role=learner,leader=,term=5,"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
