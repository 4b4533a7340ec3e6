#include "lmdb-store/lmdb_environment.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <chrono>
#include <utility>

#include "base/bytes.h"
#include "lmdb-store/file.h"
#include "lmdb-store/lmdb_transactions.h"

namespace capstan::lmdb_store {
namespace {

constexpr std::array<const char*, kTables> kTableNames = {"meta", "keys", "elements", "expiry", "slots"};
constexpr std::string_view kFormatKey = "format";
constexpr uint32_t kFormat = 2;
constexpr mdb_mode_t kFileMode = 0640;
// So long reopen() waits for views to end by themselves before it lets new ones wait.
constexpr std::chrono::milliseconds kPatience{20};

ErrorCode code_of(int code) {
  switch (code) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case ENOMEM:  // no address space for the map, or no memory for the batch
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case MDB_READERS_FULL:
      return ErrorCode::kFull;
    case ENOENT:
      return ErrorCode::kNotFound;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_PANIC:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
    case MDB_NOTFOUND:  // a table that must exist
      return ErrorCode::kCorrupt;
    default:
      return ErrorCode::kIo;
  }
}

// LMDB reports a write that came short as EIO. Writing on where the file ends tells whether the disk is full: 0 if it
// is not, else the reason. Pages beyond the last committed one hold nothing, so this changes nothing.
int reason_of_short_write(MDB_env* env) {
  int file = -1;
  struct stat status {};
  if (mdb_env_get_fd(env, &file) != 0 || ::fstat(file, &status) != 0) return 0;
  const std::string zeros(65536, '\0');
  size_t done = 0;
  while (done < zeros.size()) {
    const ssize_t n =
        ::pwrite(file, zeros.data() + done, zeros.size() - done, status.st_size + static_cast<off_t>(done));
    if (n <= 0) return errno;
    done += static_cast<size_t>(n);
  }
  return 0;
}

}  // namespace

LmdbEnvironment::LmdbEnvironment(std::string directory, const Options& options)
    : directory_(std::move(directory)), options_(options) {}

LmdbEnvironment::~LmdbEnvironment() {
  CHECK(views_ == 0 && !writing_, "a view or a batch outlives its environment");
  close_environment();
}

Result<std::unique_ptr<LmdbEnvironment>> LmdbEnvironment::open(std::string directory, const Options& options) {
  std::unique_ptr<LmdbEnvironment> environment(new LmdbEnvironment(std::move(directory), options));
  const std::string& path = environment->directory_;
  FileSystem& files = posix_file_system();
  if (!options.read_only) {
    if (Result<> made = files.make_directory(path); !made) return made.error();
  }
  if (Result<> opened = environment->open_environment(options.min_map_bytes); !opened) return opened.error();
  if (!options.read_only) {
    // So that a new environment survives a power loss.
    if (Result<> synced = files.sync_directory(path); !synced) return synced.error();
    if (Result<> synced = files.sync_directory(path + "/.."); !synced) return synced.error();
  }
  return environment;
}

Result<> LmdbEnvironment::open_environment(uint64_t map_bytes) {
  struct stat status {};
  if (::stat((directory_ + "/data.mdb").c_str(), &status) == 0) {
    map_bytes = std::max(map_bytes, std::bit_ceil(2 * static_cast<uint64_t>(status.st_size)));
  }
  if (const int code = mdb_env_create(&env_); code != MDB_SUCCESS) return error(code, "create");
  // Pages are read one by one where a look-up needs them, so reading ahead would only push others out of the cache.
  unsigned flags = MDB_NOTLS | MDB_NORDAHEAD | MDB_NOMEMINIT;
  if (options_.read_only) flags |= MDB_RDONLY;
  int code = mdb_env_set_mapsize(env_, map_bytes);
  if (code == MDB_SUCCESS) code = mdb_env_set_maxreaders(env_, options_.max_readers);
  if (code == MDB_SUCCESS) code = mdb_env_set_maxdbs(env_, kTables);
  if (code == MDB_SUCCESS) code = mdb_env_open(env_, directory_.c_str(), flags, kFileMode);
  if (code == MDB_SUCCESS) code = open_tables();
  if (code != MDB_SUCCESS) {
    close_environment();
    return error(code, "open");
  }
  map_bytes_ = map_bytes;
  update_size();
  return {};
}

