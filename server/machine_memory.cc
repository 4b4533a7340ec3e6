#include "server/machine_memory.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <vector>

namespace capstan {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void lower_to(std::optional<uint64_t>& limit, const std::string& path) {
  const std::string text = read_file(path);
  uint64_t bytes = 0;
  // "max", or no such file: no limit.
  if (std::from_chars(text.data(), text.data() + text.size(), bytes).ec != std::errc()) return;
  limit = limit ? std::min(*limit, bytes) : bytes;
}

// The directories of a group and of all above it, from the hierarchy's root.
std::vector<std::string> path_upwards(const std::string& root, std::string_view group) {
  std::vector<std::string> paths = {root};
  for (size_t at = 1; at < group.size();) {
    const size_t end = std::min(group.find('/', at), group.size());
    paths.push_back(paths.back() + "/" + std::string(group.substr(at, end - at)));
    at = end + 1;
  }
  return paths;
}

}  // namespace

uint64_t physical_memory_bytes() {
  return static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

// Lines are "<number>:<controllers>:<path>"; in version 2 the number is 0 and there are no controllers (cgroups(7)).
std::optional<uint64_t> cgroup_limit_bytes(const std::string& root, std::string_view groups) {
  std::optional<uint64_t> limit;
  for (size_t at = 0; at < groups.size();) {
    const size_t end = std::min(groups.find('\n', at), groups.size());
    const std::string_view line = groups.substr(at, end - at);
    at = end + 1;
    const size_t controllers = line.find(':');
    const size_t path = controllers == line.npos ? line.npos : line.find(':', controllers + 1);
    if (path == line.npos) continue;
    const std::string_view group = line.substr(path + 1);
    if (path == controllers + 1) {
      for (const std::string& directory : path_upwards(root, group)) lower_to(limit, directory + "/memory.max");
    } else if (("," + std::string(line.substr(controllers + 1, path - controllers - 1)) + ",").find(",memory,") !=
               std::string::npos) {
      for (const std::string& directory : path_upwards(root + "/memory", group)) {
        lower_to(limit, directory + "/memory.limit_in_bytes");
      }
    }
  }
  return limit;
}

uint64_t available_memory_bytes() {
  const uint64_t physical = physical_memory_bytes();
  return std::min(physical, cgroup_limit_bytes("/sys/fs/cgroup", read_file("/proc/self/cgroup")).value_or(physical));
}

}  // namespace capstan
