// INFO about replication. Redis' figures about a backlog stay empty, there is none: what followers lack is in the
// groups' logs (# Raft).
#include "server/info_sections.h"
#include "server/node.h"

namespace capstan {
namespace {

// As much as heartbeats tell: a leader that is known was heard within the last election timeout.
void write_master(InfoText& text, const Replication& replication) {
  const bool up = replication.master != nullptr;
  text.field("master_host", up ? std::string_view(replication.master->node->host) : "");
  text.field("master_port", up ? replication.master->node->port : 0);
  text.field("master_link_status", up ? "up" : "down");
  text.field("master_last_io_seconds_ago", up ? 0 : -1);
  text.field("master_sync_in_progress", replication.rebuilding ? 1 : 0);
  text.field("slave_read_repl_offset", replication.offset);
  text.field("slave_repl_offset", replication.offset);
  if (!up) text.field("master_link_down_since_seconds", -1);
  text.field("slave_read_only", 0);  // it takes writes, too, and forwards them
  text.field("replica_announced", 1);
}

// Those that answer have done so within the last election timeout, which is less than a second.
void write_followers(InfoText& text, const Replication& replication) {
  text.field("connected_slaves", replication.followers.size());
  for (size_t i = 0; i < replication.followers.size(); ++i) {
    const Replication::Follower& follower = replication.followers[i];
    text.field("slave" + std::to_string(i), "ip=" + follower.member->node->host +
                                                ",port=" + std::to_string(follower.member->node->port) +
                                                ",state=" + (follower.rebuilding ? "send_bulk" : "online") +
                                                ",offset=" + std::to_string(follower.offset) + ",lag=0");
  }
}

std::string_view raft_role(const Topology& topology, const ShardStatus& shard) {
  if (shard.leads) return "leader";
  for (const ReplicaStatus& replica : shard.replicas) {
    if (replica.node == topology.self().node->name && !replica.voter) return "learner";
  }
  return "follower";
}

}  // namespace

void write_replication(InfoText& text, const Topology& topology, std::string_view run_id) {
  const Replication replication = replication_of(topology);
  text.field("role", replication.leads ? "master" : "slave");
  if (!replication.leads) write_master(text, replication);
  write_followers(text, replication);
  text.field("master_failover_state", "no-failover");
  text.field("master_replid", topology.clustered() ? topology.history_id() : run_id);
  text.field("master_replid2", std::string(40, '0'));
  text.field("master_repl_offset", replication.offset);
  text.field("second_repl_offset", -1);
  text.field("repl_backlog_active", 0);
  text.field("repl_backlog_size", 0);
  text.field("repl_backlog_first_byte_offset", 0);
  text.field("repl_backlog_histlen", 0);
}

void write_replication(InfoText& text, const InfoContext& context) {
  write_replication(text, context.topology, context.node.run_id());
}

void write_cluster(InfoText& text, const InfoContext& context) {
  text.field("cluster_enabled", context.topology.clustered() ? 1 : 0);
}

// Nothing of a single node, which has no groups.
void write_raft(InfoText& text, const Topology& topology) {
  if (!topology.clustered()) return;
  for (const ShardStatus& shard : topology.shards()) {
    std::string line = "role=";
    line.append(raft_role(topology, shard)).append(",leader=").append(shard.leader);
    const auto add = [&line](std::string_view name, uint64_t value) {
      line.append(",").append(name).append("=").append(std::to_string(value));
    };
    add("term", shard.term);
    add("commit", shard.commit);
    add("applied", shard.applied);
    add("last", shard.last);
    add("log_bytes", shard.log_bytes);
    text.field("raft_shard" + std::to_string(shard.id), line);
  }
}

void write_raft(InfoText& text, const InfoContext& context) { write_raft(text, context.topology); }

}  // namespace capstan
