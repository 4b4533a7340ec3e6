// What a shard's worker does for its group: the loop, the journal, applying, flushing, cutting, rebuilding.
#include "base/hash.h"
#include "consensus/simulator.h"

namespace capstan::consensus {

std::string Simulator::Replica::empty_record(Index index) {
  return "empty " + std::to_string(life) + '.' + std::to_string(index) + '.' + std::to_string(++world.next_record_);
}

// Closed for a while for some records, then open.
bool Simulator::Replica::holds_context_of(Index, std::string_view record) {
  const auto [gate, first] = gates.try_emplace(hash64(record), 0);
  if (first && world.random_.chance(world.profile_.closed_gates)) {
    gate->second = world.now_ + world.random_.between(0, 150 * kMillisecond);
    world.at(gate->second, [this, its = incarnation] {
      if (its != incarnation || world.down(*this)) return;
      Input input;
      input.kind = Input::Kind::kGateOpened;
      inbox.push_back(std::move(input));
      world.wake(*this, world.now_ + 1000);
    });
  }
  if (gate->second <= world.now_) return true;
  ++world.statistics_.closed_gates;
  return false;
}

void Simulator::start(Replica& replica) {
  require(replica.journal.base().index <= replica.flushed, "a log begins within the state on disk", &replica);
  for (Index i = replica.applied.size(); i < replica.flushed; ++i) replica.applied.push_back(committed_[i].hash);
  replica.applied.resize(replica.flushed);
  Options options = options_;
  options.self = replica.life;
  Recovered recovered = replica.journal.recover(replica.flushed);
  recovered.rebuilding = replica.state_torn;
  if (recovered.rebuilding) recovered.applied = recovered.log.base();
  const Index applied = recovered.applied;
  replica.group = std::make_unique<Group>(options, replica, std::move(recovered), random_.next(), local(replica));
  note("start", replica.life, replica.flushed, replica.group->log().last());
  require(replica.group->term() >= replica.journal.hard_state().term, "the durable term is there", &replica);
  require(replica.group->log().last() == replica.journal.last(), "what was durable is there", &replica);
  require(replica.group->commit() >= applied, "what was applied is committed", &replica);
  require(!replica.group->leads() && replica.group->lease_end() == 0, "nobody starts as leader", &replica);
  replica.seen_term = replica.group->term();
  replica.seen_commit = replica.group->log().base();
  replica.seen_last = replica.group->log().last();
  check_entries(replica, replica.group->log().first(), replica.seen_last);
  replica.may_apply = applied;
  if (replica.state_torn) replica.rebuild = Rebuild{};
  require(replica.group->rebuilding() == replica.state_torn, "a rebuild that was interrupted goes on", &replica);
  replica.turn_at = now_ + 1000 * kMillisecond;
  wake(replica, now_ + random_.between(0, kMillisecond));
}

// Its loop turns then, or earlier if that was planned.
void Simulator::wake(Replica& replica, Time when) {
  when = std::max(when, replica.stalled_until);
  if (replica.turn_at > now_ && replica.turn_at <= when) return;
  replica.turn_at = when;
  at(when, [this, &replica, serial = ++replica.turn_serial] {
    if (serial == replica.turn_serial && !down(replica)) turn(replica);
  });
}

void Simulator::turn(Replica& replica) {
  if (replica.stalled_until > now_) return wake(replica, replica.stalled_until);
  const Time now = local(replica);
  note("turn", replica.life, replica.inbox.size());
  // A loop that takes only some of what waits ticks before it has seen the rest.
  size_t most = random_.chance(0.1) ? 1 + random_.below(3) : replica.inbox.size();
  for (; most > 0 && !replica.inbox.empty(); --most) {
    const Input input = std::move(replica.inbox.front());
    replica.inbox.pop_front();
    handle(replica, input, now);
  }
  tick(replica, now);
  take_ready(replica, now);
  drive_rebuild(replica, now);
  check(replica);
  serve_clients(replica);
  apply(replica);
  if (random_.chance(0.03)) flush(replica);
  if (random_.chance(profile_.cuts)) cut(replica);
  replica.turn_at = now_;
  const bool more = !replica.inbox.empty() || replica.group->has_ready(now);
  wake(replica, now_ + (more ? random_.between(1000, 100'000) : random_.between(kMillisecond / 2, 4 * kMillisecond)));
}

// A driver may sleep until next_deadline(), or as long as has_ready() says no.
void Simulator::tick(Replica& replica, Time now) {
  Group& group = *replica.group;
  const bool due = group.has_ready(now) || group.next_deadline() <= now;
  const Group::Role role = group.role();
  group.tick(now);
  require(due || (group.role() == role && !group.has_ready(now)), "next_deadline() tells when tick() does something",
          &replica);
}

void Simulator::handle(Replica& replica, const Input& input, Time now) {
  Group& group = *replica.group;
  switch (input.kind) {
    case Input::Kind::kMessage:
      return group.receive(input.parcel.view(), now);
    case Input::Kind::kPeerLost:
      group.peer_lost(input.peer, now);
      return group.peer_connected(input.peer, now);
    case Input::Kind::kDurable:
      return group.durable(input.mark, now);
    case Input::Kind::kGateOpened:
      return group.gate_opened(now);
    case Input::Kind::kWilling:
      return group.set_willing(input.willing, now);
    case Input::Kind::kPropose: {
      const Index last = group.log().last();
      const bool leads = group.leads();
      const std::optional<Index> index = group.propose(input.record, now);
      require(!index || leads, "only a leader takes proposals", &replica);
      require(index ? *index == last + 1 : group.log().last() == last, "a proposal is one entry or none", &replica);
      if (index && replica.leading == group.term()) replica.proposed.push_back(*index);
      return;
    }
    case Input::Kind::kRead: {
      if (!group.leads() || replica.leading != group.term()) return;
      const Index saw = random_.chance(0.5) ? group.commit() : group.log().last();
      const PendingRead read{group.read(saw, now), acknowledged_};
      require(read.point.index >= saw, "a read waits for what it saw", &replica);
      if (!group.released(read.point)) {
        replica.reads.push_back(read);
        return;
      }
      require(read.point.index >= read.required, "a read under a lease sees what was acknowledged", &replica);
      require(group.commit() >= read.point.index, "what a read saw has committed", &replica);
      acknowledged_ = std::max(acknowledged_, read.point.index);
      ++statistics_.reads_by_lease;
      return;
    }
  }
}

void Simulator::take_ready(Replica& replica, Time now) {
  Group& group = *replica.group;
  const bool announced = group.has_ready(now);
  const Ready ready = group.take_ready(now);
  const bool writes = ready.hard_state.has_value() || ready.replaced || ready.first_new != 0;
  require(announced || (!writes && ready.messages.empty() && ready.mark == 0), "has_ready() tells of all", &replica);
  require(!writes || ready.mark != 0, "what is journaled has a mark", &replica);
  require(ready.commit <= group.commit(), "only what is committed is handed out as such", &replica);
  replica.may_apply = std::max(replica.may_apply, ready.commit);
  std::vector<Parcel> parcels;
  for (const Message& message : ready.messages) {
    check_message(replica, message);
    parcels.emplace_back(message);
  }
  if (ready.first_new != 0) {
    require(ready.last_new == group.log().last(), "all that is new is journaled", &replica);
    if (ready.first_new <= replica.seen_last) ++statistics_.truncations;
    check_entries(replica, ready.first_new, ready.last_new);
  }
  replica.seen_last = group.log().last();
  if (ready.mark != 0) replica.journal.write(ready, group.log());
  for (const Parcel& parcel : parcels) send(parcel);
  start_sync(replica);
}

void Simulator::start_sync(Replica& replica) {
  if (replica.syncing || replica.journal.unsynced() == 0) return;
  replica.syncing = true;
  const Time delay = random_.chance(0.02) ? 10 * profile_.sync_delay : profile_.sync_delay;
  at(now_ + random_.between(20'000, delay),
     [this, &replica, incarnation = replica.incarnation, position = replica.journal.written()] {
       finish_sync(replica, incarnation, position);
     });
}

void Simulator::finish_sync(Replica& replica, uint64_t incarnation, uint64_t position) {
  if (replica.incarnation != incarnation) return;
  if (replica.disk_stalled_until > now_) {
    at(replica.disk_stalled_until, [=, this, &replica] { finish_sync(replica, incarnation, position); });
    return;
  }
  replica.syncing = false;
  const Mark mark = replica.journal.sync(position);
  note("synced", replica.life, mark);
  if (mark != 0) {
    replica.inbox.push_back({.kind = Input::Kind::kDurable, .parcel = {}, .mark = mark, .record = {}});
    wake(replica, now_ + random_.between(1000, 200'000));
  }
  start_sync(replica);
}

void Simulator::apply(Replica& replica) {
  const Group& group = *replica.group;
  if (replica.rebuild) return;
  Index to = replica.may_apply;
  if (random_.chance(0.1)) to = std::min<Index>(to, replica.applied.size() + random_.below(10));
  for (Index i = replica.applied.size() + 1; i <= to; ++i) {
    require(i >= group.log().first(), "what was not applied is not cut", &replica);
    const Entry entry = group.log().entry(i);
    const uint64_t hash = hash_of(entry);
    require(committed_[i - 1].hash == hash && committed_[i - 1].term == entry.term, "all apply the same", &replica);
    replica.applied.push_back(hash);
  }
}

// The journal is synced first: the state on disk never covers what the journal may lose.
void Simulator::flush(Replica& replica) {
  if (replica.rebuild || replica.disk_stalled_until > now_) return;
  const Mark mark = replica.journal.sync();
  if (mark != 0) replica.inbox.push_back({.kind = Input::Kind::kDurable, .parcel = {}, .mark = mark, .record = {}});
  replica.flushed = replica.applied.size();
  replica.state_torn = false;
}

// Up to which index nobody else needs entries from this one: pieces of its state that are being read, and, if it is
// polite, what others do not have durably. (Without that a server would do so too: `log-retention` ends politeness.)
Index Simulator::needed_by_others(const Replica& replica, bool polite) const {
  Index lowest = replica.flushed;
  for (const auto& other : replicas_) {
    if (other->rebuild && other->rebuild->source == replica.life) lowest = std::min(lowest, other->rebuild->base);
    if (polite && wanted_[other->slot] != Wanted::kOut) lowest = std::min(lowest, other->journal.last());
  }
  return lowest;
}

void Simulator::cut(Replica& replica) {
  if (replica.rebuild) return;
  Index to = needed_by_others(replica, !random_.chance(profile_.impolite_cuts));
  to = std::min(to, replica.group->durable_index());  // as far as it knows
  const Index base = replica.group->log().base();
  if (to <= base) return;
  if (random_.chance(0.5)) to = base + 1 + random_.below(to - base);
  note("cut", replica.life, to);
  ++statistics_.cuts;
  replica.group->cut(to);
  require(replica.group->log().base() == to, "what is cut is gone", &replica);
  if (random_.chance(0.7)) replica.journal.cut_to(to);
}

// --- rebuilds

// Its state covers all that this one has cut, better all that this one knows to be committed.
Simulator::Replica* Simulator::source_for(const Replica& replica) {
  for (const Index needed : {replica.group->commit(), replica.group->log().base()}) {
    std::vector<Replica*> able;
    for (const auto& other : replicas_) {
      if (other.get() == &replica || down(*other) || other->rebuild || other->applied.size() < needed) continue;
      able.push_back(other.get());
    }
    if (!able.empty()) return able[random_.below(able.size())];
  }
  return nullptr;
}

void Simulator::drive_rebuild(Replica& replica, Time now) {
  Group& group = *replica.group;
  if (!replica.rebuild && !group.needs_rebuild()) return;
  if (replica.rebuild && replica.rebuild->source != kNoPeer) return;
  const Replica* const source = source_for(replica);
  if (source == nullptr) return;
  if (!replica.rebuild) group.begin_rebuild(now);
  require(group.rebuilding(), "it is being rebuilt", &replica);
  replica.rebuild = {source->life, source->incarnation, source->applied.size()};
  replica.state_torn = true;
  note("rebuild", replica.life, source->life, replica.rebuild->base);
  at(now_ + random_.between(kMillisecond, 100 * kMillisecond),
     [this, &replica, incarnation = replica.incarnation] { end_rebuild(replica, incarnation); });
}

// The second piece is read, and the journal takes what belongs to both.
void Simulator::end_rebuild(Replica& replica, uint64_t incarnation) {
  if (replica.incarnation != incarnation || !replica.rebuild) return;
  if (replica.stalled_until > now_) {
    at(replica.stalled_until, [=, this, &replica] { end_rebuild(replica, incarnation); });
    return;
  }
  const Rebuild rebuild = *replica.rebuild;
  const Replica* const source = running(rebuild.source);
  if (source == nullptr || source->incarnation != rebuild.incarnation || source->rebuild ||
      source->group->log().base() > rebuild.base) {
    ++statistics_.rebuilds_started_over;
    replica.rebuild = Rebuild{};
    return;
  }
  const Log& from = source->group->log();
  const Log::Base base{rebuild.base, from.term_at(rebuild.base), from.configuration_at(rebuild.base)};
  std::vector<OwnedEntry> entries;
  for (Index i = base.index + 1; i <= source->applied.size(); ++i) entries.emplace_back(from.entry(i));
  Group& group = *replica.group;
  // The state is on disk before the group goes on with it.
  replica.applied.assign(source->applied.begin(), source->applied.begin() + static_cast<std::ptrdiff_t>(base.index));
  replica.flushed = base.index;
  replica.state_torn = false;
  replica.rebuild.reset();
  replica.journal.state_rebuilt(base);
  const bool replaced = base.index > group.commit() && !group.log().matches(base.index, base.term);
  group.rebuilt(base, views(entries), source->group->term(), local(replica));
  note("rebuilt", replica.life, base.index, replaced ? 1 : 0);
  ++statistics_.rebuilds;
  require(!group.rebuilding(), "the rebuild is over", &replica);
  require(group.commit() >= base.index + entries.size(), "what a rebuild brought is committed", &replica);
  require(group.term() >= source->group->term(), "the source's term is taken over", &replica);
  require(group.log().base() <= base.index, "the log begins where the state ends, or before", &replica);
  if (replaced) {
    require(group.log().last() == base.index + entries.size(), "a log that is replaced ends with these", &replica);
  } else {
    ++statistics_.rebuilds_that_kept_the_log;
  }
  check_entries(replica, group.log().first(), group.log().last());
  check(replica);
  wake(replica, now_ + 1000);
}

// --- clients of a leader

void Simulator::serve_clients(Replica& replica) {
  const Group& group = *replica.group;
  if (replica.leading == 0) return;
  while (!replica.proposed.empty() && replica.proposed.front() <= group.commit()) {
    acknowledged_ = std::max(acknowledged_, replica.proposed.front());
    replica.proposed.pop_front();
    ++statistics_.acknowledged_writes;
  }
  std::erase_if(replica.reads, [&](const PendingRead& read) {
    if (!group.released(read.point)) return false;
    require(read.point.index >= read.required, "a read sees what was acknowledged before it came", &replica);
    require(group.commit() >= read.point.index, "what a read saw has committed", &replica);
    acknowledged_ = std::max(acknowledged_, read.point.index);
    ++statistics_.reads_by_round;
    return true;
  });
}

}  // namespace capstan::consensus
