// What a shard is made of, shared by the files that implement it: shard.cc (commands and their records), shard_start.cc
// (opening, recovery, the group), shard_flush.cc (background work).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lmdb-store/lmdb_environment.h"
#include "server/group_member.h"
#include "server/shard.h"

namespace capstan {

// Types of journal entries (FORMAT.md, "Journal entries"); raft_journal.h has the others.
inline constexpr uint8_t kIdentityEntry = 1;  // log R's identity from here on, and what a crash of the system may take
inline constexpr uint8_t kRecordEntry = 2;    // a record of log R

inline constexpr size_t kEvictionSlice = 2'000;
// Room in the journal that a write command must find before it is evaluated; what large values need on top is seen when
// they are encoded.
inline constexpr uint64_t kMinimalRoom = 64 * 1024;

uint64_t random_word();
// Changes with every boot of the system, so that a crash of the system is told from one of the process. Where that is
// not to be had, every start counts as a boot.
std::string boot_identity();

class Shard::Impl {
 public:
  Impl(ShardId own_id, Services its_services, const Options& its_options,
       std::unique_ptr<lmdb_store::LmdbEnvironment> on_disk, std::unique_ptr<lmdb_store::Keyspace> in_memory)
      : id(own_id),
        services(std::move(its_services)),
        options(its_options),
        environment(std::move(on_disk)),
        keyspace(std::move(in_memory)),
        evaluation(*keyspace),
        boot(its_options.boot.empty() ? boot_identity() : its_options.boot),
        tail_may_be_lost(its_options.tail_may_be_lost),
        replay_flush_bytes(its_options.keyspace.dirty_bytes) {}

  const ShardId id;
  const Services services;
  const Options options;
  std::unique_ptr<lmdb_store::LmdbEnvironment> environment;
  std::unique_ptr<lmdb_store::Keyspace> keyspace;
  Evaluation evaluation;
  lmdb_store::Journal* journal = nullptr;
  HybridClock clock;
  LogId log;  // R
  uint64_t next_number = 1;
  std::string boot;  // of the system that runs now
  bool tail_may_be_lost;
  uint64_t replay_flush_bytes;  // dirty rows from which replay() flushes
  Stats stats;
  std::vector<lmdb_store::WantedRow> wanted;
  bool transaction_writes = false;
  ReplyGate gate;  // of the last command

  // --- where several nodes agree on log R
  std::optional<StoredGroup> stored_group;  // what LMDB had at the start
  std::optional<RaftRecovery> recovery;     // until start()
  std::unique_ptr<GroupMember> member;      // nullptr: one voter, or the cluster is not founded yet
  bool active_expiry = true;
  int64_t next_expiry_ms = 0;
  bool expiry_slice_was_full = false;

  // --- flushing
  std::shared_ptr<lmdb_store::FlushJob> job;  // until its rows are marked clean
  bool sync_requested = false;                // of the journal, up to job_position
  bool submitted = false;                     // after that sync
  lmdb_store::Position job_position = 0;      // of the journal: its rows contain no entries from there on
  bool flush_soon = false;                    // what was replayed: it keeps earlier starts' segments
  int64_t last_write_ms = 0;
  uint64_t applied_seen = 0;  // of log R, in the latest turn as a follower
  int64_t retry_flush_ms = 0;
  struct Waiter {
    lmdb_store::Position position;
    std::function<void(Result<>)> done;
  };
  std::vector<Waiter> waiters;

  void begin(Level level, int64_t now_ms);
  std::optional<Outcome> repeat(Call& call, Level level);
  void remember(const RequestId& request, const Remembered& result);
  // Makes a record of what was evaluated.
  Result<> propose();
  Result<> propose_to_group();
  // Of a command that was just evaluated. True if its reply has to wait for `gate`.
  bool gated(Level level);
  bool promised() const;
  Result<> promise();
  // While the disk has space, an append that meets no prepared segment waits for one.
  bool room() const { return journal->room() >= kMinimalRoom || !journal->full(); }
  bool may_write(const CommandSpec& spec) const { return (spec.flags & kWrite) == 0 || room(); }
  void count_lookups(const CommandSpec& spec);
  void collect(const CommandSpec& spec, const Call& call);
  bool pending(Database database, std::string_view name) const {
    return member && !member->pending().empty() && member->pending().find(database, name) != nullptr;
  }
  void join_group(consensus::Recovered recovered, lmdb_store::Position first_unapplied);
  Result<> check_kind_of_data() const;
  bool store_group(const StoredGroup& stored);

  bool expire(int64_t now_ms);
  void notice_others_writes(int64_t now_ms);
  bool wants_flush(int64_t now_ms) const;
  void start_flush();
  void submit_flush();
  bool continue_flush(int64_t now_ms);
  void end_flush(int64_t now_ms);
  void end_waiting(const Result<>& result);
  // position: everything of the shard below it in the journals is applied.
  Result<> flush_now(lmdb_store::Position position);
  std::shared_ptr<lmdb_store::FlushJob> begin_flush(lmdb_store::Position position, uint64_t bytes);
  lmdb_store::Position flushable_position() const { return member ? member->flushable_position() : journal->end(); }
};

}  // namespace capstan
