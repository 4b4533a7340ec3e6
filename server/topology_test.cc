#include "server/topology.h"

#include <boost/test/unit_test.hpp>
#include <set>

#include "server/topology_testing.h"

namespace capstan {

BOOST_AUTO_TEST_SUITE(topology_test)
using namespace std::string_literals;

namespace {

// n1's view: it leads shards 0 and 2, n2 leads shard 1.
std::vector<ShardStatus> seen_by_n1() { return {led_by("n1", 0, 5), shard_of_three(1, "n2", 7), led_by("n1", 2, 6)}; }
// n3's view of the same.
std::vector<ShardStatus> seen_by_n3() {
  return {shard_of_three(0, "n1", 5), shard_of_three(1, "n2", 7), shard_of_three(2, "n1", 6)};
}

struct View {
  View(const std::string& me, std::vector<ShardStatus> shards, uint32_t all_shards = 3)
      : nodes(three_nodes(me)), topology(&nodes, ShardMap(all_shards), std::move(shards)) {}
  cluster::Nodes nodes;
  Topology topology;

  std::string write(void (*function)(const Topology&, resp::Writer&),
                    resp::Protocol protocol = resp::Protocol::kResp3) const {
    return written([&](resp::Writer& writer) { function(topology, writer); }, protocol);
  }
};

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string bulk(const std::string& text) { return "$" + std::to_string(text.size()) + " " + text + " "; }
// As CLUSTER SLOTS has it, in RESP3.
const std::string kN1 = "*4 $8 10.0.0.1 :7001 " + bulk(id_of("n1")) + "%0 ";
const std::string kN2 = "*4 $3 ::1 :7002 " + bulk(id_of("n2")) + "%0 ";
const std::string kN3 = "*4 $3 db3 :7003 " + bulk(id_of("n3")) + "%0 ";

}  // namespace

BOOST_AUTO_TEST_CASE(ids_are_those_of_the_names) {
  BOOST_CHECK_EQUAL(node_id("capstan", "n1"), "4e6b2716c09f524de03e02e8b313d8f1b60a80cc");
  std::set<std::string> ids;
  for (const auto& [cluster, node] : {std::pair{"capstan", "n1"},
                                      {"capstan", "n2"},
                                      {"capstan", ""},
                                      {"capstann", "1"},
                                      {"capsta", "nn1"},
                                      {"", "capstann1"}}) {
    const std::string id = node_id(cluster, node);
    BOOST_CHECK_EQUAL(id.size(), 40u);
    BOOST_CHECK_EQUAL(id.find_first_not_of("0123456789abcdef"), id.npos);
    BOOST_CHECK(ids.insert(id).second);
  }
}

BOOST_AUTO_TEST_CASE(shards_have_all_slots_once) {
  for (const uint32_t shards : {1u, 2u, 3u, 7u, 100u, 16384u}) {
    const Topology topology(nullptr, ShardMap(shards), {});
    uint32_t next = 0;
    for (ShardId shard = 0; shard < shards; ++shard) {
      const Topology::SlotRange range = topology.slots(shard);
      BOOST_REQUIRE_EQUAL(range.first, next);
      BOOST_REQUIRE(range.last >= range.first);
      BOOST_REQUIRE_EQUAL(topology.map().shard_of(range.last), shard);
      next = range.last + 1u;
    }
    BOOST_CHECK_EQUAL(next, 16384u);
  }
}

BOOST_AUTO_TEST_CASE(slots_name_the_leader_first) {
  const std::string expected = "*3 *5 :0 :5461 " + kN1 + kN2 + kN3 + "*5 :5462 :10922 " + kN2 + kN1 + kN3 +
                               "*5 :10923 :16383 " + kN1 + kN2 + kN3;
  BOOST_CHECK_EQUAL(View("n1", seen_by_n1()).write(write_cluster_slots), expected);
  BOOST_CHECK_EQUAL(View("n3", seen_by_n3()).write(write_cluster_slots), expected);
  const std::string in_resp2 = View("n1", seen_by_n1()).write(write_cluster_slots, resp::Protocol::kResp2);
  BOOST_CHECK(in_resp2.starts_with("*3 *5 :0 :5461 *4 $8 10.0.0.1 :7001 " + bulk(id_of("n1")) + "*0 *4 "));
}

BOOST_AUTO_TEST_CASE(slots_without_a_leader_name_whoever_holds_them) {
  const View view("n3", {shard_of_three(0, "", 5)}, 1);
  BOOST_CHECK_EQUAL(view.write(write_cluster_slots), "*1 *5 :0 :16383 " + kN1 + kN2 + kN3);
}

BOOST_AUTO_TEST_CASE(slots_leave_out_who_cannot_answer) {
  ShardStatus shard = led_by("n1", 0, 5);
  shard.replicas[1].active = false;
  shard.replicas[2].rebuilding = true;
  BOOST_CHECK_EQUAL(View("n1", {shard}, 1).write(write_cluster_slots), "*1 *3 :0 :16383 " + kN1);
}

BOOST_AUTO_TEST_CASE(slots_of_shards_that_are_elsewhere_are_not_known) {
  const View view("n1", {led_by("n1", 1, 5)});
  BOOST_CHECK_EQUAL(view.write(write_cluster_slots), "*1 *5 :5462 :10922 " + kN1 + kN2 + kN3);
  const std::string info = cluster_info_text(view.topology);
  BOOST_CHECK(contains(info, "cluster_state:fail\r\ncluster_slots_assigned:5461\r\ncluster_slots_ok:5461\r\n"));
}

BOOST_AUTO_TEST_CASE(info_of_a_cluster_in_order) {
  const std::string all =
      "cluster_slots_assigned:16384\r\ncluster_slots_ok:16384\r\ncluster_slots_pfail:0\r\n"
      "cluster_slots_fail:0\r\ncluster_known_nodes:3\r\ncluster_size:2\r\n"
      "cluster_current_epoch:7\r\ncluster_my_epoch:6\r\n";
  BOOST_CHECK_EQUAL(cluster_info_text(View("n1", seen_by_n1()).topology), "cluster_state:ok\r\n" + all);
  BOOST_CHECK_EQUAL(cluster_info_text(View("n3", seen_by_n3()).topology), "cluster_state:ok\r\n" + all);
}

BOOST_AUTO_TEST_CASE(info_of_a_cluster_without_a_leader) {
  std::vector<ShardStatus> shards = seen_by_n3();
  shards[1].leader.clear();
  const std::string info = cluster_info_text(View("n3", shards).topology);
  BOOST_CHECK(info.starts_with("cluster_state:fail\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:10923\r\n"));
  BOOST_CHECK(contains(info, "cluster_slots_fail:5461\r\ncluster_known_nodes:3\r\ncluster_size:1\r\n"));
}

BOOST_AUTO_TEST_CASE(nodes_are_masters_of_what_they_lead) {
  const std::string n1 = id_of("n1") + " 10.0.0.1:7001@17001 ";
  const std::string n2 = id_of("n2") + " ::1:7002@17002 ";
  const std::string n3 = id_of("n3") + " db3:7003@9003 ";
  BOOST_CHECK_EQUAL(cluster_nodes_text(View("n1", seen_by_n1()).topology),
                    n1 + "myself,master - 0 0 6 connected 0-5461 10923-16383\n" + n2 +
                        "master - 0 0 7 connected 5462-10922\n" + n3 + "slave " + id_of("n1") + " 0 0 6 connected\n");
  BOOST_CHECK_EQUAL(cluster_nodes_text(View("n3", seen_by_n3()).topology),
                    n1 + "master - 0 0 6 connected 0-5461 10923-16383\n" + n2 +
                        "master - 0 0 7 connected 5462-10922\n" + n3 + "myself,slave " + id_of("n1") +
                        " 0 0 6 connected\n");
}

BOOST_AUTO_TEST_CASE(a_replica_is_that_of_the_first_leader_it_knows) {
  std::vector<ShardStatus> shards = seen_by_n3();
  shards[0].leader.clear();
  BOOST_CHECK(contains(cluster_nodes_text(View("n3", shards).topology), "myself,slave " + id_of("n2") + " 0 0 7 "));
  for (ShardStatus& shard : shards) shard.leader.clear();
  BOOST_CHECK(contains(cluster_nodes_text(View("n3", shards).topology), "myself,slave - 0 0 0 connected\n"));
}

BOOST_AUTO_TEST_CASE(a_node_without_shards_is_a_master_without_slots) {
  ShardStatus shard = led_by("n1", 0, 5);
  shard.replicas.pop_back();
  const View view("n1", {shard}, 1);
  BOOST_CHECK(contains(cluster_nodes_text(view.topology), id_of("n3") + " db3:7003@9003 master - 0 0 0 connected\n"));
}

BOOST_AUTO_TEST_CASE(a_shard_of_one_slot_has_no_range) {
  const View view("n1", {led_by("n1", 9, 5)}, 16384);
  BOOST_CHECK(contains(cluster_nodes_text(view.topology), "myself,master - 0 0 5 connected 9\n"));
}

BOOST_AUTO_TEST_CASE(only_who_does_not_answer_its_leader_fails) {
  std::vector<ShardStatus> shards = seen_by_n1();
  shards[0].replicas[2].active = false;
  BOOST_CHECK(!View("n1", shards).topology.members()[2].failing);  // it answers in shard 2
  shards[2].replicas[2].active = false;
  const View view("n1", shards);
  BOOST_CHECK(view.topology.members()[2].failing);
  BOOST_CHECK(contains(cluster_nodes_text(view.topology), "slave,fail? " + id_of("n1") + " 0 0 6 disconnected\n"));

  shards[0].replicas[1].active = shards[2].replicas[1].active = false;
  BOOST_CHECK(!View("n1", shards).topology.members()[1].failing);  // it leads shard 1
  shards[1].leader.clear();
  BOOST_CHECK(View("n1", shards).topology.members()[1].failing);

  const View follower("n3", seen_by_n3());
  for (const Topology::Member& member : follower.topology.members()) BOOST_CHECK(!member.failing);
}

BOOST_AUTO_TEST_CASE(who_is_not_connected_fails) {
  const cluster::Nodes nodes = three_nodes("n3");
  const Topology topology(&nodes, ShardMap(3), seen_by_n3(), {true, false, false});
  const std::vector<Topology::Member>& members = topology.members();
  BOOST_CHECK(!members[0].failing && members[1].failing && !members[2].failing);
}

BOOST_AUTO_TEST_CASE(shards_with_their_nodes) {
  ShardStatus shard = led_by("n1", 0, 5);
  shard.replicas[1].active = false;
  shard.replicas[2].rebuilding = true;
  const View view("n1", {shard}, 1);
  const std::string n1 = "$2 id " + bulk(id_of("n1")) + "$4 port :7001 $2 ip $8 10.0.0.1 $8 endpoint $8 10.0.0.1 ";
  const std::string n2 = "$2 id " + bulk(id_of("n2")) + "$4 port :7002 $2 ip $3 ::1 $8 endpoint $3 ::1 ";
  const std::string n3 =
      "$2 id " + bulk(id_of("n3")) + "$4 port :7003 $2 ip $0  $8 endpoint $3 db3 $8 hostname $3 db3 ";
  const std::string replica = "$4 role $7 replica $18 replication-offset :11 $6 health ";
  const std::string nodes1 = n1 + "$4 role $6 master $18 replication-offset :12 $6 health $6 online ";
  const std::string nodes2 = n2 + replica + "$6 failed ";
  const std::string nodes3 = n3 + replica + "$7 loading ";
  BOOST_CHECK_EQUAL(view.write(write_cluster_shards),
                    "*1 %2 $5 slots *2 :0 :16383 $5 nodes *3 %7 " + nodes1 + "%7 " + nodes2 + "%8 " + nodes3);
  BOOST_CHECK_EQUAL(view.write(write_cluster_shards, resp::Protocol::kResp2),
                    "*1 *4 $5 slots *2 :0 :16383 $5 nodes *3 *14 " + nodes1 + "*14 " + nodes2 + "*16 " + nodes3);
}

BOOST_AUTO_TEST_CASE(a_follower_tells_the_offsets_that_it_knows) {
  const View view("n3", {shard_of_three(0, "n1", 5)}, 1);
  const std::vector<Topology::Holder> holders = view.topology.holders(view.topology.shards()[0]);
  BOOST_REQUIRE_EQUAL(holders.size(), 3u);
  BOOST_CHECK(holders[0].leads && holders[0].offset == 10);  // what is committed
  BOOST_CHECK(!holders[1].leads && holders[1].offset == 0);  // not known
  BOOST_CHECK(!holders[2].leads && holders[2].offset == 12);
}

BOOST_AUTO_TEST_CASE(role_of_a_single_node) {
  const Topology topology(nullptr, ShardMap(1), {ShardStatus{.leads = true, .serves = true}});
  BOOST_CHECK_EQUAL(written([&](resp::Writer& writer) { write_role(topology, writer); }), "*3 $6 master :0 *0 ");
}

BOOST_AUTO_TEST_CASE(role_of_a_leader_adds_its_shards_up) {
  std::vector<ShardStatus> shards = seen_by_n1();
  BOOST_CHECK_EQUAL(View("n1", shards).write(write_role),
                    "*3 $6 master :24 *2 *3 $3 ::1 $4 7002 $2 22 *3 $3 db3 $4 7003 $2 22 ");
  shards[0].replicas[2].active = shards[2].replicas[2].active = false;
  BOOST_CHECK_EQUAL(View("n1", shards).write(write_role), "*3 $6 master :24 *1 *3 $3 ::1 $4 7002 $2 22 ");
}

BOOST_AUTO_TEST_CASE(role_of_a_follower) {
  std::vector<ShardStatus> shards = seen_by_n3();
  BOOST_CHECK_EQUAL(View("n3", shards).write(write_role), "*5 $5 slave $8 10.0.0.1 :7001 $9 connected :24 ");
  for (ShardStatus& shard : shards) shard.leader.clear();
  BOOST_CHECK_EQUAL(View("n3", shards).write(write_role), "*5 $5 slave $0  :0 $7 connect :-1 ");
}

BOOST_AUTO_TEST_CASE(capstan_nodes) {
  BOOST_CHECK_EQUAL(View("n1", seen_by_n1()).write(write_capstan_nodes),
                    "*3 %9 $4 name $2 n1 $2 id " + bulk(id_of("n1")) +
                        "$7 address $13 10.0.0.1:7001 $12 cluster-port :17001 "
                        "$4 zone $5 dc1/a $6 myself #t $6 health $6 online $5 leads :2 $7 follows :1 "
                        "%9 $4 name $2 n2 $2 id " +
                        bulk(id_of("n2")) +
                        "$7 address $10 [::1]:7002 $12 cluster-port :17002 "
                        "$4 zone _ $6 myself #f $6 health $6 online $5 leads :1 $7 follows :2 "
                        "%9 $4 name $2 n3 $2 id " +
                        bulk(id_of("n3")) +
                        "$7 address $8 db3:7003 $12 cluster-port :9003 "
                        "$4 zone _ $6 myself #f $6 health $6 online $5 leads :0 $7 follows :3 ");
  const Topology alone(nullptr, ShardMap(1), {});
  BOOST_CHECK_EQUAL(written([&](resp::Writer& writer) { write_capstan_nodes(alone, writer); }), "*0 ");
}

BOOST_AUTO_TEST_CASE(capstan_shards) {
  std::vector<ShardStatus> shards = seen_by_n1();
  shards.erase(shards.begin() + 1);
  shards[1].leader.clear();
  shards[1].leads = false;
  BOOST_CHECK_EQUAL(View("n1", shards).write(write_capstan_shards),
                    "*2 %6 $2 id :0 $5 slots $6 0-5461 $6 leader $2 n1 $5 leads #t $4 term :5 "
                    "$8 replicas *3 $2 n1 $2 n2 $2 n3 "
                    "%6 $2 id :2 $5 slots $11 10923-16383 $6 leader _ $5 leads #f $4 term :6 "
                    "$8 replicas *3 $2 n1 $2 n2 $2 n3 ");
}

BOOST_AUTO_TEST_CASE(capstan_shard) {
  const auto write = [](const View& view) {
    return written(
        [&](resp::Writer& writer) { write_capstan_shard(view.topology, view.topology.shards()[0], writer); });
  };
  std::vector<ShardStatus> shards{led_by("n1", 0, 5)};
  shards[0].replicas.erase(shards[0].replicas.begin() + 1);
  shards[0].replicas[1].voter = false;
  shards[0].replicas[1].rebuilding = true;
  const std::string figures = "$4 term :5 $6 commit :10 $7 applied :9 $5 first :3 $4 last :12 $9 log-bytes :400 ";
  BOOST_CHECK_EQUAL(write(View("n1", shards)),
                    "%12 $2 id :0 $5 slots $6 0-5461 $6 leader $2 n1 $5 leads #t $6 serves #t " + figures +
                        "$8 replicas *2 "
                        "%6 $4 node $2 n1 $4 peer $3 101 $5 voter #t $5 match :12 $6 active #t $10 rebuilding #f "
                        "%6 $4 node $2 n3 $4 peer $3 103 $5 voter #f $5 match :11 $6 active #t $10 rebuilding #t ");
  BOOST_CHECK_EQUAL(write(View("n3", {shard_of_three(0, "n1", 5)})),
                    "%12 $2 id :0 $5 slots $6 0-5461 $6 leader $2 n1 $5 leads #f $6 serves #f " + figures +
                        "$8 replicas *3 %3 $4 node $2 n1 $4 peer $3 101 $5 voter #t "
                        "%3 $4 node $2 n2 $4 peer $3 102 $5 voter #t %3 $4 node $2 n3 $4 peer $3 103 $5 voter #t ");
}

BOOST_AUTO_TEST_CASE(a_node_whose_replica_is_replaced_counts_once) {
  ShardStatus shard = led_by("n1", 0, 5);
  shard.replicas[1].active = false;
  shard.replicas.push_back({"n2", 104, false, 7, true, true});
  const View view("n1", {shard}, 1);
  BOOST_CHECK(view.topology.members()[1].follows == std::vector<ShardId>{0});
  BOOST_CHECK(!view.topology.members()[1].failing);
  const std::vector<Topology::Holder> holders = view.topology.holders(shard);
  BOOST_REQUIRE_EQUAL(holders.size(), 3u);
  BOOST_CHECK_EQUAL(holders[1].member->node->name, "n2");
  BOOST_CHECK(holders[1].rebuilding && holders[1].offset == 7);
  BOOST_CHECK_EQUAL(view.write(write_role), "*3 $6 master :12 *2 *3 $3 ::1 $4 7002 $1 7 *3 $3 db3 $4 7003 $2 11 ");
}

BOOST_AUTO_TEST_CASE(a_node_that_is_not_configured_is_nobody) {
  ShardStatus shard = shard_of_three(0, "gone", 5);
  shard.replicas.push_back({"gone", 104});
  const View view("n3", {shard}, 1);
  BOOST_CHECK(view.topology.leader(shard) == nullptr);
  BOOST_CHECK_EQUAL(view.topology.holders(shard).size(), 3u);
  BOOST_CHECK(cluster_info_text(view.topology).starts_with("cluster_state:fail\r\n"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
