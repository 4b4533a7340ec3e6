#include "server/commands/topology_reply.h"

#include <memory>

#include "server/node.h"
#include "server/worker.h"

namespace capstan {
namespace {

using ByWorker = std::vector<std::vector<ShardStatus>>;

std::vector<ShardStatus> all_of(const ByWorker& workers) {
  std::vector<ShardStatus> all;
  for (const auto& shards : workers) all.insert(all.end(), shards.begin(), shards.end());
  return all;
}

}  // namespace

Topology topology_of(Worker& worker, std::vector<ShardStatus> shards) {
  const auto& nodes = worker.settings().cluster;
  const Peers* const peers = worker.node().peers();
  return Topology(nodes ? &*nodes : nullptr, worker.dispatcher().shard_map(), std::move(shards),
                  peers != nullptr ? peers->connections() : std::vector<bool>());
}

Outcome reply_from_topology(Call& call, std::function<void(const Topology&, resp::Writer&)> write) {
  const LaterReply later(*call.session);
  auto gathered = std::make_shared<ByWorker>(call.node->workers());
  call.session->worker.on_every_worker(
      [gathered](Worker& worker) {
        const Executor& executor = worker.executor();
        for (const auto& shard : worker.executor().shards()) {
          (*gathered)[worker.index()].push_back(executor.status(*shard));
        }
      },
      [gathered, later, write = std::move(write)](Worker& worker) {
        const Topology topology = topology_of(worker, all_of(*gathered));
        resp::OutputBuffer out;
        resp::Writer writer(out, later.protocol());
        write(topology, writer);
        later.send(out.view());
      });
  return Outcome::kLater;
}

}  // namespace capstan
