// What the process uses of memory: as the allocator counts it (jemalloc, where it is linked in), and as the kernel
// does.
#pragma once

#include <cstdint>
#include <string>

namespace capstan {

struct MemoryUse {
  uint64_t used_bytes = 0;      // allocated; without jemalloc the same as resident_bytes
  uint64_t active_bytes = 0;    // in pages that hold allocations
  uint64_t mapped_bytes = 0;    // in memory that the allocator holds
  uint64_t resident_bytes = 0;  // of the whole process, pages of LMDB's maps included
  uint64_t peak_bytes = 0;      // the most that used_bytes was at any call
  uint64_t startup_bytes = 0;   // what used_bytes was at the first call
};

// Any thread. Called about once per second for the peak.
MemoryUse memory_use();
// "jemalloc-5.3.0", or "libc".
std::string allocator_name();
// The allocator's own report; empty if it makes none.
std::string allocator_statistics();
// Gives memory back to the kernel that holds no allocations (MEMORY PURGE).
void purge_memory();

}  // namespace capstan
