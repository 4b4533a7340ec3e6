#include "lmdb-store/fault_file.h"

#include <algorithm>
#include <utility>

namespace capstan::lmdb_store {
namespace {

std::string parent_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

const Error kDead{ErrorCode::kIo, "the process has crashed"};

}  // namespace

class FaultFileSystem::Handle : public File {
 public:
  Handle(FaultFileSystem& files, std::shared_ptr<Inode> inode) : files_(files), inode_(std::move(inode)) {}
  Result<size_t> pread(char* to, size_t size, uint64_t offset) override {
    return files_.do_pread(*inode_, to, size, offset);
  }
  Result<> pwrite(std::string_view bytes, uint64_t offset) override { return files_.do_pwrite(*inode_, bytes, offset); }
  Result<> datasync() override { return files_.do_datasync(*inode_); }
  Result<uint64_t> size() override {
    const std::lock_guard lock(files_.mutex_);
    return inode_->content.size();
  }

 private:
  FaultFileSystem& files_;
  const std::shared_ptr<Inode> inode_;
};

uint64_t FaultFileSystem::operations() const {
  const std::lock_guard lock(mutex_);
  return operations_;
}

void FaultFileSystem::crash_at(uint64_t operation) {
  const std::lock_guard lock(mutex_);
  crash_at_ = operation;
}

bool FaultFileSystem::crashed() const {
  const std::lock_guard lock(mutex_);
  return crashed_;
}

void FaultFileSystem::clear_faults() {
  crash_at_.reset();
  failing_datasync_.reset();
  failing_pwrite_.reset();
  crashed_ = false;
  capacity_ = UINT64_MAX;
}

void FaultFileSystem::restart() {
  const std::lock_guard lock(mutex_);
  clear_faults();
}

void FaultFileSystem::lose_power() {
  const std::lock_guard lock(mutex_);
  clear_faults();
  std::map<std::string, std::vector<Change*>> by_directory;
  for (Change& change : changes_) by_directory[change.directory].push_back(&change);
  for (auto& [directory, changes] : by_directory) {
    changes.resize(random_.below(changes.size() + 1));
    for (Change* change : changes) change->apply(durable_names_);
  }
  changes_.clear();
  names_ = durable_names_;
  std::set<Inode*> inodes;
  for (auto& [path, inode] : names_) inodes.insert(inode.get());
  // In the order of the paths, not of addresses, so that a seed always does the same.
  for (auto& [path, inode] : names_) {
    if (inodes.erase(inode.get()) != 0) lose_sectors(*inode);
  }
}

void FaultFileSystem::lose_sectors(Inode& inode) {
  std::string left = inode.durable;
  for (const auto& [sector, versions] : inode.unsynced) {
    const uint64_t choice = random_.below(versions.size() + 1);
    if (choice == versions.size() || inode.dropped.contains(sector)) continue;
    const size_t begin = sector * kSectorBytes;
    if (left.size() < begin + versions[choice].size()) left.resize(begin + versions[choice].size(), '\0');
    left.replace(begin, versions[choice].size(), versions[choice]);
  }
  inode.content = left;
  inode.durable = std::move(left);
  inode.unsynced.clear();
  inode.dropped.clear();
}

void FaultFileSystem::fail_datasync(uint64_t n) {
  const std::lock_guard lock(mutex_);
  failing_datasync_ = n;
}

void FaultFileSystem::fail_pwrite(uint64_t n) {
  const std::lock_guard lock(mutex_);
  failing_pwrite_ = n;
}

void FaultFileSystem::set_capacity(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  capacity_ = bytes;
}

uint64_t FaultFileSystem::used_locked() const {
  uint64_t bytes = 0;
  for (const auto& [path, inode] : names_) bytes += inode->content.size();
  return bytes;
}

uint64_t FaultFileSystem::used_bytes() const {
  const std::lock_guard lock(mutex_);
  return used_locked();
}

void FaultFileSystem::flip_bit(const std::string& path, uint64_t offset, unsigned bit) {
  const std::lock_guard lock(mutex_);
  Inode& inode = *names_.at(path);
  for (std::string* bytes : {&inode.content, &inode.durable}) {
    if (offset < bytes->size()) (*bytes)[offset] = static_cast<char>((*bytes)[offset] ^ (1 << bit));
  }
}

void FaultFileSystem::overwrite(const std::string& path, uint64_t offset, std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  Inode& inode = *names_.at(path);
  CHECK(offset + bytes.size() <= inode.content.size());
  inode.content.replace(offset, bytes.size(), bytes);
  inode.durable = inode.content;
  inode.unsynced.clear();
}

std::string FaultFileSystem::content(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  return names_.at(path)->content;
}

std::vector<std::string> FaultFileSystem::paths() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> all;
  for (const auto& [path, inode] : names_) all.push_back(path);
  return all;
}

bool FaultFileSystem::exists(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  return names_.contains(path) || directories_.contains(path);
}

uint64_t FaultFileSystem::datasyncs() const {
  const std::lock_guard lock(mutex_);
  return datasyncs_;
}

uint64_t FaultFileSystem::pwrites() const {
  const std::lock_guard lock(mutex_);
  return pwrites_;
}

Result<> FaultFileSystem::operate(bool* dies) {
  if (crashed_) return kDead;
  if (crash_at_ != operations_) {
    ++operations_;
    return {};
  }
  crashed_ = true;
  if (dies == nullptr) return kDead;
  *dies = true;
  return {};
}

Result<> FaultFileSystem::change(const std::string& directory, std::function<void(Names&)> apply) {
  if (Result<> alive = operate(); !alive) return alive;
  apply(names_);
  changes_.push_back({directory, std::move(apply)});
  return {};
}

