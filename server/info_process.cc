// INFO about the process and the machine.
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <filesystem>

#include "server/info_sections.h"
#include "server/machine_memory.h"
#include "server/node.h"
#include "server/version.h"

namespace capstan {
namespace {

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1'000'000;
}

double ratio(uint64_t a, uint64_t b) { return b == 0 ? 0 : static_cast<double>(a) / static_cast<double>(b); }

std::string operating_system() {
  utsname name{};
  uname(&name);
  return std::string(name.sysname) + " " + name.release + " " + name.machine;
}

std::string executable() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).string();
}

void write_allocator(InfoText& text, const MemoryUse& use) {
  text.real("allocator_frag_ratio", ratio(use.active_bytes, use.used_bytes));
  text.field("allocator_frag_bytes", use.active_bytes - std::min(use.active_bytes, use.used_bytes));
  text.real("allocator_rss_ratio", ratio(use.mapped_bytes, use.active_bytes));
  text.field("allocator_rss_bytes", use.mapped_bytes - std::min(use.mapped_bytes, use.active_bytes));
  text.real("rss_overhead_ratio", ratio(use.resident_bytes, use.mapped_bytes));
  text.field("rss_overhead_bytes", static_cast<int64_t>(use.resident_bytes) - static_cast<int64_t>(use.mapped_bytes));
  text.real("mem_fragmentation_ratio", ratio(use.resident_bytes, use.used_bytes));
  text.field("mem_fragmentation_bytes",
             static_cast<int64_t>(use.resident_bytes) - static_cast<int64_t>(use.used_bytes));
}

}  // namespace

void write_server(InfoText& text, const InfoContext& context) {
  constexpr int64_t kDayMs = 24 * 3600 * 1000;
  const int64_t uptime_ms = context.now_ms - context.node.started_ms();
  text.field("redis_version", kRedisVersion);
  text.field("capstan_version", kCapstanVersion);
  text.field("redis_git_sha1", "00000000");
  text.field("redis_git_dirty", 0);
  text.field("redis_build_id", "0");
  text.field("redis_mode", context.settings.cluster ? "cluster" : "standalone");
  text.field("os", operating_system());
  text.field("arch_bits", 64);
  text.field("monotonic_clock", "POSIX clock_gettime");
  text.field("multiplexing_api", "epoll");
  text.field("gcc_version", std::to_string(__GNUC__) + "." + std::to_string(__GNUC_MINOR__) + "." +
                                std::to_string(__GNUC_PATCHLEVEL__));
  text.field("process_id", getpid());
  text.field("process_supervised", context.settings.supervised ? "systemd" : "no");
  text.field("run_id", context.node.run_id());
  text.field("tcp_port", context.settings.port);
  text.field("server_time_usec", context.now_ms * 1000);
  text.field("uptime_in_seconds", uptime_ms / 1000);
  text.field("uptime_in_days", uptime_ms / kDayMs);
  text.field("hz", 10);
  text.field("configured_hz", 10);
  text.field("lru_clock", (context.now_ms / 1000) & 0xFFFFFF);
  text.field("executable", executable());
  text.field("config_file", context.settings.config_file);
  text.field("io_threads_active", context.node.workers() > 1 ? 1 : 0);
  text.field("workers", context.node.workers());
}

void write_memory(InfoText& text, const InfoContext& context) {
  const MemoryUse& use = context.memory;
  uint64_t rows = 0;
  uint64_t dirty = 0;
  for (const WorkerReport& worker : context.report) {
    for (const ShardReport& shard : worker.shards) {
      rows += shard.memory_bytes;
      dirty += shard.dirty_bytes;
    }
  }
  const uint64_t dataset = std::min(rows, use.used_bytes);
  text.bytes("used_memory", use.used_bytes);
  text.bytes("used_memory_rss", use.resident_bytes);
  text.bytes("used_memory_peak", use.peak_bytes);
  text.field("used_memory_peak_perc", InfoText::format(100 * ratio(use.used_bytes, use.peak_bytes), 2) + "%");
  text.field("used_memory_overhead", use.used_bytes - dataset);
  text.field("used_memory_startup", use.startup_bytes);
  text.field("used_memory_dataset", dataset);
  text.field("used_memory_dataset_perc", InfoText::format(100 * ratio(dataset, use.used_bytes), 2) + "%");
  text.field("allocator_allocated", use.used_bytes);
  text.field("allocator_active", use.active_bytes);
  text.field("allocator_resident", use.mapped_bytes);
  text.bytes("total_system_memory", physical_memory_bytes());
  text.field("available_memory", context.settings.machine_memory);
  text.bytes("maxmemory", 0);
  text.field("maxmemory_policy", "noeviction");
  write_allocator(text, use);
  text.field("mem_clients_normal", total(context.report, &WorkerReport::client_memory_bytes));
  text.field("mem_allocator", allocator_name());
  text.field("cache_memory", context.settings.cache_memory);
  text.field("cache_memory_used", rows);
  text.field("dirty_memory", context.settings.dirty_memory);
  text.field("dirty_memory_used", dirty);
}

void write_cpu(InfoText& text, const InfoContext&) {
  rusage self{};
  rusage children{};
  getrusage(RUSAGE_SELF, &self);
  getrusage(RUSAGE_CHILDREN, &children);
  text.real("used_cpu_sys", seconds(self.ru_stime), 6);
  text.real("used_cpu_user", seconds(self.ru_utime), 6);
  text.real("used_cpu_sys_children", seconds(children.ru_stime), 6);
  text.real("used_cpu_user_children", seconds(children.ru_utime), 6);
}

}  // namespace capstan
