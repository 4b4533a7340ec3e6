// The journal: one write-ahead log per worker, for all its shards. A worker appends entries to a batch in memory while
// it evaluates commands, hands the batch to the operating system with one write() at the end of its loop turn, and
// makes it durable with sync() or request_sync(). What a crash takes is always a suffix: an entry is recovered only
// together with every entry of the same journal before it.
//
// A journal lives for one start of the node. A start first recovers what earlier ones left (journal_recovery.h), then
// opens new journals, with segment numbers above all old ones; nothing is ever appended to an old one.
//
// A failed write or sync is terminal: every later call returns that error, nothing is tried again, and the node must
// stop. A full disk is not: append says kFull and leaves the batch as it was.
//
// Thread: the worker's, for everything not marked otherwise.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "lmdb-store/file.h"
#include "lmdb-store/journal_batch.h"
#include "lmdb-store/journal_old.h"
#include "lmdb-store/journal_recovery.h"
#include "lmdb-store/journal_sync.h"
#include "lmdb-store/segment.h"

namespace capstan::lmdb_store {

class Journal {
 public:
  // Creates the journal of `worker` for this start under <data_directory>/journal/<worker>/ and waits until its first
  // segment is ready; on a full disk it begins without room. `recovery` is what recover_journals returned for this
  // start, with more than `worker` workers.
  static Result<std::unique_ptr<Journal>> open(FileSystem& files, const std::string& data_directory, uint32_t worker,
                                               const JournalOptions& options, const JournalRecovery& recovery);
  // Stops the threads. A batch that was not written is lost; what was not synced is up to the operating system.
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // Begins an entry: encode the payload at the end of the returned buffer (and touch nothing else of it), then call
  // end_entry or drop_entry before anything else. The type is the caller's, except 0.
  std::string& begin_entry(uint8_t type, ShardId shard) { return batch_.begin_entry(type, shard); }
  // The position of the entry. On kFull (no place is left and the disk gives none) and on failure the batch is as it
  // was before begin_entry.
  Result<Position> end_entry() {
    if (failure_.failed() || !batch_.fits_in_frame()) [[unlikely]]
      return end_entry_slowly();
    return batch_.end_entry();
  }
  void drop_entry() { batch_.drop_entry(); }
  Result<Position> append(uint8_t type, ShardId shard, std::string_view payload) {
    begin_entry(type, shard).append(payload);
    return end_entry();
  }
  // All entries so far lie below it, all later ones at or above it.
  Position end() const { return batch_.end(); }

  // Hands the batch to the operating system; returns written(). From then on the entries survive a crash of the
  // process. Nothing is done for an empty batch.
  Result<Position> write();
  // All entries that write() has handed over lie below it.
  Position written() const { return written_; }

  // Makes all that is written durable before it returns.
  Result<> sync();
  // The same on the journal's own thread; synced() tells, after options.on_event. Requests that come while a sync runs
  // become one.
  void request_sync();
  // Everything below it is durable. Any thread.
  Position synced() const { return syncer_.synced(); }
  // How long the last fdatasync took, in nanoseconds; 0 before the first. Any thread.
  int64_t last_sync_ns() const { return syncer_.last_sync_ns(); }

  // Entries of this shard below `position`, of this and earlier starts, are not needed any more (they are in a durable
  // flush and may be cut). They may still be seen by a recovery.
  void release(ShardId shard, Position position);

  // Bytes that can certainly be appended and written without asking the disk for space; compare with entry_cost.
  uint64_t room() const { return batch_.room() + pool_.ready() * batch_.segment_room(); }
  uint64_t entry_cost(uint64_t payload_bytes) const { return batch_.entry_cost(payload_bytes); }
  // The next segment is not prepared yet and the current one nearly full: an append may soon wait for the disk.
  bool starved() const { return pool_.ready() == 0 && !full() && batch_.room() < batch_.segment_room() / 4; }
  // Deletes the segments that are kept for use again: others lack the space.
  void drop_spares() { pool_.drop_spares(); }
  // The disk has no space for the next segments; it is tried again until it has. Any thread.
  bool full() const { return pool_.full(); }
  // Whether a write or sync has failed for good. Any thread.
  bool failed() const { return failure_.failed(); }
  Error failure() const { return failure_.error(); }

  // Disk space of segments that hold entries which are not released, of this journal alone: what a recovery would
  // read. Those of earlier starts: JournalRecovery::old.
  uint64_t bytes_in_use() const { return (closed_.size() + (current_.file ? 1 : 0)) * options_.segment_bytes; }
  // Of these, from that position on.
  uint64_t bytes_since(Position position) const {
    if (position >= end()) return 0;
    const uint64_t segments = segment_of(end()) - segment_of(position);
    const uint64_t bytes = segments * options_.segment_bytes + offset_of(end()) - offset_of(position);
    return std::min(bytes, bytes_in_use());
  }

 private:
  struct ClosedSegment {
    Segment segment;  // without its file: a descriptor less for each
    LastEntries last;
  };

  Journal(FileSystem& files, const std::string& directory, const SegmentHeader& header, const JournalOptions& options,
          std::shared_ptr<OldJournals> old);
  Result<> start();
  Result<Position> end_entry_slowly();
  Result<> make_room(uint64_t payload_bytes);
  Result<> take_segment();
  Result<> write_run(JournalBatch::Run& run);
  void retire_released();

  const JournalOptions options_;
  const std::shared_ptr<OldJournals> old_;
  JournalFailure failure_;
  JournalSync syncer_;
  SegmentPool pool_;
  JournalBatch batch_;
  Segment current_;            // none before the first entry was written
  std::deque<Segment> taken_;  // the next ones, already part of the batch's room
  Position written_;
  std::deque<ClosedSegment> closed_;  // oldest first
  std::vector<Position> released_;    // by shard
};

}  // namespace capstan::lmdb_store
