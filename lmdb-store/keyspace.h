// One shard's keys on its worker: the row table (memtable and cache in one) over the shard's LMDB environment. Records
// are joined here and nowhere else; commands read it through server/evaluation.h.
//
// Everything is called on the owning worker's thread. The flush thread and the read pool only touch what they were
// handed (flush.h, ReadPool jobs).
#pragma once

#include <absl/container/btree_set.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "lmdb-store/collection.h"
#include "lmdb-store/dirty_set.h"
#include "lmdb-store/flush.h"
#include "lmdb-store/log_dictionary.h"
#include "lmdb-store/read_pool.h"
#include "lmdb-store/row_key.h"
#include "lmdb-store/row_table.h"
#include "lmdb-store/slot_statistics.h"
#include "lmdb-store/store.h"
#include "lmdb-store/string_form.h"
#include "quorum/key_state.h"
#include "quorum/record.h"

namespace capstan::lmdb_store {

// A row that is wanted in memory. For key rows: database and key; for element rows: the row's own key.
struct WantedRow {
  bool element = false;
  Database database = 0;
  std::string key;
};

// [generation, big-endian][chunk number, big-endian]: the key of a chunk's row in the table of element rows.
std::string chunk_row_key(uint64_t generation, uint32_t chunk);

class Keyspace {
 public:
  struct Options {
    uint64_t cache_bytes = uint64_t{1} << 30;    // rows in memory; above it clean ones are evicted
    uint64_t dirty_bytes = uint64_t{256} << 20;  // changed rows; a flush starts above it
    uint64_t batch_pages = 32 * 1024;            // pages one LMDB transaction of a flush may copy (4 KiB each)
    // Environments up to this size are taken to be in the page cache and read on the worker itself.
    uint64_t inline_read_bytes = uint64_t{1} << 30;
  };

  // What a key row says, decoded as far as every command needs it.
  struct KeyInfo {
    bool exists = false;
    ElementKind kind = ElementKind::kString;
    int64_t expire_at_ms = kNeverExpires;
    bool expired = false;  // at the time that was asked for; a key that expired still "exists" here
  };

  // Loads identities, clock and statistics from the store. Errors: kCorrupt, kIo.
  static Result<std::unique_ptr<Keyspace>> open(Store& store, const Options& options);
  ~Keyspace();

  // --- joining
  // Rule 1 is the caller's. Rows that are not in memory are read on this thread. Views in the record must not point
  // into rows of the keys it changes.
  void apply(const Record& record, Replay replay);
  const Clock& applied() const { return applied_; }
  Hlc last_stamp() const { return last_stamp_; }

  // --- reading
  enum class Presence { kPresent, kAbsent, kUnknown };
  struct Found {
    Presence presence = Presence::kAbsent;
    TableRow* row = nullptr;  // if present
  };
  // kUnknown: the row must be fetched first (large environments only; small ones are read here, all with at_once).
  Found find(Database database, std::string_view key, uint64_t hash, bool at_once = false);
  // Brings what find() and apply() will touch of these keys (hash64 of their names) into the processor's caches, for
  // all of them together: for a caller that has several commands in hand. Changes nothing.
  void prefetch(std::span<const uint64_t> hashes) const;
  Found find_element(uint64_t generation, uint32_t chunk);
  KeyInfo info(const TableRow& row, int64_t now_ms) const { return info(row.payload(), now_ms); }
  KeyInfo info(std::string_view payload, int64_t now_ms) const;
  static KeyInfo info(const StringForm& form, int64_t now_ms);
  KeyInfo info(CollectionForm& form, int64_t now_ms) const;
  // The key's elements, decoded. False if chunks of a long string are not in memory: they are then added to missing.
  bool decode(const TableRow& row, KeyState& out, std::vector<WantedRow>& missing);
  uint64_t digest(const TableRow& row, uint64_t hash) const;
  // A large collection's elements. Pages that are not in memory are read on this thread. Valid until the next call of
  // apply(), evict() or finish_flush().
  Collection& pages(const CollectionForm& form, uint64_t sort_key);
  // [offset, offset + size) of a chunked string, appended to out; as decode.
  bool read_chunks(const StringForm& form, uint64_t offset, uint64_t size, std::string& out,
                   std::vector<WantedRow>& missing);
  // Notes that a command used the row (OBJECT IDLETIME, eviction).
  void use(TableRow& row) {
    row.used_s = clock_s_;
    row.set(TableRow::kUsed);
  }
  uint32_t idle_s(const TableRow& row) const { return clock_s_ - row.used_s; }
  const LogDictionary& logs() const { return logs_; }