Result<std::unique_ptr<File>> FaultFileSystem::open(const std::string& path, Open mode) {
  const std::lock_guard lock(mutex_);
  if (crashed_) return kDead;
  if (mode == Open::kCreate) {
    if (!directories_.contains(parent_of(path))) return Error{ErrorCode::kNotFound, "no directory for " + path};
    const auto inode = std::make_shared<Inode>();
    Result<> done = change(parent_of(path), [path, inode](Names& names) { names[path] = inode; });
    if (!done) return done.error();
  }
  const auto found = names_.find(path);
  if (found == names_.end()) return Error{ErrorCode::kNotFound, "cannot open " + path};
  return std::unique_ptr<File>(std::make_unique<Handle>(*this, found->second));
}

Result<> FaultFileSystem::rename(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  if (!crashed_ && !names_.contains(from)) return Error{ErrorCode::kNotFound, "cannot rename " + from};
  CHECK(parent_of(from) == parent_of(to));
  return change(parent_of(from), [from, to](Names& names) {
    const auto inode = names.at(from);
    names.erase(from);
    names[to] = inode;
  });
}

Result<> FaultFileSystem::unlink(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (!crashed_ && !names_.contains(path)) return Error{ErrorCode::kNotFound, "cannot remove " + path};
  return change(parent_of(path), [path](Names& names) { names.erase(path); });
}

// Directories are durable at once: a simplification that hides no order the journal relies on but that of the calls.
Result<> FaultFileSystem::make_directory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (Result<> alive = operate(); !alive) return alive;
  directories_.insert(path);
  return {};
}

Result<> FaultFileSystem::remove_directory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (Result<> alive = operate(); !alive) return alive;
  for (const auto& [name, inode] : names_) {
    if (parent_of(name) == path) return Error{ErrorCode::kIo, "not empty: " + path};
  }
  for (const Change& pending : changes_) {
    if (pending.directory == path) pending.apply(durable_names_);
  }
  std::erase_if(changes_, [&](const Change& pending) { return pending.directory == path; });
  directories_.erase(path);
  return {};
}

Result<> FaultFileSystem::sync_directory(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (Result<> alive = operate(); !alive) return alive;
  for (const Change& pending : changes_) {
    if (pending.directory == path) pending.apply(durable_names_);
  }
  std::erase_if(changes_, [&](const Change& pending) { return pending.directory == path; });
  return {};
}

Result<std::vector<std::string>> FaultFileSystem::list(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (crashed_) return kDead;
  if (!directories_.contains(path)) return Error{ErrorCode::kNotFound, "cannot list " + path};
  std::vector<std::string> found;
  for (const auto& [name, inode] : names_) {
    if (parent_of(name) == path) found.push_back(name.substr(path.size() + 1));
  }
  for (const std::string& name : directories_) {
    if (parent_of(name) == path) found.push_back(name.substr(path.size() + 1));
  }
  std::sort(found.begin(), found.end());
  return found;
}

Result<size_t> FaultFileSystem::do_pread(Inode& inode, char* to, size_t size, uint64_t offset) {
  const std::lock_guard lock(mutex_);
  if (crashed_) return kDead;
  if (offset >= inode.content.size()) return size_t{0};
  return inode.content.copy(to, size, offset);
}

Result<> FaultFileSystem::do_pwrite(Inode& inode, std::string_view bytes, uint64_t offset) {
  const std::lock_guard lock(mutex_);
  bool dies = false;
  if (Result<> alive = operate(&dies); !alive) return alive;
  ++pwrites_;
  const bool fails = failing_pwrite_ && (*failing_pwrite_)-- == 0;
  if (dies || fails) {
    write_sectors(inode, bytes.substr(0, random_.below(bytes.size() + 1)), offset);
    return dies ? kDead : Error{ErrorCode::kIo, "the disk refused a write"};
  }
  const uint64_t grown = offset + bytes.size() - std::min<uint64_t>(offset + bytes.size(), inode.content.size());
  if (grown > 0 && capacity_ != UINT64_MAX && used_locked() + grown > capacity_) {
    return Error{ErrorCode::kFull, "no space left on device"};
  }
  write_sectors(inode, bytes, offset);
  return {};
}

void FaultFileSystem::write_sectors(Inode& inode, std::string_view bytes, uint64_t offset) {
  if (bytes.empty()) return;
  const uint64_t end = offset + bytes.size();
  if (inode.content.size() < end) inode.content.resize(end, '\0');
  inode.content.replace(offset, bytes.size(), bytes);
  for (size_t sector = offset / kSectorBytes; sector * kSectorBytes < end; ++sector) {
    inode.unsynced[sector].push_back(inode.content.substr(sector * kSectorBytes, kSectorBytes));
    inode.dropped.erase(sector);
  }
}

Result<> FaultFileSystem::do_datasync(Inode& inode) {
  const std::lock_guard lock(mutex_);
  if (Result<> alive = operate(); !alive) return alive;
  ++datasyncs_;
  if (failing_datasync_ && (*failing_datasync_)-- == 0) {
    for (const auto& [sector, versions] : inode.unsynced) inode.dropped.insert(sector);
    return Error{ErrorCode::kIo, "the disk refused a sync"};
  }
  for (auto it = inode.unsynced.begin(); it != inode.unsynced.end();) {
    if (inode.dropped.contains(it->first)) {
      ++it;
      continue;
    }
    const std::string& last = it->second.back();
    const size_t begin = it->first * kSectorBytes;
    if (inode.durable.size() < begin + last.size()) inode.durable.resize(begin + last.size(), '\0');
    inode.durable.replace(begin, last.size(), last);
    it = inode.unsynced.erase(it);
  }
  return {};
}

}  // namespace capstan::lmdb_store
