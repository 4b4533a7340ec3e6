#include "lmdb-store/journal_recovery.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "lmdb-store/journal_old.h"
#include "lmdb-store/journal_reader.h"
#include "lmdb-store/segment.h"

namespace capstan::lmdb_store {

std::string journal_directory(const std::string& data_directory) { return data_directory + "/journal"; }

std::string journal_directory(const std::string& data_directory, uint32_t worker) {
  return journal_directory(data_directory) + '/' + std::to_string(worker);
}

namespace {

std::optional<uint32_t> worker_number(const std::string& name) {
  if (name.empty() || name.size() > 9 ||
      !std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; }))
    return std::nullopt;
  return static_cast<uint32_t>(std::stoul(name));
}

class Recoverer {
 public:
  Recoverer(FileSystem& files, const std::string& data_directory, const RecoveryOptions& options,
            const EntryCallback& callback)
      : files_(files), data_directory_(data_directory), options_(options), callback_(callback) {
    recovery_.base = segment_of(options.contained);
  }

  Result<JournalRecovery> run();

 private:
  Result<> find_journals();
  Result<> find_in_directory(uint32_t worker);
  Result<SegmentFile> look_at(const std::string& directory, uint32_t number);
  void add_to_journal(uint32_t worker, const std::string& directory, std::vector<SegmentFile>& unreadable,
                      const SegmentFile* readable);

  Result<> recover(size_t index);
  Result<> handle_damage(size_t index, const JournalEnd& end);
  Error damage_error(const JournalFiles& journal, const JournalEnd& end) const;
  Result<> cut(JournalFiles& journal, const JournalEnd& end);
  Result<> seal(const JournalFiles& journal, const JournalEnd& end);
  Result<> drop_segments(JournalFiles& journal, size_t first);
  Result<> drop_journal(JournalFiles& journal);
  Result<> drop_segment(const JournalFiles& journal, const SegmentFile& segment);
  Result<> remove_abandoned_directories();
  bool abandoned(const JournalFiles& journal) const { return journal.worker >= options_.workers; }
  void note(const JournalFiles& journal, const JournalEnd& end, const std::string& what);

  FileSystem& files_;
  const std::string& data_directory_;
  const RecoveryOptions& options_;
  const EntryCallback& callback_;
  std::vector<uint32_t> workers_;
  std::vector<JournalFiles> journals_;
  std::vector<OldJournal> old_;
  JournalRecovery recovery_;
};

Result<JournalRecovery> Recoverer::run() {
  if (Result<> found = find_journals(); !found) return found.error();
  for (size_t i = 0; i < journals_.size(); ++i) {
    if (Result<> done = recover(i); !done) return done.error();
  }
  if (Result<> done = remove_abandoned_directories(); !done) return done.error();
  recovery_.old = std::make_shared<OldJournals>(files_, std::move(old_));
  return std::move(recovery_);
}

Result<> Recoverer::find_journals() {
  auto names = files_.list(journal_directory(data_directory_));
  if (!names && names.error().code == ErrorCode::kNotFound) return {};
  if (!names) return names.error();
  for (const std::string& name : *names) {
    const auto worker = worker_number(name);
    if (!worker) continue;
    workers_.push_back(*worker);
    if (Result<> found = find_in_directory(*worker); !found) return found;
  }
  std::sort(journals_.begin(), journals_.end(), [](const JournalFiles& a, const JournalFiles& b) {
    return std::pair(a.start, a.worker) < std::pair(b.start, b.worker);
  });
  return {};
}

Result<> Recoverer::find_in_directory(uint32_t worker) {
  const std::string directory = journal_directory(data_directory_, worker);
  // A rename that is seen now must not be undone by a power loss when its file holds something else.
  if (Result<> synced = files_.sync_directory(directory); !synced) return synced;
  auto names = files_.list(directory);
  if (!names) return names.error();
  std::vector<SegmentFile> unreadable;
  for (const std::string& name : *names) {
    const auto number = segment_number(name);
    if (!number) continue;
    auto segment = look_at(directory, *number);
    if (!segment) return segment.error();
    recovery_.base = std::max(recovery_.base, *number + 1);
    if (segment->header) {
      add_to_journal(worker, directory, unreadable, &*segment);
    } else {
      unreadable.push_back(*segment);
    }
  }
  if (!unreadable.empty()) add_to_journal(worker, directory, unreadable, nullptr);
  return {};
}

