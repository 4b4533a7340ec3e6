// The worker's side of a flush, and the read pool's.
#include <algorithm>

#include "base/check.h"
#include "base/hash.h"
#include "base/slot.h"
#include "lmdb-store/keyspace.h"

namespace capstan::lmdb_store {

std::shared_ptr<FlushJob> Keyspace::begin_flush(Position position, uint64_t bytes) {
  CHECK(!flushing_ && needs_flush());
  if (bytes == kWhole) next_bucket_ = 0;
  if (next_bucket_ == 0) {
    round_ = {.applied = applied_, .stamp = last_stamp_, .agreed = agreed_, .position = position, .group = group_};
    round_rows_ = dirty_.size();
    round_taken_ = 0;
  }
  auto job = std::make_shared<FlushJob>(store_, *row_keys_, options_.batch_pages);
  // Whatever follows in LMDB follows the clearing of its database.
  std::copy(std::begin(cleared_), std::end(cleared_), job->cleared.begin());
  std::fill(std::begin(cleared_), std::end(cleared_), false);
  cleared_any_ = false;
  std::sort(dirty_collections_.begin(), dirty_collections_.end(),
            [](const Large* x, const Large* y) { return x->collection->bucket() < y->collection->bucket(); });
  for (job->first_bucket = next_bucket_; next_bucket_ < DirtySet::kBuckets && job->bytes < bytes; ++next_bucket_) {
    if (dirty_.empty()) {
      next_bucket_ = DirtySet::kBuckets;
      break;
    }
    job->buckets.push_back(dirty_.take(next_bucket_));
    round_taken_ += job->buckets.back().size();
    job->bytes += job->buckets.back().bytes;
  }
  take_collections(*job);
  job->state = round_;
  job->state.next_generation = next_generation_;
  job->state.logs = logs_.logs();
  // What LMDB held at the start, or a rebuild brought, may be newer than what is applied.
  job->state.newest = newest_;
  job->state.newest.merge(applied_);
  job->state.newest_stamp = std::max(newest_stamp_, last_stamp_);
  job->last = next_bucket_ == DirtySet::kBuckets;
  finished_bucket_ = finished_row_ = finished_collection_ = 0;
  return flushing_ = std::move(job);
}

// Those of the job's buckets; they are sorted.
void Keyspace::take_collections(FlushJob& job) {
  const auto from = [this](size_t bucket) {
    return std::partition_point(dirty_collections_.begin(), dirty_collections_.end(),
                                [bucket](const Large* large) { return large->collection->bucket() < bucket; });
  };
  const auto begin = from(job.first_bucket), end = from(job.first_bucket + job.buckets.size());
  for (auto at = begin; at != end; ++at) {
    Large& large = **at;
    job.bytes += large.dirty_bytes;
    job.collections.push_back(large.collection->begin_flush());
    flushing_collections_.push_back(large.collection.get());
    large.listed = false;
    account_pages(large);
  }
  dirty_collections_.erase(begin, end);
}

double Keyspace::flush_progress() const {
  if (next_bucket_ == 0) return 0;
  return round_taken_ >= round_rows_ ? 1 : static_cast<double>(round_taken_) / static_cast<double>(round_rows_);
}

void Keyspace::finish_row(TableRow* row, bool failed) {
  if (row->has(TableRow::kReplaced)) return free_row(row);
  if (failed) return dirty_.add(row, row->bucket);
  row->unset(TableRow::kDirty);
  // Known-absent rows are worth keeping only while LMDB would have to be asked.
  if (row->absent() && complete_) return forget_row(row->has(TableRow::kElement) ? elements_ : keys_, row);
  if (!row->has(TableRow::kElement) && !row->absent()) drop_expiry(*row);
}

// Marking millions of rows clean in one go would stop the worker for tens of milliseconds: it is done in slices.
bool Keyspace::finish_flush() {
  constexpr size_t kSlice = 20'000;
  constexpr size_t kAhead = 8;  // rows are cold
  constexpr size_t kSlicePages = 2'000;
  CHECK(flushing_ && flushing_->done());
  const bool failed = !flushing_->result().ok();
  for (size_t left = kSlice; finished_bucket_ < flushing_->buckets.size(); ++finished_bucket_, finished_row_ = 0) {
    const DirtySet::Bucket& bucket = flushing_->buckets[finished_bucket_];
    for (; finished_row_ < bucket.size(); ++finished_row_) {
      if (left-- == 0) return true;
      if (finished_row_ + kAhead < bucket.keys.size()) __builtin_prefetch(bucket.keys[finished_row_ + kAhead], 1);
      const size_t element = finished_row_ - bucket.keys.size();
      finish_row(finished_row_ < bucket.keys.size() ? bucket.keys[finished_row_] : bucket.elements[element], failed);
    }
  }
  for (; finished_collection_ < flushing_collections_.size(); ++finished_collection_) {
    Collection& collection = *flushing_collections_[finished_collection_];
    if (collection.finish_flush(flushing_->collections[finished_collection_], !failed, kSlicePages)) return true;
    const auto large = collections_.find(collection.generation());
    if (large != collections_.end()) account_pages(large->second);
  }
  flushing_collections_.clear();
  if (failed) {
    next_bucket_ = flushing_->first_bucket;
    for (const DirtySet::Bucket& bucket : flushing_->buckets) round_taken_ -= bucket.size();
    for (Database database = 0; database < kDatabases; ++database) {
      if (!flushing_->cleared[database]) continue;
      cleared_[database] = cleared_any_ = true;
    }
  } else {
    if (flushing_->last) {
      expiry_position_.clear();
      flushed_ = flushing_->state.applied;
      flushed_agreed_ = flushing_->state.agreed;
      flushed_group_ = flushing_->state.group;
      flushed_position_ = flushing_->state.position;
      next_bucket_ = 0;
    }
  }
  ++flushes_;
  flushing_.reset();
  return false;
}

void Keyspace::drop_expiry(const TableRow& row) {
  if (expiry_.empty()) return;
  StringForm form;
  int64_t expire_at_ms = kNeverExpires;
  if (parse_string_form(row.payload(), form)) {
    expire_at_ms = form.expire_at_ms;
  } else {
    expire_at_ms = standing_of(row.payload(), 0, logs_).expire_at_ms;
  }
  if (expire_at_ms == kNeverExpires) return;
  expiry_.erase({expire_at_ms, row.sort_key});
  std::string from(8, '\0');
  store_be64(from.data(), static_cast<uint64_t>(expire_at_ms));
  if (from < expiry_position_) expiry_position_ = std::move(from);
}

void Keyspace::accept_newer_rows() {
  applied_.merge(newest_);
  last_stamp_ = std::max(last_stamp_, newest_stamp_);
}

// --- rows read by the pool

struct Keyspace::Fetch {
  std::vector<WantedRow> wanted;
  std::vector<std::string> payloads;
  uint64_t flushes = 0;
  std::function<void()> ready;
};

void Keyspace::fetch(std::vector<WantedRow> wanted, ReadPool& pool, Completions& completions,
                     std::function<void()> ready) {
  auto fetch = std::make_shared<Fetch>();
  fetch->wanted = std::move(wanted);
  fetch->flushes = flushes_;
  fetch->ready = std::move(ready);
  // The row keys are immutable and outlive the pool's jobs: a keyspace is closed after its pool is drained.
  const auto job = [fetch, keys = row_keys_.get()](ReadView& view) {
    for (const WantedRow& row : fetch->wanted) {
      std::string_view payload;
      if (row.element) {
        payload = view.get(Table::kElements, row.key).value_or(std::string_view());
      } else {
        const RowKey key = keys->row_key(sort_key(row.database, slot_of(row.key), hash64(row.key)), row.key);
        if (const auto value = view.get(Table::kKeys, key)) payload = row_payload(key, row.key, *value);
      }
      fetch->payloads.emplace_back(payload);
    }
  };
  auto done = [this, fetch](const Result<>& read) {
    CHECK(read.ok(), read.error().message);
    // What was read may be older than a row that was flushed and evicted meanwhile. Flushes may end all the time.
    if (fetch->flushes == flushes_) {
      add_fetched(*fetch);
    } else {
      read_now(fetch->wanted);
    }
    fetch->ready();
  };
  if (pool.submit(store_, job, completions, done)) return;
  // The pool's queue is full: better a short wait here than an unbounded queue.
  read_now(fetch->wanted);
  fetch->ready();
}

void Keyspace::read_now(std::vector<WantedRow>& wanted) {
  for (const WantedRow& row : wanted) {
    const uint64_t hash = hash64(row.key);
    if (row.element) {
      if (!elements_.find(static_cast<uint8_t>(row.key[0]), row.key, hash)) read_element_row(row.key, hash);
    } else {
      find(row.database, row.key, hash, true);
    }
  }
  wanted.clear();
}

void Keyspace::add_fetched(const Fetch& fetch) {
  for (size_t i = 0; i < fetch.wanted.size(); ++i) {
    const WantedRow& row = fetch.wanted[i];
    const uint64_t hash = hash64(row.key);
    const auto word = row.element ? load_be64(row.key.data()) : sort_key(row.database, slot_of(row.key), hash);
    RowTable& table = row.element ? elements_ : keys_;
    if (table.find(static_cast<uint8_t>(word >> 56), row.key, hash)) continue;
    if (!row.element && voided(row.database)) continue;
    add_clean(table, word, row.key, hash, fetch.payloads[i], row.element);
  }
}

}  // namespace capstan::lmdb_store
