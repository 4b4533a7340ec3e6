#include "server/memory_use.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <fstream>

// jemalloc's; only executables link it.
extern "C" int mallctl(const char* name, void* old_value, size_t* old_size, void* new_value, size_t new_size)
    __attribute__((weak));
extern "C" void malloc_stats_print(void (*write)(void*, const char*), void* to, const char* options)
    __attribute__((weak));

namespace capstan {
namespace {

std::atomic<uint64_t> peak{0};
std::atomic<uint64_t> startup{0};

uint64_t statistic(const char* name) {
  size_t value = 0;
  size_t size = sizeof value;
  return mallctl(name, &value, &size, nullptr, 0) == 0 ? value : 0;
}

// statm's second figure, in pages (proc(5)).
uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t all = 0;
  uint64_t resident = 0;
  file >> all >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

MemoryUse memory_use() {
  MemoryUse use;
  use.resident_bytes = resident_bytes();
  use.used_bytes = use.active_bytes = use.mapped_bytes = use.resident_bytes;
  if (mallctl != nullptr) {
    uint64_t epoch = 1;  // writing it makes jemalloc add its statistics up anew
    mallctl("epoch", nullptr, nullptr, &epoch, sizeof epoch);
    use.used_bytes = statistic("stats.allocated");
    use.active_bytes = statistic("stats.active");
    use.mapped_bytes = statistic("stats.resident");
  }
  uint64_t before = peak.load(std::memory_order_relaxed);
  while (use.used_bytes > before && !peak.compare_exchange_weak(before, use.used_bytes)) {
  }
  use.peak_bytes = std::max(before, use.used_bytes);
  uint64_t none = 0;
  startup.compare_exchange_strong(none, use.used_bytes);
  use.startup_bytes = startup.load();
  return use;
}

std::string allocator_name() {
  if (mallctl == nullptr) return "libc";
  const char* version = nullptr;
  size_t size = sizeof version;
  if (mallctl("version", &version, &size, nullptr, 0) != 0) return "jemalloc";
  const std::string text(version);
  return "jemalloc-" + text.substr(0, text.find('-'));
}

std::string allocator_statistics() {
  std::string text;
  if (malloc_stats_print == nullptr) return text;
  malloc_stats_print([](void* to, const char* part) { *static_cast<std::string*>(to) += part; }, &text, nullptr);
  return text;
}

void purge_memory() {
  if (mallctl == nullptr) return;
  mallctl("arena.4096.purge", nullptr, nullptr, nullptr, 0);  // MALLCTL_ARENAS_ALL
}

}  // namespace capstan
