// What INFO and MEMORY STATS tell, gathered from every worker by message: each worker fills its own part on its own
// thread, then one of them adds them up.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/ids.h"
#include "server/worker.h"

namespace capstan {

struct ShardReport {
  ShardId id = 0;
  ShardStatus status;
  std::array<uint64_t, kUserDatabases> keys{};
  std::array<uint64_t, kUserDatabases> expiring_keys{};  // of them, those with a TTL
  uint64_t memory_bytes = 0;
  uint64_t dirty_bytes = 0;
  uint64_t rows = 0;
  Shard::Stats stats;
  bool flushing = false;
};

struct JournalReport {
  uint64_t written = 0;
  uint64_t synced = 0;
  uint64_t bytes_in_use = 0;
  uint64_t room = 0;
  int64_t last_sync_ns = 0;
  bool full = false;
};

// What the worker's connections listen to, of one kind.
struct TopicReport {
  size_t count = 0;
  std::vector<uint64_t> hashes;  // of their names; only where there are several workers, which may have the same ones
};

struct CommandReport {
  uint64_t calls = 0;
  uint64_t nanoseconds = 0;
  uint64_t rejected = 0;
  uint64_t failed = 0;
  std::array<uint64_t, kLatencyBuckets> latencies{};
};

struct WorkerReport {
  uint64_t commands = 0;
  uint64_t connections_received = 0;
  uint64_t connections_rejected = 0;
  uint64_t net_input_bytes = 0;
  uint64_t net_output_bytes = 0;
  uint64_t query_buffer_disconnections = 0;
  uint64_t output_buffer_disconnections = 0;
  uint64_t error_replies = 0;
  uint64_t forwarded_commands = 0;
  uint64_t turns = 0;
  uint64_t waiting_tasks = 0;
  uint64_t blocked_clients = 0;  // that wait in WAIT or WAITAOF
  bool writes_parked = false;
  uint64_t largest_input_bytes = 0;
  uint64_t largest_output_bytes = 0;
  uint64_t client_memory_bytes = 0;
  Rates rates;
  ErrorCounts errors;
  std::vector<CommandReport> by_command;
  std::vector<ShardReport> shards;
  JournalReport journal;
  std::array<TopicReport, kTopicKinds> topics;
};

using NodeReport = std::vector<WorkerReport>;  // by worker

// Calls done(report) on the caller's worker, not before this returns.
void gather_report(Worker& caller, std::function<void(Worker&, const NodeReport&)> done);

// By command_number().
std::vector<CommandReport> command_totals(const NodeReport& report);

// How many different ones all connections of the node listen to.
size_t count_topics(const NodeReport& report, TopicKind kind);

// The sum of one figure over all workers.
template <typename T>
uint64_t total(const NodeReport& report, T WorkerReport::*figure) {
  uint64_t sum = 0;
  for (const WorkerReport& worker : report) sum += static_cast<uint64_t>(worker.*figure);
  return sum;
}

}  // namespace capstan
