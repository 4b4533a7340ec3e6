// Consistent hashing (Karger et al., STOC 1997; virtual nodes as in Dynamo, SOSP 2007): which nodes are the home of
// which shard. Each node owns points on a ring of 64-bit numbers, and a shard a place; the shard's preference list is
// the walk from there on. A pure function of the list of nodes: alike on every node, and a node that comes or goes
// moves about its own share of the shards and nothing else.
//
// Any thread; a value that does not change.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "cluster/nodes.h"

namespace capstan::cluster {

inline constexpr uint32_t kVirtualNodes = 128;

class Ring {
 public:
  // The order of `nodes` does not matter. `points`: of each node (`virtual-nodes`).
  explicit Ring(const std::vector<Node>& nodes, uint32_t points = kVirtualNodes);

  // The names of `replicas` nodes, each once (of all nodes, if there are fewer), the preferred leader first. The walk
  // prefers data centres (a zone's part before '/') that have the fewest replicas in the list, then racks that have;
  // what says no zone counts as one. Precondition: shard < shards.
  std::vector<std::string> preference_list(ShardId shard, uint32_t shards, size_t replicas) const;

 private:
  struct Owner {
    std::string name;
    size_t data_centre;  // equal numbers: the same one
    size_t rack;
  };
  struct Point {
    uint64_t place;
    size_t owner;  // in owners_
  };
  std::vector<size_t> walk(uint64_t place) const;

  std::vector<Owner> owners_;  // in order of their names
  std::vector<Point> points_;  // in order of their places
};

}  // namespace capstan::cluster
