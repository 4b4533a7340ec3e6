// Commands that speak of the cluster: what every shard on this node knows is gathered first, then the reply is written.
#pragma once

#include <functional>

#include "server/command.h"
#include "server/topology.h"

namespace capstan {

class Worker;

// As this node sees it now; shards: the status of all that it holds. On the worker's thread.
Topology topology_of(Worker& worker, std::vector<ShardStatus> shards);

// write(topology, writer) writes one reply, later, on the connection's worker.
Outcome reply_from_topology(Call& call, std::function<void(const Topology&, resp::Writer&)> write);

}  // namespace capstan
