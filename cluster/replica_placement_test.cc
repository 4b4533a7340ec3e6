#include "cluster/replica_placement.h"

#include <boost/test/unit_test.hpp>
#include <map>
#include <set>

namespace capstan::cluster {
namespace {

Document document_of(size_t nodes, uint32_t replicas, size_t zones = 0) {
  Document document{{}, replicas};
  for (size_t i = 0; i < nodes; ++i) {
    const std::string zone = zones == 0 ? "" : "dc" + std::to_string(i % zones);
    document.founders.push_back({"n" + std::to_string(i + 1), i + 100, zone});
  }
  return document;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(replica_placement_test)

BOOST_AUTO_TEST_CASE(every_shard_has_its_replicas_on_different_nodes) {
  for (const auto& [nodes, replicas, wanted] : {std::tuple{3, 3, 3}, {5, 3, 3}, {2, 3, 2}, {1, 3, 1}, {7, 5, 5}}) {
    const ReplicaPlacement placement(document_of(static_cast<size_t>(nodes), static_cast<uint32_t>(replicas)), 64);
    for (ShardId shard = 0; shard < 64; ++shard) {
      const auto& list = placement.replicas(shard);
      BOOST_TEST(list.size() == static_cast<size_t>(wanted));
      BOOST_TEST(std::set<std::string>(list.begin(), list.end()).size() == list.size());
      for (const std::string& node : list) BOOST_TEST(placement.holds(node, shard));
      BOOST_TEST(!placement.holds("n99", shard));
    }
  }
}

BOOST_AUTO_TEST_CASE(leaders_are_spread_evenly_also_for_a_few_shards) {
  for (const uint32_t shards : {3u, 4u, 16u, 64u}) {
    const ReplicaPlacement placement(document_of(3, 3), shards);
    std::map<std::string, size_t> leads{{"n1", 0}, {"n2", 0}, {"n3", 0}};
    for (ShardId shard = 0; shard < shards; ++shard) ++leads[placement.replicas(shard).front()];
    for (const auto& [node, count] : leads) {
      BOOST_TEST(count >= shards / 3);
      BOOST_TEST(count <= (shards + 2) / 3);
    }
  }
}

BOOST_AUTO_TEST_CASE(nodes_hold_about_their_share_of_the_shards) {
  constexpr ShardId kShards = 256;
  const ReplicaPlacement placement(document_of(5, 3), kShards);
  for (const char* const node : {"n1", "n2", "n3", "n4", "n5"}) {
    size_t held = 0;
    for (ShardId shard = 0; shard < kShards; ++shard) held += placement.holds(node, shard) ? 1 : 0;
    BOOST_TEST(held > kShards * 3 / 5 / 2, node);
    BOOST_TEST(held < kShards * 3 / 5 * 3 / 2, node);
  }
}

BOOST_AUTO_TEST_CASE(replicas_are_spread_over_the_zones_of_the_document) {
  const Document document = document_of(6, 3, 3);
  const ReplicaPlacement placement(document, 32);
  for (ShardId shard = 0; shard < 32; ++shard) {
    std::set<std::string> zones;
    for (const std::string& node : placement.replicas(shard)) {
      for (const Founder& founder : document.founders) {
        if (founder.node == node) zones.insert(founder.zone);
      }
    }
    BOOST_TEST(zones.size() == 3u);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::cluster
