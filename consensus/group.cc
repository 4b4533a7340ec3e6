#include "consensus/group.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "consensus/mutant.h"

namespace capstan::consensus {
namespace {

constexpr Term kMostTermsAtOnce = Term{1} << 32;

}  // namespace

Group::Group(const Options& options, Host& host, Recovered recovered, uint64_t seed, Time now)
    : options_(options),
      host_(host),
      random_(seed),
      log_(std::move(recovered.log)),
      hard_state_(recovered.hard_state),
      commit_(recovered.applied),
      now_(now),
      ticked_at_(now),
      saved_(recovered.hard_state),
      replaced_(recovered.replaced),
      durable_index_(log_.last()),
      promise_until_(mutant(Mutant::kVoteAfterRestart) ? now : now + kLongestLease),
      heard_at_(now),
      rebuilding_(recovered.rebuilding) {
  CHECK(options_.self != kNoPeer && options_.lease <= kLongestLease);
  CHECK(log_.base() <= commit_ && commit_ <= log_.last());
  // The term that came with a rebuild may have been lost behind the state that came with it. It cannot have voted in
  // it.
  if (log_.last_term() > hard_state_.term) hard_state_ = {log_.last_term(), kNoPeer};
  CHECK(options_.lease >= 0 && options_.heartbeat > 0 && options_.election_timeout_min > 0 &&
        options_.election_timeout_min <= options_.election_timeout_max);
  verified_ = commit_told_ = commit_;
  draw_election_time();
  const Configuration& members = configuration();
  const bool alone = !members.joint() && members.voters().size() == 1 && members.is_voter(options_.self);
  // There is nobody else to wait for; unless it was another that led last, and may not know that it is no voter any
  // more.
  if (alone && (hard_state_.term == 0 || hard_state_.voted_for == options_.self)) promise_until_ = election_at_ = now;
}

// --- input

void Group::take_time(Time now) {
  CHECK(now >= now_, "the clock of a group is monotonic");
  now_ = now;
}

void Group::receive(const Message& received, Time now) {
  take_time(now);
  if (received.to != options_.self || received.from == options_.self || received.from == kNoPeer) return;
  // One wrong term would stay for ever: each replica takes over the highest that it hears.
  if (received.term > term() && received.term - term() > kMostTermsAtOnce) return;
  if (received.kind < MessageKind::kAppend || received.kind > MessageKind::kCommitted) return;  // of a newer version
  switch (received.kind) {
    // Requests for votes do not always raise the term.
    case MessageKind::kPreVote:
    case MessageKind::kVote:
      on_vote_request(received);
      return check_invariants();
    case MessageKind::kCommitted:  // what is committed is so in every term
      on_committed(received);
      return check_invariants();
    case MessageKind::kPreVoteReply:
      // A vote that was granted carries the term that is asked for, which nobody has yet.
      if (!received.rejected) {
        on_vote_reply(received);
        return check_invariants();
      }
      break;
    default:
      break;
  }
  if (received.term < term()) {
    // An old leader learns here that it is one. Everybody else finds out by himself.
    if (received.kind == MessageKind::kAppend) reject(received);
    return;
  }
  if (received.term > term()) become_follower(received.term, kNoPeer);
  switch (received.kind) {
    case MessageKind::kAppend:
      on_append(received);
      break;
    case MessageKind::kAppendReply:
      on_append_reply(received);
      break;
    case MessageKind::kVoteReply:
      on_vote_reply(received);
      break;
    case MessageKind::kTimeoutNow:
      on_timeout_now(received);
      break;
    default:
      break;
  }
  check_invariants();
}

void Group::tick(Time now) {
  take_time(now);
  // Who stood still hears what was said meanwhile before he concludes anything from silence.
  if (now - ticked_at_ > 3 * options_.heartbeat) {
    election_at_ = std::max(election_at_, now + 2 * options_.heartbeat);
    silent_since_ = std::max(silent_since_, now - options_.election_timeout_max + 2 * options_.heartbeat);
  }
  ticked_at_ = now;
  if (leads()) {
    tick_leader();
  } else {
    tick_follower();
  }
  check_invariants();
}

void Group::peer_lost(PeerId peer, Time now) {
  take_time(now);
  if (leads() || peer == kNoPeer || peer != leader_) return;
  lost_leader_ = peer;
  draw_election_time();
}

void Group::peer_connected(PeerId peer, Time now) {
  take_time(now);
  if (const auto found = peers_.find(peer); found != peers_.end()) found->second.restart();
}

void Group::gate_opened(Time now) {
  take_time(now);
  if (std::exchange(gated_, false)) acknowledgement_due_ = true;
}

void Group::set_willing(bool willing, Time now) {
  take_time(now);
  willing_ = willing;
  if (leads()) drive_transfer();
}

// --- durability: promises wait for the journal here (and acknowledgements say what is durable). What may leave at once
// says nothing that a crash could make untrue: entries, rejections, pre-votes, and that a leader is followed at this
// moment.

Message Group::message(MessageKind kind, PeerId to) const {
  Message created;
  created.kind = kind;
  created.from = options_.self;
  created.to = to;
  created.term = term();
  return created;
}

// Sends it when everything that holds now is durable: votes, and requests for them, which count the own one and say how
// far the own log goes.
void Group::promise(Message message) {
  const Mark mark = last_mark_ + (unsaved() ? 1 : 0);
  if (mark <= durable_mark_ || mutant(Mutant::kVoteBeforeDurable)) {
    outbox_.push_back(std::move(message));
  } else {
    held_.push_back({mark, std::move(message)});
  }
}

void Group::durable(Mark mark, Time now) {
  take_time(now);
  CHECK(mark <= last_mark_);
  durable_mark_ = std::max(durable_mark_, mark);
  while (!written_.empty() && written_.front().mark <= durable_mark_) {
    durable_index_ = std::max(durable_index_, written_.front().last);
    written_.pop_front();
  }
  const auto still_held =
      std::stable_partition(held_.begin(), held_.end(), [&](const Held& held) { return held.mark <= durable_mark_; });
  for (auto held = held_.begin(); held != still_held; ++held) outbox_.push_back(std::move(held->message));
  held_.erase(held_.begin(), still_held);
  if (role_ == Role::kCandidate && own_vote_mark_ <= durable_mark_ && !votes_.contains(options_.self)) {
    votes_[options_.self] = true;
    draw_election_time();  // only now it asks
    count_votes();
  }
  if (leads()) {
    advance_commit();
  } else if (leader_ != kNoPeer && std::min(verified_, durable_index_) > acknowledged_) {
    acknowledgement_due_ = true;
  }
  check_invariants();
}

// --- output

bool Group::has_ready(Time now) const {
  if (unsaved() || !outbox_.empty() || commit_ > commit_told_) return true;
  return leads() ? now >= broadcast_at() || anything_to_send() : acknowledgement_due_ && leader_ != kNoPeer;
}

Ready Group::take_ready(Time now) {
  take_time(now);
  Ready ready;
  ready.messages = std::move(outbox_);
  outbox_.clear();
  if (leads()) {
    send_appends(ready.messages);
  } else {
    acknowledge(ready.messages);
  }
  if (unsaved()) {
    if (hard_state_ != saved_) ready.hard_state = saved_ = hard_state_;
    ready.replaced = std::exchange(replaced_, false);
    if (first_new_ != 0) {
      ready.first_new = first_new_;
      ready.last_new = log_.last();
      first_new_ = 0;
    }
    ready.mark = ++last_mark_;
    written_.push_back({ready.mark, log_.last(), now});
  }
  ready.commit = commit_told_ = commit_;
  check_invariants();
  return ready;
}

const Progress* Group::progress(PeerId peer) const {
  const auto found = peers_.find(peer);
  return found == peers_.end() ? nullptr : &found->second;
}

Time Group::next_deadline() const {
  if (!leads()) return election_at_;
  Time next = std::min(broadcast_at(), check_at_);
  if (options_.batch_delay == 0) return next;
  for (const auto& [peer, progress] : peers_) {
    if (progress.in_flight() && progress.wants_entries() && progress.next() <= log_.last()) {
      next = std::min(next, progress.sent_at() + options_.batch_delay);
    }
  }
  return next;
}

// --- cutting and rebuilding

void Group::cut(Index index) {
  if (index <= log_.base()) return;
  CHECK(index <= commit_ && index <= durable_index_, "only what is committed and flushed may be cut");
  log_.cut_to(index);
}

void Group::begin_rebuild(Time now) {
  take_time(now);
  CHECK(!leads(), "a leader has everything");
  if (role_ != Role::kFollower) become_follower(term(), kNoPeer);
  rebuilding_ = true;
}

void Group::rebuilt(const Log::Base& base, const std::vector<Entry>& entries, Term source_term, Time now) {
  take_time(now);
  CHECK(rebuilding_);
  rebuilding_ = needs_rebuild_ = false;
  if (mutant(Mutant::kRebuiltKeepsTerm)) source_term = entries.empty() ? base.term : entries.back().term;
  if (source_term > term()) become_follower(source_term, kNoPeer);
  if (base.index > commit_ && !log_.matches(base.index, base.term)) {
    CHECK(base.term <= term());
    // It ends before, or conflicts there: nothing of it is committed and not in the new state.
    log_ = Log(base);
    for (Written& written : written_) written.last = std::min(written.last, base.index);
    durable_index_ = commit_ = base.index;
    replaced_ = true;
    first_new_ = 0;
  }
  CHECK(base.index + entries.size() >= log_.base(), "a state older than what was cut");
  const Index taken = take_entries(base.index, entries, false);
  CHECK(taken == base.index + entries.size());
  commit_to(std::max(commit_, taken));
  verified_ = commit_;
  acknowledgement_due_ = leader_ != kNoPeer;
  check_invariants();
}

// --- what must hold after every step

void Group::check_invariants() const {
  CHECK(log_.base() <= commit_ && commit_ <= log_.last());
  CHECK(verified_ <= log_.last() && durable_index_ <= log_.last());
  CHECK(log_.last_term() <= term());
  CHECK(first_new_ == 0 || (first_new_ > log_.base() && first_new_ <= log_.last()));
  CHECK(hard_state_.term >= saved_.term);
  CHECK(leads() == (leader_ == options_.self));
  CHECK(!leads() || (led_term_ == term() && !rebuilding_ && hard_state_.voted_for == options_.self));
  CHECK(role_ == Role::kFollower || leads() || leader_ == kNoPeer);
}

}  // namespace capstan::consensus
