#include "server/shard.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <fstream>
#include <random>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "lmdb-store/lmdb_environment.h"
#include "resp/output_buffer.h"

namespace capstan {
namespace {

using lmdb_store::AgreedLog;
using lmdb_store::Keyspace;
using lmdb_store::LmdbEnvironment;
using lmdb_store::WantedRow;

// Types of journal entries (FORMAT.md, "Journal entries").
constexpr uint8_t kIdentityEntry = 1;  // log R's identity from here on, and what a crash of the system may take of it
constexpr uint8_t kRecordEntry = 2;    // a record of log R

// Room that a write command must find before it is evaluated; what large values need on top is seen when they are
// encoded.
constexpr uint64_t kMinimalRoom = 64 * 1024;
constexpr int64_t kExpiryInterval_ms = 100;
constexpr size_t kExpirySlice = 64;
constexpr int64_t kIdleFlush_ms = 10'000;
constexpr int64_t kRetryFlush_ms = 1'000;
// Of rows; while a flush reads them they cannot be changed in place.
constexpr uint64_t kJobBytes = uint64_t{32} << 20;
constexpr double kFlushFrom = 0.6;  // of journal-limit
constexpr size_t kEvictionSlice = 2'000;

constexpr std::string_view kNoRoom = "MISCONF the disk is full: writes are refused until there is space, reads go on";

uint64_t random_word() {
  std::random_device source;
  return uint64_t{source()} << 32 | source();
}

// Changes with every boot of the system, so that a crash of the system is told from one of the process. Where that is
// not to be had, every start counts as a boot.
std::string boot_identity() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string line;
  if (!std::getline(file, line) || line.empty()) line = std::to_string(random_word());
  return line;
}

}  // namespace

class Shard::Impl {
 public:
  Impl(ShardId own_id, Services its_services, const Options& its_options, std::unique_ptr<LmdbEnvironment> on_disk,
       std::unique_ptr<Keyspace> in_memory)
      : id(own_id),
        services(its_services),
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
  std::unique_ptr<LmdbEnvironment> environment;
  std::unique_ptr<Keyspace> keyspace;
  Evaluation evaluation;
  lmdb_store::Journal* journal = nullptr;
  HybridClock clock;
  LogId log;  // R
  uint64_t next_number = 1;
  std::string boot;  // of the system that runs now
  bool tail_may_be_lost;
  uint64_t replay_flush_bytes;  // dirty rows from which replay() flushes
  Stats stats;
  std::vector<WantedRow> wanted;
  bool transaction_writes = false;
  bool active_expiry = true;
  int64_t next_expiry_ms = 0;
  bool expiry_slice_was_full = false;

  // --- flushing
  std::shared_ptr<lmdb_store::FlushJob> job;  // until its rows are marked clean
  bool sync_requested = false;                // of the journal, up to job_position
  bool submitted = false;                     // after that sync
  lmdb_store::Position job_position = 0;      // its rows contain no entries from there on
  bool flush_soon = false;                    // what was replayed: it keeps earlier starts' segments
  int64_t last_write_ms = 0;
  int64_t retry_flush_ms = 0;
  struct Waiter {
    lmdb_store::Position position;
    std::function<void(Result<>)> done;
  };
  std::vector<Waiter> waiters;

  void begin(Level level, int64_t now_ms);
  Result<> propose();
  bool promised() const;
  Result<> promise();
  // While the disk has space, an append that meets no prepared segment waits for one.
  bool room() const { return journal->room() >= kMinimalRoom || !journal->full(); }
  bool may_write(const CommandSpec& spec) const { return (spec.flags & kWrite) == 0 || room(); }
  void count_lookups(const CommandSpec& spec);
  void collect(const CommandSpec& spec, const Call& call);

  bool expire(int64_t now_ms);
  bool wants_flush(int64_t now_ms) const;
  void start_flush();
  void submit_flush();
  bool continue_flush(int64_t now_ms);
  void end_flush(int64_t now_ms);
  void end_waiting(const Result<>& result);
  Result<> flush_now(lmdb_store::Position position);
};

// --- records

