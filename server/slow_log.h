// SLOWLOG's entries of one worker's clients. Belongs to the worker; SLOWLOG gathers all workers' and sorts by id.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace capstan {

struct SlowLogEntry {
  uint64_t id = 0;  // unique in the node, ascending
  int64_t time_s = 0;
  int64_t elapsed_us = 0;
  std::vector<std::string> words;  // cut as slow_log_words() does
  std::string peer_address;
  std::string client_name;
};

// At most 32 words of at most 128 bytes, as Redis keeps them; what is left out is told by "... (n more arguments)" and
// "... (n more bytes)".
std::vector<std::string> slow_log_words(std::span<const std::string_view> words);

class SlowLog {
 public:
  void add(SlowLogEntry entry, size_t max_entries) {
    entries_.push_front(std::move(entry));
    trim(max_entries);
  }
  void trim(size_t max_entries) {
    while (entries_.size() > max_entries) entries_.pop_back();
  }
  void clear() { entries_.clear(); }
  const std::deque<SlowLogEntry>& entries() const { return entries_; }  // newest first

 private:
  std::deque<SlowLogEntry> entries_;
};

}  // namespace capstan
