#include "lmdb-store/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace capstan::lmdb_store {
namespace {

Error failure(const char* what, const std::string& path) { return system_error(errno, std::string(what) + ' ' + path); }

// Where a page that was written once is overwritten in its place, it cannot run out of space.
bool overwrites_in_place(int descriptor) {
  constexpr long kXfs = 0x58465342;  // linux/magic.h does not have it
  struct statfs status {};
  if (::fstatfs(descriptor, &status) != 0) return false;
  return status.f_type == EXT4_SUPER_MAGIC || status.f_type == kXfs || status.f_type == TMPFS_MAGIC;
}

// A part of a file in memory that moves along with the writes, so that little of the file counts as the process'
// memory.
class Window {
 public:
  ~Window() { unmap(); }

  // Where the file's bytes from `offset` on lie; nullptr if they cannot be mapped.
  char* at(int descriptor, uint64_t offset, size_t size) {
    if (offset < begin_ || offset + size > begin_ + size_) move(descriptor, offset, size);
    return bytes_ == nullptr ? nullptr : bytes_ + (offset - begin_);
  }

 private:
  static constexpr uint64_t kPageBytes = 4096;
  static constexpr uint64_t kBytes = uint64_t{1} << 20;

  void move(int descriptor, uint64_t offset, size_t size) {
    unmap();
    struct stat status {};
    if (!usable_ || ::fstat(descriptor, &status) != 0) return;
    const uint64_t begin = offset & ~(kPageBytes - 1), file = static_cast<uint64_t>(status.st_size);
    const uint64_t end = std::min(begin + kBytes, file & ~(kPageBytes - 1));
    if (offset + size > end) return;
    usable_ = overwrites_in_place(descriptor);
    if (!usable_) return;
    void* const mapped =
        ::mmap(nullptr, end - begin, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, static_cast<off_t>(begin));
    if (mapped == MAP_FAILED) return;
    bytes_ = static_cast<char*>(mapped);
    begin_ = begin;
    size_ = end - begin;
  }
  void unmap() {
    if (bytes_ != nullptr) ::munmap(bytes_, size_);
    bytes_ = nullptr;
    begin_ = size_ = 0;
  }

  bool usable_ = true;
  char* bytes_ = nullptr;
  uint64_t begin_ = 0;
  uint64_t size_ = 0;
};

class PosixFile : public File {
 public:
  PosixFile(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}
  ~PosixFile() override { ::close(descriptor_); }

  Result<size_t> pread(char* to, size_t size, uint64_t offset) override {
    size_t done = 0;
    while (done < size) {
      const ssize_t n = ::pread(descriptor_, to + done, size - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return failure("cannot read", path_);
      if (n == 0) break;
      done += static_cast<size_t>(n);
    }
    return done;
  }

  Result<> pwrite(std::string_view bytes, uint64_t offset) override {
    while (!bytes.empty()) {
      const ssize_t n = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return failure("cannot write", path_);
      bytes.remove_prefix(static_cast<size_t>(n));
      offset += static_cast<uint64_t>(n);
    }
    return {};
  }

  // At one command per turn a pwrite is a sixth of the time. It is cheaper than page faults, though, where many pages
  // are written, or where each was just synced: a page's first write after a sync is a fault.
  Result<> overwrite(std::string_view bytes, uint64_t offset) override {
    const bool often = since_sync_.fetch_add(1, std::memory_order_relaxed) >= kWritesBeforeMapping;
    char* to = nullptr;
    if (often && bytes.size() <= kMaxMappedBytes) to = window_.at(descriptor_, offset, bytes.size());
    if (to == nullptr) return pwrite(bytes, offset);
    std::memcpy(to, bytes.data(), bytes.size());
    return {};
  }

  Result<> datasync() override {
    since_sync_.store(0, std::memory_order_relaxed);
    // No loop on EINTR: whatever kept it from finishing, a second call would not prove anything.
    if (::fdatasync(descriptor_) != 0) return failure("cannot sync", path_);
    return {};
  }

  // Linux. What goes wrong the next datasync() tells.
  void write_back(uint64_t offset, uint64_t size) override {
    (void)::sync_file_range(descriptor_, static_cast<off64_t>(offset), static_cast<off64_t>(size),
                            SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
  }

  Result<uint64_t> size() override {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0) return failure("cannot stat", path_);
    return static_cast<uint64_t>(status.st_size);
  }

 private:
  static constexpr size_t kMaxMappedBytes = 16 * 1024;
  static constexpr uint32_t kWritesBeforeMapping = 16;

  const int descriptor_;
  const std::string path_;
  std::atomic<uint32_t> since_sync_{0};
  Window window_;
};

class PosixFileSystem : public FileSystem {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, Open mode) override {
    const int flags = O_RDWR | O_CLOEXEC | (mode == Open::kCreate ? O_CREAT | O_TRUNC : 0);
    const int descriptor = ::open(path.c_str(), flags, 0640);
    if (descriptor < 0) return failure("cannot open", path);
    return std::unique_ptr<File>(std::make_unique<PosixFile>(descriptor, path));
  }

  Result<> rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return failure("cannot rename", from);
    return {};
  }

  Result<> unlink(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return failure("cannot remove", path);
    return {};
  }

  Result<> make_directory(const std::string& path) override {
    if (::mkdir(path.c_str(), 0750) != 0 && errno != EEXIST) return failure("cannot create directory", path);
    return {};
  }

  Result<> remove_directory(const std::string& path) override {
    if (::rmdir(path.c_str()) != 0) return failure("cannot remove directory", path);
    return {};
  }

  Result<> sync_directory(const std::string& path) override {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return failure("cannot open directory", path);
    const PosixFile directory(descriptor, path);
    if (::fsync(descriptor) != 0) return failure("cannot sync directory", path);
    return {};
  }

  Result<std::vector<std::string>> list(const std::string& path) override {
    DIR* directory = ::opendir(path.c_str());
    if (directory == nullptr) {
      Error error = failure("cannot list", path);
      if (errno == ENOENT) error.code = ErrorCode::kNotFound;
      return error;
    }
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(directory)) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(name);
    }
    const int error_number = errno;
    ::closedir(directory);
    if (error_number != 0) return system_error(error_number, "cannot list " + path);
    std::sort(names.begin(), names.end());
    return names;
  }
};

}  // namespace

FileSystem& posix_file_system() {
  static PosixFileSystem file_system;
  return file_system;
}

DirectoryLock::DirectoryLock(DirectoryLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

DirectoryLock::~DirectoryLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<DirectoryLock> lock_directory(const std::string& directory) {
  const std::string path = directory + "/lock";
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (descriptor < 0) return failure("cannot open", path);
  DirectoryLock lock(descriptor);
  if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno != EWOULDBLOCK) return failure("cannot lock", path);
  return Error{ErrorCode::kExists, directory + " is in use by another process (it holds " + path + ')'};
}

}  // namespace capstan::lmdb_store