// Opens the tables, or creates them and says of which format they are. Writes nothing to an environment that is there.
int LmdbEnvironment::open_tables() {
  MDB_txn* txn = nullptr;
  int code = mdb_txn_begin(env_, nullptr, options_.read_only ? MDB_RDONLY : 0, &txn);
  if (code != MDB_SUCCESS) return code;
  for (unsigned i = 0; i < kTables && code == MDB_SUCCESS; ++i) {
    code = mdb_dbi_open(txn, kTableNames[i], options_.read_only ? 0 : MDB_CREATE, &tables_[i]);
  }
  if (code == MDB_SUCCESS) {
    char format[sizeof kFormat];
    store_le(format, kFormat);
    MDB_val key = to_val(kFormatKey), value{};
    const unsigned meta = tables_[index_of(Table::kMeta)];
    MDB_stat stat{};
    mdb_stat(txn, meta, &stat);
    if (stat.ms_entries == 0 && !options_.read_only) {
      value = to_val({format, sizeof format});
      code = mdb_put(txn, meta, &key, &value, 0);
    } else {
      code = mdb_get(txn, meta, &key, &value);
      if (code == MDB_SUCCESS && to_view(value) != std::string_view(format, sizeof format)) code = MDB_VERSION_MISMATCH;
    }
  }
  if (code == MDB_SUCCESS) return mdb_txn_commit(txn);
  mdb_txn_abort(txn);
  return code;
}

void LmdbEnvironment::close_environment() {
  for (MDB_txn* txn : idle_reads_) mdb_txn_abort(txn);
  idle_reads_.clear();
  if (env_ != nullptr) mdb_env_close(std::exchange(env_, nullptr));
}

Result<> LmdbEnvironment::reopen(uint64_t map_bytes) {
  std::unique_lock lock(mutex_);
  const auto no_view = [this] { return views_ == 0; };
  if (!views_end_.wait_for(lock, kPatience, no_view)) {
    gate_closed_ = true;
    views_end_.wait(lock, no_view);
  }
  close_environment();
  Result<> opened = open_environment(std::max(map_bytes, map_bytes_));
  // With the old map if there is no address space for a larger one, so that reads go on.
  if (!opened) (void)open_environment(map_bytes_).ok();
  gate_closed_ = false;
  gate_opens_.notify_all();
  return opened;
}

Result<MDB_txn*> LmdbEnvironment::begin_read() {
  for (;;) {
    MDB_txn* txn = nullptr;
    {
      std::unique_lock lock(mutex_);
      gate_opens_.wait(lock, [this] { return !gate_closed_; });
      if (env_ == nullptr) return Error{ErrorCode::kIo, "LMDB environment " + directory_ + " could not be reopened"};
      ++views_;
      if (!idle_reads_.empty()) {
        txn = idle_reads_.back();
        idle_reads_.pop_back();
      }
    }
    const int code = txn != nullptr ? mdb_txn_renew(txn) : mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn);
    if (code == MDB_SUCCESS) return txn;
    end_read(txn, false);
    // The process that writes has grown it beyond this one's map.
    if (code != MDB_MAP_RESIZED || !options_.read_only) return error(code, "read");
    if (Result<> reopened = reopen(0); !reopened) return reopened.error();
  }
}

void LmdbEnvironment::end_read(MDB_txn* txn, bool reusable) {
  if (reusable) {
    mdb_txn_reset(txn);
  } else if (txn != nullptr) {
    mdb_txn_abort(txn);
  }
  std::lock_guard lock(mutex_);
  if (reusable) idle_reads_.push_back(txn);
  if (--views_ == 0) views_end_.notify_all();
}

Result<std::unique_ptr<ReadView>> LmdbEnvironment::read() {
  Result<MDB_txn*> txn = begin_read();
  if (!txn) return txn.error();
  return std::unique_ptr<ReadView>(std::make_unique<LmdbView>(*this, *txn));
}

