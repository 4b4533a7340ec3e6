#include "lmdb-store/memory_store.h"

#include <utility>

namespace capstan::lmdb_store {
namespace {

using Entries = std::map<std::string, std::string, std::less<>>;
const Entries kNoEntries;

unsigned index_of(Table table) { return static_cast<unsigned>(table); }

// As in LmdbEnvironment: a cursor stands nowhere after a change, and ends before its view.
struct Uses {
  uint64_t changes = 0;
  unsigned cursors = 0;
};

class MemoryCursor final : public Cursor {
 public:
  MemoryCursor(const Entries& entries, Uses& uses) : entries_(entries), uses_(uses) { ++uses_.cursors; }
  MemoryCursor(const MemoryCursor&) = delete;
  ~MemoryCursor() override { --uses_.cursors; }

  bool seek(std::string_view key) override { return stand(entries_.lower_bound(key)); }
  bool last() override { return stand(entries_.empty() ? entries_.end() : std::prev(entries_.end())); }
  bool next() override {
    check_position();
    return stand(std::next(at_));
  }
  bool previous() override {
    check_position();
    return stand(at_ == entries_.begin() ? entries_.end() : std::prev(at_));
  }
  std::string_view key() const override {
    check_position();
    return at_->first;
  }
  std::string_view value() const override {
    check_position();
    return at_->second;
  }

 private:
  bool stand(Entries::const_iterator at) {
    at_ = at;
    changes_ = uses_.changes;
    return positioned_ = at != entries_.end();
  }
  void check_position() const { CHECK(positioned_ && changes_ == uses_.changes, "a cursor that stands nowhere"); }

  const Entries& entries_;
  Uses& uses_;
  Entries::const_iterator at_;
  uint64_t changes_ = 0;
  bool positioned_ = false;
};

std::optional<std::string_view> find(const Entries& entries, std::string_view key) {
  const auto at = entries.find(key);
  if (at == entries.end()) return {};
  return at->second;
}

}  // namespace

class MemoryView final : public ReadView {
 public:
  explicit MemoryView(MemoryStore::Snapshot snapshot) : snapshot_(std::move(snapshot)) {}
  ~MemoryView() override { CHECK(uses_.cursors == 0, "a cursor outlives its view"); }

  std::optional<std::string_view> get(Table table, std::string_view key) override { return find(entries(table), key); }
  std::unique_ptr<Cursor> cursor(Table table) override { return std::make_unique<MemoryCursor>(entries(table), uses_); }

 private:
  const Entries& entries(Table table) const {
    const auto& entries = snapshot_[index_of(table)];
    return entries ? *entries : kNoEntries;
  }
  const MemoryStore::Snapshot snapshot_;
  Uses uses_;
};

class MemoryBatch final : public WriteBatch {
 public:
  explicit MemoryBatch(MemoryStore& store)
      : store_(store), snapshot_(store.snapshot()), size_bytes_(store.size_bytes()) {}
  ~MemoryBatch() override { end(); }

  std::optional<std::string_view> get(Table table, std::string_view key) override {
    CHECK(!ended_);
    return find(entries(table), key);
  }
  // Takes the table's copy at once, so that the cursor looks at what later changes change.
  std::unique_ptr<Cursor> cursor(Table table) override {
    CHECK(!ended_);
    return std::make_unique<MemoryCursor>(own_entries(table), uses_);
  }

  Result<char*> reserve(Table table, std::string_view key, size_t size) override {
    CHECK(!ended_ && !key.empty() && key.size() <= kMaxKeyBytes);
    Entries& entries = own_entries(table);
    auto at = entries.lower_bound(key);
    if (at == entries.end() || at->first != key) {
      at = entries.emplace_hint(at, key, std::string());
      size_bytes_ += key.size();
    }
    size_bytes_ += size - at->second.size();
    at->second.assign(size, '\0');
    note_change(key.size() + size);
    return at->second.data();
  }

  Result<> erase(Table table, std::string_view key) override {
    CHECK(!ended_);
    if (!get(table, key)) return {};
    Entries& entries = own_entries(table);
    const auto at = entries.find(key);
    size_bytes_ -= at->first.size() + at->second.size();
    entries.erase(at);
    note_change(0);
    return {};
  }

  uint64_t touched_pages() const override { return (touched_bytes_ + 4095) / 4096; }

  Result<> commit() override {
    CHECK(!ended_);
    std::optional<Error> failure = store_.planned_failure();
    if (!failure) {
      std::lock_guard lock(store_.mutex_);
      for (unsigned i = 0; i < kTables; ++i) {
        if (own_[i]) store_.committed_[i] = std::move(own_[i]);
      }
      store_.size_bytes_.store(size_bytes_, std::memory_order_relaxed);
    }
    end();
    return failure ? Result<>(*failure) : Result<>();
  }

 private:
  const Entries& entries(Table table) const {
    const unsigned i = index_of(table);
    if (own_[i]) return *own_[i];
    return snapshot_[i] ? *snapshot_[i] : kNoEntries;
  }
  Entries& own_entries(Table table) {
    auto& own = own_[index_of(table)];
    if (!own) own = std::make_shared<Entries>(entries(table));
    return *own;
  }
  void note_change(size_t bytes) {
    ++uses_.changes;
    touched_bytes_ += bytes;
  }
  void end() {
    if (std::exchange(ended_, true)) return;
    CHECK(uses_.cursors == 0, "a cursor outlives its batch");
    store_.writing_.store(false, std::memory_order_release);
  }

  MemoryStore& store_;
  const MemoryStore::Snapshot snapshot_;
  std::array<std::shared_ptr<Entries>, kTables> own_;  // the tables that this batch changes
  Uses uses_;
  uint64_t size_bytes_;
  uint64_t touched_bytes_ = 0;
  bool ended_ = false;
};

Result<std::unique_ptr<ReadView>> MemoryStore::read() {
  return std::unique_ptr<ReadView>(std::make_unique<MemoryView>(snapshot()));
}

Result<std::unique_ptr<WriteBatch>> MemoryStore::write(uint64_t) {
  CHECK(!writing_.exchange(true), "one writer at a time");
  if (fatal_) {
    writing_ = false;
    return *fatal_;
  }
  return std::unique_ptr<WriteBatch>(std::make_unique<MemoryBatch>(*this));
}

void MemoryStore::fail_commits(uint64_t after, ErrorCode code, uint64_t count) {
  failures_after_ = after;
  failure_code_ = code;
  failures_ = count;
}

MemoryStore::Snapshot MemoryStore::snapshot() {
  std::lock_guard lock(mutex_);
  return committed_;
}

std::optional<Error> MemoryStore::planned_failure() {
  if (failures_ == 0) return {};
  if (failures_after_ > 0) {
    --failures_after_;
    return {};
  }
  --failures_;
  Error error{failure_code_, "memory store: a planned failure"};
  if (error.code != ErrorCode::kFull) fatal_ = error;
  return error;
}

}  // namespace capstan::lmdb_store
