// What a shard's replica on this node knows of its group, for CLUSTER, ROLE, INFO and CAPSTAN. A plain value, made by
// the shard's worker (Shard::status) and read by any.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "consensus/types.h"

namespace capstan {

struct ReplicaStatus {
  std::string node;  // its name
  consensus::PeerId peer = consensus::kNoPeer;
  bool voter = true;  // else it learns
  // As the leader knows it; of all others 0 and false.
  consensus::Index match = 0;
  bool active = false;  // it answered within the last election timeout
  bool rebuilding = false;
};

struct ShardStatus {
  ShardId id = 0;
  std::string leader;   // the node's name; empty: none is known. Of a single node empty, too
  bool leads = false;   // this node
  bool serves = false;  // it leads, and STRONG commands can be evaluated
  consensus::Term term = 0;
  consensus::Index commit = 0;
  consensus::Index applied = 0;
  consensus::Index last = 0;
  consensus::Index first = 0;  // of the log in memory
  uint64_t log_bytes = 0;
  std::vector<ReplicaStatus> replicas;  // in order of their peers; of a single node empty
};

}  // namespace capstan
