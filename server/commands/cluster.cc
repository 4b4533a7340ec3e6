// CLUSTER, as far as it asks; what it changes in Redis follows here from the configuration and from elections.
#include "base/slot.h"
#include "server/commands/arguments.h"
#include "server/commands/help.h"
#include "server/commands/slot_walk.h"
#include "server/commands/topology_reply.h"
#include "server/node.h"
#include "server/worker.h"

namespace capstan {
namespace {

using lmdb_store::Keyspace;

bool clustered(const Call& call) { return call.session->worker.settings().cluster.has_value(); }

Outcome reply_disabled(Call& call) { return reply_error(call, "ERR This instance has cluster support disabled"); }

Outcome reply_if_clustered(Call& call, void (*write)(const Topology&, resp::Writer&)) {
  return clustered(call) ? reply_from_topology(call, write) : reply_disabled(call);
}

Outcome info(Call& call) {
  return reply_if_clustered(call, [](const Topology& topology, resp::Writer& writer) {
    writer.verbatim("txt", cluster_info_text(topology));
  });
}

Outcome nodes(Call& call) {
  return reply_if_clustered(call, [](const Topology& topology, resp::Writer& writer) {
    writer.verbatim("txt", cluster_nodes_text(topology));
  });
}

Outcome slots(Call& call) { return reply_if_clustered(call, write_cluster_slots); }

Outcome shards(Call& call) { return reply_if_clustered(call, write_cluster_shards); }

Outcome myid(Call& call) {
  if (!clustered(call)) return reply_disabled(call);
  const cluster::Nodes& configured = *call.session->worker.settings().cluster;
  call.reply().bulk(node_id(configured.cluster_name, configured.me));
  return Outcome::kDone;
}

Outcome keyslot(Call& call) {
  if (!clustered(call)) return reply_disabled(call);
  call.reply().integer(slot_of(call.args[2]));
  return Outcome::kDone;
}

// What a node says of a slot is what it holds itself, as in Redis; nothing if the slot's shard is elsewhere.

unsigned owner_of(const Call& call, Slot slot) {
  const Dispatcher& dispatcher = call.session->worker.dispatcher();
  return dispatcher.owner(dispatcher.shard_map().shard_of(slot));
}

Keyspace* keyspace_of(Worker& owner, Slot slot) {
  Shard* const shard = owner.executor().shard(owner.dispatcher().shard_map().shard_of(slot));
  return shard == nullptr ? nullptr : &shard->keyspace();
}

bool is_slot(int64_t number) { return number >= 0 && number < kSlots; }

Outcome countkeysinslot(Call& call) {
  if (!clustered(call)) return reply_disabled(call);
  const std::optional<int64_t> number = integer_argument(call, 2);
  if (!number) return Outcome::kDone;
  if (!is_slot(*number)) return reply_error(call, "ERR Invalid slot");
  const Slot slot = static_cast<Slot>(*number);
  const LaterReply later(*call.session);
  const auto count = [slot, database = call.database, later, home = call.session->worker.index()](Worker& owner) {
    const Keyspace* const keyspace = keyspace_of(owner, slot);
    const uint64_t keys = keyspace == nullptr ? 0 : keyspace->slots().at(database, slot).keys;
    owner.post(home, [keys, later](Worker&) {
      resp::OutputBuffer out;
      resp::Writer(out, later.protocol()).integer(static_cast<int64_t>(keys));
      later.send(out.view());
    });
  };
  call.session->worker.post(owner_of(call, slot), count);
  return Outcome::kLater;
}

struct SlotQuestion {
  SlotWalk walk;
  Slot slot;
  LaterReply later;
  unsigned home;  // the session's worker
};

void answer(const std::shared_ptr<SlotQuestion>& question) {
  const std::vector<std::string>& keys = question->walk.keys();
  resp::OutputBuffer out;
  resp::Writer writer(out, question->later.protocol());
  writer.array(keys.size());
  for (const std::string& key : keys) writer.bulk(key);
  question->later.send(out.view());
}

// On the worker of the slot's shard, turn by turn.
void walk(Worker& owner, const std::shared_ptr<SlotQuestion>& question) {
  Keyspace* const keyspace = keyspace_of(owner, question->slot);
  if (keyspace != nullptr && question->walk.advance(*keyspace, owner.now_ms())) {
    return owner.post(owner.index(), [question](Worker& same) { walk(same, question); });
  }
  owner.post(question->home, [question](Worker&) { answer(question); });
}

Outcome getkeysinslot(Call& call) {
  if (!clustered(call)) return reply_disabled(call);
  const std::optional<int64_t> number = integer_argument(call, 2);
  if (!number) return Outcome::kDone;
  const std::optional<int64_t> count = integer_argument(call, 3);
  if (!count) return Outcome::kDone;
  if (!is_slot(*number) || *count < 0) return reply_error(call, "ERR Invalid slot or number of keys");
  const Slot slot = static_cast<Slot>(*number);
  auto question =
      std::make_shared<SlotQuestion>(SlotQuestion{SlotWalk(call.database, slot, static_cast<uint64_t>(*count)), slot,
                                                  LaterReply(*call.session), call.session->worker.index()});
  call.session->worker.post(owner_of(call, slot), [question](Worker& owner) { walk(owner, question); });
  return Outcome::kLater;
}

Outcome help(Call& call) {
  if (!clustered(call)) return reply_disabled(call);
  return reply_help(
      call, "CLUSTER",
      {
          "COUNTKEYSINSLOT <slot>",
          "    How many keys of the slot this node holds.",
          "GETKEYSINSLOT <slot> <count>",
          "    Names of keys of the slot that this node holds.",
          "INFO",
          "    The state of the cluster, as this node sees it.",
          "KEYSLOT <key>",
          "    The slot of a key.",
          "MYID",
          "    The id of this node.",
          "NODES",
          "    A line for each node: <id> <host>:<port>@<cluster port> <flags> <master> 0 0 <epoch> <link> <slots> ...",
          "SHARDS",
          "    The slots of each shard, and the nodes that hold it.",
          "SLOTS",
          "    For each range of slots its first and its last one, and the nodes, the leader first.",
      });
}

constexpr std::string_view kTips = "nondeterministic_output";

constexpr CommandSpec kSubcommands[] = {
    {.name = "countkeysinslot",
     .arity = 3,
     .flags = kStale | kAfterOthers,
     .run = countkeysinslot,
     .group = "cluster",
     .since = "3.0.0",
     .complexity = "O(1)",
     .summary = "Counts the keys of a slot that this node holds",
     .syntax = "<slot:integer>"},
    {.name = "getkeysinslot",
     .arity = 4,
     .flags = kStale | kAfterOthers,
     .run = getkeysinslot,
     .group = "cluster",
     .since = "3.0.0",
     .complexity = "O(N) for N keys; works in pieces, so that others are served in between",
     .summary = "Lists keys of a slot that this node holds",
     .syntax = "<slot:integer> <count:integer>",
     .tips = kTips},
    {.name = "help",
     .arity = 2,
     .flags = kLoading | kStale,
     .run = help,
     .group = "cluster",
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "info",
     .arity = 2,
     .flags = kStale,
     .run = info,
     .group = "cluster",
     .since = "3.0.0",
     .complexity = "O(N) for N shards",
     .summary = "Replies the state of the cluster",
     .tips = kTips},
    {.name = "keyslot",
     .arity = 3,
     .flags = kStale,
     .run = keyslot,
     .group = "cluster",
     .since = "3.0.0",
     .complexity = "O(N) for N bytes of the key",
     .summary = "Replies the slot of a key",
     .syntax = "<key:string>"},
    {.name = "myid",
     .arity = 2,
     .flags = kStale,
     .run = myid,
     .group = "cluster",
     .since = "3.0.0",
     .complexity = "O(1)",
     .summary = "Replies the id of this node"},
    {.name = "nodes",
     .arity = 2,
     .flags = kStale,
     .run = nodes,
     .group = "cluster",
     .since = "3.0.0",
     .complexity = "O(N) for N nodes and shards",
     .summary = "Lists the nodes, and the slots of the shards that they lead",
     .tips = kTips},
    {.name = "shards",
     .arity = 2,
     .flags = kStale,
     .run = shards,
     .group = "cluster",
     .since = "7.0.0",
     .complexity = "O(N) for N shards and their replicas",
     .summary = "Lists the shards with their slots and the nodes that hold them",
     .tips = kTips},
    {.name = "slots",
     .arity = 2,
     .flags = kStale,
     .run = slots,
     .group = "cluster",
     .since = "3.0.0",
     .complexity = "O(N) for N shards and their replicas",
     .summary = "Lists the ranges of slots with the nodes that hold them",
     .tips = kTips},
};

constexpr CommandSpec kCommands[] = {
    {.name = "cluster",
     .arity = -2,
     .group = "cluster",
     .since = "3.0.0",
     .complexity = "that of the subcommand",
     .summary = "Tells about the cluster",
     .subcommands = kSubcommands},
};

}  // namespace

std::span<const CommandSpec> cluster_commands() { return kCommands; }

}  // namespace capstan
