// How a follower's log becomes its leader's (thesis §3.5), and what else it may learn.
#include <algorithm>

#include "base/check.h"
#include "consensus/group.h"
#include "consensus/mutant.h"

namespace capstan::consensus {

void Group::on_append(const Message& append) {
  CHECK(led_term_ < term() && (leader_ == kNoPeer || leader_ == append.from), "two leaders in one term");
  if (role_ != Role::kFollower || leader_ == kNoPeer) become_follower(term(), append.from);
  lost_leader_ = kNoPeer;
  lost_attempts_ = 0;
  asked_in_vain_ = false;
  heard_at_ = now_;
  promise_until_ = std::max(promise_until_, now_ + options_.lease);
  draw_election_time();
  round_received_ = std::max(round_received_, append.round);
  if (append.ordered) ordered_received_ = std::max(ordered_received_, append.round);
  acknowledgement_due_ = true;
  if (rebuilding_) return;
  // What is committed here is the leader's, too.
  if (append.previous > commit_ && !log_.matches(append.previous, append.previous_term)) return reject(append);
  const Index taken = take_entries(append.previous, append.entries, true);
  verified_ = std::max(verified_, taken);
  if (verified_ + 1 >= append.first) needs_rebuild_ = false;
  if (log_.last() + 1 < append.first) needs_rebuild_ = true;
  if (mutant(Mutant::kTruncateBehind) && taken > commit_ && taken < log_.last()) {
    truncate_from(taken + 1);
    verified_ = taken;
  }
  const Index known = mutant(Mutant::kCommitBeyondVerified) ? log_.last() : verified_;
  commit_to(std::max(commit_, std::min(append.commit, known)));
  if (commit_ >= append.commit) current_at_ = now_;
}

void Group::reject(const Message& append) {
  Message reply = message(MessageKind::kAppendReply, append.from);
  reply.rejected = true;
  reply.previous = append.previous;
  if (append.term == term()) {
    reply.round = round_received_;
    reply.ordered_round = ordered_received_;
    reply.promised = promised();
    reply.hint = log_.last_of_term_at_most(append.previous_term, append.previous);
    reply.hint_term = log_.term_at(reply.hint);
    // The leader has cut what comes before, so it cannot go back further.
    needs_rebuild_ = append.previous + 1 == append.first;
  }
  outbox_.push_back(std::move(reply));
}

// Entries that follow `previous`, where the logs agree; they are the leader's, or committed. Returns the index up to
// which this log now is as theirs. It ends where a record's context is not there yet (model, "Settling": the record's
// acknowledgement makes both durable); each message asks anew, heartbeats too.
Index Group::take_entries(Index previous, const std::vector<Entry>& entries, bool ask_gate) {
  Index index = previous;
  gated_ = false;
  for (const Entry& entry : entries) {
    const Index next = index + 1;
    if (next <= log_.base() || log_.matches(next, entry.term)) {
      index = next;
      continue;
    }
    // Of a term that cannot be there, or a configuration of a newer version: it stands still, and says so.
    const bool known = entry.configuration.empty() || Configuration::decode(entry.configuration).ok();
    if (entry.term > term() || entry.term < log_.term_at(next - 1) || !known) {
      gated_ = true;
      break;
    }
    gated_ = ask_gate && !mutant(Mutant::kNoGate) && !host_.holds_context_of(next, entry.record);
    if (gated_) break;
    if (next <= log_.last()) {
      CHECK(next > commit_, "a committed entry would change");
      CHECK(next > verified_, "an entry of a leader's log would change");
      truncate_from(next);
    }
    append_entry(entry);
    index = next;
  }
  return std::min(std::max(index, previous), log_.last());
}

void Group::append_entry(const Entry& entry) {
  log_.append(entry);
  first_new_ = first_new_ == 0 ? log_.last() : std::min(first_new_, log_.last());
}

void Group::truncate_from(Index index) {
  log_.truncate_from(index);
  durable_index_ = std::min(durable_index_, index - 1);
  for (Written& written : written_) written.last = std::min(written.last, index - 1);
  if (first_new_ >= index) first_new_ = 0;  // an entry takes the place of what goes
}

// One for all messages since the last Ready. `match` is durable, with the term it is of: hard state is journaled before
// the entries behind it. That a leader was followed just now needs no disk: a restarted replica votes for nobody before
// the promise that lies in it has run out.
//
// What is about to be written goes first: where the disk is quick it is durable when the driver asks next, and one
// acknowledgement says both.
void Group::acknowledge(std::vector<Message>& out) {
  if (!acknowledgement_due_ || leader_ == kNoPeer || unsaved()) return;
  acknowledgement_due_ = false;
  Message reply = message(MessageKind::kAppendReply, leader_);
  reply.round = round_received_;
  reply.ordered_round = ordered_received_;
  reply.promised = promised();
  reply.gated = gated_;
  reply.rebuilding = rebuilding_;
  if (rebuilding_) reply.commit = commit_;
  const Index durable = mutant(Mutant::kAcknowledgeBeforeDurable) ? verified_ : durable_index_;
  reply.match = rebuilding_ ? 0 : std::min(verified_, durable);
  reply.received = rebuilding_ ? 0 : verified_;
  acknowledged_ = reply.match;
  out.push_back(std::move(reply));
}

void Group::commit_to(Index index) {
  CHECK(index >= commit_ && index <= log_.last());
  commit_ = index;
}

// A committed prefix of any peer's log. Its term comes along: entries of terms up to it are taken, so nobody of an
// older one may be followed or voted for behind them.
void Group::on_committed(const Message& prefix) {
  Term came_with = prefix.term;
  if (mutant(Mutant::kLearnEntrysTerm)) came_with = prefix.entries.empty() ? 0 : prefix.entries.back().term;
  if (came_with > term()) become_follower(came_with, kNoPeer);
  if (rebuilding_ || leads()) return;
  if (prefix.previous > commit_ && !log_.matches(prefix.previous, prefix.previous_term)) return;
  const Index taken = take_entries(prefix.previous, prefix.entries, true);
  if (std::min(prefix.commit, taken) > commit_) needs_rebuild_ = false;  // else the leader says so again
  commit_to(std::max(commit_, std::min(prefix.commit, taken)));
  verified_ = std::max(verified_, commit_);
}

Message Group::committed_after(PeerId to, Index previous) const {
  Message prefix = message(MessageKind::kCommitted, to);
  prefix.commit = commit_;
  if (previous < log_.base() || previous >= commit_) return prefix;
  prefix.previous = previous;
  prefix.previous_term = log_.term_at(previous);
  uint64_t bytes = 0;
  for (Index index = previous + 1; index <= commit_; ++index) {
    bytes += log_.bytes_at(index);
    if (bytes > options_.max_message_bytes && !prefix.entries.empty()) break;
    prefix.entries.push_back(log_.entry(index));
  }
  return prefix;
}

}  // namespace capstan::consensus
