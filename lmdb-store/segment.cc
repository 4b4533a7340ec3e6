#include "lmdb-store/segment.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace capstan::lmdb_store {
namespace {

constexpr std::string_view kSegmentSuffix = ".wal";
constexpr std::string_view kSpareSuffix = ".spare";
constexpr const char* kUnfinishedName = "unfinished";
constexpr size_t kNumberDigits = 10;
// The piece that zero fill writes at once, and that goes to the disk before the next one: the journal's own fdatasync
// waits behind no more than that.
constexpr uint64_t kFillBytes = 256u << 10;
constexpr uint32_t kMaxDoublings = 4;

std::string numbered(const std::string& directory, uint32_t number, std::string_view suffix) {
  const std::string digits = std::to_string(number);
  return directory + '/' + std::string(kNumberDigits - digits.size(), '0') + digits + std::string(suffix);
}

}  // namespace

Error JournalFailure::error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

void JournalFailure::fail(Error error) {
  const std::lock_guard lock(mutex_);
  if (failed_.load(std::memory_order_relaxed)) return;
  error_ = std::move(error);
  failed_.store(true, std::memory_order_release);
}

std::string segment_path(const std::string& directory, uint32_t number) {
  return numbered(directory, number, kSegmentSuffix);
}

std::string spare_path(const std::string& directory, uint32_t number) {
  return numbered(directory, number, kSpareSuffix);
}

bool is_spare(const std::string& name) { return name.ends_with(kSpareSuffix); }

std::optional<uint32_t> segment_number(const std::string& name) {
  if (name.size() != kNumberDigits + kSegmentSuffix.size() || !name.ends_with(kSegmentSuffix)) return std::nullopt;
  uint64_t number = 0;
  for (const char c : std::string_view(name).substr(0, kNumberDigits)) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + static_cast<uint64_t>(c - '0');
  }
  if (number > UINT32_MAX) return std::nullopt;
  return static_cast<uint32_t>(number);
}

SegmentPool::SegmentPool(FileSystem& files, std::string directory, const SegmentHeader& header,
                         const JournalOptions& options, const std::atomic<Position>& synced, JournalFailure& failure)
    : files_(files),
      directory_(std::move(directory)),
      header_(header),
      options_(options),
      synced_(synced),
      failure_(failure),
      next_number_(header.start) {}

SegmentPool::~SegmentPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Result<> SegmentPool::start() {
  auto names = files_.list(directory_);
  if (!names) return names.error();
  for (const std::string& name : *names) {
    if (is_spare(name)) spares_.push_back(directory_ + '/' + name);
  }
  if (options_.background) {
    thread_ = std::thread([this] { thread_main(); });
  } else {
    Lock lock(mutex_);
    run_inline(lock);
  }
  return {};
}

void SegmentPool::notify() {
  if (options_.on_event) options_.on_event();
}

void SegmentPool::thread_main() {
  Lock lock(mutex_);
  while (!stopping_) {
    if (step(lock)) continue;
    // The failure may be another thread's, met while take() waited.
    if (failure_.failed()) taken_.notify_all();
    if (!full_error_) {
      work_.wait(lock);
      continue;
    }
    const auto wait = std::chrono::milliseconds(options_.retry_ms << std::min(failed_tries_ - 1, kMaxDoublings));
    work_.wait_for(lock, wait);
    retry_now_ = true;
  }
}

// Without a thread a full disk is tried again at each call.
void SegmentPool::run_inline(Lock& lock) {
  retry_now_ = true;
  while (step(lock)) {
  }
}

bool SegmentPool::wants_segment() const {
  return ready_.size() < std::max(options_.prepared_segments, 1u) && (!full_error_ || retry_now_ || !spares_.empty());
}

bool SegmentPool::step(Lock& lock) {
  if (failure_.failed() || stopping_) return false;
  if (!tasks_.empty()) {
    const std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    lock.lock();
    retry_now_ = true;  // it may have made room
    return true;
  }
  // A spare first: it costs least. Then room for new ones is made before they are created.
  if (wants_segment() && (!spares_.empty() || retired_.empty())) {
    prepare(lock);
  } else if (!retired_.empty()) {
    discard(lock);
  } else {
    return false;
  }
  return true;
}

void SegmentPool::prepare(Lock& lock) {
  retry_now_ = false;
  std::optional<std::string> spare;
  if (!spares_.empty()) {
    spare = std::move(spares_.front());
    spares_.pop_front();
  }
  const uint32_t number = next_number_;
  lock.unlock();
  Result<Segment> segment = make_segment(number, spare);
  lock.lock();
  prepared(lock, std::move(segment));
}

void SegmentPool::prepared(Lock& lock, Result<Segment> segment) {
  const bool was_full = full_error_.has_value();
  const bool was_empty = ready_.empty();
  if (segment) {
    CHECK(next_number_ != UINT32_MAX);
    ++next_number_;
    ready_.push_back(std::move(*segment));
    ready_count_.store(static_cast<uint32_t>(ready_.size()), std::memory_order_release);
    full_error_.reset();
    failed_tries_ = 0;
  } else if (segment.error().code == ErrorCode::kFull) {
    full_error_ = segment.error();
    ++failed_tries_;
  } else {
    failure_.fail(segment.error());
  }
  full_.store(full_error_.has_value(), std::memory_order_release);
  taken_.notify_all();
  const bool filled = was_empty && !ready_.empty();
  if (was_full == full_error_.has_value() && !filled && !failure_.failed()) return;
  lock.unlock();
  notify();
  lock.lock();
}

