#include "server/topology.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/check.h"
#include "base/hash.h"
#include "cluster/address.h"

namespace capstan {
namespace {

void append_hex(std::string& text, uint64_t value, size_t digits) {
  for (size_t i = digits; i-- > 0;) text.push_back("0123456789abcdef"[value >> (4 * i) & 15]);
}

bool is_address(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> ignored;
  return inet_pton(AF_INET, host.c_str(), ignored.data()) == 1 ||
         inet_pton(AF_INET6, host.c_str(), ignored.data()) == 1;
}

std::string range_text(const Topology::SlotRange& range) {
  const std::string first = std::to_string(range.first);
  return range.first == range.last ? first : first + "-" + std::to_string(range.last);
}

void write_field(resp::Writer& writer, std::string_view name, std::string_view value) {
  writer.bulk(name);
  writer.bulk(value);
}
void write_number(resp::Writer& writer, std::string_view name, uint64_t value) {
  writer.bulk(name);
  writer.integer(static_cast<int64_t>(value));
}
void write_truth(resp::Writer& writer, std::string_view name, bool value) {
  writer.bulk(name);
  writer.boolean(value);
}
void write_name_or_null(resp::Writer& writer, std::string_view name, std::string_view value) {
  writer.bulk(name);
  if (value.empty()) {
    writer.null();
  } else {
    writer.bulk(value);
  }
}

}  // namespace

// 160 bits of XXH3. No part of the configuration has a NUL byte, so that no two pairs of names make the same text.
std::string node_id(std::string_view cluster_name, std::string_view node_name) {
  std::string text(cluster_name);
  text.append(1, '\0').append(node_name);
  const Hash128 hash = hash128(text);
  std::string id;
  append_hex(id, hash.high, 16);
  append_hex(id, hash.low, 16);
  append_hex(id, hash64(text, hash.low), 8);
  return id;
}

Topology::Topology(const cluster::Nodes* nodes, const ShardMap& map, std::vector<ShardStatus> shards,
                   const std::vector<bool>& connected)
    : nodes_(nodes), map_(map), shards_(std::move(shards)) {
  std::sort(shards_.begin(), shards_.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  if (nodes == nullptr) return;
  for (const cluster::Node& node : nodes->all) {
    members_.push_back({.node = &node, .id = node_id(nodes->cluster_name, node.name)});
  }
  self_ = find(nodes->me);
  CHECK(self_ != nullptr);
  for (const ShardStatus& shard : shards_) place_shard(shard);
  find_failing(connected);
  choose_masters();
}

// The configuration has them in this order.
size_t Topology::index_of(std::string_view name) const {
  const auto found = std::lower_bound(members_.begin(), members_.end(), name,
                                      [](const Member& member, auto wanted) { return member.node->name < wanted; });
  const bool there = found != members_.end() && found->node->name == name;
  return there ? static_cast<size_t>(found - members_.begin()) : members_.size();
}

const Topology::Member* Topology::find(std::string_view name) const {
  const size_t index = index_of(name);
  return index < members_.size() ? &members_[index] : nullptr;
}

void Topology::place_shard(const ShardStatus& shard) {
  const size_t leader = index_of(shard.leader);
  if (leader < members_.size()) {
    members_[leader].leads.push_back(shard.id);
    members_[leader].epoch = std::max(members_[leader].epoch, shard.term);
  }
  for (const ReplicaStatus& replica : shard.replicas) {
    const size_t member = index_of(replica.node);
    if (member == members_.size() || member == leader) continue;
    std::vector<ShardId>& follows = members_[member].follows;
    if (follows.empty() || follows.back() != shard.id) follows.push_back(shard.id);
  }
}

void Topology::find_failing(const std::vector<bool>& connected) {
  std::vector<char> answers(members_.size(), 0);
  for (const ShardStatus& shard : shards_) {
    if (!shard.leads) continue;
    for (const ReplicaStatus& replica : shard.replicas) {
      const size_t member = index_of(replica.node);
      if (member == members_.size() || &members_[member] == self_) continue;
      members_[member].failing = true;
      answers[member] |= replica.active;
    }
  }
  for (size_t i = 0; i < members_.size(); ++i) {
    // Of a leader that does not answer any more, its followers forget that it is one.
    if (answers[i] != 0 || !members_[i].leads.empty()) members_[i].failing = false;
    if (i < connected.size() && !connected[i] && &members_[i] != self_) members_[i].failing = true;
  }
}

void Topology::choose_masters() {
  for (Member& member : members_) {
    if (!member.replicates()) continue;
    for (const ShardId id : member.follows) {
      member.master = leader(*shard(id));
      if (member.master != nullptr) break;
    }
    if (member.master != nullptr) member.epoch = member.master->epoch;
  }
}

Topology::SlotRange Topology::slots(ShardId shard) const {
  const Slot end = shard + 1 == map_.shards() ? kSlots : map_.first_slot(shard + 1);
  return {map_.first_slot(shard), static_cast<Slot>(end - 1)};
}

const ShardStatus* Topology::shard(ShardId id) const {
  const auto found = std::lower_bound(shards_.begin(), shards_.end(), id,
                                      [](const ShardStatus& shard, ShardId wanted) { return shard.id < wanted; });
  return found == shards_.end() || found->id != id ? nullptr : &*found;
}

const Topology::Member* Topology::leader(const ShardStatus& shard) const { return find(shard.leader); }

// Of itself a node knows it, and as a leader of the others; of the leader it knows what is committed, which is as much
// as the leader has at least.
consensus::Index Topology::offset(const ShardStatus& shard, const ReplicaStatus& replica, const Member& member) const {
  if (&member == self_) return shard.last;
  if (shard.leads) return replica.match;
  return replica.node == shard.leader ? shard.commit : 0;
}

std::vector<Topology::Holder> Topology::holders(const ShardStatus& shard) const {
  std::vector<Holder> holders;
  for (const ReplicaStatus& replica : shard.replicas) {
    const Member* const member = find(replica.node);
    if (member == nullptr) continue;
    const bool known = shard.leads || member == self_;
    const Holder holder{member, replica.node == shard.leader, known && replica.rebuilding,
                        offset(shard, replica, *member)};
    const auto earlier =
        std::find_if(holders.begin(), holders.end(), [member](const Holder& other) { return other.member == member; });
    if (earlier == holders.end()) {
      holders.push_back(holder);
    } else if (replica.active) {
      *earlier = holder;
    }
  }
  std::sort(holders.begin(), holders.end(),
            [](const Holder& a, const Holder& b) { return a.leads != b.leads ? a.leads : a.member < b.member; });
  return holders;
}

namespace {

void add_followers(const Topology& topology, const ShardStatus& shard, std::vector<Replication::Follower>& followers) {
  for (const Topology::Holder& holder : topology.holders(shard)) {
    if (holder.member == &topology.self() || holder.member->failing) continue;
    const auto known = std::find_if(followers.begin(), followers.end(),
                                    [&](const auto& follower) { return follower.member == holder.member; });
    Replication::Follower& follower = known == followers.end() ? followers.emplace_back() : *known;
    follower.member = holder.member;
    follower.offset += holder.offset;
    follower.rebuilding |= holder.rebuilding;
  }
}

void follow(const Topology& topology, const ShardStatus& shard, Replication& replication) {
  if (topology.leader(shard) != replication.master) return;
  for (const Topology::Holder& holder : topology.holders(shard)) {
    if (holder.member != &topology.self()) continue;
    replication.offset += holder.offset;
    replication.rebuilding |= holder.rebuilding;
  }
}

}  // namespace

Replication replication_of(const Topology& topology) {
  Replication replication;
  if (!topology.clustered()) return replication;
  replication.leads = !topology.self().replicates();
  replication.master = topology.self().master;
  for (const ShardStatus& shard : topology.shards()) {
    if (!replication.leads) {
      follow(topology, shard, replication);
    } else if (shard.leads) {
      replication.offset += shard.last;
      add_followers(topology, shard, replication.followers);
    }
  }
  std::sort(replication.followers.begin(), replication.followers.end(),
            [](const auto& a, const auto& b) { return a.member < b.member; });
  return replication;
}

void write_role(const Topology& topology, resp::Writer& writer) {
  const Replication replication = replication_of(topology);
  if (replication.leads) {
    writer.array(3);
    writer.bulk("master");
    writer.integer(static_cast<int64_t>(replication.offset));
    writer.array(replication.followers.size());
    for (const Replication::Follower& follower : replication.followers) {
      writer.array(3);
      writer.bulk(follower.member->node->host);
      writer.bulk(std::to_string(follower.member->node->port));
      writer.bulk(std::to_string(follower.offset));
    }
    return;
  }
  const bool connected = replication.master != nullptr;
  writer.array(5);
  writer.bulk("slave");
  writer.bulk(connected ? std::string_view(replication.master->node->host) : "");
  writer.integer(connected ? replication.master->node->port : 0);
  writer.bulk(connected ? "connected" : "connect");
  writer.integer(connected ? static_cast<int64_t>(replication.offset) : -1);
}

// ---- CLUSTER

// Without Redis' figures about gossip, of which there is none.
std::string cluster_info_text(const Topology& topology) {
  uint64_t assigned = 0;
  uint64_t with_leader = 0;
  consensus::Term epoch = 0;
  for (const ShardStatus& shard : topology.shards()) {
    const Topology::SlotRange range = topology.slots(shard.id);
    const uint64_t slots = range.last - range.first + 1u;
    assigned += slots;
    if (topology.leader(shard) != nullptr) with_leader += slots;
    epoch = std::max(epoch, shard.term);
  }
  const auto size = std::count_if(topology.members().begin(), topology.members().end(),
                                  [](const auto& member) { return !member.leads.empty(); });
  std::string text;
  const auto field = [&text](std::string_view name, std::string_view value) {
    text.append("cluster_").append(name).append(":").append(value).append("\r\n");
  };
  field("state", with_leader == kSlots ? "ok" : "fail");
  field("slots_assigned", std::to_string(assigned));
  field("slots_ok", std::to_string(with_leader));
  field("slots_pfail", "0");
  field("slots_fail", std::to_string(assigned - with_leader));
  field("known_nodes", std::to_string(topology.members().size()));
  field("size", std::to_string(size));
  field("current_epoch", std::to_string(epoch));
  field("my_epoch", std::to_string(topology.self().epoch));
  return text;
}

// A line per node: id, address, flags, master, when it was pinged and when it answered (it is not: 0), epoch, link,
// slots. Where the configuration names a host, the name stands in the address' place: clients connect to what is there.
std::string cluster_nodes_text(const Topology& topology) {
  std::string text;
  for (const Topology::Member& member : topology.members()) {
    const cluster::Node& node = *member.node;
    text.append(member.id).append(" ").append(node.host).append(":").append(std::to_string(node.port));
    text.append("@").append(std::to_string(node.cluster_port)).append(" ");
    if (&member == &topology.self()) text.append("myself,");
    text.append(member.replicates() ? "slave" : "master").append(member.failing ? ",fail? " : " ");
    text.append(member.master != nullptr ? std::string_view(member.master->id) : "-").append(" 0 0 ");
    text.append(std::to_string(member.epoch)).append(member.failing ? " disconnected" : " connected");
    for (const ShardId shard : member.leads) text.append(" ").append(range_text(topology.slots(shard)));
    text.append("\n");
  }
  return text;
}

namespace {

// As Redis: whom nobody should ask now is left out; but without a leader somebody has to come first.
std::vector<Topology::Holder> useful_holders(const Topology& topology, const ShardStatus& shard) {
  std::vector<Topology::Holder> holders = topology.holders(shard);
  std::erase_if(holders,
                [](const auto& holder) { return !holder.leads && (holder.rebuilding || holder.member->failing); });
  return holders;
}

void write_shard_node(const Topology::Holder& holder, resp::Writer& writer) {
  const cluster::Node& node = *holder.member->node;
  const bool named = !is_address(node.host);
  writer.map(named ? 8 : 7);
  write_field(writer, "id", holder.member->id);
  write_number(writer, "port", node.port);
  write_field(writer, "ip", named ? std::string_view() : node.host);
  write_field(writer, "endpoint", node.host);
  if (named) write_field(writer, "hostname", node.host);
  write_field(writer, "role", holder.leads ? "master" : "replica");
  write_number(writer, "replication-offset", holder.offset);
  write_field(writer, "health", holder.member->failing ? "failed" : holder.rebuilding ? "loading" : "online");
}

}  // namespace

void write_cluster_slots(const Topology& topology, resp::Writer& writer) {
  const size_t start = writer.position();
  size_t ranges = 0;
  for (const ShardStatus& shard : topology.shards()) {
    const std::vector<Topology::Holder> holders = useful_holders(topology, shard);
    if (holders.empty()) continue;
    const Topology::SlotRange range = topology.slots(shard.id);
    ++ranges;
    writer.array(2 + holders.size());
    writer.integer(range.first);
    writer.integer(range.last);
    for (const Topology::Holder& holder : holders) {
      writer.array(4);
      writer.bulk(holder.member->node->host);
      writer.integer(holder.member->node->port);
      writer.bulk(holder.member->id);
      writer.map(0);
    }
  }
  writer.array_at(start, ranges);
}

void write_cluster_shards(const Topology& topology, resp::Writer& writer) {
  writer.array(topology.shards().size());
  for (const ShardStatus& shard : topology.shards()) {
    const Topology::SlotRange range = topology.slots(shard.id);
    const std::vector<Topology::Holder> holders = topology.holders(shard);
    writer.map(2);
    writer.bulk("slots");
    writer.array(2);
    writer.integer(range.first);
    writer.integer(range.last);
    writer.bulk("nodes");
    writer.array(holders.size());
    for (const Topology::Holder& holder : holders) write_shard_node(holder, writer);
  }
}

// ---- CAPSTAN

void write_capstan_nodes(const Topology& topology, resp::Writer& writer) {
  writer.array(topology.members().size());
  for (const Topology::Member& member : topology.members()) {
    const cluster::Node& node = *member.node;
    writer.map(9);
    write_field(writer, "name", node.name);
    write_field(writer, "id", member.id);
    write_field(writer, "address", cluster::host_and_port(node.host, node.port));
    write_number(writer, "cluster-port", node.cluster_port);
    write_name_or_null(writer, "zone", node.zone);
    write_truth(writer, "myself", &member == &topology.self());
    write_field(writer, "health", member.failing ? "failed" : "online");
    write_number(writer, "leads", member.leads.size());
    write_number(writer, "follows", member.follows.size());
  }
}

void write_capstan_shards(const Topology& topology, resp::Writer& writer) {
  writer.array(topology.shards().size());
  for (const ShardStatus& shard : topology.shards()) {
    writer.map(6);
    write_number(writer, "id", shard.id);
    write_field(writer, "slots", range_text(topology.slots(shard.id)));
    write_name_or_null(writer, "leader", shard.leader);
    write_truth(writer, "leads", shard.leads);
    write_number(writer, "term", shard.term);
    writer.bulk("replicas");
    writer.array(shard.replicas.size());
    for (const ReplicaStatus& replica : shard.replicas) writer.bulk(replica.node);
  }
}

void write_capstan_shard(const Topology& topology, const ShardStatus& shard, resp::Writer& writer) {
  writer.map(12);
  write_number(writer, "id", shard.id);
  write_field(writer, "slots", range_text(topology.slots(shard.id)));
  write_name_or_null(writer, "leader", shard.leader);
  write_truth(writer, "leads", shard.leads);
  write_truth(writer, "serves", shard.serves);
  write_number(writer, "term", shard.term);
  write_number(writer, "commit", shard.commit);
  write_number(writer, "applied", shard.applied);
  write_number(writer, "first", shard.first);
  write_number(writer, "last", shard.last);
  write_number(writer, "log-bytes", shard.log_bytes);
  writer.bulk("replicas");
  writer.array(shard.replicas.size());
  for (const ReplicaStatus& replica : shard.replicas) {
    // What only the leader knows of its followers, only the leader says.
    writer.map(shard.leads ? 6 : 3);
    write_field(writer, "node", replica.node);
    write_field(writer, "peer", std::to_string(replica.peer));
    write_truth(writer, "voter", replica.voter);
    if (!shard.leads) continue;
    write_number(writer, "match", replica.match);
    write_truth(writer, "active", replica.active);
    write_truth(writer, "rebuilding", replica.rebuilding);
  }
}

}  // namespace capstan
