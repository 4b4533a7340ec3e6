// What must hold after every turn of a replica. The simulator sees all of them at once, their disks included.
#include "base/hash.h"
#include "consensus/simulator.h"

namespace capstan::consensus {

uint64_t Simulator::hash_of(const Entry& entry) const {
  return mix64(mix64(hash64(entry.record), hash64(entry.configuration, 1)), entry.term);
}

void Simulator::check(Replica& replica) {
  const Group& group = *replica.group;
  require(group.term() >= replica.seen_term, "terms never go back", &replica);
  require(group.commit() >= replica.seen_commit, "the commit index never goes back", &replica);
  require(group.commit() <= group.log().last(), "what is committed is in the log", &replica);
  require(group.log().base() <= group.commit(), "only what is committed is cut", &replica);
  require(group.durable_index() <= group.log().last(), "what is durable is in the log", &replica);
  require(!group.rebuilding() || !group.leads(), "who is rebuilt does not lead", &replica);
  require(group.rebuilding() == replica.rebuild.has_value(), "a rebuild ends when its driver says so", &replica);
  require(group.self() == replica.life, "nobody changes its identity", &replica);
  replica.seen_term = group.term();
  check_leadership(replica);
  check_commit(replica);
  check_leases(replica);
  // All of the log, at times: its bytes stay what they were.
  if (statistics_.events % 256 == 0) check_entries(replica, group.log().first(), replica.seen_last);
}

// Election safety and leader completeness (thesis §3.4, §3.6.3).
void Simulator::check_leadership(Replica& replica) {
  const Group& group = *replica.group;
  const Term leading = group.leads() ? group.term() : 0;
  if (leading == replica.leading) return;
  replica.leading = leading;
  replica.proposed.clear();
  replica.reads.clear();
  if (leading == 0) return;
  ++statistics_.elections;
  note("leads", replica.life, leading, group.log().last());
  require(leaders_.try_emplace(leading, replica.life).second, "a term has one leader, once", &replica);
  // Else it could forget that, and lead the term a second time.
  require(replica.journal.hard_state().term >= leading, "a leader's own term is durable", &replica);
  require(group.leader() == replica.life, "a leader knows who leads", &replica);
  for (Index i = group.log().first(); i <= committed_.size(); ++i) {
    const CommittedEntry& entry = committed_[i - 1];
    if (entry.seen_in >= leading) continue;
    require(group.log().matches(i, entry.term), "a leader has all that was committed in earlier terms", &replica);
  }
}

// State machine safety (thesis §3.6.3): what is committed stays, everywhere and for ever.
void Simulator::check_commit(Replica& replica) {
  const Group& group = *replica.group;
  const Log& log = group.log();
  if (log.base() != 0 && log.base() <= committed_.size()) {
    require(committed_[log.base() - 1].term == log.term_at(log.base()), "a base is what was committed", &replica);
  }
  for (Index i = std::max(replica.seen_commit + 1, log.first()); i <= group.commit(); ++i) {
    const Entry entry = log.entry(i);
    const uint64_t hash = hash_of(entry);
    if (i > committed_.size()) {
      require(i == committed_.size() + 1, "what is committed has no gaps", &replica);
      committed_.push_back({entry.term, hash, group.term()});
      ++statistics_.commits;
      if (i == group.commit() && group.leads()) check_durable_majority(replica, i);
    }
    const CommittedEntry& expected = committed_[i - 1];
    require(expected.term == entry.term && expected.hash == hash, "what is committed never changes", &replica);
  }
  require(group.commit() <= committed_.size(), "nobody commits what it does not have", &replica);
  replica.seen_commit = group.commit();
}

// The disk of that life, though it may have been lost since: Raft counts on what was durable when it was acknowledged.
const TestJournal* Simulator::journal_of(PeerId life) const {
  for (const auto& replica : replicas_) {
    if (replica->life == life) return &replica->journal;
  }
  for (const auto& [dead, journal] : dead_) {
    if (dead == life) return &journal;
  }
  return nullptr;
}

// Whoever is the first to call it committed is right only if a majority has it durably, the own copy included.
void Simulator::check_durable_majority(const Replica& replica, Index index) {
  const Log& log = replica.group->log();
  const Term term = log.term_at(index);
  const bool held = log.configuration().has_majority([&](PeerId peer) {
    const TestJournal* const journal = journal_of(peer);
    return journal != nullptr && journal->has(index, term);
  });
  require(held, "a majority has durably what its leader calls committed", &replica);
}

// Thesis §6.4.1: while a lease is valid, nobody else leads a newer term and nobody else's lease is valid.
void Simulator::check_leases(const Replica& latest) {
  for (const auto& holder : replicas_) {
    if (down(*holder)) continue;
    const Time end = holder->group->lease_end();
    require(end == 0 || holder->group->leads(), "only leaders have leases", holder.get());
    require(end == 0 || options_.lease != 0, "leases can be turned off", holder.get());
    if (end <= local(*holder)) continue;
    for (const auto& other : replicas_) {
      if (other == holder || down(*other) || !other->group->leads()) continue;
      require(other->group->term() < holder->group->term(), "nobody leads a newer term during a lease", &latest);
      require(other->group->lease_end() <= local(*other), "one lease is valid at a time", &latest);
    }
  }
}

// What others rely on is durable when it leaves, and nobody votes twice.
void Simulator::check_message(const Replica& replica, const Message& message) {
  const Group& group = *replica.group;
  const TestJournal& journal = replica.journal;
  require(message.from == replica.life && message.to != replica.life, "messages name their sender", &replica);
  require(message.kind == MessageKind::kPreVote || message.kind == MessageKind::kPreVoteReply ||
              message.term <= group.term(),
          "messages tell of no term to come", &replica);
  if (message.kind == MessageKind::kVoteReply && !message.rejected) {
    const auto vote = votes_.try_emplace({message.term, replica.life}, message.to).first;
    require(vote->second == message.to, "nobody votes twice in a term", &replica);
    const HardState& durable = journal.hard_state();
    require(durable.term > message.term || durable == HardState{message.term, message.to},
            "a vote is durable when it leaves", &replica);
  }
  if (message.kind == MessageKind::kAppendReply && !message.rejected) {
    require(message.match <= journal.last(), "an acknowledgement is durable when it leaves", &replica);
    require(message.match <= message.received, "what is durable was received", &replica);
    require(!group.rebuilding() || message.rebuilding || message.match == 0, "who is rebuilt acknowledges nothing",
            &replica);
  }
  if (message.kind == MessageKind::kTimeoutNow) {
    require(group.lease_end() == 0, "the lease ends before the successor is asked", &replica);
  }
  if (message.kind == MessageKind::kAppend && !message.entries.empty()) {
    size_t bytes = 0;
    for (const Entry& entry : message.entries) bytes += entry.record.size() + entry.configuration.size();
    require(bytes <= options_.max_message_bytes || message.entries.size() == 1, "messages are bounded", &replica);
  }
}

// Log matching (thesis §3.5), by induction: an entry of a term at an index is one and the same everywhere, and so is
// the term of the one before it.
void Simulator::check_entries(const Replica& replica, Index first, Index last) {
  const Log& log = replica.group->log();
  for (Index i = std::max(first, log.first()); i <= std::min(last, log.last()); ++i) {
    const Entry entry = log.entry(i);
    const KnownEntry known{hash_of(entry), log.term_at(i - 1)};
    const auto found = entries_.try_emplace({i, entry.term}, known).first;
    require(found->second.hash == known.hash, "an index and a term name one entry", &replica);
    require(found->second.previous_term == known.previous_term, "logs that share an entry share what is before it",
            &replica);
    require(known.previous_term <= entry.term, "terms never fall in a log", &replica);
    require(entry.term <= replica.group->term(), "a log has no entry of a term to come", &replica);
  }
}

}  // namespace capstan::consensus
