// How leaders are found: elections with pre-vote (thesis §3.4, §3.6, §9.6), and the promises on which leases rest
// (thesis §6.4.1; architecture.md, "Consensus").
#include <algorithm>

#include "base/check.h"
#include "consensus/group.h"
#include "consensus/mutant.h"

namespace capstan::consensus {
namespace {

// Once a leader's process is known to be gone, nobody waits for a timeout: only for promises, and, so that two do not
// share the votes, for those voters whose turn comes before. The promises of the others end a heartbeat earlier or
// later, so it may take a second try; further ones come more and more slowly.
constexpr Time kLostTurn = 8 * kMillisecond;
constexpr Time kLostJitter = 3 * kMillisecond;
constexpr Time kLostRetry = 10 * kMillisecond;
constexpr unsigned kLostAttempts = 5;

}  // namespace

void Group::draw_election_time() {
  const Time usual = random_.between(options_.election_timeout_min, options_.election_timeout_max);
  const bool hasty = lost_leader_ != kNoPeer && lost_attempts_ < kLostAttempts;
  if (!hasty) {
    election_at_ = now_ + usual;
    return;
  }
  const Time pause = lost_attempts_ == 0 ? 0 : kLostRetry << (lost_attempts_ - 1);
  election_at_ = std::max(now_, promise_until_) + pause + own_turn();
}

// Of those who may replace a lost leader.
Time Group::own_turn() {
  Time before = 0;
  for (const Member& member : configuration().members()) {
    if (member.id < options_.self && member.id != lost_leader_ && configuration().is_voter(member.id)) ++before;
  }
  return before * kLostTurn + random_.between(0, kLostJitter);
}

void Group::become_follower(Term term, PeerId leader) {
  CHECK(term >= hard_state_.term);
  if (term > hard_state_.term) {
    hard_state_ = {term, kNoPeer};
    held_.clear();  // promises of an older term
  }
  role_ = Role::kFollower;
  leader_ = leader;
  votes_.clear();
  peers_.clear();
  sent_.clear();
  transfer_to_ = kNoPeer;
  // Whoever leads has what is committed (thesis §3.6.3). Of more the log must first be shown to be the leader's.
  verified_ = commit_;
  round_received_ = 0;
  ordered_received_ = 0;
  acknowledged_ = 0;
  acknowledgement_due_ = false;
  draw_election_time();
}

// Also one that is no voter any more, as long as it does not know that to be committed: it may have the only copy of
// what those who are need (thesis §4.2.2). And a learner that a candidate has asked in vain, because its log is
// shorter: who counts on the learner's vote cannot win without it. Their own votes do not count.
bool Group::may_campaign() const {
  const PeerId self = options_.self;
  const bool votes = configuration().is_voter(self) || log_.configuration_at(commit_).is_voter(self);
  return willing_ && !rebuilding_ && (votes || asked_in_vain_);
}

void Group::tick_follower() {
  if (now_ < election_at_) return;
  if (!may_campaign()) return draw_election_time();
  // It would have to refuse itself.
  if (now_ < promise_until_) {
    election_at_ = promise_until_ + own_turn();
    return;
  }
  campaign();
}

// Asks whether an election could be won. Neither the term nor the vote changes, here or at those who are asked.
void Group::campaign() {
  role_ = Role::kPreCandidate;
  leader_ = kNoPeer;
  votes_.clear();
  votes_[options_.self] = true;
  ++lost_attempts_;
  draw_election_time();
  for (Message& request : vote_requests(MessageKind::kPreVote)) {
    request.term = term() + 1;
    outbox_.push_back(std::move(request));
  }
  count_votes();
}

// One for every other voter.
std::vector<Message> Group::vote_requests(MessageKind kind) const {
  std::vector<Message> requests;
  for (const Member& member : configuration().members()) {
    if (member.id == options_.self || !configuration().is_voter(member.id)) continue;
    Message& request = requests.emplace_back(message(kind, member.id));
    request.previous = log_.last();
    request.previous_term = log_.last_term();
  }
  return requests;
}

void Group::ask_for_votes(bool transfer) {
  hard_state_ = {term() + 1, options_.self};
  held_.clear();
  role_ = Role::kCandidate;
  leader_ = kNoPeer;
  votes_.clear();
  verified_ = commit_;  // it was the log of an older term's leader
  own_vote_mark_ = last_mark_ + 1;
  draw_election_time();
  for (Message& request : vote_requests(MessageKind::kVote)) {
    request.transfer = transfer;
    promise(std::move(request));
  }
}

void Group::count_votes() {
  const bool won = configuration().has_majority([&](PeerId peer) {
    const auto found = votes_.find(peer);
    return found != votes_.end() && found->second;
  });
  if (!won) return;
  if (role_ == Role::kPreCandidate) {
    ask_for_votes(false);
  } else {
    become_leader();
  }
}

void Group::become_leader() {
  CHECK(role_ == Role::kCandidate && led_term_ < term());
  role_ = Role::kLeader;
  leader_ = options_.self;
  led_term_ = term();
  lost_leader_ = kNoPeer;
  gated_ = false;
  votes_.clear();
  peers_.clear();
  sent_.clear();
  round_ = 0;
  round_wanted_ = true;
  next_heartbeat_ = silent_since_ = now_;
  check_at_ = now_ + options_.heartbeat;
  failed_successor_ = kNoPeer;
  needs_rebuild_ = false;
  commit_news_at_ = 0;
  lease_over_ = false;
  transfer_to_ = kNoPeer;
  term_start_ = log_.last() + 1;
  adopt_configuration();
  append_own(host_.empty_record(term_start_), {});
}

// --- voting

// Whether the promise to a leader forbids to vote. Not a word of the request counts then, its term neither, or else a
// replica that was cut off could end a lease.
bool Group::bound_by_promise(const Message& request) const {
  if (request.kind == MessageKind::kVote && request.transfer) return false;  // the leader's own wish, its lease is over
  // Whoever leads, or follows a leader that is there, is not disturbed, lease or no lease (thesis §4.2.3).
  const Time since = now_ - options_.election_timeout_min;
  if (leads()) return now_ < lease_end() || majority_heard_since(since);
  if (now_ < promise_until_ && !mutant(Mutant::kVoteBeforeLeaseEnd)) return true;
  return options_.lease == 0 && request.kind == MessageKind::kPreVote && leader_ != kNoPeer &&
         lost_leader_ == kNoPeer && heard_at_ >= since;
}

// Thesis §3.6.1. The base counts where everything was cut.
bool Group::up_to_date(const Message& request) const {
  if (mutant(Mutant::kVoteForShorterLog)) return true;
  if (request.previous_term != log_.last_term()) return request.previous_term > log_.last_term();
  return request.previous >= log_.last();
}

// Anybody may ask, also one that is no member by the own log: whoever was made a voter may know it before this replica
// does, and this replica may be a voter without knowing.
void Group::on_vote_request(const Message& request) {
  const bool real = request.kind == MessageKind::kVote;
  const bool bound = bound_by_promise(request);
  if (!bound && real && request.term > term()) become_follower(request.term, kNoPeer);
  Message reply = message(real ? MessageKind::kVoteReply : MessageKind::kPreVoteReply, request.from);
  const bool free = real ? request.term == term() && !leads() &&
                               (hard_state_.voted_for == kNoPeer || hard_state_.voted_for == request.from ||
                                mutant(Mutant::kVoteTwice))
                         : request.term > term();
  const bool behind = !up_to_date(request);
  asked_in_vain_ = asked_in_vain_ || (!bound && behind);
  reply.rejected = bound || !free || behind;
  if (reply.rejected) {
    outbox_.push_back(std::move(reply));
  } else if (real) {
    hard_state_.voted_for = request.from;
    ++lost_attempts_;
    draw_election_time();
    promise(std::move(reply));
  } else {
    reply.term = request.term;
    outbox_.push_back(std::move(reply));
  }
}

void Group::on_vote_reply(const Message& reply) {
  const bool real = reply.kind == MessageKind::kVoteReply;
  if (role_ != (real ? Role::kCandidate : Role::kPreCandidate)) return;
  if (!reply.rejected && reply.term != term() + (real ? 0 : 1)) return;
  votes_[reply.from] = !reply.rejected;
  count_votes();
}

void Group::on_timeout_now(const Message& request) {
  if (role_ == Role::kFollower && request.from == leader_ && may_campaign()) ask_for_votes(true);
}

}  // namespace capstan::consensus
