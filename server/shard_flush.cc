// A shard's background work: expiry, eviction, flushes.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "server/shard_impl.h"

namespace capstan {

using lmdb_store::AgreedLog;
using lmdb_store::Keyspace;

namespace {

constexpr int64_t kExpiryInterval_ms = 100;
constexpr size_t kExpirySlice = 64;
constexpr int64_t kIdleFlush_ms = 10'000;
constexpr int64_t kRetryFlush_ms = 1'000;
// Of rows; while a flush reads them they cannot be changed in place.
constexpr uint64_t kJobBytes = uint64_t{32} << 20;
constexpr double kFlushFrom = 0.6;  // of journal-limit

}  // namespace

bool Shard::turn(int64_t now_ms) {
  Impl& shard = *impl_;
  bool more = shard.expire(now_ms);
  more |= shard.keyspace->evict(kEvictionSlice);
  shard.notice_others_writes(now_ms);
  if (shard.job) return shard.continue_flush(now_ms) || more;
  if (!shard.wants_flush(now_ms)) return more;
  shard.start_flush();
  return true;
}

// A follower is not idle while its leader writes.
void Shard::Impl::notice_others_writes(int64_t now_ms) {
  if (!member || member->group().leads()) return;
  const uint64_t applied = keyspace->applied()[member->log()];
  if (std::exchange(applied_seen, applied) != applied) last_write_ms = now_ms;
}

bool Shard::Impl::expire(int64_t now_ms) {
  if (!active_expiry || (now_ms < next_expiry_ms && !expiry_slice_was_full) || !room()) return false;
  if (options.group && !(member && member->serves())) return false;
  next_expiry_ms = now_ms + kExpiryInterval_ms;
  std::vector<std::pair<Database, std::string>> keys;
  keyspace->expired_keys(now_ms, kExpirySlice, keys);
  expiry_slice_was_full = keys.size() >= kExpirySlice;
  if (keys.empty()) return false;
  const int64_t written_ms = last_write_ms;
  begin(Level::kStrong, now_ms);
  last_write_ms = written_ms;
  for (const auto& [database, name] : keys) {
    // What is pending may be a new life of the key, or its removal.
    if (!pending(database, name)) evaluation.effects().remove(database, name);
  }
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
  job = begin_flush(flushable_position(), kJobBytes);
  submitted = sync_requested = false;
}

std::shared_ptr<lmdb_store::FlushJob> Shard::Impl::begin_flush(lmdb_store::Position position, uint64_t bytes) {
  if (member) keyspace->set_group_state(member->stored_state());
  return keyspace->begin_flush(position, bytes);
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
  const auto now = begin_flush(position, Keyspace::kWhole);
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
  if (!shard.options.group) {
    AgreedLog whole = shard.keyspace->agreed_log();
    whole.tail_may_be_lost = false;  // all of it is synced
    shard.keyspace->set_agreed_log(std::move(whole));
  }
  if (Result<> flushed = shard.flush_now(shard.flushable_position()); !flushed) return flushed;
  shard.journal->release(shard.id, shard.keyspace->flushed_position());
  return {};
}

}  // namespace capstan