Result<SegmentFile> Recoverer::look_at(const std::string& directory, uint32_t number) {
  SegmentFile segment{number, std::nullopt};
  auto file = files_.open(segment_path(directory, number), FileSystem::Open::kExisting);
  if (!file) return file.error();
  std::string bytes(kSegmentHeaderBytes, '\0');
  // What the callback is given must not be lost any more: it may get into LMDB, which never covers what the journal may
  // lose.
  if (Result<> synced = (*file)->datasync(); !synced) return synced.error();
  auto read = (*file)->pread(bytes.data(), bytes.size(), 0);
  if (!read) return read.error();
  bytes.resize(*read);
  segment.header = decode_segment_header(bytes);
  if (segment.header && segment.header->segment != number) segment.header.reset();
  return segment;
}

// Segments come in the order of their numbers. Those that cannot be read belong to the journal whose numbers they lie
// among; `readable` is the next one that can.
void Recoverer::add_to_journal(uint32_t worker, const std::string& directory, std::vector<SegmentFile>& unreadable,
                               const SegmentFile* readable) {
  JournalFiles* current = journals_.empty() || journals_.back().worker != worker ? nullptr : &journals_.back();
  for (const SegmentFile& segment : std::exchange(unreadable, {})) {
    const bool of_next = readable != nullptr && readable->header->start <= segment.number &&
                         (current == nullptr || current->identity != readable->header->identity);
    if (of_next) {
      current = &journals_.emplace_back(
          JournalFiles{worker, directory, readable->header->identity, readable->header->start, {}});
    } else if (current == nullptr) {
      current = &journals_.emplace_back(JournalFiles{worker, directory, 0, segment.number, {}});
    }
    current->segments.push_back(segment);
  }
  if (readable == nullptr) return;
  if (current == nullptr || current->identity != readable->header->identity) {
    current = &journals_.emplace_back(
        JournalFiles{worker, directory, readable->header->identity, readable->header->start, {}});
  }
  current->segments.push_back(*readable);
}

Result<> Recoverer::recover(size_t index) {
  JournalFiles& journal = journals_[index];
  if (journal.segments.empty()) return {};  // dropped with the start before it
  JournalReader reader(files_, journal, callback_);
  auto end = reader.read();
  if (!end) return end.error();
  const Position position = position_of(journal.segments[end->segment].number, end->offset);
  Result<> done;
  if (end->impossible || position < end->synced) {
    done = handle_damage(index, *end);
  } else if (end->frames_behind) {
    note(journal, *end, "a torn tail was cut off");
    done = cut(journal, *end);
  } else {
    done = drop_segments(journal, end->segment + 1);
  }
  if (!done) return done;
  if (!reader.has_entries()) return drop_journal(journal);
  if (!end->sealed || end->frames_behind || end->impossible) done = seal(journal, *end);
  if (!done) return done;
  OldJournal old{journal.directory, journal.segments.front().header->segment_bytes, abandoned(journal), {}};
  for (size_t i = 0; i <= end->segment; ++i) {
    const auto& last = reader.last_entries()[i];
    old.segments.push_back({journal.segments[i].number, LastEntries(last.begin(), last.end())});
  }
  old_.push_back(std::move(old));
  return {};
}

Error Recoverer::damage_error(const JournalFiles& journal, const JournalEnd& end) const {
  return {ErrorCode::kCorrupt,
          "the journal is damaged in " + segment_path(journal.directory, journal.segments[end.segment].number) +
              " at offset " + std::to_string(end.offset) + ": " + end.why +
              ", although what follows had been synced. Restore this node from its replicas or from a backup; or start "
              "it once with --journal-damage truncate, which drops everything after this place for good"};
}

void Recoverer::note(const JournalFiles& journal, const JournalEnd& end, const std::string& what) {
  recovery_.cut = true;
  recovery_.notes.push_back(segment_path(journal.directory, journal.segments[end.segment].number) + " at offset " +
                            std::to_string(end.offset) + ": " + what + " (" + end.why + ')');
}

