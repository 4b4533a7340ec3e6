// Changes of the group's members by joint consensus (thesis §4.3) and hand-over of leadership (thesis §3.10).
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "consensus/group.h"

namespace capstan::consensus {

// A leader sends to the members of the latest configuration in its log, committed or not.
void Group::adopt_configuration() {
  if (!leads()) return;
  absl::btree_map<PeerId, Progress> peers;
  for (const Member& member : configuration().members()) {
    if (member.id == options_.self) continue;
    const auto known = peers_.find(member.id);
    const Progress::Window window{options_.max_message_bytes, options_.max_bytes_in_flight};
    peers.emplace(member.id, known != peers_.end() ? known->second : Progress(window, log_.last() + 1, now_));
  }
  peers_ = std::move(peers);
}

Result<> Group::change_members(const Configuration& target, Time now) {
  take_time(now);
  const auto refused = [](std::string_view why) { return Error{ErrorCode::kInvalid, std::string(why)}; };
  if (!leads()) return refused("not the leader");
  if (transfer_to_ != kNoPeer) return refused("leadership is being handed over");
  // github.com/brpc/braft/issues/182: before an entry of its own term is committed a change could be lost behind
  // another that is not known yet.
  if (commit_ < term_start_) return refused("the leader is new");
  if (configuration().joint() || log_.configuration_index() > commit_) return refused("another change is under way");
  if (target.joint() || target.voters().empty()) return refused("the new members are no configuration");
  for (const Member& voter : target.voters()) {
    if (voter.id == options_.self || configuration().is_voter(voter.id)) continue;
    const Progress* const learner = progress(voter.id);
    if (learner == nullptr) return refused(voter.node + " has to be a learner first");
    if (learner->match() + options_.max_promotion_lag < commit_) return refused(voter.node + " has not caught up");
  }
  const bool same_voters = target.voters() == configuration().voters();
  append_own(host_.empty_record(log_.last() + 1), (same_voters ? target : configuration().joint_with(target)).encode());
  check_invariants();
  return {};
}

// After the commit index moved: the next step of a change.
void Group::drive_configuration() {
  if (log_.configuration_index() > commit_) return;
  if (configuration().joint()) {
    append_own(host_.empty_record(log_.last() + 1), configuration().left().encode());
  }
}

// Of those who can lead and are there, the one that has most.
PeerId Group::best_successor() const {
  const Time since = now_ - options_.election_timeout_min;
  PeerId best = kNoPeer;
  std::pair<bool, Index> highest;  // not the one that was asked in vain, if there is another
  for (const auto& [peer, progress] : peers_) {
    const std::pair rank(peer != failed_successor_, progress.match());
    const bool able = configuration().is_voter(peer) && progress.state() != Progress::State::kRebuild;
    if (!able || progress.heard_at() < since || (best != kNoPeer && rank <= highest)) continue;
    best = peer;
    highest = rank;
  }
  return best;
}

// Whoever should not lead: it is no voter any more (thesis §4.2.2), does not want to, or its disk does not answer (once
// in a term: the others' may be no better).
bool Group::should_hand_over() const {
  const bool voter = configuration().is_voter(options_.self) || log_.configuration_index() > commit_;
  return !voter || !willing_ || (disk_stalled() && !lease_over_);
}

Result<> Group::transfer(PeerId to, Time now) {
  take_time(now);
  const auto refused = [](std::string_view why) { return Error{ErrorCode::kInvalid, std::string(why)}; };
  if (!leads()) return refused("not the leader");
  if (to == options_.self) return refused("it leads already");
  if (!configuration().is_voter(to)) return refused("only a voter can lead");
  if (transfer_to_ != kNoPeer) return refused("leadership is being handed over already");
  begin_transfer(to);
  drive_transfer();
  return {};
}

void Group::begin_transfer(PeerId to) {
  transfer_to_ = to;
  transfer_until_ = now_ + options_.election_timeout_max;
  transfer_asked_ = false;
}

// Nothing is proposed meanwhile, so the successor catches up. The lease ends before the successor is asked, and with it
// for the rest of the term: a vote that was asked for in its course may be granted at any later time.
void Group::drive_transfer() {
  if (!leads()) return;
  if (transfer_to_ == kNoPeer && should_hand_over()) begin_transfer(best_successor());
  if (transfer_to_ == kNoPeer) return;
  const Progress* const successor = progress(transfer_to_);
  if (successor == nullptr || now_ >= transfer_until_) {
    failed_successor_ = std::exchange(transfer_to_, kNoPeer);
    return;
  }
  // With all of the log committed, nobody who waits for it is left without an answer.
  if (transfer_asked_ || successor->match() < log_.last() || commit_ < log_.last()) return;
  transfer_asked_ = lease_over_ = true;
  outbox_.push_back(message(MessageKind::kTimeoutNow, transfer_to_));
}

}  // namespace capstan::consensus
