// What the directed tests of Group share: a few groups with their journals, one clock and a wire, moved by hand, so
// that a test reads like a story (`groups.elect(1); groups.isolate(3); groups.propose(1, "x"); groups.settle()`).
#pragma once

#include <boost/test/unit_test.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "consensus/journal_testing.h"

namespace capstan::consensus {

class TestHost : public Host {
 public:
  std::string empty_record(Index index) override { return "empty " + std::to_string(index); }
  bool holds_context_of(Index, std::string_view record) override { return !closed.contains(record); }

  std::set<std::string, std::less<>> closed;  // records whose context is not there yet
};

inline Configuration configuration_of(const std::vector<PeerId>& voters, const std::vector<PeerId>& learners = {}) {
  const auto members = [](const std::vector<PeerId>& peers) {
    std::vector<Member> out;
    for (const PeerId peer : peers) out.push_back({peer, "node-" + std::to_string(peer)});
    return out;
  };
  return Configuration(members(voters), members(learners));
}

inline std::vector<PeerId> ids(const std::vector<Member>& members) {
  std::vector<PeerId> out;
  for (const Member& member : members) out.push_back(member.id);
  return out;
}

// Entries of these terms, each with a record of its own: the same term at the same index has the same record.
inline std::vector<OwnedEntry> entries_of(const std::vector<Term>& terms, Index first = 1) {
  std::vector<OwnedEntry> out;
  for (const Term term : terms) {
    out.emplace_back(term, std::to_string(first + out.size()) + " of term " + std::to_string(term));
  }
  return out;
}

inline Log log_of(Log::Base base, const std::vector<OwnedEntry>& entries) {
  Log log(std::move(base));
  for (const OwnedEntry& entry : entries) log.append(entry.view());
  return log;
}

inline std::vector<Term> terms_of(const Log& log) {
  std::vector<Term> out;
  for (Index i = log.first(); i <= log.last(); ++i) out.push_back(log.term_at(i));
  return out;
}

class TestGroups {
 public:
  struct Node {
    Options options;
    TestHost host;
    TestJournal journal;
    std::unique_ptr<Group> group;  // empty: it is down
    bool disk_works = true;        // else what is written waits for sync()

    Node(const Options& its_options, TestJournal its_journal) : options(its_options), journal(std::move(its_journal)) {}
  };

  // Voters 1 … count, each with an empty log.
  explicit TestGroups(size_t count, const Options& options = {}) : options_(options) {
    std::vector<PeerId> voters;
    for (PeerId peer = 1; peer <= count; ++peer) voters.push_back(peer);
    for (const PeerId peer : voters) add(peer, {0, 0, configuration_of(voters)});
  }
  // None yet: add() them.
  explicit TestGroups(const Options& options = {}) : options_(options) {}

  // A replica with that in its journal.
  void add(PeerId peer, const Log::Base& base, const std::vector<OwnedEntry>& entries = {}, HardState hard_state = {}) {
    Options its = options_;
    its.self = peer;
    TestJournal journal(base);
    const Log log = log_of(base, entries);
    journal.write({.hard_state = hard_state,
                   .first_new = entries.empty() ? 0 : log.first(),
                   .last_new = log.last(),
                   .mark = 0,
                   .messages = {}},
                  log);
    journal.sync();
    nodes_.erase(peer);
    nodes_.try_emplace(peer, its, std::move(journal));
    restart(peer);
  }
  Group& operator[](PeerId peer) {
    BOOST_REQUIRE_MESSAGE(node(peer).group != nullptr, peer << " is down");
    return *node(peer).group;
  }
  Node& node(PeerId peer) { return nodes_.at(peer); }
  // Everybody who is up.
  std::vector<PeerId> peers() const {
    std::vector<PeerId> out;
    for (const auto& [peer, each] : nodes_) {
      if (each.group != nullptr) out.push_back(peer);
    }
    return out;
  }