void Shard::Impl::begin(Level level, int64_t now_ms) {
  // Taken over by propose() if there is an effect.
  const Hlc stamp = std::max(Hlc{clock.last().value + 1}, Hlc::at_ms(now_ms));
  const Dot dot{log, next_number};
  Record& record = evaluation.effects().record();
  // Empties the record; its head is set behind that.
  evaluation.begin(level == Level::kStrong, std::max(now_ms, stamp.ms()), {dot, stamp, record.context});
  record.dot = dot;
  record.hlc = stamp;
  record.context = keyspace->applied();
  last_write_ms = now_ms;
}

// Appends what was evaluated to the journal's batch and joins it. One voter: the record is committed with that batch.
Result<> Shard::Impl::propose() {
  Effects& effects = evaluation.effects();
  if (effects.empty()) return {};
  if (!promised()) [[unlikely]] {
    if (Result<> done = promise(); !done) return done;
  }
  const Record& record = effects.record();
  Encoder out(journal->begin_entry(kRecordEntry, id));
  encode_record(record, out);
  if (Result<lmdb_store::Position> position = journal->end_entry(); !position) return position.error();
  clock.advance_to(record.hlc);
  ++next_number;
  keyspace->apply(record, Replay::kNo);
  ++stats.records;
  return {};
}

// Whether a later start will know, whatever happens, that records of this start may be lost.
bool Shard::Impl::promised() const {
  const AgreedLog& last = keyspace->agreed_log();
  return last.boot == boot && last.tail_may_be_lost >= tail_may_be_lost;
}

// Durable before the first record that it is about: were both lost, the next start would name others like the lost
// ones. So the turn waits for the disk here, once per start.
Result<> Shard::Impl::promise() {
  const AgreedLog next{log, boot, tail_may_be_lost};
  Encoder out(journal->begin_entry(kIdentityEntry, id));
  out.u64(next.id.value);
  out.bytes(next.boot);
  out.u8(next.tail_may_be_lost);
  if (Result<lmdb_store::Position> position = journal->end_entry(); !position) return position.error();
  if (Result<lmdb_store::Position> written = journal->write(); !written) return written.error();
  if (Result<> synced = journal->sync(); !synced) return synced;
  keyspace->set_agreed_log(next);
  return {};
}

void Shard::Impl::count_lookups(const CommandSpec& spec) {
  const Evaluation::Lookups lookups = evaluation.take_lookups();
  if ((spec.flags & kReadonly) == 0) return;
  stats.keyspace_hits += lookups.hits;
  stats.keyspace_misses += lookups.misses;
}

void Shard::Impl::collect(const CommandSpec& spec, const Call& call) {
  wanted.clear();
  if (spec.keys.first == 0 || keyspace->reads_at_once()) return;
  const auto count = static_cast<int>(call.args.size());
  const int last = spec.keys.last < 0 ? count + spec.keys.last : spec.keys.last;
  for (int i = spec.keys.first; i <= last && i < count; i += spec.keys.step) {
    const KeyRef key = call.key(static_cast<size_t>(i));
    if (keyspace->find(key.database, key.name, key.hash).presence == Keyspace::Presence::kUnknown) {
      wanted.push_back(WantedRow{false, key.database, std::string(key.name)});
    }
  }
}

Outcome Shard::run(const CommandSpec& spec, Call& call, Level level) {
  Impl& shard = *impl_;
  if (!resident(spec, call)) return Outcome::kFetch;
  resp::OutputBuffer& out = call.writer->out();
  const size_t before = out.size();
  if (!shard.may_write(spec)) [[unlikely]] {
    call.reply().error(kNoRoom);
    return Outcome::kDone;
  }
  shard.begin(level, call.now_ms);
  call.evaluation = &shard.evaluation;
  const Outcome outcome = spec.run(call);
  if (outcome == Outcome::kFetch) {
    shard.wanted = std::move(shard.evaluation.missing_rows());
    return outcome;
  }
  if (outcome != Outcome::kDone) return outcome;
  shard.count_lookups(spec);
  // Without room, what a read would have removed (expired keys) stays; it is hidden all the same.
  if (Result<> proposed = shard.propose(); !proposed && (spec.flags & kWrite) != 0) [[unlikely]] {
    out.truncate(before);
    call.reply().error(kNoRoom);
  }
  return Outcome::kDone;
}

