// A shard on the worker that owns it: the only place where the logs meet. Commands are evaluated here, their net effect
// becomes a record of log R, is appended to the worker's journal batch and joined into the keyspace at once; the worker
// writes the batch at the end of the loop turn and only then lets the replies go. With one voter (this node) a record
// is committed when the journal has it (written, or synced with appendfsync always); there is nothing to take back,
// because a journal that cannot be written stops the node.
//
// All methods are called on the owning worker's thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/hlc.h"
#include "base/result.h"
#include "lmdb-store/flush_thread.h"
#include "lmdb-store/journal.h"
#include "lmdb-store/keyspace.h"
#include "lmdb-store/read_pool.h"
#include "server/command.h"
#include "server/level.h"

namespace capstan {

class Shard {
 public:
  struct Options {
    lmdb_store::Keyspace::Options keyspace;
    uint64_t journal_limit = uint64_t{4} << 30;  // bytes of unreleased journal from which a flush starts
    // A tail of log R that was written but not synced may be lost when the system crashes (appendfsync everysec, no).
    bool tail_may_be_lost = true;
    // The identity of this boot of the system; empty: ask the system.
    std::string boot;
  };
  // What a shard uses of its worker; all outlive it.
  struct Services {
    lmdb_store::ReadPool& read_pool;
    lmdb_store::FlushThread& flush_thread;
    lmdb_store::Completions& completions;  // drained by the worker
  };

  // Opens or creates the shard's environment under directory. Journal entries are then fed by replay(), in order,
  // before the first command.
  static Result<std::unique_ptr<Shard>> open(ShardId id, const std::string& directory, Services services,
                                             const Options& options);
  ~Shard();

  Result<> replay(uint8_t entry_type, uint64_t position, std::string_view payload);
  // What LMDB contains of the journals: for the recovery, which comes before start().
  lmdb_store::Position flushed_position() const;
  // After the last replay(). The journal of this start; outlives the shard. tail_cut: the recovery cut off entries that
  // had been written; log R then gets a new identity (model, "Identities").
  Result<> start(lmdb_store::Journal& journal, bool tail_cut = false);
  // When appendfsync changes.
  void set_tail_may_be_lost(bool may_be_lost);

  // Evaluates one command as one record. Before anything else it makes sure that the rows of its keys are in memory:
  // kFetch if not. On kDone the reply is written (to be released after the journal's write of this turn) and the effect
  // is appended and joined. A write that the journal or memory has no room for answers -MISCONF or -OVERLOADED.
  Outcome run(const CommandSpec& spec, Call& call, Level level);

  // One atomic record of several commands (EXEC): all between begin() and end() see each other's effects.
  // resident(): run's first step alone, for every command before begin(); false: call fetch() and try again later.
  bool resident(const CommandSpec& spec, const Call& call);
  Result<> begin_transaction(Level level, int64_t now_ms, bool writes);
  Outcome run_in_transaction(const CommandSpec& spec, Call& call);
  // An error (it writes, and the journal has no room): nothing of the transaction took effect.
  Result<> end_transaction();

  // After kFetch, or resident() == false: reads the missing rows (inline or by the pool) and then calls ready, on this
  // thread, perhaps before it returns.
  void fetch(std::function<void()> ready);

  // The key's digest as WATCH remembers it (0 for a missing or expired key); nullopt: fetch() first.
  std::optional<uint64_t> digest(const KeyRef& key, int64_t now_ms);

  // Called once per loop turn after the batch was written: bounded slices of background work (expiry, eviction, marking
  // flushed rows, starting a flush). True if there is more to do soon (the worker then does not sleep long).
  bool turn(int64_t now_ms);
  // Expires keys in the background (DEBUG SET-ACTIVE-EXPIRE).
  void set_active_expiry(bool on);
  // A write would have to wait for memory or for the journal's next segment: writers should be parked.
  bool overloaded() const;

  // A durable checkpoint: flushes everything; done(result) is called on this thread.
  void checkpoint(std::function<void(Result<>)> done);
  // Waits for the flush that is under way, and, if asked to, flushes the rest (shutdown, on this thread, may block).
  Result<> close(bool flush);

  ShardId id() const;
  lmdb_store::Keyspace& keyspace();
  struct Stats {
    uint64_t expired_keys = 0;
    uint64_t keyspace_hits = 0;  // keys that commands which only read found, or did not find
    uint64_t keyspace_misses = 0;
    uint64_t records = 0;
    uint64_t flushes = 0;
    uint64_t flushed_rows = 0;
    int64_t last_flush_ms = 0;  // wall clock of the last flush that ended well; 0: none since the start
    bool last_flush_failed = false;
  };
  const Stats& stats() const;
  // CONFIG RESETSTAT: of what clients did.
  void reset_stats();

 private:
  class Impl;
  explicit Shard(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace capstan
