// Small types that name things throughout the product.
#pragma once

#include <compare>
#include <cstdint>

namespace capstan {

// The random 64-bit identity of a log (model, "Words"). Zero names no log. The highest bit tells the kind: set for a
// log R (agreed by Raft), clear for a writer's. So a join needs no list of which identities R has had in its life, and
// in a tie of stamps, where the higher identity wins, the agreed log does.
struct LogId {
  static constexpr uint64_t kAgreedBit = uint64_t{1} << 63;
  uint64_t value = 0;

  bool agreed() const { return (value & kAgreedBit) != 0; }
  auto operator<=>(const LogId&) const = default;
};

// A shard: a contiguous range of slots. Dense, from 0.
using ShardId = uint32_t;

// A database, as SELECT numbers them; those from kUserDatabases on are reserved for the server itself.
using Database = uint8_t;
inline constexpr Database kUserDatabases = 16;
// Remembered results of STRONG ID (model: untouched by clear).
inline constexpr Database kSessionDatabase = 16;
inline constexpr Database kDatabases = 17;

}  // namespace capstan