Result<> LmdbEnvironment::make_room(uint64_t expected_bytes) {
  // A batch writes each page that it touches anew, and leaves are two thirds full on average.
  const uint64_t wanted = std::bit_ceil(2 * size_bytes() + 3 * expected_bytes);
  const uint64_t map_bytes = std::max(wanted, map_was_full_ ? 2 * map_bytes_ : 0);
  // After a failed batch also without growth: LMDB may have shut itself off, and the batch's memory is given back.
  if (env_ != nullptr && map_bytes <= map_bytes_ && !batch_failed_) return {};
  if (Result<> reopened = reopen(map_bytes); !reopened) return reopened;
  batch_failed_ = false;
  map_was_full_ = false;
  return {};
}

Result<std::unique_ptr<WriteBatch>> LmdbEnvironment::write(uint64_t expected_bytes) {
  CHECK(!options_.read_only);
  CHECK(!writing_.exchange(true), "one writer at a time");
  Result<> ready = fatal_ ? Result<>(*fatal_) : make_room(expected_bytes);
  if (ready) {
    // A process that died with a view open would keep old pages for ever.
    int dead = 0;
    mdb_reader_check(env_, &dead);
    MDB_txn* txn = nullptr;
    const int code = mdb_txn_begin(env_, nullptr, 0, &txn);
    if (code == MDB_SUCCESS) return std::unique_ptr<WriteBatch>(std::make_unique<LmdbBatch>(*this, txn));
    ready = write_error(code, "begin a batch");
  }
  end_write();
  return ready.error();
}

Error LmdbEnvironment::error(int code, const char* what) const {
  return Error{code_of(code), "LMDB environment " + directory_ + ": cannot " + what + ": " + mdb_strerror(code)};
}

Error LmdbEnvironment::write_error(int code, const char* what) {
  if (code == EIO) {
    if (const int reason = reason_of_short_write(env_); reason != 0) code = reason;
  }
  Error failure = error(code, what);
  batch_failed_ = true;
  if (code == MDB_MAP_FULL) map_was_full_ = true;
  if (failure.code != ErrorCode::kFull) fatal_ = failure;
  return failure;
}

void LmdbEnvironment::update_size() {
  MDB_envinfo info{};
  MDB_stat stat{};
  mdb_env_info(env_, &info);
  mdb_env_stat(env_, &stat);
  file_bytes_.store((info.me_last_pgno + 1) * stat.ms_psize, std::memory_order_relaxed);
}

Result<LmdbEnvironment::Statistics> LmdbEnvironment::statistics() {
  Result<MDB_txn*> txn = begin_read();
  if (!txn) return txn.error();
  Statistics result;
  result.map_bytes = map_bytes_;
  result.file_bytes = size_bytes();
  uint64_t pages = 0;
  for (unsigned i = 0; i < kTables; ++i) {
    MDB_stat stat{};
    mdb_stat(*txn, tables_[i], &stat);
    result.tables[i] = {stat.ms_entries, stat.ms_depth, stat.ms_branch_pages, stat.ms_leaf_pages,
                        stat.ms_overflow_pages};
    result.page_bytes = stat.ms_psize;
    pages += stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
  }
  result.used_bytes = pages * result.page_bytes;
  end_read(*txn, true);
  return result;
}

Result<> LmdbEnvironment::copy_to(const std::string& directory) {
  FileSystem& files = posix_file_system();
  if (Result<> made = files.make_directory(directory); !made) return made;
  Result<MDB_txn*> txn = begin_read();  // keeps reopen() away
  if (!txn) return txn.error();
  const int code = mdb_env_copy2(env_, directory.c_str(), MDB_CP_COMPACT);
  end_read(*txn, true);
  if (code != MDB_SUCCESS) return error(code, "copy");
  Result<std::unique_ptr<File>> copy = files.open(directory + "/data.mdb", FileSystem::Open::kExisting);
  if (!copy) return copy.error();
  if (Result<> synced = (*copy)->datasync(); !synced) return synced;
  if (Result<> synced = files.sync_directory(directory); !synced) return synced;
  return files.sync_directory(directory + "/..");
}

Result<> LmdbEnvironment::release_memory() {
  CHECK(!writing_.exchange(true), "one writer at a time");
  Result<> reopened = reopen(0);
  end_write();
  return reopened;
}

}  // namespace capstan::lmdb_store
