// A cluster for the tests of what is told of it: three nodes n1, n2, n3 (which has a name for an address), and what one
// of them knows of its shards.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "server/topology.h"

namespace capstan {

inline cluster::Nodes three_nodes(const std::string& me) {
  cluster::Nodes nodes;
  nodes.me = me;
  nodes.all = {{"n1", "10.0.0.1", 7001, 17001, "dc1/a"}, {"n2", "::1", 7002, 17002, ""}, {"n3", "db3", 7003, 9003, ""}};
  return nodes;
}

inline std::string id_of(const std::string& node) { return node_id("capstan", node); }

// Of a shard that all three hold, with these figures: term, commit 10, last 12.
inline ShardStatus shard_of_three(ShardId id, const std::string& leader, consensus::Term term) {
  ShardStatus shard;
  shard.id = id;
  shard.leader = leader;
  shard.term = term;
  shard.commit = 10;
  shard.applied = 9;
  shard.last = 12;
  shard.first = 3;
  shard.log_bytes = 400;
  shard.replicas = {{"n1", 101}, {"n2", 102}, {"n3", 103}};
  return shard;
}

// The same, as its leader knows it: the followers have 11 of 12 entries.
inline ShardStatus led_by(const std::string& me, ShardId id, consensus::Term term) {
  ShardStatus shard = shard_of_three(id, me, term);
  shard.leads = shard.serves = true;
  for (ReplicaStatus& replica : shard.replicas) {
    replica.match = replica.node == me ? 12 : 11;
    replica.active = true;
  }
  return shard;
}

// A reply with a space for each end of a line.
inline std::string written(const std::function<void(resp::Writer&)>& write,
                           resp::Protocol protocol = resp::Protocol::kResp3) {
  resp::OutputBuffer out;
  resp::Writer writer(out, protocol);
  write(writer);
  std::string text;
  for (const char c : out.view()) {
    if (c != '\r') text.push_back(c == '\n' ? ' ' : c);
  }
  return text;
}

}  // namespace capstan