// Under its final name a segment is complete and synced: whatever recovery finds under such a name and cannot read is
// damage, never a preparation that a crash has cut short.
Result<Segment> SegmentPool::make_segment(uint32_t number, const std::optional<std::string>& spare) {
  const std::string unfinished = directory_ + '/' + kUnfinishedName;
  std::unique_ptr<File> file;
  if (spare) {
    auto opened = files_.open(*spare, FileSystem::Open::kExisting);
    if (!opened) return opened.error();
    auto size = (*opened)->size();
    if (!size) return size.error();
    if (*size == options_.segment_bytes) file = std::move(*opened);
    if (!file) {
      if (Result<> gone = files_.unlink(*spare); !gone) return gone.error();
    }
  }
  const std::string path = file ? *spare : unfinished;
  if (!file) {
    auto created = create_zero_filled(path);
    if (!created) return created.error();
    file = std::move(*created);
  }
  SegmentHeader header = header_;
  header.segment = number;
  header.synced = synced_.load(std::memory_order_acquire);
  Result<> done = file->pwrite(encode_segment_header(header), 0);
  if (done) done = file->datasync();
  if (done) done = files_.rename(path, segment_path(directory_, number));
  if (done) done = files_.sync_directory(directory_);
  // Here every block has been allocated before: this disk is not just full, something is wrong with it.
  if (!done) return Error{ErrorCode::kIo, done.error().message};
  return Segment{number, std::move(file)};
}

Result<std::unique_ptr<File>> SegmentPool::create_zero_filled(const std::string& path) {
  auto file = files_.open(path, FileSystem::Open::kCreate);
  if (!file) return file.error();
  const std::string zeros(std::min<uint64_t>(kFillBytes, options_.segment_bytes), '\0');
  Result<> done;
  for (uint64_t at = 0; done && at < options_.segment_bytes; at += zeros.size()) {
    const uint64_t size = std::min<uint64_t>(zeros.size(), options_.segment_bytes - at);
    done = (*file)->pwrite(std::string_view(zeros).substr(0, size), at);
    if (done) (*file)->write_back(at, size);
  }
  // Delayed allocation: the last word on whether there is room is the sync's.
  if (done) done = (*file)->datasync();
  if (done) return file;
  const Error error = done.error();
  file->reset();
  // What could be written of it is what others lack now.
  if (Result<> gone = files_.unlink(path); !gone) return gone.error();
  return error;
}

void SegmentPool::discard(Lock& lock) {
  const uint32_t number = retired_.front();
  retired_.pop_front();
  const bool keep = spares_.size() < options_.spare_segments;
  lock.unlock();
  Result<> done = put_away(number, keep);
  lock.lock();
  if (!done) {
    failure_.fail(done.error());
    taken_.notify_all();
    lock.unlock();
    notify();
    lock.lock();
  } else if (keep) {
    spares_.push_back(spare_path(directory_, number));
  } else {
    retry_now_ = true;
  }
}

// Each step is synced before the next segment's begins, so that a crash never leaves a gap.
Result<> SegmentPool::put_away(uint32_t number, bool keep) {
  const std::string path = segment_path(directory_, number);
  Result<> done = keep ? files_.rename(path, spare_path(directory_, number)) : files_.unlink(path);
  if (done) done = files_.sync_directory(directory_);
  return done;
}

Result<Segment> SegmentPool::take() {
  Lock lock(mutex_);
  if (!options_.background) run_inline(lock);
  while (ready_.empty()) {
    if (failure_.failed()) return failure_.error();
    if (full_error_) return *full_error_;
    CHECK(options_.background, "without a thread every try ends in a segment or an error");
    taken_.wait(lock);
  }
  Segment segment = std::move(ready_.front());
  ready_.pop_front();
  ready_count_.store(static_cast<uint32_t>(ready_.size()), std::memory_order_release);
  if (options_.background) {
    work_.notify_one();
  } else {
    run_inline(lock);
  }
  return segment;
}

void SegmentPool::retire(Segment segment) {  // NOLINT(performance-unnecessary-value-param): closed here
  Lock lock(mutex_);
  retired_.push_back(segment.number);
  if (options_.background) {
    work_.notify_one();
  } else {
    run_inline(lock);
  }
}

void SegmentPool::drop_spares() {
  run([this] { delete_spares(); });
}

// On the pool's thread, unlocked.
void SegmentPool::delete_spares() {
  std::deque<std::string> spares;
  {
    const std::lock_guard lock(mutex_);
    spares.swap(spares_);
  }
  for (const std::string& path : spares) {
    if (Result<> gone = files_.unlink(path); !gone) failure_.fail(gone.error());
  }
}

void SegmentPool::run(std::function<void()> task) {
  Lock lock(mutex_);
  tasks_.push_back(std::move(task));
  if (options_.background) {
    work_.notify_one();
  } else {
    run_inline(lock);
  }
}

}  // namespace capstan::lmdb_store
