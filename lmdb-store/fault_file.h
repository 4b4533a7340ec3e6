// A file system in memory that breaks on purpose: for tests and the simulator, never for a server. It keeps apart what
// files hold and what of it would survive a power loss, and can stop the world at any operation.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "lmdb-store/file.h"

namespace capstan::lmdb_store {

// The unit that a disk writes whole or not at all.
inline constexpr size_t kSectorBytes = 512;

class FaultFileSystem : public FileSystem {
 public:
  explicit FaultFileSystem(uint64_t seed) : random_(seed) {}

  // Faults. Operations are those that change something: creations, writes, syncs, renames, removals.
  uint64_t operations() const;
  // The process dies in the operation with this number (counted from 0): a write is carried out in part, everything
  // else not at all, and it and all later operations fail.
  void crash_at(uint64_t operation);
  bool crashed() const;
  // The process is gone; what it did is there. Clears all faults.
  void restart();
  // The power fails: of what was not synced, each sector keeps its content as of the last sync or as of some write
  // since, and of each directory's changes some are lost, the last first. Clears all faults.
  void lose_power();
  // The n-th datasync from now (0: the next) fails, and with it what it should have made durable.
  void fail_datasync(uint64_t n);
  // The n-th pwrite from now fails, after it has written some of its bytes.
  void fail_pwrite(uint64_t n);
  // Space that files may take together from now on.
  void set_capacity(uint64_t bytes);
  uint64_t used_bytes() const;
  // Inverts a bit of what is on the disk.
  void flip_bit(const std::string& path, uint64_t offset, unsigned bit);

  // Looking at it.
  std::string content(const std::string& path) const;
  void overwrite(const std::string& path, uint64_t offset, std::string_view bytes);
  std::vector<std::string> paths() const;
  bool exists(const std::string& path) const;
  uint64_t datasyncs() const;
  uint64_t pwrites() const;

  Result<std::unique_ptr<File>> open(const std::string& path, Open mode) override;
  Result<> rename(const std::string& from, const std::string& to) override;
  Result<> unlink(const std::string& path) override;
  Result<> make_directory(const std::string& path) override;
  Result<> remove_directory(const std::string& path) override;
  Result<> sync_directory(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& path) override;

 private:
  class Handle;
  struct Inode {
    std::string content;
    std::string durable;
    // What unsynced sectors held after each write since the last sync; one that a failed sync has dropped keeps its
    // content for readers but is never made durable.
    std::map<size_t, std::vector<std::string>> unsynced;
    std::set<size_t> dropped;
  };
  using Names = std::map<std::string, std::shared_ptr<Inode>>;  // by path
  struct Change {
    std::string directory;
    std::function<void(Names&)> apply;
  };

  // Counts an operation; an error when the process is dead. *dies: it is the one in which it dies.
  Result<> operate(bool* dies = nullptr);
  Result<> change(const std::string& directory, std::function<void(Names&)> apply);
  void write_sectors(Inode& inode, std::string_view bytes, uint64_t offset);
  void lose_sectors(Inode& inode);
  uint64_t used_locked() const;
  void clear_faults();

  Result<size_t> do_pread(Inode& inode, char* to, size_t size, uint64_t offset);
  Result<> do_pwrite(Inode& inode, std::string_view bytes, uint64_t offset);
  Result<> do_datasync(Inode& inode);

  mutable std::mutex mutex_;
  Random random_;
  Names names_;
  Names durable_names_;
  std::vector<Change> changes_;  // not synced
  std::set<std::string> directories_;
  uint64_t operations_ = 0;
  uint64_t datasyncs_ = 0;
  uint64_t pwrites_ = 0;
  std::optional<uint64_t> crash_at_;
  std::optional<uint64_t> failing_datasync_;
  std::optional<uint64_t> failing_pwrite_;
  bool crashed_ = false;
  uint64_t capacity_ = UINT64_MAX;
};

}  // namespace capstan::lmdb_store
