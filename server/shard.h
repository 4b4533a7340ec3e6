// A shard on the worker that owns it: the only place where the logs meet. Commands are evaluated here, their net effect
// becomes a record of log R, is appended to the worker's journal batch and joined into the keyspace at once; the worker
// writes the batch at the end of the loop turn and only then lets the replies go. With one voter (this node) a record
// is committed when the journal has it (written, or synced with appendfsync always); there is nothing to take back,
// because a journal that cannot be written stops the node.
//
// In a cluster the shard's Raft group agrees on log R (group_member.h): only its leader evaluates STRONG commands, on
// applied and pending state, and a reply may have to wait (Outcome::kHeld) until its record commits.
//
// All methods are called on the owning worker's thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/hlc.h"
#include "base/result.h"
#include "lmdb-store/flush_thread.h"
#include "lmdb-store/journal.h"
#include "lmdb-store/keyspace.h"
#include "lmdb-store/read_pool.h"
#include "server/command.h"
#include "server/group_member.h"
#include "server/level.h"
#include "server/once.h"
#include "server/shard_status.h"

namespace capstan {

// What a reply that is held waits for.
struct ReplyGate {
  uint64_t leadership = 0;  // under which its command was evaluated; when that is over, so is the waiting
  consensus::ReadPoint point;
  bool wrote = false;  // it has a record, which may commit all the same
};

class Shard {
 public:
  // Of a node of a cluster.
  struct GroupOptions {
    consensus::Options consensus;  // without its self
    uint64_t log_bytes = uint64_t{64} << 20;
  };
  struct Options {
    lmdb_store::Keyspace::Options keyspace;
    uint64_t journal_limit = uint64_t{4} << 30;  // bytes of unreleased journal from which a flush starts
    // A tail of log R that was written but not synced may be lost when the system crashes (appendfsync everysec, no).
    bool tail_may_be_lost = true;
    // The identity of this boot of the system; empty: ask the system.
    std::string boot;
    std::optional<GroupOptions> group;  // nullopt: one voter, this node
  };
  // What a shard uses of its worker; all outlive it.
  struct Services {
    lmdb_store::ReadPool& read_pool;
    lmdb_store::FlushThread& flush_thread;
    lmdb_store::Completions& completions;  // drained by the worker
    // To another replica of the group; entries are views that end with the call. Unused with one voter.
    std::function<void(const consensus::Message&)> send = {};
    // Where messages for a node of that name are appended; nullptr: it is not connected. The same.
    std::function<resp::OutputBuffer*(std::string_view node)> to_node = {};
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
  // kHeld: as kDone, but the reply has to be taken back from the connection and held until released(reply_gate()).
  // With call.once a repetition is answered with what is remembered, instead.
  // Precondition of a STRONG command in a cluster: member()->serves().
  Outcome run(const CommandSpec& spec, Call& call, Level level);

  // One atomic record of several commands (EXEC): all between begin() and end() see each other's effects.
  // resident(): run's first step alone, for every command before begin(); false: call fetch() and try again later.
  bool resident(const CommandSpec& spec, const Call& call);
  Result<> begin_transaction(Level level, int64_t now_ms, bool writes);
  Outcome run_in_transaction(const CommandSpec& spec, Call& call);
  // What is remembered of the client; nullopt: nothing. And what is to be: part of the transaction's record.
  std::optional<Remembered> recall(const RequestId& id);
  void remember(const RequestId& id, const Remembered& result);
  // kDone or kHeld. An error (it writes, and the journal has no room): nothing of the transaction took effect.
  Result<Outcome> end_transaction(Level level);

  // Of the command or transaction that was evaluated last, if it gave kHeld.
  const ReplyGate& reply_gate() const;
  bool released(const ReplyGate& gate) const;
  // Its leadership is over.
  bool void_gate(const ReplyGate& gate) const;

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

  // --- in a cluster
  bool clustered() const { return clustered_; }
  // The peer that this replica is, durably; nullopt: its group has not been founded here.
  std::optional<consensus::PeerId> founded_as() const;
  // Founds the group: this is one of its first replicas. Durable when it returns. After start(); once in the life of
  // the data.
  Result<> found(consensus::PeerId self, LogId log, const consensus::Configuration& configuration);
  // Another nodes' shard: only its name is known here.
  void set_log(LogId log);
  // The shard's log R; LogId{}: not known yet.
  LogId log() const;
  // nullptr: one voter, or not founded, or other nodes hold the shard.
  GroupMember* member();
  ShardStatus status() const;

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
  class Impl;  // shard_impl.h
  explicit Shard(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
  const bool clustered_;
};

}  // namespace capstan
