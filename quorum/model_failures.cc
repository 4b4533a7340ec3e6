// What goes wrong in the world (model_world.h): restarts, power losses, lost disks; flushes, cuts and rebuilds.
#include <algorithm>

#include "quorum/model_world.h"
#include "quorum/mutant.h"

namespace capstan {

void ModelWorld::fault(Replica& replica) {
  static constexpr int64_t kOffsets[] = {0, 0, 3, -5, 40};
  const uint64_t dice = random_.below(100);
  if (dice < 15) {
    restart(replica);
  } else if (dice < 40) {
    power_loss(replica);
  } else if (dice < 55) {
    // "At most a minority at a time."
    const auto lost = std::count_if(replicas_.begin(), replicas_.end(), [&](const Replica& other) {
      return &other != &replica && (!other.admitted || other.rebuild);
    });
    if (static_cast<size_t>(lost) + 1 < quorum()) lose_disk(replica);
  } else if (dice < 80) {
    const bool others_serve = std::none_of(replicas_.begin(), replicas_.end(),
                                           [](const Replica& other) { return other.rebuild.has_value(); });
    if (others_serve) start_rebuild(replica, random_.below(replicas_.size()));
  } else if (dice < 90) {
    apart_.clear();  // a partition begins, or ends
    for (size_t i = 0; i < replicas_.size() && dice < 82; ++i) {
      if (random_.chance(0.4)) apart_.insert(i);
    }
  } else {
    replica.clock_offset_ms = kOffsets[random_.below(std::size(kOffsets))];  // the wall clock jumps
  }
}

void ModelWorld::sync_disk(Replica& replica) { replica.synced = replica.journal.held(); }

// "A flush syncs the journal first: the state on disk never covers a record that the journal may lose."
void ModelWorld::flush(Replica& replica) {
  if (replica.rebuild) return;
  if (!mutant(Mutant::kFlushWithoutSync)) sync_disk(replica);
  replica.flushed = replica.state;
}

// "Records may be cut only when they are flushed and below settled, and, until log-retention is exceeded, held by every
// home replica."
void ModelWorld::cut_journal(Replica& replica) {
  if (replica.rebuild) return;
  Clock upto = replica.flushed.applied();
  if (!mutant(Mutant::kCutAboveSettled)) upto.intersect(settled(replica));
  const bool retention_exceeded = random_.chance(0.4);
  for (const Replica& other : replicas_) {
    if (!retention_exceeded) upto.intersect(other.journal.held());
  }
  for (const Dot& entry : upto) {
    statistics_.cuts += entry.number > replica.journal.base(entry.log);
    replica.journal.cut(entry.log, entry.number);
  }
}

void ModelWorld::restart(Replica& replica) {
  ++replica.boot;
  if (leads(replica)) leader_.reset();
  replica.history.clear();
  replica.asked.clear();
  restart_rebuild(replica);
  pump(replica);
}

// What was not synced is gone; the state is the flushed copy and what the journal still has.
void ModelWorld::power_loss(Replica& replica) {
  if (random_.chance(0.5)) sync_disk(replica);  // it had been synced all the same, all logs alike
  Clock kept = replica.synced;
  kept.merge(replica.journal.bases());
  replica.journal.drop_above(kept);
  if (!mutant(Mutant::kReuseWriterIdentity)) replica.writer = new_writer();
  if (!replica.rebuild) replica.state = replica.flushed;
  replica.admitted = false;
  ++statistics_.power_losses;
  restart(replica);
}

void ModelWorld::lose_disk(Replica& replica) {
  if (leads(replica)) leader_.reset();
  Replica fresh;
  fresh.writer = new_writer();
  fresh.boot = replica.boot + 1;
  fresh.clock_offset_ms = replica.clock_offset_ms;
  fresh.admitted = false;
  replica = fresh;
  ++statistics_.lost_disks;
}

// --- rebuild

// "Its source is a replica whose applied clock covers all that this one has cut itself."
void ModelWorld::start_rebuild(Replica& replica, size_t source) {
  const Replica& from = replicas_[source];
  const bool covers = from.state.applied().covers(replica.journal.bases()) || mutant(Mutant::kRebuildAnySource);
  if (leads(replica) || &from == &replica || from.rebuild || !covers) return;
  if (replica.rebuild && replica.rebuild->source) return;
  replica.rebuild = Rebuild{source, from.boot, model_keys(), std::nullopt, {}};
}

void ModelWorld::restart_rebuild(Replica& replica) {
  if (!replica.rebuild) return;
  replica.rebuild->source.reset();
  ++statistics_.restarted_rebuilds;
}

// A piece; after the last, "it takes the minimum of these clocks as applied, journals the source's records from settled
// on, replays all records above the minimum, and serves again when it has reached the maximum."
void ModelWorld::step_rebuild(Replica& replica) {
  if (!replica.rebuild) return;
  Rebuild& rebuild = *replica.rebuild;
  if (!rebuild.source) return start_rebuild(replica, random_.below(replicas_.size()));
  const Replica& source = replicas_[*rebuild.source];
  if (source.boot != rebuild.source_boot || source.rebuild || !linked(replica, source)) return restart_rebuild(replica);
  if (!rebuild.todo.empty()) return read_piece(rebuild, replica, source);
  if (!take_records(rebuild, replica, source)) return restart_rebuild(replica);
  const Clock maximum = rebuild.maximum;
  replica.state.set_applied(mutant(Mutant::kRebuildAtMaximum) ? maximum : *rebuild.minimum);
  pump(replica, Replay::kYes, &maximum);
  check(replica.state.applied() == maximum, "a rebuild is stuck below its maximum");
  replica.rebuild.reset();
  flush(replica);
  pump(replica);
  ++statistics_.rebuilds;
}

void ModelWorld::read_piece(Rebuild& rebuild, Replica& replica, const Replica& source) {
  const size_t at = random_.below(rebuild.todo.size());
  const State::Key key = rebuild.todo[at];
  rebuild.todo.erase(rebuild.todo.begin() + static_cast<ptrdiff_t>(at));
  const KeyState* const content = source.state.find(key.first, key.second);
  replica.state.replace(key.first, key.second, content == nullptr ? KeyState() : *content);
  if (!rebuild.minimum) rebuild.minimum = source.state.applied();
  rebuild.minimum->intersect(source.state.applied());
  rebuild.maximum.merge(source.state.applied());
}

// From the source's journal, what this one lacks up to the maximum: of R above the minimum, of writers from settled on
// ("no journal begins above settled"). False if the source has cut some of it meanwhile.
bool ModelWorld::take_records(const Rebuild& rebuild, Replica& replica, const Replica& source) {
  const Clock settled_there = settled(source);
  std::vector<const Archived*> records;
  std::vector<Dot> begins;
  for (const Dot& end : rebuild.maximum) {
    uint64_t low = (*rebuild.minimum)[end.log];
    if (!end.log.agreed() && !mutant(Mutant::kRebuildFromMinimum)) {
      low = std::min(low, std::max(settled_there[end.log], source.journal.base(end.log)));
    }
    const uint64_t held = replica.journal.held(end.log);
    if (held < low) begins.push_back({end.log, low});
    for (uint64_t number = std::max(low, held) + 1; number <= end.number; ++number) {
      const Archived* const record = source.journal.at({end.log, number});
      if (record == nullptr) return false;
      records.push_back(record);
    }
  }
  for (const Dot& begin : begins) replica.journal.begin_at(begin.log, begin.number);
  for (const Archived* const record : records) replica.journal.add(record);
  return true;
}

}  // namespace capstan
