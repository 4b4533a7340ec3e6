// Which nodes hold which shards, and which of them is wanted as the leader: a pure function of the founding document
// (founding.h), hence alike on every node, whatever their configurations say. The ring (ring.h) chooses the replicas;
// the leaders are spread evenly over them, which the ring alone would not do for a few shards.
//
// Any thread; a value that does not change.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "cluster/founding.h"

namespace capstan::cluster {

class ReplicaPlacement {
 public:
  // Precondition: the document is not empty.
  ReplicaPlacement(const Document& document, uint32_t shards);

  // The names of the nodes that hold the shard, each once: the one that should lead it first.
  const std::vector<std::string>& replicas(ShardId shard) const { return replicas_[shard]; }
  bool holds(std::string_view node, ShardId shard) const;

 private:
  std::vector<std::vector<std::string>> replicas_;  // by shard
};

}  // namespace capstan::cluster
