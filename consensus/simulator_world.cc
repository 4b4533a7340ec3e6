// What is around the replicas: the network, clients, faults, and an operator who wants certain members.
#include <algorithm>

#include "base/hash.h"
#include "consensus/mutant.h"
#include "consensus/simulator.h"

namespace capstan::consensus {

namespace {

constexpr Index kLongBacklog = 300;

// Everything in it, for the trace.
uint64_t hash_of_parcel(const Parcel& parcel) {
  const Message& head = parcel.head;
  uint64_t hash = 0;
  for (const uint64_t word :
       {uint64_t{static_cast<uint8_t>(head.kind)}, head.from, head.to, head.term, head.previous, head.previous_term,
        head.commit, head.round, head.match, head.received, uint64_t{head.rejected}, uint64_t{head.rebuilding},
        uint64_t{head.transfer}, head.first}) {
    hash = mix64(hash, word);
  }
  for (const OwnedEntry& entry : parcel.entries) {
    hash = mix64(mix64(hash, entry.term), hash64(entry.record) ^ hash64(entry.configuration, 1));
  }
  return hash;
}

}  // namespace

// --- the network

// Counts how often the connection between the two was made anew.
uint64_t& Simulator::connection(PeerId one, PeerId other) {
  return connections_[mix64(std::min(one, other), std::max(one, other))];
}

void Simulator::send(const Parcel& parcel) {
  note("send", parcel.head.from, parcel.head.to, hash_of_parcel(parcel));
  const int copies = (random_.chance(profile_.loss) ? 0 : 1) + (random_.chance(profile_.duplication) ? 1 : 0);
  const uint64_t present = connection(parcel.head.from, parcel.head.to);
  for (int i = 0; i < copies; ++i) {
    const Time delay = random_.chance(0.01) ? 20 * profile_.delay : profile_.delay;
    Time when = now_ + random_.between(50'000, delay);
    // Without faults a connection keeps the order of what has one, and that of the rest.
    Time& latest = latest_delivery_[{parcel.head.from, parcel.head.to, parcel.head.ordered}];
    if (!faults_) when = std::max(when, latest + 1);
    latest = when;
    at(when, [this, parcel, present] { deliver(parcel, present); });
  }
}

void Simulator::deliver(const Parcel& parcel, uint64_t made) {
  Replica* const to = running(parcel.head.to);
  if (to == nullptr || connection(parcel.head.from, parcel.head.to) != made) return;
  for (const auto& from : replicas_) {
    if (from->life == parcel.head.from && cut_.contains({from->slot, to->slot})) return;
  }
  note("deliver", parcel.head.from, parcel.head.to, static_cast<uint64_t>(parcel.head.kind));
  to->inbox.push_back({.kind = Input::Kind::kMessage, .parcel = parcel, .record = {}});
  wake(*to, now_ + random_.between(1000, 200'000));
}

void Simulator::reset_connection(Replica& one, Replica& other) {
  note("reset", one.life, other.life);
  ++statistics_.resets;
  ++connection(one.life, other.life);
  const std::array ends{&one, &other};
  for (size_t i = 0; i < ends.size(); ++i) {
    if (down(*ends[i])) continue;
    ends[i]->inbox.push_back({.kind = Input::Kind::kPeerLost, .parcel = {}, .peer = ends[1 - i]->life, .record = {}});
    wake(*ends[i], now_ + random_.between(1000, 1'000'000));
  }
}

// --- clients

// Commands go to whoever takes itself for the leader.
void Simulator::client() {
  std::vector<Replica*> leaders;
  for (const auto& replica : replicas_) {
    // Where the backlog is long, clients wait.
    if (down(*replica) || !replica->group->leads()) continue;
    if (replica->group->log().last() < replica->group->commit() + kLongBacklog) leaders.push_back(replica.get());
  }
  if (leaders.empty()) return;
  Replica& replica = *any_of(leaders);
  for (uint64_t commands = random_.chance(0.05) ? 30 : 1; commands > 0; --commands) {
    Input input;
    input.kind = random_.chance(0.4) ? Input::Kind::kRead : Input::Kind::kPropose;
    if (input.kind == Input::Kind::kPropose) {
      input.record = "record " + std::to_string(++next_record_) + std::string(random_.below(200), '.');
    }
    replica.inbox.push_back(std::move(input));
  }
  wake(replica, now_ + random_.between(1000, 100'000));
}

// A replica asks another one for what has committed there.
void Simulator::ask_for_prefix() {
  Replica& asker = *any_of(replicas_);
  Replica& asked = *any_of(replicas_);
  if (&asker == &asked || down(asker) || down(asked) || asked.stalled_until > now_) return;
  const Index commit = asker.group->commit();
  const Index last = asker.group->log().last();
  const Index previous = random_.chance(0.5) ? commit : commit + random_.below(last - commit + 1);
  const Message message = asked.group->committed_after(asker.life, previous);
  require(message.kind == MessageKind::kCommitted, "a committed prefix is one", &asked);
  require(message.previous + message.entries.size() <= asked.group->commit() || message.entries.empty(),
          "a committed prefix is committed", &asked);
  if (!message.entries.empty()) ++statistics_.learned_prefixes;
  send(Parcel(message));
}

// --- faults

void Simulator::fault() {
  Replica& one = *any_of(replicas_);
  Replica& other = *any_of(replicas_);
  const uint64_t what = random_.below(100);
  if (what < 15) {
    partition();
  } else if (what < 30) {
    cut_.clear();
  } else if (what < 45) {
    crash_and_restart(one);
  } else if (what < 55) {
    if (one.life != other.life) reset_connection(one, other);
  } else if (what < 63) {
    ++statistics_.disk_stalls;
    one.disk_stalled_until = now_ + random_.between(50, 800) * kMillisecond;
  } else if (what < 75) {
    ++statistics_.loop_stalls;
    one.stalled_until = now_ + random_.between(20, random_.chance(0.3) ? 1000 : 200) * kMillisecond;
  } else if (what < 80) {
    if (profile_.disks_are_lost && may_lose_disk(one)) lose_disk(one);
  } else if (what < 87) {
    transfer();
  } else if (what < 95) {
    if (profile_.members_change) change_wanted();
  } else if (what < 96) {
    crash_all();
  } else if (what < 97) {
    refuse_to_lead(one);
  } else {
    for (int i = 0; i < 10; ++i) client();
  }
}

// As a node whose disk is full does, until it is not.
void Simulator::refuse_to_lead(Replica& replica) {
  if (down(replica)) return;
  ++statistics_.unwilling;
  const auto tell = [this, &replica, incarnation = replica.incarnation](bool willing) {
    if (replica.incarnation != incarnation || down(replica)) return;
    Input input;
    input.kind = Input::Kind::kWilling;
    input.willing = willing;
    replica.inbox.push_back(std::move(input));
    wake(replica, now_ + 1000);
  };
  tell(false);
  at(now_ + random_.between(50, 800) * kMillisecond, [tell] { tell(true); });
}

// Cuts some ways, or one replica off, or halves apart; heals again after a while, if nobody does before.
void Simulator::partition() {
  const auto cut_way = [this](size_t from, size_t to) {
    if (from != to) cut_.insert({from, to});
  };
  const size_t count = replicas_.size();
  const uint64_t how = random_.below(4);
  note("partition", how);
  if (how == 0) {
    for (size_t i = 1 + random_.below(count); i > 0; --i) cut_way(random_.below(count), random_.below(count));
  } else {
    const size_t size = how == 1 ? 1 : count / 2;
    std::set<size_t> side;
    const Replica* const leading = leader();
    if (leading != nullptr && random_.chance(0.5)) side.insert(leading->slot);
    while (side.size() < size) side.insert(random_.below(count));
    const bool one_way = how == 3;
    for (size_t from = 0; from < count; ++from) {
      for (size_t to = 0; to < count; ++to) {
        if (side.contains(from) == side.contains(to) || (one_way && side.contains(to))) continue;
        cut_way(from, to);
      }
    }
  }
  at(now_ + random_.between(50, 800) * kMillisecond, [this] { cut_.clear(); });
}

// The power fails: the loop is gone and of what was not synced a part.
void Simulator::crash(Replica& replica) {
  ++statistics_.crashes;
  const size_t unsynced = replica.journal.unsynced();
  const size_t kept = random_.below(unsynced + 1);
  note("crash", replica.life, unsynced, kept);
  statistics_.lost_writes += unsynced - kept;
  replica.journal.lose_power(kept);
  replica.group.reset();
  ++replica.incarnation;
  replica.inbox.clear();
  replica.gates.clear();
  replica.syncing = false;
  replica.rebuild.reset();
  replica.leading = 0;
  replica.proposed.clear();
  replica.reads.clear();
  replica.stalled_until = 0;
  for (const auto& other : replicas_) {
    if (other.get() != &replica && random_.chance(0.8)) reset_connection(replica, *other);
  }
}

void Simulator::crash_and_restart(Replica& replica) {
  if (down(replica)) return;
  crash(replica);
  at(now_ + random_.between(5, 600) * kMillisecond, [this, &replica] {
    if (down(replica)) start(replica);
  });
}

void Simulator::crash_all() {
  for (const auto& replica : replicas_) crash_and_restart(*replica);
}

// It comes back with nothing, so as somebody else (model, "Identities").
void Simulator::lose_disk(Replica& replica) {
  ++statistics_.lost_disks;
  if (!down(replica)) crash(replica);
  note("lost disk", replica.life, next_life_);
  TestJournal lost = std::exchange(replica.journal, TestJournal(Log::Base{0, 0, initial_}));
  if (!mutant(Mutant::kSameVoterAfterLostDisk)) {
    dead_.emplace_back(replica.life, std::move(lost));
    replica.life = next_life_++;
  }
  replica.flushed = 0;
  replica.applied.clear();
  replica.state_torn = false;
  replica.disk_stalled_until = 0;
  start(replica);
}

// Every configuration that is in some log and not known to be over.
std::vector<Configuration> Simulator::configurations_of(const Replica& replica) const {
  std::vector<Configuration> out;
  const auto collect = [&](const Log& log, Index from) {
    for (Index i = from; i <= log.last(); ++i) {
      const Configuration& each = log.configuration_at(i);
      if (out.empty() || out.back() != each) out.push_back(each);
    }
  };
  if (down(replica)) {
    const Log log = replica.journal.durable_log();
    collect(log, log.base());
  } else {
    collect(replica.group->log(), replica.group->commit());
  }
  return out;
}

// Who loses more than the group can bear stays down for ever; that is no finding. One that is being rebuilt is no help.
bool Simulator::may_lose_disk(const Replica& replica) const {
  std::set<PeerId> healthy;
  for (const auto& other : replicas_) {
    const bool sound = !other->rebuild && !other->state_torn && (down(*other) || !other->group->needs_rebuild());
    if (other.get() != &replica && sound) healthy.insert(other->life);
  }
  for (const auto& other : replicas_) {
    for (const Configuration& each : configurations_of(*other)) {
      // Others decide nothing by it.
      if (!each.is_voter(other->life)) continue;
      if (!each.has_majority([&](PeerId peer) { return healthy.contains(peer); })) return false;
    }
  }
  return true;
}

// --- the operator

void Simulator::change_wanted() {
  const size_t slot = random_.below(wanted_.size());
  const Wanted before = wanted_[slot];
  wanted_[slot] = std::array{Wanted::kVoter, Wanted::kVoter, Wanted::kLearner, Wanted::kOut}[random_.below(4)];
  const auto voters = std::count(wanted_.begin(), wanted_.end(), Wanted::kVoter);
  if (static_cast<size_t>(voters) + 1 < voters_ || voters < 2) wanted_[slot] = before;
}

// The next step from there towards what is wanted. Voters only become who learn already, and if `promote`; until there
// is one, those stay who vote now and are there.
Configuration Simulator::next_configuration(const Configuration& present, bool promote) const {
  const auto votes_then = [&](const Replica& replica) {
    const bool may = present.is_voter(replica.life) || (promote && present.is_member(replica.life));
    return may && wanted_[replica.slot] == Wanted::kVoter;
  };
  const bool somebody =
      std::any_of(replicas_.begin(), replicas_.end(), [&](const auto& each) { return votes_then(*each); });
  std::vector<Member> voters, learners;
  for (const auto& replica : replicas_) {
    const Member each{replica->life, "node-" + std::to_string(replica->life)};
    if (somebody ? votes_then(*replica) : present.is_voter(each.id)) {
      voters.push_back(each);
    } else if (wanted_[replica->slot] != Wanted::kOut) {
      learners.push_back(each);
    }
  }
  return voters.empty() ? present : Configuration(voters, learners);
}

void Simulator::operate() {
  Replica* const replica = leader();
  if (replica == nullptr || replica->stalled_until > now_) return;
  Group& group = *replica->group;
  const Configuration present = group.configuration();
  if (present.joint()) return;
  for (const bool promote : {true, false}) {
    const Configuration next = next_configuration(present, promote);
    if (next == present) continue;
    const Result<> result = group.change_members(next, local(*replica));
    note("change", replica->life, promote ? 1 : 0, result.ok() ? 1 : 0);
    require(result.ok() || group.configuration() == present, "what is refused changes nothing", replica);
    if (!result.ok()) continue;
    if (group.configuration().joint()) ++statistics_.joint_changes;
    wake(*replica, now_ + 1000);
    return;
  }
}

void Simulator::transfer() {
  Replica* const replica = leader();
  if (replica == nullptr || replica->stalled_until > now_) return;
  const PeerId to = any_of(replicas_)->life;
  const Result<> result = replica->group->transfer(to, local(*replica));
  note("transfer", replica->life, to, result.ok() ? 1 : 0);
  if (!result.ok()) return;
  ++statistics_.transfers;
  wake(*replica, now_ + 1000);
}

}  // namespace capstan::consensus
