// The worker's side of a flush, and the read pool's.
#include <algorithm>

#include "base/check.h"
#include "base/hash.h"
#include "base/slot.h"
#include "lmdb-store/keyspace.h"

namespace capstan::lmdb_store {

std::shared_ptr<FlushJob> Keyspace::begin_flush(Position position) {
  CHECK(!flushing_ && needs_flush());
  flushing_ = std::make_shared<FlushJob>(store_, *row_keys_, options_.batch_pages);
  std::swap(flushing_->rows, dirty_);
  flushing_->state = StoredState{applied_, last_stamp_, agreed_, position, next_generation_, logs_.logs()};
  std::copy(std::begin(cleared_), std::end(cleared_), flushing_->cleared.begin());
  std::fill(std::begin(cleared_), std::end(cleared_), false);
  cleared_any_ = false;
  flushing_->bytes = dirty_bytes_;
  dirty_bytes_ = 0;
  ++epoch_;
  finished_.reset();
  return flushing_;
}

// Marking millions of rows clean in one go would stop the worker for tens of milliseconds: it is done in slices.
bool Keyspace::finish_flush() {
  constexpr size_t kSlice = 20'000;
  CHECK(flushing_ && flushing_->done());
  const bool failed = !flushing_->result().ok();
  const auto finish_row = [&](TableRow* row) {
    if (row->has(TableRow::kReplaced)) return free_row(row);
    if (failed) {
      row->epoch = epoch_;
      dirty_bytes_ += row->allocated_bytes();
      return dirty_.add(row);
    }
    row->unset(TableRow::kDirty);
    // Known-absent rows are worth keeping only while LMDB would have to be asked.
    if (row->absent() && complete_) {
      (row->has(TableRow::kElement) ? elements_ : keys_).erase(row, hash64(row->key()));
      return free_row(row);
    }
    if (!row->has(TableRow::kElement) && !row->absent()) drop_expiry(*row);
  };
  if (finished_.take(flushing_->rows, kSlice, finish_row)) return true;
  if (failed) {
    for (Database database = 0; database < kDatabases; ++database) {
      if (!flushing_->cleared[database]) continue;
      cleared_[database] = cleared_any_ = true;
    }
  } else {
    flushed_ = flushing_->state.applied;
    flushed_agreed_ = flushing_->state.agreed;
    flushed_position_ = flushing_->state.position;
    expiry_position_.clear();
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
  if (expire_at_ms != kNeverExpires) expiry_.erase({expire_at_ms, row.sort_key});
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
  auto done = [this, fetch, &pool, &completions](Result<> read) {
    CHECK(read.ok(), read.error().message);
    if (fetch->flushes != flushes_) {  // what was read may be older than a row that was flushed and evicted meanwhile
      return this->fetch(std::move(fetch->wanted), pool, completions, std::move(fetch->ready));
    }
    add_fetched(*fetch);
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
