#include "server/node_report.h"

#include <absl/container/flat_hash_set.h>

#include <algorithm>

#include "base/hash.h"
#include "server/node.h"

namespace capstan {
namespace {

ShardReport report_shard(const Executor& executor, Shard& shard) {
  const lmdb_store::Keyspace& keyspace = shard.keyspace();
  ShardReport report;
  report.id = shard.id();
  report.status = executor.status(shard);
  for (Database database = 0; database < kUserDatabases; ++database) {
    report.keys[database] = keyspace.keys(database);
    report.expiring_keys[database] = keyspace.expiring_keys(database);
  }
  report.memory_bytes = keyspace.memory_bytes();
  report.dirty_bytes = keyspace.dirty_bytes();
  report.rows = keyspace.rows();
  report.stats = shard.stats();
  report.flushing = keyspace.flushing();
  return report;
}

JournalReport report_journal(const lmdb_store::Journal& journal) {
  return {journal.written(), journal.synced(),       journal.bytes_in_use(),
          journal.room(),    journal.last_sync_ns(), journal.full()};
}

TopicReport report_topics(Worker& worker, TopicKind kind) {
  TopicReport report;
  report.count = worker.subscriptions().count(kind);
  if (worker.node().workers() == 1) return report;
  report.hashes.reserve(report.count);
  worker.subscriptions().for_each_topic(kind, [&](const Topic& topic) { report.hashes.push_back(hash64(topic.name)); });
  return report;
}

void count(WorkerReport& report, const WorkerCounters& counters) {
  report.commands = counters.commands.get();
  report.connections_received = counters.connections_received.get();
  report.connections_rejected = counters.connections_rejected.get();
  report.net_input_bytes = counters.net_input_bytes.get();
  report.net_output_bytes = counters.net_output_bytes.get();
  report.query_buffer_disconnections = counters.query_buffer_disconnections.get();
  report.output_buffer_disconnections = counters.output_buffer_disconnections.get();
  report.error_replies = counters.error_replies.get();
  report.forwarded_commands = counters.forwarded_commands.get();
  report.turns = counters.turns.get();
  for (const CommandCounters& command : counters.by_command) {
    CommandReport one{command.calls.get(), command.nanoseconds.get(), command.rejected.get(), command.failed.get(), {}};
    for (size_t i = 0; i < kLatencyBuckets; ++i) one.latencies[i] = command.latencies[i].get();
    report.by_command.push_back(one);
  }
}

WorkerReport report_worker(Worker& worker) {
  WorkerReport report;
  count(report, worker.counters());
  report.waiting_tasks = worker.executor().waiting_tasks();
  report.writes_parked = worker.executor().writes_parked();
  worker.for_each_connection([&report](Connection& connection) {
    report.largest_input_bytes = std::max<uint64_t>(report.largest_input_bytes, connection.input_bytes());
    report.blocked_clients += connection.session.blocked != nullptr;
    report.largest_output_bytes = std::max<uint64_t>(report.largest_output_bytes, connection.output_bytes());
    report.client_memory_bytes += sizeof(Connection) + connection.input_bytes() + connection.output().capacity();
  });
  report.rates = worker.rates();
  report.errors = worker.errors();
  for (const auto& shard : worker.executor().shards()) {
    report.shards.push_back(report_shard(worker.executor(), *shard));
  }
  report.journal = report_journal(worker.journal());
  for (size_t kind = 0; kind < kTopicKinds; ++kind) {
    report.topics[kind] = report_topics(worker, static_cast<TopicKind>(kind));
  }
  return report;
}

}  // namespace

void gather_report(Worker& caller, std::function<void(Worker&, const NodeReport&)> done) {
  auto report = std::make_shared<NodeReport>(caller.node().workers());
  caller.on_every_worker([report](Worker& worker) { (*report)[worker.index()] = report_worker(worker); },
                         [report, done = std::move(done)](Worker& worker) { done(worker, *report); });
}

size_t count_topics(const NodeReport& report, TopicKind kind) {
  const auto of = [kind](const WorkerReport& worker) -> const TopicReport& {
    return worker.topics[static_cast<size_t>(kind)];
  };
  if (report.size() == 1) return of(report[0]).count;
  absl::flat_hash_set<uint64_t> hashes;
  for (const WorkerReport& worker : report) hashes.insert(of(worker).hashes.begin(), of(worker).hashes.end());
  return hashes.size();
}

std::vector<CommandReport> command_totals(const NodeReport& report) {
  std::vector<CommandReport> totals(command_count());
  for (const WorkerReport& worker : report) {
    for (size_t i = 0; i < worker.by_command.size(); ++i) {
      const CommandReport& one = worker.by_command[i];
      totals[i].calls += one.calls;
      totals[i].nanoseconds += one.nanoseconds;
      totals[i].rejected += one.rejected;
      totals[i].failed += one.failed;
      for (size_t bucket = 0; bucket < kLatencyBuckets; ++bucket) totals[i].latencies[bucket] += one.latencies[bucket];
    }
  }
  return totals;
}

}  // namespace capstan
