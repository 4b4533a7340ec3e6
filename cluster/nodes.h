// The nodes of a cluster as the configuration lists them: every node has the same list, and knows which entry is its
// own. Plain values; no thread, no I/O.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace capstan::cluster {

struct Node {
  std::string name;
  std::string host;   // an address (IPv6 without brackets) or a name
  uint16_t port = 0;  // for clients
  uint16_t cluster_port = 0;
  std::string zone;  // "dc1" or "dc1/rack2"; empty: not said
  bool operator==(const Node&) const = default;
};

inline constexpr size_t kMaxNodes = 1024;
inline constexpr uint16_t kClusterPortOffset = 10'000;
inline constexpr uint32_t kDefaultReplicas = 3;

struct Nodes {
  std::string me;
  std::vector<Node> all;  // in order of their names, this node included
  std::string cluster_name = "capstan";
  std::string secret;
  uint32_t replicas = kDefaultReplicas;  // of each shard, where there are so many nodes

  // nullptr: no such node.
  const Node* find(std::string_view name) const;
  // Precondition: `me` is in the list.
  const Node& self() const;
};

// What nodes and clusters may be called: 1 to 64 of A-Z a-z 0-9 . _ -
bool is_name(std::string_view text);
// "dc1" or "dc1/rack2", of such names.
bool is_zone(std::string_view text);

// Reads the lines of the configuration, without the word "cluster" before them:
//   me n1
//   node n1 127.0.0.1:7001 [cluster-port 17001] [zone dc1/a]    (each node once; IPv6: [::1]:7001)
//   name <cluster name>                                          (default "capstan")
//   replicas <count>                                             (of each shard, default 3; the founding decides)
//   secret <secret>                                              (without one, whoever reaches the cluster port may
//   join)
// Words may be quoted as in redis.conf; empty lines and those that begin with # are skipped. The cluster port is the
// port + 10000 unless given. kInvalid: the message says which line is wrong, and what with it, but never a secret.
Result<Nodes> parse_nodes(std::span<const std::string> lines);

}  // namespace capstan::cluster
