// What a worker does for the Raft groups of its shards, and for what other nodes want of it.
#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "cluster/message_codec.h"
#include "server/node.h"
#include "server/words.h"
#include "server/worker.h"

namespace capstan {

using Lane = cluster::Link::Lane;

namespace {

// What may be large keeps its place; what leases and elections wait for does not wait for it.
Lane lane_of(const consensus::Message& message) {
  return message.ordered || !message.entries.empty() ? Lane::kOrdered : Lane::kUrgent;
}

}  // namespace

void Worker::send_raft(ShardId shard, const consensus::Message& message) {
  const std::optional<unsigned> node = node_.peers()->find(executor_.shard(shard)->member()->node_of(message.to));
  if (node) cluster::encode_message(shard, message, to_peer(*node, lane_of(message)));
}

// The time is read here: after the message came (consensus/group.h).
void Worker::receive_raft(unsigned node, ShardId shard, const consensus::Message& message) {
  GroupMember* const member = executor_.shard(shard)->member();
  if (member != nullptr) member->receive(node_name(node), message, boot_ns());
}

Result<> Worker::receive_rebuild(unsigned node, ShardId shard, std::span<const std::string_view> words) {
  GroupMember* const member = executor_.shard(shard)->member();
  return member == nullptr ? Result<>() : member->receive_rebuild(node_name(node), words, boot_ns());
}

resp::OutputBuffer* Worker::to_node(std::string_view name) {
  const std::optional<unsigned> node = node_.peers()->find(name);
  return node && node_.peers()->connected(*node) ? &to_peer(*node) : nullptr;
}

const std::string& Worker::node_name(unsigned node) const { return node_.peers()->nodes().all[node].name; }

// It has been connected for a while: one that comes and goes leads nothing.
bool Worker::settled(unsigned node) const {
  constexpr int64_t kLongMs = 5000;
  return lives_[node] != consensus::kNoPeer && now_ms_ - connected_since_ms_[node] > kLongMs;
}

void Worker::set_life(unsigned node, consensus::PeerId life) {
  lives_[node] = life;
  connected_since_ms_[node] = now_ms();
}

// Replicas whose disks were lost are replaced by those who lead.
void Worker::mend_groups() {
  const cluster::ReplicaPlacement* const placement = executor_.placement();
  if (placement == nullptr) return;
  const Peers& peers = *node_.peers();
  bool member_of_all = !executor_.shards().empty();
  for (const auto& shard : executor_.shards()) {
    GroupMember* const member = shard->member();
    if (member == nullptr) {
      member_of_all = member_of_all && !placement->holds(peers.nodes().me, shard->id());
      continue;
    }
    member_of_all = member_of_all && member->votes();
    member->mend_membership(peers.names(), lives_, boot_ns());
    const std::string& preferred = placement->replicas(shard->id()).front();
    const std::optional<unsigned> node = peers.find(preferred);
    if (node && settled(*node)) member->prefer_leader(preferred, boot_ns());
  }
  if (!member_of_all || votes_) return;
  votes_ = true;
  post(0, [](Worker& first) { first.node().peers()->admitted(); });
}

void Worker::peer_connected(unsigned node) {
  for (const auto& shard : executor_.shards()) {
    if (GroupMember* const member = shard->member()) {
      member->for_each_peer_on(node_name(node),
                               [member](consensus::PeerId peer) { member->group().peer_connected(peer, boot_ns()); });
    }
  }
  executor_.on_peer_connected(node);
}

void Worker::peer_lost(unsigned node) {
  for (const auto& shard : executor_.shards()) {
    if (GroupMember* const member = shard->member()) {
      member->for_each_peer_on(node_name(node),
                               [member](consensus::PeerId peer) { member->group().peer_lost(peer, boot_ns()); });
    }
  }
  executor_.on_peer_lost(node);
}

Result<> Worker::transfer(ShardId shard, std::string_view to) {
  GroupMember* const member = executor_.shard(shard)->member();
  if (member != nullptr && member->group().leads()) {
    if (to == member->leader()) return {};
    if (!member->serves()) return Error{ErrorCode::kExists, "TRYAGAIN the leadership of the shard is moving"};
    const Result<> begun = member->transfer(to, boot_ns());
    return begun ? begun : Error{begun.error().code, "ERR " + begun.error().message};
  }
  resp::OutputBuffer* const leader = to_node(executor_.leader_of(shard));
  if (leader == nullptr) {
    return Error{ErrorCode::kNotFound, "CLUSTERDOWN no leader for shard " + std::to_string(shard)};
  }
  MessageWriter message(*leader);
  message.word(kTransferMessage);
  message.word("1");
  message.number(shard);
  message.word(to);
  return {};
}

// Entries leave for the followers before this node's own disk has them; both then work at the same time.
void Worker::end_group_turns() {
  if (node_.peers() == nullptr) return;
  executor_.end_group_turns(boot_ns());
  flush_to_peers();
}

void Worker::groups_written() {
  if (node_.peers() == nullptr) return;
  executor_.journal_advanced(boot_ns());
  flush_to_peers();
  // What the groups gave the journal since is for the next turn.
  more_to_do_ |= journal_->end() != journal_->written();
  if (retired_groups_ && (!executor_.leads() || now_ms_ >= retire_until_ms_)) {
    Action done = std::move(retired_groups_);
    retired_groups_ = nullptr;
    done(*this);
  }
  arm_group_timer();
}

// At least once per heartbeat: a group that was not turned for longer takes that for a standstill of the process, and
// does not campaign (Group::tick).
void Worker::arm_group_timer() {
  const consensus::Time next = executor_.next_deadline();
  const int64_t wait_us = std::clamp<int64_t>((next - boot_ns()) / 1000, 0, settings_->heartbeat_ms * 1000);
  const timeval time{0, static_cast<suseconds_t>(wait_us)};
  CHECK(event_add(group_timer_, &time) == 0);
}

void Worker::flush_to_peers() {
  for (const Lane lane : {Lane::kOrdered, Lane::kUrgent}) {
    for (unsigned node = 0; node < node_.peers()->names().size(); ++node) flush_to_peer(node, lane);
  }
  if (index_ == 0) node_.peers()->flush();
}

void Worker::flush_to_peer(unsigned node, Lane lane) {
  resp::OutputBuffer& messages = to_peer(node, lane);
  if (messages.empty()) return;
  if (index_ == 0) {
    node_.peers()->send(node, messages.view(), lane);
    return messages.clear();
  }
  post(0, [node, lane, moved = std::exchange(messages, resp::OutputBuffer())](Worker& first) {
    first.node().peers()->send(node, moved.view(), lane);
  });
}

void Worker::retire_groups(Action done) {
  constexpr int64_t kPatienceMs = 1000;
  executor_.retire_groups();
  retire_until_ms_ = now_ms() + kPatienceMs;
  if (node_.peers() == nullptr) return done(*this);
  retired_groups_ = std::move(done);
}

}  // namespace capstan
