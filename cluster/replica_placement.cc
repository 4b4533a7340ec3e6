#include "cluster/replica_placement.h"

#include <algorithm>
#include <map>

#include "base/check.h"
#include "cluster/ring.h"

namespace capstan::cluster {

ReplicaPlacement::ReplicaPlacement(const Document& document, uint32_t shards) {
  CHECK(!document.empty());
  std::vector<Node> nodes;
  for (const Founder& founder : document.founders) {
    Node& node = nodes.emplace_back();
    node.name = founder.node;
    node.zone = founder.zone;
  }
  const Ring ring(nodes);
  std::map<std::string, size_t> leads;  // how many shards, by node
  for (ShardId shard = 0; shard < shards; ++shard) {
    std::vector<std::string>& list = replicas_.emplace_back(ring.preference_list(shard, shards, document.replicas));
    // Of equals the first in the list.
    const auto leader = std::min_element(list.begin(), list.end(),
                                         [&leads](const auto& a, const auto& b) { return leads[a] < leads[b]; });
    ++leads[*leader];
    std::rotate(list.begin(), leader, leader + 1);
  }
}

bool ReplicaPlacement::holds(std::string_view node, ShardId shard) const {
  return std::find(replicas_[shard].begin(), replicas_[shard].end(), node) != replicas_[shard].end();
}

}  // namespace capstan::cluster
