// What the journal costs per entry: capstan-journal-bench <directory>. Entries of 100 bytes, without syncs, released as
// they come.
#include <cstdio>
#include <ctime>
#include <string>

#include "lmdb-store/journal.h"

namespace capstan::lmdb_store {
namespace {

// Of the worker alone: preparing segments is another thread's work.
int64_t cpu_ns() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

int measure(const char* directory) {
  const JournalOptions options;
  auto recovery = recover_journals(posix_file_system(), directory, {}, [](const JournalEntry&) { return Result<>(); });
  auto opened = Journal::open(posix_file_system(), directory, 0, options, *recovery);
  if (!opened) return std::fprintf(stderr, "%s\n", opened.error().message.c_str()), 1;
  Journal& journal = **opened;
  const std::string payload(100, 'p');
  for (const uint64_t batch_entries : {16u, 1024u}) {
    constexpr uint64_t kEntries = 2u << 20;
    int64_t write_ns = 0;
    const int64_t begin_ns = cpu_ns();
    for (uint64_t i = 0; i < kEntries; ++i) {
      if (!journal.append(1, 0, payload)) return 1;
      if (i % batch_entries != batch_entries - 1) continue;
      // Reading the clock costs as much as many entries, so it is read only where batches are large.
      const int64_t write_begin_ns = batch_entries > 16 ? cpu_ns() : 0;
      if (!journal.write()) return 1;
      if (batch_entries > 16) write_ns += cpu_ns() - write_begin_ns;
      if (i % (1u << 17) == (1u << 17) - 1) journal.release(0, journal.end());
    }
    const double all = static_cast<double>(cpu_ns() - begin_ns) / kEntries;
    std::printf("batches of %lu: CPU per entry, append and write %.1f ns", batch_entries, all);
    if (write_ns > 0) std::printf(", append alone %.1f ns", all - static_cast<double>(write_ns) / kEntries);
    std::printf("\n");
  }
  return 0;
}

}  // namespace
}  // namespace capstan::lmdb_store

int main(int count, char** arguments) { return count < 2 ? 2 : capstan::lmdb_store::measure(arguments[1]); }
