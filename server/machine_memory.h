// How much memory this process may use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace capstan {

uint64_t physical_memory_bytes();

// The smaller of the physical memory and the limits of the control groups (v1 and v2) that the process is in.
uint64_t available_memory_bytes();

// For tests: the lowest limit that the process whose /proc/<pid>/cgroup has this text has under `root` (as a rule
// /sys/fs/cgroup), its own group and all above it; nullopt: none.
std::optional<uint64_t> cgroup_limit_bytes(const std::string& root, std::string_view groups);

}  // namespace capstan