  // Reads rows on this thread, and empties the list.
  void read_now(std::vector<WantedRow>& wanted);
  // Reads rows off the worker and calls ready on it when they are in memory (perhaps before it returns, when they can
  // be read at once).
  void fetch(std::vector<WantedRow> wanted, ReadPool& pool, Completions& completions, std::function<void()> ready);

  // --- the whole
  uint64_t keys(Database database) const { return slots_.keys(database); }
  uint64_t expiring_keys(Database database) const { return slots_.expiring(database); }
  const SlotStatistics& slots() const { return slots_; }
  // Keys from a position of the key order on: position = slot (14 bits), then the upper 39 bits of the row's hash.
  // Appends at least `count` keys if there are so many, and all keys of the last position; `next` is where to go on,
  // 0 at the end. Names are copies. With now_ms = kEverything also what has expired, and what is left of a key of which
  // only a TTL survived.
  static constexpr int64_t kEverything = INT64_MIN;
  struct ScannedKey {
    std::string name;
    ElementKind kind = ElementKind::kString;
  };
  void scan(Database database, uint64_t position, size_t count, int64_t now_ms, std::vector<ScannedKey>& out,
            uint64_t& next);
  static constexpr unsigned kPositionBits = 53;

  // Keys whose TTL passed before now_ms, at most `count`: (database, name). Those whose rows cannot be read at once
  // come later.
  void expired_keys(int64_t now_ms, size_t count, std::vector<std::pair<Database, std::string>>& out);

  // --- memory and flushing
  uint64_t memory_bytes() const { return row_bytes_ + page_bytes_ + keys_.index_bytes() + elements_.index_bytes(); }
  uint64_t row_bytes() const { return row_bytes_; }
  uint64_t dirty_bytes() const { return dirty_.bytes() + dirty_page_bytes_; }
  uint64_t rows() const { return keys_.size() + elements_.size(); }
  const Options& options() const { return options_; }
  void set_limits(uint64_t cache_bytes, uint64_t dirty_bytes);
  // Seconds, any origin; the clock of idle times.
  void set_clock(uint32_t now_s) { clock_s_ = now_s; }
  // Evicts clean rows while memory is above cache_bytes, looking at no more than `rows` rows and two for each that was
  // added since the last call (CLOCK passes a used row once), so that it keeps up. True if more is to do.
  bool evict(size_t rows);

  // Takes the next buckets of dirty rows, of about so many bytes, as they are now (flush.h); kWhole: all of them, as a
  // round of their own. position: the end of the journals; everything of the shard below it has been applied. The
  // caller runs the job on the flush thread, after the journal is synced up to there, and then calls finish_flush().
  // Precondition: no job is under way, and there is something to flush.
  static constexpr uint64_t kWhole = UINT64_MAX;
  std::shared_ptr<FlushJob> begin_flush(Position position, uint64_t bytes);
  bool flushing() const { return flushing_ != nullptr; }
  uint64_t flushing_bytes() const { return flushing_ ? flushing_->bytes : 0; }
  // Of a round's rows, the share that was taken; 0 between rounds.
  double flush_progress() const;
  bool needs_flush() const {
    return !dirty_.empty() || cleared_any_ || applied_ != flushed_ || agreed_ != flushed_agreed_ ||
           group_ != flushed_group_;
  }
  // LMDB holds rows newer than what was applied: when the start is over, records are missing that they contain.
  bool has_newer_rows() const { return !applied_.covers(newest_); }
  // Takes these records for applied, so that contexts cover what the rows name.
  void accept_newer_rows();
  // Log R as the node goes on with it; stored with the state.
  const AgreedLog& agreed_log() const { return agreed_; }
  void set_agreed_log(AgreedLog log) { agreed_ = std::move(log); }
  // What StoredState::group becomes with the next round of flushes that begins.
  const std::string& group_state() const { return group_; }
  void set_group_state(std::string state) { group_ = std::move(state); }
  // --- rebuilding from another replica (model, "Rebuild")
  // Forgets every key, in LMDB with the next flush. What was applied stays named until end_rebuild().
  void begin_rebuild();
  // A key as the source had it, when that had applied what as_of covers. Precondition: it was not installed since
  // begin_rebuild().
  void install(Database database, std::string_view key, const KeyState& state, const Clock& as_of);
  // All keys are here: everything up to `applied` is contained, and rows are as of clocks up to `newest`.
  void end_rebuild(const Clock& applied, const Clock& newest, Hlc newest_stamp);
  // A key with everything in it, read on this thread. False: there is none.
  bool state_of(Database database, std::string_view key, KeyState& state);