  // --- one step of one of them
  // Takes out what is ready: messages go on the wire, the rest to the journal (and is durable, if the disk works).
  // Whether there was anything.
  bool turn(PeerId peer) {
    Node& its = node(peer);
    if (its.group == nullptr) return false;
    bool any = false;
    for (int i = 0; i < 100; ++i) {
      const Ready ready = its.group->take_ready(now);
      for (const Message& message : ready.messages) wire.emplace_back(message);
      if (ready.mark != 0) its.journal.write(ready, its.group->log());
      if (ready.mark != 0 && its.disk_works) sync(peer);
      if (ready.mark == 0 && ready.messages.empty()) return any;
      any = true;
    }
    BOOST_FAIL(peer << " always has something ready");
    return any;
  }
  // What it wrote becomes durable, and it is told.
  void sync(PeerId peer) {
    const Mark mark = node(peer).journal.sync();
    if (mark != 0) node(peer).group->durable(mark, now);
  }
  void tick(PeerId peer) { (*this)[peer].tick(now); }
  void give(PeerId peer, const Message& message) { (*this)[peer].receive(message, now); }
  // Takes it off the wire and hands it over.
  void deliver(size_t position) {
    BOOST_REQUIRE(position < wire.size());
    const Parcel parcel = wire[position];
    wire.erase(wire.begin() + static_cast<std::ptrdiff_t>(position));
    give_parcel(parcel);
  }
  // As much as has come off the wire, or was kept aside.
  void give_parcel(const Parcel& parcel) {
    const auto to = nodes_.find(parcel.head.to);
    if (to == nodes_.end() || to->second.group == nullptr) return;
    if (cut_.contains({parcel.head.from, parcel.head.to}) || (loses && loses(parcel))) return;
    to->second.group->receive(parcel.view(), now);
  }
  // Hands over all that is on the wire at present, in order, without letting anybody answer.
  void deliver_all() {
    std::deque<Parcel> parcels = std::exchange(wire, {});
    for (const Parcel& parcel : parcels) give_parcel(parcel);
  }
  // Takes the first of that kind off the wire.
  std::optional<Parcel> take(MessageKind kind, PeerId from = kNoPeer, PeerId to = kNoPeer) {
    for (size_t i = 0; i < wire.size(); ++i) {
      if (!is(wire[i], kind, from, to)) continue;
      Parcel parcel = std::move(wire[i]);
      wire.erase(wire.begin() + static_cast<std::ptrdiff_t>(i));
      return parcel;
    }
    return std::nullopt;
  }
  size_t on_wire(MessageKind kind, PeerId from = kNoPeer, PeerId to = kNoPeer) const {
    return static_cast<size_t>(
        std::count_if(wire.begin(), wire.end(), [&](const Parcel& parcel) { return is(parcel, kind, from, to); }));
  }
  // Whether it answers that message by granting its vote (or, asked for that, its pre-vote).
  bool grants(PeerId peer, const Message& request) {
    give(peer, request);
    turn(peer);
    const MessageKind kind = request.kind == MessageKind::kVote ? MessageKind::kVoteReply : MessageKind::kPreVoteReply;
    const std::optional<Parcel> reply = take(kind, peer, request.from);
    return reply && !reply->head.rejected;
  }

  // --- many steps of all of them
  // Everybody takes turns and the wire empties, until all is still. No time passes.
  void settle() {
    for (int i = 0; i < 2000; ++i) {
      bool any = !wire.empty();
      deliver_all();
      for (const PeerId peer : peers()) any = turn(peer) || any;
      if (!any) return;
    }
    BOOST_FAIL("they do not come to rest");
  }
  // Time passes for all who are up, except for those.
  void run_for(Time duration, const std::set<PeerId>& stalled = {}) {
    for (const Time end = now + duration; now < end;) {
      now += kMillisecond;
      for (const PeerId peer : peers()) {
        if (!stalled.contains(peer)) tick(peer);
      }
      settle();
    }
  }
  // Until that holds, within two seconds; whether it does.
  bool run_until(const std::function<bool()>& condition) {
    for (int i = 0; i < 2000 && !condition(); ++i) run_for(kMillisecond);
    return condition();
  }
  // It becomes the leader: the time that passes is seen by nobody else, so nobody else campaigns.
  void elect(PeerId peer) {
    for (int i = 0; i < 3000 && !(*this)[peer].leads(); ++i) {
      now += kMillisecond;
      tick(peer);
      settle();
    }
    BOOST_REQUIRE_MESSAGE((*this)[peer].leads(), peer << " was not elected");
    settle();
  }
  // It asks for pre-votes, which stay on the wire.
  void campaign(PeerId peer) {
    for (int i = 0; i < 3000 && on_wire(MessageKind::kPreVote, peer) == 0; ++i) {
      now += kMillisecond;
      tick(peer);
      turn(peer);
    }
    BOOST_REQUIRE_MESSAGE(on_wire(MessageKind::kPreVote, peer) != 0, peer << " does not campaign");
  }
  // Through its leader; everybody gets it.
  Index put(PeerId leader, std::string_view record) {
    const Index index = propose(leader, record);
    settle();
    return index;
  }
  Index propose(PeerId leader, std::string_view record) {
    const std::optional<Index> index = (*this)[leader].propose(record, now);
    BOOST_REQUIRE_MESSAGE(index.has_value(), leader << " does not take proposals");
    return *index;
  }
  // kNoPeer unless exactly one leads.
  PeerId leader() {
    std::vector<PeerId> leaders;
    for (const PeerId peer : peers()) {
      if ((*this)[peer].leads()) leaders.push_back(peer);
    }
    return leaders.size() == 1 ? leaders[0] : kNoPeer;
  }
  std::string record(PeerId peer, Index index) { return std::string((*this)[peer].log().entry(index).record); }

  // --- faults
  void cut_way(PeerId from, PeerId to) { cut_.insert({from, to}); }
  void isolate(PeerId peer) {
    for (const auto& [other, unused] : nodes_) {
      cut_way(peer, other);
      cut_way(other, peer);
    }
  }
  void heal() { cut_.clear(); }
  // The power fails, what was not synced is gone.
  void crash(PeerId peer) {
    node(peer).group.reset();
    node(peer).journal.lose_power(0);
  }
  void restart(PeerId peer, Index applied = 0) {
    Node& its = node(peer);
    its.group = std::make_unique<Group>(its.options, its.host, its.journal.recover(applied), peer * 7919, now);
  }

  Time now = 1000 * kMillisecond;
  std::deque<Parcel> wire;
  std::function<bool(const Parcel&)> loses;  // what the wire loses, besides what cut_way() says

 private:
  static bool is(const Parcel& parcel, MessageKind kind, PeerId from, PeerId to) {
    return parcel.head.kind == kind && (from == kNoPeer || parcel.head.from == from) &&
           (to == kNoPeer || parcel.head.to == to);
  }

  Options options_;
  std::map<PeerId, Node> nodes_;
  std::set<std::pair<PeerId, PeerId>> cut_;
};

}  // namespace capstan::consensus
