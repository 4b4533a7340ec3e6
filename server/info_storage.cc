// INFO about data and durability.
#include <algorithm>
#include <array>

#include "server/info_sections.h"
#include "server/node.h"

namespace capstan {
namespace {

template <typename F>
void for_each_shard(const InfoContext& context, F f) {
  for (const WorkerReport& worker : context.report) {
    for (const ShardReport& shard : worker.shards) f(shard);
  }
}

}  // namespace

// What Redis calls a save is a flush here; its append-only file is the journal.
void write_persistence(InfoText& text, const InfoContext& context) {
  uint64_t flushing = 0;
  uint64_t flushes = 0;
  bool failed = false;
  for_each_shard(context, [&](const ShardReport& shard) {
    flushing += shard.flushing;
    flushes += shard.stats.flushes;
    failed |= shard.stats.last_flush_failed;
  });
  text.field("loading", 0);
  text.field("async_loading", 0);
  text.field("rdb_bgsave_in_progress", context.node.saving() ? 1 : 0);
  text.field("rdb_last_save_time", context.node.last_save_ms() / 1000);
  text.field("rdb_last_bgsave_status", failed ? "err" : "ok");
  text.field("rdb_last_bgsave_time_sec", -1);
  text.field("rdb_current_bgsave_time_sec", -1);
  text.field("rdb_saves", flushes);
  text.field("flushes_in_progress", flushing);
  text.field("aof_enabled", 1);
  text.field("aof_rewrite_in_progress", 0);
  text.field("aof_rewrite_scheduled", 0);
  text.field("aof_last_rewrite_time_sec", -1);
  text.field("aof_current_rewrite_time_sec", -1);
  text.field("aof_last_bgrewrite_status", "ok");
  text.field("aof_last_write_status", "ok");  // a write that fails stops the server
  uint64_t in_use = 0;
  uint64_t unsynced = 0;
  for (const WorkerReport& worker : context.report) {
    in_use += worker.journal.bytes_in_use;
    unsynced += worker.journal.written - std::min(worker.journal.synced, worker.journal.written);
  }
  text.field("aof_current_size", in_use);
  text.field("aof_pending_bio_fsync", unsynced > 0 ? 1 : 0);
}

void write_journal(InfoText& text, const InfoContext& context) {
  for (size_t worker = 0; worker < context.report.size(); ++worker) {
    const JournalReport& journal = context.report[worker].journal;
    text.field("journal" + std::to_string(worker),
               "written=" + std::to_string(journal.written) + ",synced=" + std::to_string(journal.synced) +
                   ",bytes_in_use=" + std::to_string(journal.bytes_in_use) + ",room=" + std::to_string(journal.room) +
                   ",last_fdatasync_usec=" + std::to_string(journal.last_sync_ns / 1000) +
                   ",disk_full=" + std::to_string(journal.full));
  }
}

void write_lmdb(InfoText& text, const InfoContext& context) {
  uint64_t flushes = 0;
  uint64_t rows = 0;
  int64_t last_ms = 0;
  bool failed = false;
  for_each_shard(context, [&](const ShardReport& shard) {
    flushes += shard.stats.flushes;
    rows += shard.stats.flushed_rows;
    last_ms = std::max(last_ms, shard.stats.last_flush_ms);
    failed |= shard.stats.last_flush_failed;
  });
  text.field("lmdb_flushes", flushes);
  text.field("lmdb_flushed_rows", rows);
  text.field("lmdb_last_flush_time", last_ms / 1000);
  text.field("lmdb_last_flush_status", failed ? "err" : "ok");
}

void write_shards(InfoText& text, const InfoContext& context) {
  text.field("shards", context.settings.shards);
  for_each_shard(context, [&](const ShardReport& shard) {
    uint64_t keys = 0;
    for (const uint64_t in_database : shard.keys) keys += in_database;
    text.field("shard" + std::to_string(shard.id),
               "worker=" + std::to_string(shard.id % context.node.workers()) + ",keys=" + std::to_string(keys) +
                   ",rows_in_memory=" + std::to_string(shard.rows) + ",memory=" + std::to_string(shard.memory_bytes) +
                   ",dirty=" + std::to_string(shard.dirty_bytes) + ",records=" + std::to_string(shard.stats.records) +
                   ",flushes=" + std::to_string(shard.stats.flushes));
  });
}

void write_keyspace(InfoText& text, const InfoContext& context) {
  std::array<uint64_t, kUserDatabases> keys{};
  std::array<uint64_t, kUserDatabases> expiring{};
  for_each_shard(context, [&](const ShardReport& shard) {
    for (size_t i = 0; i < kUserDatabases; ++i) {
      keys[i] += shard.keys[i];
      expiring[i] += shard.expiring_keys[i];
    }
  });
  for (size_t i = 0; i < kUserDatabases; ++i) {
    if (keys[i] == 0) continue;
    // Redis samples an average TTL; 0 is what it says when it has none.
    text.field("db" + std::to_string(i),
               "keys=" + std::to_string(keys[i]) + ",expires=" + std::to_string(expiring[i]) + ",avg_ttl=0");
  }
}

}  // namespace capstan
