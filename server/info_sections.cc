// Clients, traffic and commands; what there is not; and the list of all sections.
#include "server/info_sections.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "server/command.h"
#include "server/node.h"

namespace capstan {

std::string InfoText::format(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string InfoText::human(uint64_t bytes) {
  constexpr std::string_view kUnits = "BKMGTPE";
  if (bytes < 1024) return std::to_string(bytes) + "B";
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024) {
    value /= 1024;
    ++unit;
  }
  return format(value, 2) + kUnits[unit];
}

void InfoText::bytes(std::string_view name, uint64_t value) {
  field(name, value);
  field(std::string(name) + "_human", human(value));
}

namespace {

template <typename T>
uint64_t largest(const NodeReport& report, T WorkerReport::*figure) {
  uint64_t most = 0;
  for (const WorkerReport& worker : report) most = std::max<uint64_t>(most, worker.*figure);
  return most;
}

void write_clients(InfoText& text, const InfoContext& context) {
  text.field("connected_clients", context.node.clients());
  text.field("cluster_connections", 0);
  text.field("maxclients", context.settings.max_clients);
  text.field("client_recent_max_input_buffer", largest(context.report, &WorkerReport::largest_input_bytes));
  text.field("client_recent_max_output_buffer", largest(context.report, &WorkerReport::largest_output_bytes));
  text.field("blocked_clients", total(context.report, &WorkerReport::blocked_clients));
  text.field("tracking_clients", 0);
  text.field("clients_in_timeout_table", 0);
  text.field("parked_commands", total(context.report, &WorkerReport::waiting_tasks));
  text.field("writes_parked", largest(context.report, &WorkerReport::writes_parked));
}

struct Traffic {
  Rates rates;
  uint64_t expired = 0;
  uint64_t hits = 0;
  uint64_t misses = 0;
};

Traffic add_up(const NodeReport& report) {
  Traffic traffic;
  for (const WorkerReport& worker : report) {
    traffic.rates.commands_per_s += worker.rates.commands_per_s;
    traffic.rates.input_bytes_per_s += worker.rates.input_bytes_per_s;
    traffic.rates.output_bytes_per_s += worker.rates.output_bytes_per_s;
    for (const ShardReport& shard : worker.shards) {
      traffic.expired += shard.stats.expired_keys;
      traffic.hits += shard.stats.keyspace_hits;
      traffic.misses += shard.stats.keyspace_misses;
    }
  }
  return traffic;
}

void write_stats(InfoText& text, const InfoContext& context) {
  const NodeReport& report = context.report;
  const Traffic traffic = add_up(report);
  text.field("total_connections_received", total(report, &WorkerReport::connections_received));
  text.field("total_commands_processed", total(report, &WorkerReport::commands));
  text.field("instantaneous_ops_per_sec", static_cast<uint64_t>(std::lround(traffic.rates.commands_per_s)));
  text.field("total_net_input_bytes", total(report, &WorkerReport::net_input_bytes));
  text.field("total_net_output_bytes", total(report, &WorkerReport::net_output_bytes));
  text.real("instantaneous_input_kbps", traffic.rates.input_bytes_per_s / 1024);
  text.real("instantaneous_output_kbps", traffic.rates.output_bytes_per_s / 1024);
  text.field("rejected_connections", total(report, &WorkerReport::connections_rejected));
  text.field("sync_full", 0);
  text.field("sync_partial_ok", 0);
  text.field("sync_partial_err", 0);
  text.field("expired_keys", traffic.expired);
  text.field("evicted_keys", 0);  // what leaves memory stays on disk
  text.field("evicted_clients", 0);
  text.field("keyspace_hits", traffic.hits);
  text.field("keyspace_misses", traffic.misses);
  text.field("pubsub_channels", count_topics(report, TopicKind::kChannel));
  text.field("pubsub_patterns", count_topics(report, TopicKind::kPattern));
  text.field("pubsubshard_channels", count_topics(report, TopicKind::kShardChannel));
  text.field("latest_fork_usec", 0);
  text.field("total_forks", 0);
  text.field("unexpected_error_replies", 0);
  text.field("total_error_replies", total(report, &WorkerReport::error_replies));
  text.field("client_query_buffer_limit_disconnections", total(report, &WorkerReport::query_buffer_disconnections));
  text.field("client_output_buffer_limit_disconnections", total(report, &WorkerReport::output_buffer_disconnections));
  text.field("forwarded_commands", total(report, &WorkerReport::forwarded_commands));
  text.field("eventloop_turns", total(report, &WorkerReport::turns));
}

void write_modules(InfoText&, const InfoContext&) {}

void write_commandstats(InfoText& text, const InfoContext& context) {
  const std::vector<CommandReport> totals = command_totals(context.report);
  for (size_t i = 0; i < totals.size(); ++i) {
    const CommandReport& command = totals[i];
    if (command.calls == 0 && command.rejected == 0 && command.failed == 0) continue;
    const double microseconds = static_cast<double>(command.nanoseconds) / 1000;
    const double per_call = command.calls == 0 ? 0 : microseconds / static_cast<double>(command.calls);
    text.field("cmdstat_" + command_full_name(command_by_number(i)),
               "calls=" + std::to_string(command.calls) + ",usec=" + InfoText::format(microseconds, 0) +
                   ",usec_per_call=" + InfoText::format(per_call, 2) + ",rejected_calls=" +
                   std::to_string(command.rejected) + ",failed_calls=" + std::to_string(command.failed));
  }
}

void write_errorstats(InfoText& text, const InfoContext& context) {
  ErrorCounts errors;
  for (const WorkerReport& worker : context.report) {
    for (const auto& [code, count] : worker.errors) errors[code] += count;
  }
  for (const auto& [code, count] : errors) text.field("errorstat_" + code, "count=" + std::to_string(count));
}

// The upper end, in microseconds, of the bucket in which the percentile lies.
double percentile_us(const CommandReport& command, double percent) {
  const auto wanted = static_cast<uint64_t>(std::ceil(static_cast<double>(command.calls) * percent / 100));
  uint64_t below = 0;
  for (size_t bucket = 0; bucket < kLatencyBuckets; ++bucket) {
    below += command.latencies[bucket];
    if (below >= wanted) return static_cast<double>(bucket_limit_ns(bucket)) / 1000;
  }
  return static_cast<double>(bucket_limit_ns(kLatencyBuckets - 1)) / 1000;
}

void write_latencystats(InfoText& text, const InfoContext& context) {
  const std::vector<CommandReport> totals = command_totals(context.report);
  for (size_t i = 0; i < totals.size(); ++i) {
    if (totals[i].calls == 0) continue;
    std::string values;
    for (const auto& [name, percent] : {std::pair{"p50", 50.0}, {"p99", 99.0}, {"p99.9", 99.9}}) {
      values.append(values.empty() ? "" : ",").append(name).append("=");
      values.append(InfoText::format(percentile_us(totals[i], percent), 3));
    }
    text.field("latency_percentiles_usec_" + command_full_name(command_by_number(i)), values);
  }
}

constexpr InfoSection kSections[] = {
    {"server", "Server", true, write_server},
    {"clients", "Clients", true, write_clients},
    {"memory", "Memory", true, write_memory},
    {"persistence", "Persistence", true, write_persistence},
    {"stats", "Stats", true, write_stats},
    {"replication", "Replication", true, write_replication},
    {"cpu", "CPU", true, write_cpu},
    {"modules", "Modules", true, write_modules},
    {"commandstats", "Commandstats", false, write_commandstats},
    {"errorstats", "Errorstats", true, write_errorstats},
    {"latencystats", "Latencystats", false, write_latencystats},
    {"cluster", "Cluster", true, write_cluster},
    {"raft", "Raft", true, write_raft},
    {"journal", "Journal", true, write_journal},
    {"lmdb", "LMDB", true, write_lmdb},
    {"shards", "Shards", true, write_shards},
    {"keyspace", "Keyspace", true, write_keyspace},
};

}  // namespace

std::span<const InfoSection> info_sections() { return kSections; }

}  // namespace capstan
