// The port to the file system: everything the journal asks of the operating system. POSIX here; fault_file.h has the
// one that tests and the simulator break on purpose. Paths are plain strings with '/'. Objects may be used from several
// threads at once, as file descriptors may.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace capstan::lmdb_store {

// An open file; closed when destroyed. Errors name the file.
class File {
 public:
  virtual ~File() = default;

  // Reads up to `size` bytes; fewer only at the end of the file.
  virtual Result<size_t> pread(char* to, size_t size, uint64_t offset) = 0;
  // Writes all of `bytes`, or fails (kFull when there is no space); after a failure the range holds anything.
  virtual Result<> pwrite(std::string_view bytes, uint64_t offset) = 0;
  // The same where bytes were written before, so that there is space: may copy little into a mapping of the file
  // instead of calling the system. From one thread at a time. What a power loss leaves of it are whole bytes, not whole
  // writes. A disk that then cannot read the page that they lie on ends the process (SIGBUS).
  virtual Result<> overwrite(std::string_view bytes, uint64_t offset) { return pwrite(bytes, offset); }
  // Makes everything written so far survive a power loss. After a failure nothing is known about it, and calling
  // again proves nothing (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
  virtual Result<> datasync() = 0;
  // Has the disk take what was written to the range, and waits for that, without making it durable: a later datasync(),
  // of this file or another, then has less to write at once. A hint, which nothing depends on.
  virtual void write_back(uint64_t, uint64_t) {}
  virtual Result<uint64_t> size() = 0;
};

class FileSystem {
 public:
  enum class Open { kExisting, kCreate };  // kCreate: for writing anew; what was there is gone

  virtual ~FileSystem() = default;

  // Creations, renames and removals survive a power loss only after sync_directory.
  virtual Result<std::unique_ptr<File>> open(const std::string& path, Open mode) = 0;
  // Replaces `to` if it exists.
  virtual Result<> rename(const std::string& from, const std::string& to) = 0;
  virtual Result<> unlink(const std::string& path) = 0;
  // Success if it is there already. The parent must exist.
  virtual Result<> make_directory(const std::string& path) = 0;
  // Fails unless it is empty.
  virtual Result<> remove_directory(const std::string& path) = 0;
  virtual Result<> sync_directory(const std::string& path) = 0;
  // Names in the directory, sorted, without "." and ".."; kNotFound if there is no such directory.
  virtual Result<std::vector<std::string>> list(const std::string& path) = 0;
};

FileSystem& posix_file_system();

// Keeps a second process out of a data directory for as long as it lives (flock on <directory>/lock; the operating
// system drops the lock when the process ends, however it ends).
class DirectoryLock {
 public:
  DirectoryLock(DirectoryLock&& other) noexcept;
  DirectoryLock& operator=(DirectoryLock&&) = delete;
  ~DirectoryLock();

 private:
  friend Result<DirectoryLock> lock_directory(const std::string& directory);
  explicit DirectoryLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

// kExists when another process (or this one) holds it.
Result<DirectoryLock> lock_directory(const std::string& directory);

}  // namespace capstan::lmdb_store
