// What the journal's tests share: a node's journals on a file system that can break, told as a story
// (`node.put("a"); node.write(); node.files.lose_power(); node.recover()`).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lmdb-store/fault_file.h"
#include "lmdb-store/journal.h"

namespace capstan::lmdb_store {

struct TestEntry {
  uint8_t type = 0;
  ShardId shard = 0;
  Position position = 0;
  std::string payload;
  bool operator==(const TestEntry&) const = default;
};

// Small segments and frames, so that little data passes through many of them; no threads.
inline JournalOptions small_journal() {
  JournalOptions options;
  options.segment_bytes = 8192;
  options.frame_bytes = 512;
  options.background = false;
  return options;
}

struct TestNode {
  explicit TestNode(uint64_t seed = 1) : files(seed) { CHECK(files.make_directory(kDirectory).ok()); }

  // Reads what is there; the entries are in `recovered`.
  Result<> recover(JournalDamage damage = JournalDamage::kStop) {
    recovered.clear();
    auto result = recover_journals(files, kDirectory, {damage, workers}, [this](const JournalEntry& entry) {
      recovered.push_back({entry.type, entry.shard, entry.position, std::string(entry.payload)});
      return Result<>();
    });
    if (!result) return result.error();
    recovery = std::move(*result);
    return {};
  }
  Result<> open(uint32_t worker = 0) {
    auto opened = Journal::open(files, kDirectory, worker, options, recovery);
    if (!opened) return opened.error();
    journals.resize(std::max<size_t>(journals.size(), worker + 1));
    journals[worker] = std::move(*opened);
    return {};
  }
  Result<> start(JournalDamage damage = JournalDamage::kStop) {
    Result<> done = recover(damage);
    for (uint32_t worker = 0; done && worker < workers; ++worker) done = open(worker);
    return done;
  }
  // The process ends; what it has not written is gone.
  void stop() { journals.clear(); }
  Journal& journal(uint32_t worker = 0) { return *journals[worker]; }

  Result<Position> put(std::string_view payload, ShardId shard = 0, uint8_t type = 1, uint32_t worker = 0) {
    return journal(worker).append(type, shard, payload);
  }
  std::vector<std::string> payloads() const {
    std::vector<std::string> all;
    for (const TestEntry& entry : recovered) all.push_back(entry.payload);
    return all;
  }
  std::string segment(uint32_t number, uint32_t worker = 0) const {
    return segment_path(journal_directory(kDirectory, worker), number);
  }

  static constexpr const char* kDirectory = "data";
  FaultFileSystem files;
  JournalOptions options = small_journal();
  uint32_t workers = 1;
  JournalRecovery recovery;
  std::vector<TestEntry> recovered;
  std::vector<std::unique_ptr<Journal>> journals;
};

}  // namespace capstan::lmdb_store