  // After the job ended: marks its rows clean, a slice of them per call; true while there is more to do. If the job
  // failed, its rows become dirty again, and the round goes on with them.
  bool finish_flush();
  // find() never answers kUnknown.
  bool reads_at_once() const { return complete_ || store_.size_bytes() <= options_.inline_read_bytes; }
  // What LMDB holds: a state that contains everything of the shard below this position of the journals.
  const Clock& flushed() const { return flushed_; }
  Position flushed_position() const { return flushed_position_; }

 private:
  // A large collection of which something is in memory.
  struct Large {
    Database database = 0;
    std::unique_ptr<Collection> collection;
    // What page_bytes_ and dirty_page_bytes_ have of it.
    uint64_t memory_bytes = 0;
    uint64_t dirty_bytes = 0;
    bool listed = false;  // in dirty_collections_
  };
  struct Target {
    Database database;
    std::string_view key;
    uint64_t hash;
    TableRow* row;  // nullptr: no row in memory (and none on disk)
  };

  Keyspace(Store& store, const Options& options);
  Result<> load();

  // keyspace_join.cc
  void apply_clear(Database database, const RecordHead& head);
  void drop_databases(std::span<const Database> databases);
  void apply_key(const KeyEffect& effect, const RecordHead& head, Replay replay);
  bool join_string(Target& target, const KeyEffect& effect, const RecordHead& head, Replay replay);
  bool join_amend(StringForm& form, const ElementEffect& effect, const RecordHead& head, Replay replay, uint16_t log);
  void join_general(Target& target, const KeyEffect& effect, const RecordHead& head, Replay replay);
  bool covers(const StringForm& form, const Clock& context) const;
  bool contains(const StringForm& form, const Dot& dot) const;
  bool contains(const TableRow& row, const KeyState& state, const Dot& dot) const;
  RowStanding standing(const TableRow* row, uint64_t hash) const;
  void account(const Target& target, uint64_t sort_key, const RowStanding& before, const RowStanding& after);
  void store_state(Target& target, const KeyState& state, const Clock& as_of);
  static void general_payload(const KeyState& state, std::string& payload);
  void store_payload(Target& target, std::string_view payload, const RowStanding& before);
  bool compact(const KeyState& state, StringForm& form);
  void store_form(Target& target, const StringForm& form, const RowStanding& before);
  void store_absent(Target& target, const RowStanding& before);

  // keyspace_collections.cc
  bool join_collection(Target& target, const KeyEffect& effect, const RecordHead& head, Replay replay);
  void store_collection(Target& target, CollectionForm& form, Elements& elements, const RowStanding& before);
  bool store_as_collection(Target& target, const KeyState& state, const Clock& as_of, const RowStanding& before);
  Large& large_of(const CollectionForm& form, uint64_t sort_key);
  Large& new_large(const Target& target, CollectionForm& form);
  void account_pages(Large& large);
  void drop_collection(uint64_t generation);
  bool free_dropped(size_t pages);
  void evict_pages(size_t pages);
  bool expired(CollectionForm& form, int64_t now_ms) const;

  // keyspace_flush.cc
  struct Fetch;
  void take_collections(FlushJob& job);
  void add_fetched(const Fetch& fetch);
  void finish_row(TableRow* row, bool failed);
  void drop_expiry(const TableRow& row);

