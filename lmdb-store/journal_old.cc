#include "lmdb-store/journal_old.h"

#include <algorithm>

#include "lmdb-store/segment.h"

namespace capstan::lmdb_store {

bool OldJournals::release(ShardId shard, Position position) {
  const std::lock_guard lock(mutex_);
  bool removable = false;
  for (OldJournal& journal : journals_) {
    for (OldSegment& segment : journal.segments) {
      std::erase_if(segment.last, [&](const auto& entry) { return entry.first == shard && entry.second < position; });
    }
    removable |= !journal.segments.empty() && journal.segments.front().last.empty();
  }
  return removable;
}

std::string OldJournals::next_released(size_t* journal) {
  const std::lock_guard lock(mutex_);
  for (*journal = 0; *journal < journals_.size(); ++*journal) {
    const auto& [directory, bytes, abandoned, segments] = journals_[*journal];
    if (!segments.empty() && segments.front().last.empty()) return segment_path(directory, segments.front().number);
  }
  return {};
}

void OldJournals::remove_released() {
  const std::lock_guard removing(removing_);
  size_t index = 0;
  for (std::string path; !(path = next_released(&index)).empty();) {
    if (!remove(path, journals_[index])) return;
    const std::lock_guard lock(mutex_);
    journals_[index].segments.pop_front();
  }
}

Result<> OldJournals::remove(const std::string& path, const OldJournal& journal) {
  Result<> done = files_.unlink(path);
  if (!done && done.error().code == ErrorCode::kNotFound) done = {};  // an earlier try got as far as that
  // Before the next one goes: a crash must not leave a gap.
  if (done) done = files_.sync_directory(journal.directory);
  if (done && journal.abandoned) done = remove_abandoned_directory(files_, journal.directory);
  return done;
}

uint64_t OldJournals::bytes_in_use() const {
  const std::lock_guard lock(mutex_);
  uint64_t bytes = 0;
  for (const OldJournal& journal : journals_) bytes += journal.segments.size() * journal.segment_bytes;
  return bytes;
}

Result<> remove_abandoned_directory(FileSystem& files, const std::string& directory) {
  auto names = files.list(directory);
  if (!names) return names.error();
  for (const std::string& name : *names) {
    if (segment_number(name)) return {};
  }
  Result<> done;
  for (const std::string& name : *names) {
    if (done) done = files.unlink(directory + '/' + name);
  }
  if (done) done = files.remove_directory(directory);
  return done;
}

}  // namespace capstan::lmdb_store
