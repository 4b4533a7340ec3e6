// What an executor does with commands whose shard several nodes agree on: those that another node's replica has to run
// are sent there, those that nobody can run wait for a leader, and replies that may not leave yet are held.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "server/executor.h"
#include "server/forwarding.h"
#include "server/node.h"
#include "server/token.h"
#include "server/words.h"
#include "server/worker.h"

namespace capstan {
namespace {

constexpr std::string_view kTryAgain = "TRYAGAIN the shard's leadership moved before the command took effect";
constexpr std::string_view kUncertain =
    "UNCERTAIN the shard's leader was lost before the outcome was known: the command may have taken effect";

std::string_view outcome_unknown(bool wrote) { return wrote ? kUncertain : kTryAgain; }

}  // namespace

Executor::Admission Executor::admit(Shard& shard, Level level, bool writes, resp::Writer& writer) const {
  const GroupMember* const member = shard.member();
  if (level == Level::kStrong) return member != nullptr && member->serves() ? Admission::kRun : Admission::kWait;
  if (level == Level::kEventual || writes) {
    writer.error("ERR EVENTUAL is not supported yet where a shard has several replicas");
  } else if (held_elsewhere(shard.id())) {
    return Admission::kWait;
  } else if (member == nullptr) {
    writer.error("CLUSTERDOWN the cluster's nodes have not all met yet, which they have to once");
  } else if (shard.keyspace().has_newer_rows()) {
    writer.error("STALE this replica has not caught up since its start");
  } else {
    return Admission::kRun;
  }
  return Admission::kAnswered;
}

// ---- held replies

// Of the command that the shard ran last.
Executor::HeldReply& Executor::hold_another(Shard& shard) {
  const ReplyGate& gate = shard.reply_gate();
  HeldReplies& held = held_[shard.id()];
  const bool committed = gate.point.index <= shard.member()->group().commit();
  HeldReply& reply = (committed ? held.for_round : held.for_commit).emplace_back();
  reply.gate = gate;
  return reply;
}

void Executor::hold(Shard& shard, const ReplyAddress& to, Database database, resp::Protocol protocol,
                    std::string_view reply) {
  HeldReply& held = hold_another(shard);
  held.to = to;
  held.database = database;
  held.protocol = protocol;
  held.reply = reply;
}

void Executor::hold(std::unique_ptr<Task> task, std::string_view reply) {
  HeldReply& held = hold_another(*by_id_[task->shard]);
  held.to = task->reply_to;
  held.protocol = task->protocol;
  held.reply = reply;
  held.task = std::move(task);
}

void Executor::release_replies() {
  for (const auto& shard : shards_) {
    release_replies(*shard, held_[shard->id()].for_round);
    release_replies(*shard, held_[shard->id()].for_commit);
  }
}

void Executor::release_replies(Shard& shard, std::deque<HeldReply>& held) {
  while (!held.empty() && (shard.released(held.front().gate) || shard.void_gate(held.front().gate))) {
    HeldReply reply = std::move(held.front());
    held.pop_front();
    if (shard.void_gate(reply.gate)) {
      give_up(reply);
    } else if (reply.task) {
      complete(std::move(reply.task), reply.reply);
    } else {
      worker_.deliver(reply.to, reply.reply, shard.keyspace().keys(reply.database));
    }
  }
}

void Executor::give_up(HeldReply& held) {
  const std::string_view message = outcome_unknown(held.gate.wrote);
  if (held.task) return fail(std::move(held.task), message);
  resp::OutputBuffer out;
  resp::Writer(out, held.protocol).error(message);
  worker_.deliver(held.to, out.view(), 0);
}

void Executor::fail(std::unique_ptr<Task> task, std::string_view message) {
  resp::OutputBuffer out;
  refuse(*task, out, message);
  complete(std::move(task), out.view());
}

// ---- tasks that another node has to run, or nobody can

bool Executor::held_elsewhere(ShardId shard) const { return placement_ && by_id_[shard]->member() == nullptr; }

std::string_view Executor::leader_of(ShardId shard) const {
  if (const GroupMember* const member = by_id_[shard]->member()) return member->leader();
  const std::optional<unsigned> node = heard_[shard].node;
  return node ? std::string_view(worker_.node().peers()->names()[*node]) : std::string_view();
}

// Another node that leads the shard and can be reached.
std::optional<unsigned> Executor::leader_elsewhere(ShardId shard) const {
  const GroupMember* const member = by_id_[shard]->member();
  if (member != nullptr && member->group().leads()) return std::nullopt;
  const std::optional<unsigned> node = worker_.node().peers()->find(leader_of(shard));
  return node && worker_.node().peers()->connected(*node) ? node : std::nullopt;
}

// Of a shard that this node does not hold: in its own zone if there is one, else in its data centre, else anywhere.
std::optional<unsigned> Executor::nearest_replica(ShardId shard) const {
  const Peers& peers = *worker_.node().peers();
  const auto data_centre = [](const std::string& zone) { return zone.substr(0, zone.find('/')); };
  const std::string& own = peers.nodes().self().zone;
  std::optional<unsigned> nearest;
  int least = 0;
  for (const std::string& name : placement_->replicas(shard)) {
    const std::optional<unsigned> node = peers.find(name);
    if (!node || !peers.connected(*node)) continue;
    const std::string& zone = peers.nodes().all[*node].zone;
    const int distance = zone == own ? 0 : data_centre(zone) == data_centre(own) ? 1 : 2;
    if (nearest && distance >= least) continue;
    nearest = node;
    least = distance;
  }
  return nearest;
}

std::optional<unsigned> Executor::node_to_run(const Task& task) const {
  if (task.level == Level::kStrong) return leader_elsewhere(task.shard);
  return held_elsewhere(task.shard) ? nearest_replica(task.shard) : std::nullopt;
}

// It was elected, and commands can be evaluated as soon as what it inherited is applied: a moment, for which other
// nodes' commands wait, too.
bool Executor::about_to_serve(ShardId shard) const {
  const GroupMember* const member = by_id_[shard]->member();
  return member != nullptr && member->group().leads() && member->group().transferring_to() == consensus::kNoPeer;
}

// To another node; or, with a task that came from there, back to it.
bool Executor::can_send_on(Task& task) const {
  if (task.remote) return task.level == Level::kStrong ? !about_to_serve(task.shard) : held_elsewhere(task.shard);
  return node_to_run(task).has_value() && (task.level == Level::kStrong || session_is_known(task));
}

bool Executor::overdue_for_good(const Task& task) const {
  return task.parked_since_ms != 0 && worker_.now_ms() - task.parked_since_ms > task.timeout_ms;
}

std::string Executor::too_late(const Task& task) const {
  Shard& shard = *by_id_[task.shard];
  if (task.level != Level::kStrong && held_elsewhere(task.shard) && !nearest_replica(task.shard)) {
    return "CLUSTERDOWN no replica of shard " + std::to_string(task.shard) + " can be reached";
  }
  const bool led = !shard.clustered() || about_to_serve(task.shard) || leader_elsewhere(task.shard);
  if (task.level != Level::kStrong || (led && !task.after.empty())) {
    return "STALE this replica has not seen what AFTER, MAXAGE or SESSION ask for";
  }
  return "CLUSTERDOWN no leader for shard " + std::to_string(task.shard);
}

// ---- how recent a state is

uint64_t Executor::agreed(Shard& shard) {
  const GroupMember* const member = shard.clustered() ? shard.member() : nullptr;
  return member == nullptr ? 0 : shard.keyspace().applied()[member->log()];
}

// A leader's state is the latest there is: only a token of another history is beyond it.
bool Executor::recent_enough(Task& task, Shard& shard) const {
  if (!task.after.empty() && !token_is_covered(task.after, shard.id(), shard.keyspace().applied())) return false;
  if (!shard.clustered() || task.level == Level::kStrong) return true;
  if (task.max_age_ms >= 0 && !shard.member()->current_since(boot_ns() - task.max_age_ms * consensus::kMillisecond)) {
    return false;
  }
  return !task.session || (session_is_known(task) && agreed(shard) >= task.seen);
}

bool Executor::session_is_known(Task& task) const {
  if (!task.session || task.seen != 0) return true;
  if (earlier_ones_are_under_way(task)) return false;
  // From here on it waits for no more than this, or it would never end while others write.
  task.seen = std::max<uint64_t>(seen_[task.shard], 1);
  return true;
}

bool Executor::earlier_ones_are_under_way(const Task& task) const {
  const uint64_t client = task.reply_to.client;
  const auto of_client = [client](const HeldReply& held) { return held.to.client == client; };
  const HeldReplies& held = held_[task.shard];
  return std::any_of(held.for_commit.begin(), held.for_commit.end(), of_client) ||
         std::any_of(held.for_round.begin(), held.for_round.end(), of_client) ||
         std::any_of(calls_.begin(), calls_.end(), [&task, client](const auto& sent) {
           return sent.second.task->shard == task.shard && sent.second.task->reply_to.client == client;
         });
}

Clock Executor::seen_by_clients(Shard& shard) const {
  Clock clock = shard.keyspace().applied();
  if (shard.clustered() && shard.log().agreed()) {
    clock.set(shard.log(), std::max(clock[shard.log()], seen_[shard.id()]));
  }
  return clock;
}

// True: it is on its way, or answered.
bool Executor::send_on(std::unique_ptr<Task>& task) {
  if (!can_send_on(*task)) return false;
  if (task->remote) {
    encode_refusal(*task, worker_.to_peer(task->reply_to.worker));
    task.reset();
    return true;
  }
  const std::optional<unsigned> node = node_to_run(*task);
  last_call_ = (last_call_ + 1) & ((uint64_t{1} << kCallNumberBits) - 1);
  const uint64_t id = uint64_t{worker_.index()} << kCallNumberBits | last_call_;
  encode_call(id, *task, worker_.to_peer(*node));
  worker_.counters().forwarded_commands.add();
  if (task->parked_since_ms == 0) task->parked_since_ms = worker_.now_ms();
  task->argument_bytes = argument_bytes(*task);
  const int64_t deadline_ms = worker_.now_ms() + task->timeout_ms;
  calls_.emplace(id, Sent{std::move(task), *node, deadline_ms});
  return true;
}

void Executor::wait_for_group(const LaneKey& key, Lane& lane) {
  if (lane.waits_for_group) return;
  lane.waits_for_group = true;
  waiting_for_group_.push_back(key);
}

void Executor::wake_those_who_wait_for_a_group() {
  for (const LaneKey& key : waiting_for_group_) {
    const auto lane = lanes_.find(key);
    if (lane == lanes_.end()) continue;
    lane->second.waits_for_group = false;
    ready_.push_back(key);
  }
  waiting_for_group_.clear();
}

void Executor::on_answer(unsigned node, const Answer& answer) {
  const auto sent = calls_.find(answer.id);
  // Late: the caller has given up.
  if (sent == calls_.end() || sent->second.node != node) return;
  std::unique_ptr<Task> task = std::move(sent->second.task);
  calls_.erase(sent);
  if (answer.refused) return wait_again(std::move(task));
  seen_[task->shard] = std::max(seen_[task->shard], answer.seen);
  if (!waiting_for_group_.empty()) wake_those_who_wait_for_a_group();  // for this answer, perhaps
  if (!take_answer(answer, *task)) return fail(std::move(task), kUncertain);
  complete(std::move(task), answer.reply, answer.weight);
}

void Executor::on_peer_lost(unsigned node) {
  fail_calls([node](const Sent& sent) { return sent.node == node; });
}

// What was sent to another node than the one that leads now has no answer to hope for.
void Executor::on_leader(ShardId shard) {
  const std::optional<unsigned> node = worker_.node().peers()->find(leader_of(shard));
  fail_calls([&](const Sent& sent) {
    return sent.task->shard == shard && sent.task->level == Level::kStrong && sent.node != node;
  });
}

void Executor::on_leads(unsigned node, ShardId shard, consensus::Term term) {
  HeardLeader& heard = heard_[shard];
  if (term < heard.term || by_id_[shard]->member() != nullptr) return;
  heard = {node, term};
  on_leader(shard);
  wake_those_who_wait_for_a_group();
}

// To a node that has no replica which would know.
void Executor::announce(const Shard& shard, unsigned node) {
  const Peers& peers = *worker_.node().peers();
  if (!placement_ || placement_->holds(peers.names()[node], shard.id()) || !peers.connected(node)) return;
  MessageWriter message(worker_.to_peer(node));
  message.word(kLeadsMessage);
  message.word("1");
  message.number(shard.id());
  message.number(leaderships_[shard.id()].term);
}

void Executor::on_peer_connected(unsigned node) {
  for (const auto& shard : shards_) {
    if (leaderships_[shard->id()].serves) announce(*shard, node);
  }
  wake_those_who_wait_for_a_group();
}

// Whoever leads already announces it to those that it did not know to hold nothing.
void Executor::set_placement(std::shared_ptr<const cluster::ReplicaPlacement> placement) {
  CHECK(!placement_);
  placement_ = std::move(placement);
}

ShardStatus Executor::status(Shard& shard) const {
  ShardStatus status = shard.status();
  if (!held_elsewhere(shard.id())) return status;
  status.leader = leader_of(shard.id());
  status.term = heard_[shard.id()].term;
  for (const std::string& node : placement_->replicas(shard.id())) status.replicas.push_back({.node = node});
  return status;
}

template <typename Predicate>
void Executor::fail_calls(Predicate lost) {
  std::vector<uint64_t> ids;
  for (const auto& [id, sent] : calls_) {
    if (lost(sent)) ids.push_back(id);
  }
  // The latest first: each goes before those of its client that wait already.
  std::sort(ids.begin(), ids.end(), std::greater<>());
  for (const uint64_t id : ids) {
    std::unique_ptr<Task> task = std::move(calls_.find(id)->second.task);
    calls_.erase(id);
    if (is_write(*task)) {
      fail(std::move(task), kUncertain);
    } else {
      wait_again(std::move(task));
    }
  }
}

// Nothing was, or can have been, done: in its client's order it comes before what waits already.
void Executor::wait_again(std::unique_ptr<Task> task) {
  const LaneKey key{task->reply_to.client, task->shard};
  waiting_bytes_ += task->argument_bytes;
  Lane& lane = lanes_[key];
  lane.tasks.push_front(std::move(task));
  ++waiting_tasks_;
  wait_for_group(key, lane);
}

// ---- groups

void Executor::end_group_turns(consensus::Time now) {
  for (const auto& shard : shards_) {
    GroupMember* const member = shard->member();
    if (member == nullptr) continue;
    member->group().tick(now);
    member->end_turn(now);
  }
}

void Executor::journal_advanced(consensus::Time now) {
  bool changed = false;
  for (const auto& shard : shards_) {
    GroupMember* const member = shard->member();
    if (member == nullptr) continue;
    member->journal_advanced(now);
    // What became durable may commit, and acknowledgements wait for it.
    member->end_turn(now);
    Leadership& seen = leaderships_[shard->id()];
    const Leadership is{member->group().leader(), member->group().term(), member->serves(), agreed(*shard),
                        member->group().current_at()};
    changed |= seen != is;
    const bool begins = is.serves && (!seen.serves || is.term != seen.term);
    if (is.leader != consensus::kNoPeer && is.leader != seen.leader) on_leader(shard->id());
    seen = is;
    for (unsigned node = 0; begins && node < worker_.node().peers()->names().size(); ++node) announce(*shard, node);
  }
  release_replies();
  if (changed) wake_those_who_wait_for_a_group();
}

bool Executor::awaits_sync(Of which) const {
  return std::any_of(shards_.begin(), shards_.end(), [which](const auto& shard) {
    const GroupMember* const member = shard->member();
    return member != nullptr && member->awaits_sync() && (which == Of::kAll || !member->group().leads());
  });
}

consensus::Time Executor::next_deadline() const {
  consensus::Time next = INT64_MAX;
  for (const auto& shard : shards_) {
    const GroupMember* const member = shard->member();
    if (member != nullptr) next = std::min(next, member->next_deadline());
  }
  return next;
}

bool Executor::leads() const {
  return std::any_of(shards_.begin(), shards_.end(), [](const auto& shard) {
    const GroupMember* const member = shard->member();
    return member != nullptr && member->group().leads();
  });
}

void Executor::retire_groups() {
  for (const auto& shard : shards_) {
    if (GroupMember* const member = shard->member()) member->retire();
  }
}

void Executor::check_deadlines(int64_t now_ms) {
  fail_calls([now_ms](const Sent& sent) { return now_ms > sent.deadline_ms; });
  wake_those_who_wait_for_a_group();
}

}  // namespace capstan