  void note_newest(const Clock& newest, Hlc stamp);

  // keyspace_scan.cc
  std::vector<TableRow*> changed_rows(size_t bucket, uint64_t from, const FlushJob* flushed);
  void stored_expired_keys(int64_t now_ms, size_t count, std::vector<std::pair<Database, std::string>>& out);
  bool visible(std::string_view payload, int64_t now_ms, ElementKind& kind) const;

  // keyspace_chunks.cc
  // bucket: of the string's key.
  void write_chunks(uint64_t generation, std::string_view value, size_t bucket);
  void splice_chunks(StringForm& form, uint64_t offset, std::string_view bytes, size_t bucket);
  // The chunks of a value that is no more.
  void drop_chunks(const StringForm& form, size_t bucket);
  TableRow* chunk(uint64_t generation, uint32_t index);

  // keyspace.cc
  TableRow* read_key_row(Database database, std::string_view key, uint64_t hash);
  TableRow* read_element_row(std::string_view key, uint64_t hash);
  // A row for the key with room for the payload, dirty, in the table; `old` is its row so far or nullptr.
  TableRow* writable(RowTable& table, TableRow* old, uint64_t sort_key, std::string_view key, uint64_t hash,
                     size_t payload_bytes, size_t bucket);
  bool in_flush(const TableRow& row) const { return flushing_ && row.has(TableRow::kDirty) && !dirty_.names(&row); }
  // Takes the row out of its table and frees it, or lets the flush that reads it do so. It is in no dirty set any more.
  void forget_row(RowTable& table, TableRow* row);
  TableRow* add_clean(RowTable& table, uint64_t sort_key, std::string_view key, uint64_t hash, std::string_view payload,
                      bool element);
  void free_row(TableRow* row);
  bool voided(Database database) const;

  Store& store_;
  Options options_;
  std::unique_ptr<const RowKeys> row_keys_;
  RowTable keys_;
  RowTable elements_;
  DirtySet dirty_;
  std::map<uint64_t, Large> collections_;  // by generation
  std::vector<Large*> dirty_collections_;
  std::vector<Collection*> flushing_collections_;
  std::vector<std::unique_ptr<Collection>> dropped_;
  uint64_t evicted_generation_ = 0;  // where evict_pages() goes on
  uint64_t page_bytes_ = 0;
  uint64_t dirty_page_bytes_ = 0;
  std::shared_ptr<FlushJob> flushing_;
  size_t finished_bucket_ = 0;  // of the job that has ended: where finish_flush() goes on
  size_t finished_row_ = 0;
  size_t finished_collection_ = 0;
  // The round of flushes that is under way: its state, the rows there were to write, and what was taken of them.
  StoredState round_;
  size_t round_rows_ = 0;
  size_t round_taken_ = 0;
  size_t next_bucket_ = 0;  // 0: no round is under way
  uint64_t flushes_ = 0;
  LogDictionary logs_;
  Clock applied_;
  Clock flushed_;
  Hlc last_stamp_;
  Clock newest_;  // of the rows that LMDB held when it was opened
  Hlc newest_stamp_;
  LogId ahead_;  // the one log in which they were newer than the clock; none if there are several
  AgreedLog agreed_;
  AgreedLog flushed_agreed_;
  std::string group_;
  std::string flushed_group_;
  Position flushed_position_ = 0;
  SlotStatistics slots_;
  uint64_t next_generation_ = 1;
  uint64_t row_bytes_ = 0;
  size_t added_rows_ = 0;  // since evict() was last called
  uint32_t clock_s_ = 0;
  // LMDB holds nothing but what the table holds: a miss is an absence.
  bool complete_ = false;
  // What LMDB holds of these databases was cleared; the next flush erases it.
  bool cleared_[kDatabases] = {};
  bool cleared_any_ = false;
  // TTLs of rows that are not flushed yet; LMDB has those of the others.
  absl::btree_set<std::pair<int64_t, uint64_t>> expiry_;
  std::string expiry_position_;  // LMDB's expiry index was looked through up to here
  std::string scratch_;
  std::string payload_;
};

}  // namespace capstan::lmdb_store
