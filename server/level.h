// Consistency levels as clients name them: the grammar of CONSISTENCY's prefix, its trailing form and the `consistency`
// directive (docs: interface, "Choosing the level"), and which one counts for a command. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace capstan {

enum class Level : uint8_t { kStrong, kEventual, kLocal };

std::string_view level_name(Level level);  // upper case
std::optional<Level> parse_level(std::string_view word);

// W or R: how many replicas have to answer.
struct Quorum {
  enum class Kind : uint8_t { kDefault, kNumber, kQuorum, kAll, kLocalQuorum, kEachQuorum };
  Kind kind = Kind::kDefault;
  uint32_t number = 0;  // of kNumber

  // Of so many home replicas in one data centre; kDefault counts as QUORUM.
  uint32_t needed(uint32_t replicas) const;
  bool operator==(const Quorum&) const = default;
};

// A level with its options.
struct Consistency {
  Level level = Level::kStrong;
  Quorum write;
  Quorum read;
  int64_t timeout_ms = -1;  // -1: the server's
  int64_t max_age_ms = -1;  // -1: any age
  bool session = false;
  std::string after;  // a token; empty: none
  bool has_id = false;
  std::string id_client;
  uint64_t id_serial = 0;

  // Nothing but the level is asked for.
  bool plain() const;
  // As a client would type it: "EVENTUAL W 2 TIMEOUT 100".
  std::string to_string() const;
  bool operator==(const Consistency&) const = default;
};

// The words behind CONSISTENCY: a level, then options; stops at the first word that is no option. `used`: how many
// words belong to it. The error is ready to be replied ("ERR …").
struct ParsedConsistency {
  Consistency consistency;
  size_t used = 0;
};
Result<ParsedConsistency> parse_consistency(std::span<const std::string_view> words);

// Where the trailing `CONSISTENCY <level> [options]` of a command begins: the first index ≥ from whose word is
// CONSISTENCY and is followed by a level. nullopt: there is none.
std::optional<size_t> find_trailing_consistency(std::span<const std::string_view> words, size_t from);

// The `consistency` directives: the server's default and levels by key pattern, first match wins.
class LevelPolicy {
 public:
  // The words of one directive: `strong`, `eventual w=1`, `session:* eventual w=1`. Errors name the word.
  Result<> add(std::span<const std::string_view> words);

  const Consistency& fallback() const { return fallback_; }
  bool has_patterns() const { return !patterns_.empty(); }
  // By key; nullptr if no pattern matches.
  const Consistency* match(std::string_view key) const;
  const std::vector<std::pair<std::string, Consistency>>& patterns() const { return patterns_; }

 private:
  Consistency fallback_;
  std::vector<std::pair<std::string, Consistency>> patterns_;
};

}  // namespace capstan
