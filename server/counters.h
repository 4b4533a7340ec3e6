// Counters with one writer, their worker's thread; any thread may read them (relaxed: each is exact, but two of them
// need not be of the same moment).
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace capstan {

class Counter {
 public:
  Counter() = default;
  Counter(const Counter& other) : value_(other.get()) {}
  Counter& operator=(const Counter&) = delete;

  void add(uint64_t n = 1) { value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  void set(uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// Times by powers of two: bucket i counts those below bucket_limit_ns(i) that are in none before it; the last one
// counts all longer ones, too.
inline constexpr size_t kLatencyBuckets = 24;
constexpr uint64_t bucket_limit_ns(size_t bucket) { return uint64_t{1024} << bucket; }
constexpr size_t latency_bucket(uint64_t elapsed_ns) {
  return std::min<size_t>(static_cast<size_t>(std::bit_width(elapsed_ns >> 10)), kLatencyBuckets - 1);
}

// commandstats of one command on one worker.
struct CommandCounters {
  Counter calls;
  Counter nanoseconds;
  Counter rejected;  // refused before they ran: arity, permissions, out of memory, …
  Counter failed;    // ran and replied an error
  std::array<Counter, kLatencyBuckets> latencies;

  void reset() {
    for (Counter* const counter : {&calls, &nanoseconds, &rejected, &failed}) counter->set(0);
    for (Counter& counter : latencies) counter.set(0);
  }
};

struct WorkerCounters {
  Counter commands;
  Counter connections_received;
  Counter connections_rejected;  // over maxclients
  Counter net_input_bytes;
  Counter net_output_bytes;
  Counter query_buffer_disconnections;   // client-query-buffer-limit
  Counter output_buffer_disconnections;  // client-output-buffer-limit
  Counter error_replies;
  Counter forwarded_commands;  // to a shard of another worker
  Counter turns;
  std::vector<CommandCounters> by_command;  // by command_number(); sized once

  // CONFIG RESETSTAT, by the writer.
  void reset() {
    for (Counter* const counter :
         {&commands, &connections_received, &connections_rejected, &net_input_bytes, &net_output_bytes,
          &query_buffer_disconnections, &output_buffer_disconnections, &error_replies, &forwarded_commands, &turns}) {
      counter->set(0);
    }
    for (CommandCounters& command : by_command) command.reset();
  }
};

}  // namespace capstan
