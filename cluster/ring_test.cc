// The properties that a ring is for: a shard's nodes are distinct and far from each other, all nodes get their share,
// and little moves when one comes or goes.
#include "cluster/ring.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <map>
#include <set>

namespace capstan::cluster {

namespace {

constexpr uint32_t kShards = 4096;

std::vector<Node> nodes_in(const std::vector<std::string>& zones) {
  std::vector<Node> nodes;
  for (size_t i = 0; i < zones.size(); ++i) nodes.push_back({"n" + std::to_string(i + 1), "h", 1, 2, zones[i]});
  return nodes;
}

std::vector<Node> plain_nodes(size_t count) { return nodes_in(std::vector<std::string>(count)); }

std::string zone_of(const std::vector<Node>& nodes, const std::string& name) {
  return std::find_if(nodes.begin(), nodes.end(), [&](const Node& node) { return node.name == name; })->zone;
}

std::string data_centre_of(const std::vector<Node>& nodes, const std::string& name) {
  const std::string zone = zone_of(nodes, name);
  return zone.substr(0, zone.find('/'));
}

// How often each of its data centres, or of its zones, occurs in each shard's list: the least and the most.
template <typename Zone>
std::pair<size_t, size_t> spread(const std::vector<Node>& nodes, size_t replicas, Zone zone) {
  const Ring ring(nodes);
  size_t least = replicas, most = 0;
  for (ShardId shard = 0; shard < 256; ++shard) {
    std::map<std::string, size_t> counts;
    for (const Node& node : nodes) counts[zone(nodes, node.name)] = 0;
    for (const std::string& name : ring.preference_list(shard, 256, replicas)) ++counts[zone(nodes, name)];
    for (const auto& [_, count] : counts) {
      least = std::min(least, count);
      most = std::max(most, count);
    }
  }
  return {least, most};
}

// The share of all shards' replicas that are elsewhere than before.
double moved(const Ring& before, const Ring& after, size_t replicas) {
  size_t count = 0;
  for (ShardId shard = 0; shard < kShards; ++shard) {
    const std::vector<std::string> old_list = before.preference_list(shard, kShards, replicas);
    const std::set<std::string> old_nodes(old_list.begin(), old_list.end());
    for (const std::string& name : after.preference_list(shard, kShards, replicas)) count += 1 - old_nodes.count(name);
  }
  return static_cast<double>(count) / static_cast<double>(kShards * replicas);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(ring_test)

BOOST_AUTO_TEST_CASE(a_list_has_distinct_nodes_and_not_more_than_there_are) {
  const Ring ring(plain_nodes(5));
  for (ShardId shard = 0; shard < 64; ++shard) {
    for (const size_t replicas : {0, 1, 3, 5, 7}) {
      const std::vector<std::string> list = ring.preference_list(shard, 64, replicas);
      BOOST_TEST(list.size() == std::min<size_t>(replicas, 5));
      BOOST_TEST((std::set<std::string>(list.begin(), list.end()).size() == list.size()));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_shorter_list_is_the_beginning_of_a_longer_one) {
  const Ring ring(nodes_in({"a/1", "a/2", "b/1", "b/2", "c"}));
  for (ShardId shard = 0; shard < 64; ++shard) {
    const std::vector<std::string> whole = ring.preference_list(shard, 64, 5);
    const std::vector<std::string> part = ring.preference_list(shard, 64, 3);
    BOOST_TEST((std::equal(part.begin(), part.end(), whole.begin())));
  }
}

BOOST_AUTO_TEST_CASE(every_node_finds_the_same_lists_whatever_the_order_of_its_configuration) {
  std::vector<Node> nodes = nodes_in({"a/1", "a/2", "b/1", "b/2", "c"});
  const Ring ring(nodes);
  std::reverse(nodes.begin(), nodes.end());
  const Ring other(nodes);
  for (ShardId shard = 0; shard < 64; ++shard) {
    BOOST_TEST((ring.preference_list(shard, 64, 3) == other.preference_list(shard, 64, 3)));
  }
}

// Nodes of different versions, and nodes that come back after years, must agree: where points lie is for ever.
BOOST_AUTO_TEST_CASE(the_lists_never_change) {
  const Ring ring(plain_nodes(5));
  std::string lists;
  for (ShardId shard = 0; shard < 4; ++shard) {
    for (const std::string& name : ring.preference_list(shard, 4, 3)) lists += name + " ";
  }
  BOOST_TEST(lists == "n2 n1 n5 n3 n4 n2 n4 n1 n3 n3 n1 n4 ");
}

BOOST_AUTO_TEST_CASE(replicas_are_spread_over_data_centres_evenly) {
  const std::vector<Node> three = nodes_in({"a", "a", "a", "b", "b", "b", "c", "c", "c"});
  BOOST_TEST((spread(three, 3, data_centre_of) == std::pair<size_t, size_t>(1, 1)));
  BOOST_TEST((spread(three, 6, data_centre_of) == std::pair<size_t, size_t>(2, 2)));
  const std::vector<Node> two = nodes_in({"a", "a", "a", "a", "a", "b", "b"});
  BOOST_TEST((spread(two, 3, data_centre_of) == std::pair<size_t, size_t>(1, 2)));
}

BOOST_AUTO_TEST_CASE(replicas_in_one_data_centre_are_spread_over_racks) {
  const std::vector<Node> one = nodes_in({"a/1", "a/1", "a/1", "a/2", "a/2", "a/3"});
  BOOST_TEST((spread(one, 3, zone_of) == std::pair<size_t, size_t>(1, 1)));
  const std::vector<Node> two = nodes_in({"a/1", "a/1", "a/2", "a/2", "b/1", "b/1", "b/2", "b/2"});
  BOOST_TEST((spread(two, 4, data_centre_of) == std::pair<size_t, size_t>(2, 2)));
  BOOST_TEST((spread(two, 4, zone_of) == std::pair<size_t, size_t>(1, 1)));
}

BOOST_AUTO_TEST_CASE(racks_of_different_data_centres_are_different_though_called_alike) {
  const std::vector<Node> nodes = nodes_in({"a/1", "b/1"});
  BOOST_TEST((spread(nodes, 2, zone_of) == std::pair<size_t, size_t>(1, 1)));
}

BOOST_AUTO_TEST_CASE(leaders_and_replicas_are_balanced) {
  for (const size_t count : {3, 5, 10}) {
    const Ring ring(plain_nodes(count));
    std::map<std::string, size_t> leaders, replicas;
    for (ShardId shard = 0; shard < kShards; ++shard) {
      const std::vector<std::string> list = ring.preference_list(shard, kShards, 2);
      ++leaders[list[0]];
      for (const std::string& name : list) ++replicas[name];
    }
    BOOST_TEST_REQUIRE(leaders.size() == count);
    const double even = static_cast<double>(kShards) / static_cast<double>(count);
    for (const auto& [name, led] : leaders) {
      BOOST_TEST((led > 0.7 * even && led < 1.4 * even), name << " leads " << led << ", evenly " << even);
      BOOST_TEST((replicas[name] > 0.7 * 2 * even && replicas[name] < 1.4 * 2 * even));
    }
  }
}

BOOST_AUTO_TEST_CASE(names_that_are_nearly_alike_have_points_of_their_own) {
  for (const char* const prefix : {"", "n", "n1", "node-"}) {
    std::vector<Node> nodes = plain_nodes(10);
    for (size_t i = 0; i < nodes.size(); ++i) nodes[i].name = prefix + std::to_string(i);
    std::map<std::string, size_t> leaders;
    const Ring ring(nodes);
    for (ShardId shard = 0; shard < kShards; ++shard) ++leaders[ring.preference_list(shard, kShards, 1)[0]];
    for (const Node& node : nodes) BOOST_TEST(leaders[node.name] > kShards / 20, node.name << leaders[node.name]);
  }
}

BOOST_AUTO_TEST_CASE(a_node_that_comes_or_goes_moves_about_its_share) {
  for (const size_t count : {3, 5, 10}) {
    const Ring before(plain_nodes(count));
    const Ring after(plain_nodes(count + 1));
    for (const size_t replicas : {1, 3}) {
      const double share = 1.0 / static_cast<double>(count + 1);
      const double come = moved(before, after, replicas);
      const double gone = moved(after, before, replicas);
      BOOST_TEST((come > 0.6 * share && come < 1.5 * share), come << " moved, its share is " << share);
      BOOST_TEST((gone > 0.6 * share && gone < 1.5 * share), gone << " moved, its share is " << share);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_shard_that_is_split_leaves_its_first_half_where_it_is) {
  const Ring ring(plain_nodes(7));
  for (ShardId shard = 0; shard < 32; ++shard) {
    BOOST_TEST((ring.preference_list(shard, 32, 3) == ring.preference_list(2 * shard, 64, 3)));
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::cluster
