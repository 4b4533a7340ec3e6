// The other nodes of the cluster, as this node's process sees them: the links to them, what is said there to whom, and
// how the nodes of a new cluster agree who they are (cluster/founding.h). What this node is, is in a file of the data
// directory, beside the shards that it is about.
//
// Nodes are numbered as the configuration lists them, in the order of their names. Belongs to worker 0, whose loop the
// links turn with, but for what says that any thread may call it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "cluster/founding.h"
#include "cluster/links.h"
#include "cluster/nodes.h"
#include "cluster/replica_placement.h"

namespace capstan {

class Node;

// A message of PUBLISH: publish 1 <sharded: 0 or 1> <channel> <message>.
inline constexpr std::string_view kPublishMessage = "publish";
// Of CAPSTAN TRANSFER, to the leader: transfer 1 <shard> <node>.
inline constexpr std::string_view kTransferMessage = "transfer";
// Of a shard's leader to the nodes that hold no replica of it: leads 1 <shard> <term>.
inline constexpr std::string_view kLeadsMessage = "leads";

class Peers {
 public:
  // Reads or makes the node's identity under `directory`, which holds the shards; found there: whether they were
  // founded, and as whom. Reads the files that the node's settings name for TLS.
  static Result<std::unique_ptr<Peers>> open(Node& node, const cluster::Nodes& nodes, std::string directory);
  Peers(const Peers&) = delete;

  // Before the node serves: founds shards that a crash has kept from it, then connects.
  Result<> start();

  // --- any thread
  const cluster::Nodes& nodes() const { return nodes_; }
  const std::vector<std::string>& names() const { return names_; }
  std::optional<unsigned> find(std::string_view name) const;
  bool connected(unsigned node) const { return connected_[node].load(std::memory_order_relaxed); }
  // By node, in the order of their names; never to itself.
  std::vector<bool> connections() const { return {connected_.begin(), connected_.end()}; }

  // --- worker 0
  // Whole messages; lost if the node is not connected.
  void send(unsigned node, std::string_view messages, cluster::Link::Lane lane = cluster::Link::Lane::kOrdered);
  // Once per turn, after what the turn had to say.
  void flush() { links_.flush(); }
  cluster::Founding::State state() const { return founding_.state(); }
  // This node votes in the groups of a worker's shards. If it is no founder, that makes it one of the cluster's.
  void admitted();

 private:
  Peers(Node& node, cluster::Nodes nodes, cluster::LinksOptions options, std::string directory,
        cluster::Identity identity);

  void on_up(unsigned node);
  void on_down(unsigned node);
  void on_message(unsigned node, std::span<const std::string_view> words);
  Result<> take_message(unsigned node, std::span<const std::string_view> words);
  Result<> take_raft(unsigned node, std::span<const std::string_view> words);
  Result<> take_rebuild(unsigned node, std::span<const std::string_view> words);
  Result<> take_call(unsigned node, std::span<const std::string_view> words);
  Result<> take_answer(unsigned node, std::span<const std::string_view> words);
  Result<> take_publication(std::span<const std::string_view> words);
  Result<> take_transfer(std::span<const std::string_view> words);
  Result<> take_leads(unsigned node, std::span<const std::string_view> words);
  void advance_founding();
  Result<> check_shards() const;
  cluster::ReplicaPlacement placement() const;
  void found_shards();
  void tell_lives();

  Node& node_;
  const cluster::Nodes nodes_;
  std::vector<std::string> names_;
  const std::string directory_;
  cluster::Founding founding_;
  cluster::Founding::State state_;  // as it was last acted on
  std::vector<std::atomic<bool>> connected_;
  std::vector<consensus::PeerId> lives_;  // as the workers were told
  unsigned admitted_workers_ = 0;
  cluster::Links links_;
};

}  // namespace capstan
