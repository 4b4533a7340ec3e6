#include "lmdb-store/journal.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

namespace capstan::lmdb_store {
namespace {

// Not only different from every other journal's but unguessable, so that no payload can hold what a reader would take
// for a frame.
uint64_t random_identity() {
  uint64_t identity = 0;
  CHECK(::getentropy(&identity, sizeof identity) == 0);
  return identity;
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::open(FileSystem& files, const std::string& data_directory, uint32_t worker,
                                               const JournalOptions& options, const JournalRecovery& recovery) {
  const std::string parent = journal_directory(data_directory);
  const std::string directory = journal_directory(data_directory, worker);
  Result<> made = files.make_directory(parent);
  if (made) made = files.make_directory(directory);
  if (made) made = files.sync_directory(parent);
  if (made) made = files.sync_directory(data_directory);
  if (!made) return made.error();
  SegmentHeader header;
  header.identity = random_identity();
  CHECK(recovery.base < UINT32_MAX);
  header.start = recovery.base + 1;
  header.segment_bytes = options.segment_bytes;
  std::unique_ptr<Journal> journal(new Journal(files, directory, header, options, recovery.old));
  if (Result<> started = journal->start(); !started) return started.error();
  return journal;
}

Journal::Journal(FileSystem& files, const std::string& directory, const SegmentHeader& header,
                 const JournalOptions& options, std::shared_ptr<OldJournals> old)
    : options_(options),
      old_(std::move(old)),
      syncer_(options_, position_of(header.start - 1, options.segment_bytes), failure_),
      pool_(files, directory, header, options_, syncer_.synced_position(), failure_),
      batch_({header.identity, options.segment_bytes, options.frame_bytes}, header.start - 1),
      written_(batch_.end()) {}

Journal::~Journal() = default;

Result<> Journal::start() {
  if (Result<> started = pool_.start(); !started) return started;
  Result<> first = take_segment();
  if (!first && first.error().code != ErrorCode::kFull) return first;
  return {};
}

Result<Position> Journal::end_entry_slowly() {
  Result<> possible = failure_.failed() ? Result<>(failure_.error()) : make_room(batch_.payload_bytes());
  if (possible) return batch_.end_entry();
  batch_.drop_entry();
  return possible.error();
}

Result<> Journal::make_room(uint64_t payload_bytes) {
  const uint64_t cost = batch_.entry_cost(payload_bytes);
  while (batch_.room() < cost) {
    if (Result<> taken = take_segment(); !taken) return taken;
  }
  return {};
}

Result<> Journal::take_segment() {
  Result<Segment> segment = pool_.take();
  if (!segment) return segment.error();
  taken_.push_back(std::move(*segment));
  batch_.add_segment();
  return {};
}

Result<Position> Journal::write() {
  if (failure_.failed()) return failure_.error();
  if (batch_.empty()) return written_;
  batch_.finish(synced());
  for (JournalBatch::Run& run : batch_.runs()) {
    if (Result<> done = write_run(run); !done) {
      failure_.fail(done.error());
      return failure_.error();
    }
  }
  batch_.reset();
  written_ = batch_.end();
  if (!closed_.empty()) retire_released();
  return written_;
}

Result<> Journal::write_run(JournalBatch::Run& run) {
  if (run.begin == run.end) return {};  // what comes before the journal's first segment
  if (run.segment != current_.number) {
    CHECK(!taken_.empty() && taken_.front().number == run.segment);
    current_ = std::exchange(taken_.front(), {});
    taken_.pop_front();
  }
  const std::string_view bytes = batch_.bytes(run);
  if (Result<> done = current_.file->overwrite(bytes, run.offset); !done) return done;
  syncer_.wrote(current_.file, position_of(run.segment, run.offset + bytes.size()));
  if (&run != &batch_.runs().back()) closed_.push_back({{current_.number, nullptr}, std::move(run.last)});
  return {};
}

Result<> Journal::sync() {
  if (failure_.failed()) return failure_.error();
  return syncer_.sync();
}

void Journal::request_sync() {
  if (!failure_.failed()) syncer_.request();
}

void Journal::release(ShardId shard, Position position) {
  if (shard >= released_.size()) released_.resize(shard + 1, 0);
  released_[shard] = std::max(released_[shard], position);
  retire_released();
  if (old_->release(shard, position)) {
    pool_.run([old = old_] { old->remove_released(); });
  }
}

// From the oldest on, without leaving gaps, so that recovery knows a missing segment for what it is.
void Journal::retire_released() {
  while (!closed_.empty()) {
    LastEntries& last = closed_.front().last;
    std::erase_if(last, [this](const auto& entry) {
      return entry.first < released_.size() && entry.second < released_[entry.first];
    });
    if (!last.empty()) return;
    pool_.retire(std::move(closed_.front().segment));
    closed_.pop_front();
  }
}

}  // namespace capstan::lmdb_store
