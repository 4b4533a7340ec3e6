#include "server/replica.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace capstan {

using consensus::Index;
using consensus::Ready;
using consensus::Time;
using lmdb_store::Journal;

namespace {

// Of the journal's room, what is left for terms, votes and the group's own entries, which have to be written whatever
// comes: a hand-over is a few of them.
constexpr uint64_t kSpareRoom = 64 * 1024;
// What an entry takes besides its record: index, term, and the configuration of a change.
constexpr uint64_t kEntryOverhead = 64;

}  // namespace

Replica::Replica(ShardId shard, const consensus::Options& options, Services services, consensus::Recovered recovered,
                 lmdb_store::Position first_unapplied, uint64_t seed, Time now)
    : shard_(shard),
      services_(std::move(services)),
      group_(options, *this, std::move(recovered), seed, now),
      applied_(group_.commit()) {
  note_unapplied(applied_ + 1, group_.log().last(), first_unapplied);
}

// Entries that take the place of others make these void.
void Replica::note_unapplied(Index first, Index last, lmdb_store::Position position) {
  while (!unapplied_.empty() && unapplied_.back().first >= first) unapplied_.pop_back();
  if (!unapplied_.empty()) unapplied_.back().last = std::min(unapplied_.back().last, first - 1);
  if (first <= last) unapplied_.push_back({first, last, position});
}

bool Replica::reserve(size_t record_bytes) {
  const Journal& journal = services_.journal;
  const uint64_t cost = journal.entry_cost(record_bytes + kEntryOverhead);
  // Only what is certain counts: a Ready that was taken has to be written, whether the disk has space then or not.
  if (journal.room() < reserved_ + cost + kSpareRoom) return false;
  reserved_ += cost;
  return true;
}

bool Replica::holds_context_of(Index index, std::string_view record) {
  return services_.holds_context_of(index, record) && reserve(record.size());
}

std::optional<Index> Replica::propose(std::string_view record, Time now) {
  if (!reserve(record.size())) return std::nullopt;
  return group_.propose(record, now);
}

void Replica::end_turn(Time now) {
  Journal& journal = services_.journal;
  group_.set_willing(!retired_ && (!journal.full() || journal.room() >= 2 * kSpareRoom), now);
  const Ready ready = group_.take_ready(now);
  for (const consensus::Message& message : ready.messages) services_.send(message);
  if (ready.mark != 0) {
    // A journal that cannot be written at all stops the node (Worker::make_durable).
    const lmdb_store::Position begin = journal.end();
    const Result<> appended = append_ready(ready, group_.log(), shard_, journal);
    CHECK(appended.ok(), "the journal had room");
    if (ready.first_new != 0) note_unapplied(ready.first_new, ready.last_new, begin);
    unsynced_.push_back({journal.end(), ready.mark});
  }
  reserved_ = 0;
  // Given to the journal before they are applied: a flush, which syncs it first, never covers what it may lose.
  for (; applied_ < ready.commit && !group_.rebuilding(); ++applied_) {
    services_.apply(applied_ + 1, group_.log().entry(applied_ + 1));
  }
  while (!unapplied_.empty() && unapplied_.front().last <= applied_) unapplied_.pop_front();
}

void Replica::journal_advanced(Time now) {
  const lmdb_store::Position synced = services_.journal.synced();
  consensus::Mark durable = 0;
  for (; !unsynced_.empty() && unsynced_.front().position <= synced; unsynced_.pop_front()) {
    durable = unsynced_.front().mark;
  }
  if (durable != 0) group_.durable(durable, now);
}

void Replica::rebuilt(Index base) {
  CHECK(base >= applied_);
  applied_ = base;
}

void Replica::cut(Index index) {
  CHECK(index <= applied_);
  group_.cut(index);
}

}  // namespace capstan
