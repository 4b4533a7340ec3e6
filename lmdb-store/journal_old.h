// What earlier starts left: segments with entries that are not released yet. They are only read and, once all their
// entries are released, removed.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "lmdb-store/file.h"
#include "lmdb-store/journal_batch.h"

namespace capstan::lmdb_store {

struct OldSegment {
  uint32_t number = 0;
  LastEntries last;
};

struct OldJournal {
  std::string directory;
  uint64_t segment_bytes = 0;
  // No worker of this start writes there: removed with the last segment.
  bool abandoned = false;
  std::deque<OldSegment> segments;  // oldest first
};

// Any thread.
class OldJournals {
 public:
  OldJournals(FileSystem& files, std::vector<OldJournal> journals) : files_(files), journals_(std::move(journals)) {}

  // Entries of this shard below `position` are not needed any more. True: remove_released has something to do.
  bool release(ShardId shard, Position position);
  // Deletes released segments, oldest first. What cannot be deleted is tried again the next time.
  void remove_released();
  uint64_t bytes_in_use() const;

 private:
  // The oldest released segment of some journal, as a path; empty if there is none.
  std::string next_released(size_t* journal);
  Result<> remove(const std::string& path, const OldJournal& journal);

  FileSystem& files_;
  std::mutex removing_;  // held while files are deleted, one after the other; taken before mutex_
  mutable std::mutex mutex_;
  std::vector<OldJournal> journals_;
};

// Removes a directory of the journal with the files that mean nothing (spares and such). Does nothing if it still holds
// segments.
Result<> remove_abandoned_directory(FileSystem& files, const std::string& directory);

}  // namespace capstan::lmdb_store
