// CAPSTAN: about the cluster in its own words, for people.
#include "server/commands/arguments.h"
#include "server/commands/help.h"
#include "server/commands/topology_reply.h"
#include "server/node.h"
#include "server/session.h"
#include "server/worker.h"

namespace capstan {
namespace {

Outcome nodes(Call& call) { return reply_from_topology(call, write_capstan_nodes); }

Outcome shards(Call& call) { return reply_from_topology(call, write_capstan_shards); }

Outcome shard(Call& call) {
  const std::optional<int64_t> number = integer_argument(call, 2);
  if (!number) return Outcome::kDone;
  return reply_from_topology(call, [number = *number](const Topology& topology, resp::Writer& writer) {
    if (number < 0 || number >= topology.map().shards()) return writer.error("ERR there is no such shard");
    const ShardStatus* const status = topology.shard(static_cast<ShardId>(number));
    if (status == nullptr) return writer.error("ERR this node does not hold the shard");
    write_capstan_shard(topology, *status, writer);
  });
}

// On the worker that has the shard; if another node leads it, that one is asked.
Outcome transfer(Call& call) {
  const std::optional<int64_t> number = integer_argument(call, 2);
  if (!number) return Outcome::kDone;
  if (call.node->peers() == nullptr) return reply_error(call, "ERR a single node leads all its shards");
  if (*number < 0 || *number >= call.node->shards()) return reply_error(call, "ERR there is no such shard");
  if (!call.node->peers()->find(call.args[3])) return reply_error(call, "ERR there is no such node");
  Worker& worker = call.session->worker;
  const auto shard = static_cast<ShardId>(*number);
  worker.post(shard % call.node->workers(), [shard, to = std::string(call.args[3]), self = worker.index(),
                                             later = LaterReply(*call.session)](Worker& owner) {
    const Result<> asked = owner.transfer(shard, to);
    owner.post(self, [later, error = asked ? std::string() : asked.error().message](Worker&) {
      resp::OutputBuffer out;
      resp::Writer writer(out, later.protocol());
      error.empty() ? writer.ok() : writer.error(error);
      later.send(out.view());
    });
  });
  return Outcome::kLater;
}

Outcome help(Call& call) {
  return reply_help(call, "CAPSTAN",
                    {
                        "NODES",
                        "    The nodes as they are configured, and how many shards each leads and follows; none if",
                        "    this server is a single node.",
                        "SHARD <id>",
                        "    All that this node knows of a shard that it holds; its leader knows most.",
                        "SHARDS",
                        "    The shards that this node holds: slots, leader, term, replicas.",
                        "TRANSFER <id> <node>",
                        "    Asks the shard's leader to hand it over to that node; it does once that node has all.",
                    });
}

constexpr std::string_view kTips = "nondeterministic_output";

constexpr CommandSpec kSubcommands[] = {
    {.name = "help",
     .arity = 2,
     .flags = kLoading | kStale,
     .run = help,
     .group = "server",
     .since = "capstan",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "nodes",
     .arity = 2,
     .flags = kStale,
     .run = nodes,
     .group = "server",
     .since = "capstan",
     .complexity = "O(N) for N nodes and shards",
     .summary = "Lists the nodes of the cluster, and how many shards they lead and follow",
     .tips = kTips},
    {.name = "shard",
     .arity = 3,
     .flags = kStale,
     .run = shard,
     .group = "server",
     .since = "capstan",
     .complexity = "O(N) for N shards",
     .summary = "Replies all that this node knows of a shard that it holds",
     .syntax = "<shard:integer>",
     .tips = kTips},
    {.name = "shards",
     .arity = 2,
     .flags = kStale,
     .run = shards,
     .group = "server",
     .since = "capstan",
     .complexity = "O(N) for N shards",
     .summary = "Lists the shards that this node holds: slots, leader, term, replicas",
     .tips = kTips},
    {.name = "transfer",
     .arity = 4,
     .flags = kAdmin | kStale | kNoMulti,
     .run = transfer,
     .group = "server",
     .since = "capstan",
     .complexity = "O(1)",
     .summary = "Asks a shard's leader to hand it over to another node",
     .syntax = "<shard:integer> <node:string>"},
};

constexpr CommandSpec kCommands[] = {
    {.name = "capstan",
     .arity = -2,
     .group = "server",
     .since = "capstan",
     .complexity = "that of the subcommand",
     .summary = "Tells about the cluster in its own words",
     .subcommands = kSubcommands},
};

}  // namespace

std::span<const CommandSpec> capstan_commands() { return kCommands; }

}  // namespace capstan
