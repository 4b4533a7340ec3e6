// The cluster as this node sees it, and what clients are told of it: CLUSTER, ROLE, CAPSTAN, INFO. Pure: it follows
// from the configured nodes, from the slots of the shards, and from what this node's replicas know of their groups.
//
// Redis has masters and their replicas; here a node leads some shards and follows in others. What Redis' words mean:
// - master: leads at least one shard; its slots are those of the shards that it leads.
// - slave, replica: holds shards and leads none; its master is the leader of the first of its shards whose leader is
//   known. A node that holds no shard is a master without slots, as a new node in Redis is.
// - epoch: the term of the groups; of a node that leads, the highest one of the shards that it leads.
// - offset: an index of log R. A node's offset is the sum of those of the shards that it leads or follows its master
// in.
// - fail?, failed: a node that this one is not connected to; or a replica of shards that this node leads, of which it
//   has answered in none for an election timeout, and which is not known as the leader of another shard.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cluster/nodes.h"
#include "resp/writer.h"
#include "server/gather.h"
#include "server/shard_status.h"

namespace capstan {

// 40 hex digits, as Redis' node ids; the same on every node of the cluster, and in every start.
std::string node_id(std::string_view cluster_name, std::string_view node_name);

class Topology {
 public:
  // A node of the configuration, and what it does.
  struct Member {
    const cluster::Node* node = nullptr;
    std::string id;
    std::vector<ShardId> leads;    // in ascending order
    std::vector<ShardId> follows;  // the others that it holds
    const Member* master = nullptr;
    consensus::Term epoch = 0;
    bool failing = false;
    bool holds_nothing() const { return leads.empty() && follows.empty(); }
    bool replicates() const { return leads.empty() && !follows.empty(); }
  };
  // Who holds a shard, as this node knows it.
  struct Holder {
    const Member* member = nullptr;
    bool leads = false;
    bool rebuilding = false;
    consensus::Index offset = 0;  // 0: not known to this node
  };
  struct SlotRange {
    Slot first = 0;
    Slot last = 0;
  };

  // nodes: nullptr of a single node; else it outlives this. shards: in any order; of one that other nodes hold the
  // leader and the replicas' nodes. connected: by node in the configuration's order, this one aside; empty: that is not
  // known.
  Topology(const cluster::Nodes* nodes, const ShardMap& map, std::vector<ShardStatus> shards,
           const std::vector<bool>& connected = {});
  Topology(const Topology&) = delete;

  bool clustered() const { return nodes_ != nullptr; }
  // In order of their names; none of a single node.
  const std::vector<Member>& members() const { return members_; }
  // Precondition: clustered().
  const Member& self() const { return *self_; }
  // What identifies the data that the nodes have in common: 40 hex digits. Precondition: clustered().
  std::string history_id() const { return node_id(nodes_->cluster_name, ""); }

  const ShardMap& map() const { return map_; }
  SlotRange slots(ShardId shard) const;
  // In order of their ids.
  const std::vector<ShardStatus>& shards() const { return shards_; }
  // nullptr: nothing is known of it.
  const ShardStatus* shard(ShardId id) const;
  // nullptr: none is known.
  const Member* leader(const ShardStatus& shard) const;
  // Those of the configuration: the shard's leader first if one is known, then the others in order of their names. Each
  // once, also while a group has two replicas on a node, of which one takes the other's place: the one that answers.
  std::vector<Holder> holders(const ShardStatus& shard) const;

 private:
  // members().size() if there is none of that name.
  size_t index_of(std::string_view name) const;
  const Member* find(std::string_view name) const;
  void place_shard(const ShardStatus& shard);
  void find_failing(const std::vector<bool>& connected);
  void choose_masters();
  consensus::Index offset(const ShardStatus& shard, const ReplicaStatus& replica, const Member& member) const;

  const cluster::Nodes* nodes_;
  ShardMap map_;
  std::vector<ShardStatus> shards_;
  std::vector<Member> members_;
  const Member* self_ = nullptr;
};

// This node's part in replication, as ROLE and INFO tell it.
struct Replication {
  struct Follower {
    const Topology::Member* member = nullptr;
    consensus::Index offset = 0;
    bool rebuilding = false;
  };
  bool leads = true;
  consensus::Index offset = 0;
  std::vector<Follower> followers;           // if it leads: those that answer, in order of their names
  const Topology::Member* master = nullptr;  // if it follows; nullptr: no leader is known
  bool rebuilding = false;                   // this node, a shard that it follows in
};
Replication replication_of(const Topology& topology);

// ROLE.
void write_role(const Topology& topology, resp::Writer& writer);

// CLUSTER INFO, NODES, SLOTS, SHARDS. Precondition: clustered().
std::string cluster_info_text(const Topology& topology);
std::string cluster_nodes_text(const Topology& topology);
void write_cluster_slots(const Topology& topology, resp::Writer& writer);
void write_cluster_shards(const Topology& topology, resp::Writer& writer);

// CAPSTAN NODES, SHARDS, SHARD.
void write_capstan_nodes(const Topology& topology, resp::Writer& writer);
void write_capstan_shards(const Topology& topology, resp::Writer& writer);
void write_capstan_shard(const Topology& topology, const ShardStatus& shard, resp::Writer& writer);

}  // namespace capstan
