#include "server/descriptor_limit.h"

#include <sys/resource.h>

#include <algorithm>

namespace capstan {
namespace {

// Listeners, log, timers, and room for what libraries open for a moment.
constexpr uint64_t kForTheNode = 64;
// Event loop, wake-up, segments that are prepared, written, synced and removed.
constexpr uint64_t kPerWorker = 16;
// LMDB's data and lock files.
constexpr uint64_t kPerShard = 4;

}  // namespace

uint32_t clients_possible(const Settings& settings) {
  const uint64_t reserved = kForTheNode + kPerWorker * settings.io_threads + kPerShard * settings.shards;
  const rlim_t wanted = reserved + settings.max_clients;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return settings.max_clients;
  if (limit.rlim_cur < wanted) {
    rlimit raised{wanted, std::max(limit.rlim_max, wanted)};
    // Raising the hard limit takes a privilege; without it, as far as that goes.
    if (setrlimit(RLIMIT_NOFILE, &raised) != 0) {
      raised = {std::min(wanted, limit.rlim_max), limit.rlim_max};
      if (setrlimit(RLIMIT_NOFILE, &raised) != 0) raised = limit;
    }
    limit = raised;
  }
  if (limit.rlim_cur >= wanted) return settings.max_clients;
  return limit.rlim_cur > reserved ? static_cast<uint32_t>(limit.rlim_cur - reserved) : 1;
}

}  // namespace capstan
