// What a leader does: replication with pipelining (thesis §3.5, §10.2), commit (§3.6.2), confirmation of its leadership
// by rounds (§6.4) and leases (§6.4.1).
#include <algorithm>
#include <limits>

#include "base/check.h"
#include "consensus/group.h"
#include "consensus/mutant.h"

namespace capstan::consensus {
namespace {

constexpr Round kAlways = std::numeric_limits<Round>::max();
constexpr size_t kMaxRounds = 65'536;  // whose sending is remembered; older unanswered ones give no lease
// Followers hear of a commit with the next entries, or after so long.
constexpr Time kCommitNews = 2 * kMillisecond;
// When it is asked whether entries came that have not been answered for.
constexpr Time kCheckAfterHeartbeats = 2;

}  // namespace

// --- proposals

std::optional<Index> Group::propose(std::string_view record, Time now) {
  take_time(now);
  if (!leads() || transfer_to_ != kNoPeer) return std::nullopt;
  append_own(record, {});
  return log_.last();
}

void Group::append_own(std::string_view record, const std::string& configuration) {
  append_entry({term(), record, configuration});
  if (!configuration.empty()) adopt_configuration();
}

// --- sending

bool Group::anything_to_send() const {
  if (round_wanted_) return true;
  return std::any_of(peers_.begin(), peers_.end(),
                     [&](const auto& peer) { return peer.second.wants_probe() || entries_are_due(peer.second); });
}

bool Group::entries_are_due(const Progress& progress) const {
  if (!progress.wants_entries() || progress.next() > log_.last()) return false;
  if (!progress.in_flight() || now_ >= progress.sent_at() + options_.batch_delay) return true;
  if (progress.next() < log_.first()) return true;
  uint64_t bytes = 0;
  for (Index index = progress.next(); index <= log_.last() && bytes < options_.max_message_bytes; ++index) {
    bytes += log_.bytes_at(index);
  }
  return bytes >= options_.max_message_bytes;
}

// One broadcast: entries for whom they are due, and once a heartbeat, or where a read waits, a word for everybody.
void Group::send_appends(std::vector<Message>& out) {
  const bool everybody = round_wanted_ || now_ >= broadcast_at();
  if (!everybody && !anything_to_send()) return;
  if (everybody) {
    round_wanted_ = false;
    next_heartbeat_ = now_ + options_.heartbeat;
  }
  if (peers_.empty()) commit_news_at_ = 0;
  if (peers_.empty()) return;
  ++round_;
  sent_.push_back(now_);
  if (sent_.size() > kMaxRounds) sent_.pop_front();
  bool all = true;  // they hear of the commit index
  for (auto& [peer, progress] : peers_) {
    const size_t before = out.size();
    send_entries(peer, progress, out);
    if (everybody && out.size() == before) {
      out.push_back(heartbeat_to(peer, progress));
      if (progress.wants_check(now_, kCheckAfterHeartbeats * options_.heartbeat)) {
        out.back().ordered = true;
        progress.check_sent(now_);
      }
    }
    all = all && out.size() > before;
  }
  if (all) commit_news_at_ = 0;
}

Message Group::append_to(PeerId peer) const {
  Message append = message(MessageKind::kAppend, peer);
  append.round = round_;
  append.commit = commit_;
  append.first = log_.first();
  return append;
}

// It claims nothing of the log, except to one that needs a rebuild: whether that has what this log begins behind.
Message Group::heartbeat_to(PeerId peer, const Progress& progress) const {
  Message heartbeat = append_to(peer);
  if (progress.state() != Progress::State::kRebuild) return heartbeat;
  heartbeat.previous = log_.base();
  heartbeat.previous_term = log_.term_at(log_.base());
  return heartbeat;
}

void Group::send_entries(PeerId peer, Progress& progress, std::vector<Message>& out) {
  // What it would need next was cut.
  if (progress.wants_entries() && progress.next() <= log_.base()) progress.restart();
  if (progress.wants_probe()) {
    Message probe = append_to(peer);
    probe.previous = std::max(progress.next() - 1, log_.base());
    probe.previous_term = log_.term_at(probe.previous);
    out.push_back(std::move(probe));
    progress.probe_sent(round_);
    return;
  }
  while (entries_are_due(progress)) {
    Message append = append_to(peer);
    append.previous = progress.next() - 1;
    append.previous_term = log_.term_at(append.previous);
    uint64_t bytes = 0;
    Index index = progress.next();
    for (; index <= log_.last(); ++index) {
      bytes += log_.bytes_at(index);
      if (bytes > options_.max_message_bytes && !append.entries.empty()) break;
      append.entries.push_back(log_.entry(index));
    }
    append.ordered = true;
    progress.entries_sent(index - 1, bytes, round_, now_);
    out.push_back(std::move(append));
  }
}

// --- answers

void Group::on_append_reply(const Message& reply) {
  const auto found = peers_.find(reply.from);
  if (!leads() || found == peers_.end()) return;
  const Index last = std::max({reply.match, reply.received, reply.commit});
  if (last > log_.last() || reply.round > round_) return;  // no correct peer's
  Progress& progress = found->second;
  progress.heard(reply.round, static_cast<Time>(std::min<uint64_t>(reply.promised, kLongestLease)), now_);
  // What it would need was cut: until it has what this log begins with, from elsewhere, it gets heartbeats.
  const bool below = reply.rejected && reply.previous <= log_.base() && reply.previous > progress.match();
  const bool still_below = progress.state() == Progress::State::kRebuild && reply.received < log_.base();
  if (reply.rebuilding || below || still_below) {
    progress.rebuilds();
  } else if (reply.gated) {
    progress.gated(reply.match, reply.received);
  } else if (reply.rejected) {
    progress.rejected(reply.previous, log_.last_of_term_at_most(reply.hint_term, reply.hint));
  } else {
    progress.accepted(reply.match, reply.received, reply.round, reply.ordered_round);
  }
  // Rounds that lie behind the confirmed one tell nothing any more.
  const Round first = round_ - sent_.size() + 1;
  const Round answered = std::min(confirmed(), round_);
  if (answered > first) sent_.erase(sent_.begin(), sent_.begin() + static_cast<ptrdiff_t>(answered - first));
  advance_commit();
  // It follows this leader, and knows from an earlier one that so much is committed: then it is here, too (Leader
  // Completeness, thesis §3.6.3). A leader that has just started anew, with a follower that is being rebuilt from it
  // and that alone knows, could not find out by counting.
  if (reply.commit > commit_) lead_commit_to(reply.commit);
  drive_transfer();
}

void Group::lead_commit_to(Index index) {
  commit_to(index);
  if (commit_news_at_ == 0) commit_news_at_ = now_ + kCommitNews;
  drive_configuration();
}

// Thesis §3.6.2: only entries of the own term are counted; they commit all before them. The own copy counts as soon as
// it is durable, like everybody's.
void Group::advance_commit() {
  const Index index = configuration().reached<Index>([&](PeerId peer) {
    if (peer == options_.self) return mutant(Mutant::kOwnCopyBeforeDurable) ? log_.last() : durable_index_;
    const auto found = peers_.find(peer);
    return found == peers_.end() ? 0 : found->second.match();
  });
  if (index <= commit_ || (log_.term_at(index) != term() && !mutant(Mutant::kCountOlderTerms))) return;
  lead_commit_to(index);
}

// --- being the leader still

// The latest broadcast that a majority has answered.
Round Group::confirmed() const {
  return configuration().reached<Round>([&](PeerId peer) {
    if (peer == options_.self) return kAlways;
    const auto found = peers_.find(peer);
    return found == peers_.end() ? Round{0} : found->second.answered();
  });
}

std::optional<Time> Group::sent_at(Round round) const {
  const Round first = round_ - sent_.size() + 1;
  if (round < first || round > round_) return std::nullopt;
  return sent_[round - first];
}

// What a majority has promised, counted from the sending: each promise began later, at the receiving.
Time Group::lease_end() const {
  if (!leads() || options_.lease == 0 || commit_ < term_start_) return 0;
  if (lease_over_ && !mutant(Mutant::kLeaseSurvivesTransfer)) return 0;
  return configuration().reached<Time>([&](PeerId peer) {
    if (peer == options_.self) return std::numeric_limits<Time>::max();
    const auto found = peers_.find(peer);
    std::optional<Time> sent = found == peers_.end() ? std::nullopt : sent_at(found->second.answered());
    if (!sent || found->second.promised() == 0) return Time{0};
    if (mutant(Mutant::kLeaseFromAnswer)) sent = found->second.heard_at();
    return *sent + static_cast<Time>(static_cast<double>(found->second.promised()) * (1 - options_.max_drift));
  });
}

ReadPoint Group::read(Index saw, Time now) {
  take_time(now);
  CHECK(leads() && saw <= log_.last());
  // Before an entry of its own term is committed a leader does not know what is (thesis §6.4, step 1).
  const Index index = mutant(Mutant::kReadBeforeFirstCommit) ? saw : std::max(saw, term_start_);
  if (now < lease_end()) return {index, 0};
  round_wanted_ = true;
  return {index, round_ + 1};
}

bool Group::released(const ReadPoint& point) const {
  if (!leads()) return false;
  const bool confirms = point.round == 0 || confirmed() >= point.round || mutant(Mutant::kCommitConfirmsRead);
  return commit_ >= point.index && confirms;
}

bool Group::current_since(Time since) const {
  if (leads()) return now_ < lease_end() || majority_heard_since(since);
  return !rebuilding_ && current_at_ >= since;
}

bool Group::majority_heard_since(Time since) const {
  return configuration().has_majority([&](PeerId peer) {
    const auto found = peers_.find(peer);
    return peer == options_.self || (found != peers_.end() && found->second.heard_at() >= since);
  });
}

bool Group::disk_stalled() const { return !written_.empty() && now_ - written_.front().since > options_.disk_stall; }

void Group::tick_leader() {
  if (now_ < check_at_) return;
  check_at_ = now_ + options_.heartbeat;
  const Time since = now_ - options_.election_timeout_max;
  // Thesis §6.2: a leader that nobody hears gives its clients an answer.
  if (silent_since_ <= since && !majority_heard_since(since)) return become_follower(term(), kNoPeer);
  drive_transfer();
}

}  // namespace capstan::consensus