Result<> Recoverer::handle_damage(size_t index, const JournalEnd& end) {
  JournalFiles& journal = journals_[index];
  if (options_.damage == JournalDamage::kStop) return damage_error(journal, end);
  note(journal, end,
       "damage; everything after this place was dropped, up to segment " +
           std::to_string(journal.segments.back().number));
  // Later starts first: as long as one of them is there, the damage that it comes after must be seen.
  for (size_t i = journals_.size(); i-- > index + 1;) {
    if (journals_[i].start == journal.start) continue;
    recovery_.notes.push_back(journals_[i].directory + ": the journal from segment " +
                              std::to_string(journals_[i].start) +
                              " on was dropped, because it comes after the damage");
    if (Result<> done = drop_segments(journals_[i], 0); !done) return done;
  }
  if (end.offset == 0) return drop_segments(journal, 0);
  return cut(journal, end);
}

// First the end is made an end, then what follows goes: the other way round a crash would leave a segment that says it
// goes on in one that is gone.
Result<> Recoverer::cut(JournalFiles& journal, const JournalEnd& end) {
  const SegmentFile& last = journal.segments[end.segment];
  auto file = files_.open(segment_path(journal.directory, last.number), FileSystem::Open::kExisting);
  if (!file) return file.error();
  const std::string zeros(std::min<uint64_t>(kMaxFrameBytes, last.header->segment_bytes), '\0');
  for (uint64_t at = end.offset; at < last.header->segment_bytes; at += zeros.size()) {
    const uint64_t size = std::min<uint64_t>(zeros.size(), last.header->segment_bytes - at);
    if (Result<> done = (*file)->pwrite(std::string_view(zeros).substr(0, size), at); !done) return done;
  }
  if (Result<> done = (*file)->datasync(); !done) return done;
  return drop_segments(journal, end.segment + 1);
}

// Everything that was read is synced; a last frame then says so, for the next recovery: from now on damage in here is
// damage.
Result<> Recoverer::seal(const JournalFiles& journal, const JournalEnd& end) {
  auto file =
      files_.open(segment_path(journal.directory, journal.segments[end.segment].number), FileSystem::Open::kExisting);
  if (!file) return file.error();
  std::string frame(kFrameHeaderBytes, '\0');
  const Position position = position_of(journal.segments[end.segment].number, end.offset);
  seal_frame(frame.data(), journal.identity, position, 0, false, position);
  Result<> done = (*file)->pwrite(frame, end.offset);
  if (done) done = (*file)->datasync();
  return done;
}

// From the last to the first.
Result<> Recoverer::drop_segments(JournalFiles& journal, size_t first) {
  if (first >= journal.segments.size()) return {};
  for (; journal.segments.size() > first; journal.segments.pop_back()) {
    if (Result<> done = drop_segment(journal, journal.segments.back()); !done) return done;
  }
  return files_.sync_directory(journal.directory);
}

// An intact journal goes as released segments do, oldest first: after a crash the others are its rest. The other way
// round they would say that they go on in one that is gone.
Result<> Recoverer::drop_journal(JournalFiles& journal) {
  for (const SegmentFile& segment : std::exchange(journal.segments, {})) {
    Result<> done = drop_segment(journal, segment);
    if (done) done = files_.sync_directory(journal.directory);
    if (!done) return done;
  }
  return {};
}

// It becomes a spare, or goes altogether where no worker will use it.
Result<> Recoverer::drop_segment(const JournalFiles& journal, const SegmentFile& segment) {
  const std::string path = segment_path(journal.directory, segment.number);
  const bool keep = !abandoned(journal) && segment.header;
  return keep ? files_.rename(path, spare_path(journal.directory, segment.number)) : files_.unlink(path);
}

Result<> Recoverer::remove_abandoned_directories() {
  for (const uint32_t worker : workers_) {
    if (worker < options_.workers) continue;
    if (Result<> done = remove_abandoned_directory(files_, journal_directory(data_directory_, worker)); !done) {
      return done;
    }
  }
  return {};
}

}  // namespace

Result<JournalRecovery> recover_journals(FileSystem& files, const std::string& data_directory,
                                         const RecoveryOptions& options, const EntryCallback& callback) {
  return Recoverer(files, data_directory, options, callback).run();
}

}  // namespace capstan::lmdb_store
