// Reading back what earlier starts wrote. Order: journals by the start that wrote them, then by worker; within one, by
// position. A shard's entries of one start all lie in one journal, so the entries of each shard come in the order in
// which they were appended, over all starts and worker counts. Entries that were released may come again.
//
// Damage (a frame that fails its checksum, a missing or unreadable segment):
// - At or behind the last position known to be synced it is a torn tail, what a crash leaves: it is cut off and noted.
// - Before that it stops the recovery with kCorrupt, unless the caller has asked to truncate: then the journal is cut
//   there, and all journals of later starts, which build on what is lost, are dropped.
// When recovery returns, everything it has read is synced, and reading again yields the same.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "lmdb-store/file.h"
#include "lmdb-store/journal_format.h"

namespace capstan::lmdb_store {

// "<data_directory>/journal" and "<data_directory>/journal/<worker>".
std::string journal_directory(const std::string& data_directory);
std::string journal_directory(const std::string& data_directory, uint32_t worker);

struct JournalEntry {
  uint8_t type = 0;
  ShardId shard = 0;
  Position position = 0;
  std::string_view payload;  // valid during the call
};

// The segments that earlier starts left, until their entries are released. Thread safe: shards of one old journal may
// belong to several workers now.
class OldJournals;

enum class JournalDamage { kStop, kTruncate };

struct RecoveryOptions {
  JournalDamage damage = JournalDamage::kStop;
  // Of this start. Directories of other workers are removed once their entries are released.
  uint32_t workers = 1;
  // A position that some shard's state on disk contains: this start's journals begin above it, even if no segment is
  // left that says so.
  Position contained = 0;
};

struct JournalRecovery {
  // What was cut off or dropped and why, a line each, for the log.
  std::vector<std::string> notes;
  // Something was cut: entries that had been written (though, short of truncation, not synced) are gone.
  bool cut = false;
  // Above the numbers of all segments that exist or are contained; this start's journals begin after it.
  uint32_t base = 0;
  std::shared_ptr<OldJournals> old;
};

using EntryCallback = std::function<Result<>(const JournalEntry&)>;

// Reads all journals under the data directory. An error of the callback ends it and is returned. On an error the caller
// must forget what it was given. Memory: a few MiB and the largest entry.
Result<JournalRecovery> recover_journals(FileSystem& files, const std::string& data_directory,
                                         const RecoveryOptions& options, const EntryCallback& callback);

}  // namespace capstan::lmdb_store