bool Shard::resident(const CommandSpec& spec, const Call& call) {
  impl_->collect(spec, call);
  return impl_->wanted.empty();
}

Result<> Shard::begin_transaction(Level level, int64_t now_ms, bool writes) {
  if (writes && !impl_->room()) return Error{ErrorCode::kFull, std::string(kNoRoom)};
  impl_->transaction_writes = writes;
  impl_->begin(level, now_ms);
  impl_->evaluation.read_at_once(true);
  return {};
}

Outcome Shard::run_in_transaction(const CommandSpec& spec, Call& call) {
  call.evaluation = &impl_->evaluation;
  const Outcome outcome = spec.run(call);
  impl_->count_lookups(spec);
  return outcome;
}

Result<> Shard::end_transaction() {
  impl_->evaluation.read_at_once(false);
  if (Result<> proposed = impl_->propose(); !proposed && impl_->transaction_writes)
    return Error{ErrorCode::kFull, std::string(kNoRoom)};
  return {};
}

void Shard::fetch(std::function<void()> ready) {
  std::vector<WantedRow> wanted = std::move(impl_->wanted);
  impl_->wanted.clear();
  if (wanted.empty()) return ready();
  impl_->keyspace->fetch(std::move(wanted), impl_->services.read_pool, impl_->services.completions, std::move(ready));
}

std::optional<uint64_t> Shard::digest(const KeyRef& key, int64_t now_ms) {
  const Keyspace::Found found = impl_->keyspace->find(key.database, key.name, key.hash);
  if (found.presence == Keyspace::Presence::kUnknown) {
    impl_->wanted.assign(1, WantedRow{false, key.database, std::string(key.name)});
    return std::nullopt;
  }
  if (!found.row) return 0;
  const Keyspace::KeyInfo info = impl_->keyspace->info(*found.row, now_ms);
  return info.exists && !info.expired ? impl_->keyspace->digest(*found.row, key.hash) : 0;
}

// --- start and recovery

Result<std::unique_ptr<Shard>> Shard::open(ShardId id, const std::string& directory, Services services,
                                           const Options& options) {
  auto environment = LmdbEnvironment::open(directory, {});
  if (!environment) return environment.error();
  auto keyspace = Keyspace::open(**environment, options.keyspace);
  if (!keyspace) return keyspace.error();
  auto impl = std::make_unique<Impl>(id, services, options, std::move(*environment), std::move(*keyspace));
  impl->log = impl->keyspace->agreed_log().id;
  return std::unique_ptr<Shard>(new Shard(std::move(impl)));
}

Shard::Shard(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Shard::~Shard() = default;

Result<> Shard::replay(uint8_t entry_type, uint64_t position, std::string_view payload) {
  Impl& shard = *impl_;
  const auto corrupt = [&](std::string_view what) {
    return Error{ErrorCode::kCorrupt, "journal position " + std::to_string(position) + ": " + std::string(what)};
  };
  if (position < shard.keyspace->flushed_position()) return {};
  Decoder in(payload);
  if (entry_type == kIdentityEntry) {
    AgreedLog promise{LogId{in.u64()}, std::string(in.bytes()), in.u8() != 0};
    if (!in.done() || !promise.id.agreed()) return corrupt("malformed identity");
    shard.log = promise.id;
    shard.keyspace->set_agreed_log(std::move(promise));
    return {};
  }
  if (entry_type != kRecordEntry) return corrupt("unknown entry type " + std::to_string(entry_type));
  Record& record = shard.evaluation.effects().record();
  if (!decode_record_into(shard.log, in, record)) return corrupt("malformed record");
  const uint64_t applied = shard.keyspace->applied()[shard.log];
  if (record.dot.number <= applied) return {};
  if (!shard.keyspace->applied().covers(record.context)) return corrupt("a record before its context");
  if (record.dot.number != applied + 1) return corrupt("a gap in log R before " + std::to_string(record.dot.number));
  // LMDB may hold rows newer than its clock, if a flush was cut short (flush.h).
  shard.keyspace->apply(record, Replay::kYes);
  ++shard.stats.records;
  shard.keyspace->evict(kEvictionSlice);
  if (shard.keyspace->dirty_bytes() < shard.replay_flush_bytes) return {};
  Result<> flushed = shard.flush_now(position + 1);
  if (flushed || flushed.error().code != ErrorCode::kFull) return flushed;
  // A node whose disk is full still starts, to be read and to be given space.
  shard.replay_flush_bytes = shard.keyspace->dirty_bytes() * 2;
  return {};
}

Result<> Shard::start(lmdb_store::Journal& journal, bool tail_cut) {
  Impl& shard = *impl_;
  shard.journal = &journal;
  shard.evaluation.effects().reset();
  const AgreedLog& last = shard.keyspace->agreed_log();
  // Records that rows contain are gone (journal-damage truncate). The next ones will have them in their contexts.
  const bool newer_rows = shard.keyspace->has_newer_rows();
  const bool tail_lost = tail_cut || newer_rows || (last.boot != shard.boot && last.tail_may_be_lost);
  if (shard.log == LogId{} || tail_lost) {
    shard.log = LogId{LogId::kAgreedBit | random_word()};
    // Nobody has seen anything of it yet.
    shard.keyspace->set_agreed_log({shard.log, {}, false});
  }
  if (newer_rows) {
    shard.keyspace->accept_newer_rows();
    if (Result<> flushed = shard.flush_now(journal.end()); !flushed) return flushed;
  }
  shard.next_number = shard.keyspace->applied()[shard.log] + 1;
  shard.clock.advance_to(shard.keyspace->last_stamp());
  shard.flush_soon = shard.keyspace->needs_flush();
  journal.release(shard.id, shard.keyspace->flushed_position());
  return {};
}

void Shard::set_tail_may_be_lost(bool may_be_lost) { impl_->tail_may_be_lost = may_be_lost; }

lmdb_store::Position Shard::flushed_position() const { return impl_->keyspace->flushed_position(); }

// --- background work

bool Shard::turn(int64_t now_ms) {
  Impl& shard = *impl_;
  bool more = shard.expire(now_ms);
  more |= shard.keyspace->evict(kEvictionSlice);
  if (shard.job) return shard.continue_flush(now_ms) || more;
  if (!shard.wants_flush(now_ms)) return more;
  shard.start_flush();
  return true;
}

bool Shard::Impl::expire(int64_t now_ms) {
  if (!active_expiry || (now_ms < next_expiry_ms && !expiry_slice_was_full) || !room()) return false;
  next_expiry_ms = now_ms + kExpiryInterval_ms;
  std::vector<std::pair<Database, std::string>> keys;
  keyspace->expired_keys(now_ms, kExpirySlice, keys);
  expiry_slice_was_full = keys.size() >= kExpirySlice;
  if (keys.empty()) return false;
  const int64_t written_ms = last_write_ms;
  begin(Level::kStrong, now_ms);
  last_write_ms = written_ms;
  for (const auto& [database, name] : keys) evaluation.effects().remove(database, name);
  // Without room they expire later; readers do not see them.
  if (propose()) stats.expired_keys += keys.size();
  return expiry_slice_was_full;
}

bool Shard::Impl::wants_flush(int64_t now_ms) const {
  if (now_ms < retry_flush_ms || !keyspace->needs_flush()) return false;
  if (flush_soon || !waiters.empty() || now_ms - last_write_ms >= kIdleFlush_ms) return true;
  if (keyspace->dirty_bytes() >= keyspace->options().dirty_bytes) return true;
  // A round is to end when what it releases of the journal reaches the limit. Its jobs are spread over the time until
  // then, so that they take little of the machine at any time.
  const double due = kFlushFrom + (1 - kFlushFrom) * keyspace->flush_progress();
  return static_cast<double>(journal->bytes_since(keyspace->flushed_position())) >=
         due * static_cast<double>(options.journal_limit);
}

void Shard::Impl::start_flush() {
  job_position = journal->end();
  job = keyspace->begin_flush(job_position, kJobBytes);
  submitted = sync_requested = false;
}

void Shard::Impl::submit_flush() {
  submitted = true;
  services.flush_thread.submit(job, services.completions, [] {});
}

// The state on disk never covers a record that the journal may lose: first the journal is synced. Its end wakes the
// worker, as that of the job does.
bool Shard::Impl::continue_flush(int64_t now_ms) {
  if (!submitted) {
    if (journal->synced() >= job_position) {
      submit_flush();
    } else if (journal->written() < job_position) {
      return true;  // the next turn writes it
    } else if (!std::exchange(sync_requested, true)) {
      journal->request_sync();
    }
    return false;
  }
  if (!job->done()) return false;
  // A scan may have finished a failed one.
  if (keyspace->flushing() && keyspace->finish_flush()) return true;
  end_flush(now_ms);
  return true;
}

void Shard::Impl::end_flush(int64_t now_ms) {
  const auto ended = std::exchange(job, nullptr);
  const Result<>& result = ended->result();
  stats.last_flush_failed = !result.ok();
  if (!result) {
    // A full disk may get space again; what was not flushed stays in memory and in the journal. Any other failure
    // leaves it unknown what the disk holds.
    if (result.error().code != ErrorCode::kFull) {
      spdlog::critical("shard {}: flush failed: {}", id, result.error().message);
      CHECK(false, "LMDB could not be written");
    }
    spdlog::error("shard {}: no space for a flush, it is tried again: {}", id, result.error().message);
    retry_flush_ms = now_ms + kRetryFlush_ms;
    journal->drop_spares();
  } else {
    stats.flushed_rows += ended->rows_written();
    if (!ended->last) return;
    ++stats.flushes;
    stats.last_flush_ms = now_ms;
    flush_soon = false;
    journal->release(id, keyspace->flushed_position());
  }
  end_waiting(result);
}

// The journal's positions are the worker's, so entries of other shards may lie below a waiter's.
void Shard::Impl::end_waiting(const Result<>& result) {
  const auto ended = [&](const Waiter& waiter) {
    if (result.ok() && waiter.position > keyspace->flushed_position() && keyspace->needs_flush()) return false;
    waiter.done(result);
    return true;
  };
  std::erase_if(waiters, ended);
}

void Shard::checkpoint(std::function<void(Result<>)> done) {
  if (!impl_->keyspace->needs_flush() && !impl_->job) return done({});
  impl_->waiters.push_back({impl_->journal->end(), std::move(done)});
}

Result<> Shard::Impl::flush_now(lmdb_store::Position position) {
  if (!keyspace->needs_flush()) return {};
  const auto now = keyspace->begin_flush(position, Keyspace::kWhole);
  Result<> result = now->run();
  while (keyspace->finish_flush()) {
  }
  return result;
}

Result<> Shard::close(bool flush) {
  Impl& shard = *impl_;
  if (shard.journal) {
    if (Result<lmdb_store::Position> written = shard.journal->write(); !written) return written.error();
    if (Result<> synced = shard.journal->sync(); !synced) return synced;
  }
  for (; shard.job; std::this_thread::yield()) shard.continue_flush(wall_ms());
  if (!flush || !shard.journal) return {};
  AgreedLog whole = shard.keyspace->agreed_log();
  whole.tail_may_be_lost = false;  // all of it is synced
  shard.keyspace->set_agreed_log(std::move(whole));
  if (Result<> flushed = shard.flush_now(shard.journal->end()); !flushed) return flushed;
  shard.journal->release(shard.id, shard.keyspace->flushed_position());
  return {};
}

bool Shard::overloaded() const {
  // While flushes catch up, or when they fail, as much again may get dirty.
  const Keyspace& keyspace = *impl_->keyspace;
  return impl_->journal->starved() ||
         keyspace.dirty_bytes() + keyspace.flushing_bytes() >= 2 * keyspace.options().dirty_bytes;
}

void Shard::set_active_expiry(bool on) { impl_->active_expiry = on; }
ShardId Shard::id() const { return impl_->id; }
Keyspace& Shard::keyspace() { return *impl_->keyspace; }
const Shard::Stats& Shard::stats() const { return impl_->stats; }

void Shard::reset_stats() { impl_->stats.expired_keys = impl_->stats.keyspace_hits = impl_->stats.keyspace_misses = 0; }

}  // namespace capstan
