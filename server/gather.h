// Scatter and gather: a command over several shards becomes parts, and the parts' replies one reply (command.h, Join).
// Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/slot.h"
#include "resp/output_buffer.h"
#include "server/command.h"

namespace capstan {

// Which shard owns a slot: shard i has the i-th of `shards` contiguous ranges of equal size (within one slot).
class ShardMap {
 public:
  explicit ShardMap(uint32_t shards) : shards_(shards) {}
  uint32_t shards() const { return shards_; }
  ShardId shard_of(Slot slot) const { return static_cast<ShardId>(uint64_t{slot} * shards_ / kSlots); }
  ShardId shard_of(std::string_view key) const { return shards_ == 1 ? 0 : shard_of(slot_of(key)); }
  Slot first_slot(ShardId shard) const { return static_cast<Slot>((uint64_t{shard} * kSlots + shards_ - 1) / shards_); }

 private:
  uint32_t shards_;
};

// Calls f(index) for the arguments that are keys. Precondition: the arity is right.
template <typename F>
void for_each_key(const CommandSpec& spec, size_t arguments, F f) {
  const KeyPositions& keys = spec.keys;
  if (keys.first <= 0) return;
  const int last = keys.last < 0 ? static_cast<int>(arguments) + keys.last : keys.last;
  for (int i = keys.first; i <= last && i < static_cast<int>(arguments); i += keys.step) f(static_cast<size_t>(i));
}

struct Placement {
  bool any = false;      // there is a key at all
  bool several = false;  // keys of more than one shard
  ShardId shard = 0;     // of the first key
};
Placement place(const ShardMap& map, const CommandSpec& spec, std::span<const std::string_view> arguments);

// One shard's part of a command of scope kSplit.
struct Part {
  ShardId shard = 0;
  std::vector<std::string_view> arguments;  // views into the command's
  std::vector<uint32_t> keys;               // which of the command's keys, counted from 0
};
std::vector<Part> split(const ShardMap& map, const CommandSpec& spec, std::span<const std::string_view> arguments);

// Length of the first whole reply in bytes that are well-formed RESP.
size_t reply_length(std::string_view bytes);

// SCAN's reply from shard `shard`: where its cursor says that the shard is finished and there is a next one, the cursor
// that begins that one takes its place. Other replies are left alone.
std::string continue_cursor(const ShardMap& map, ShardId shard, std::string_view reply);
// Which shard a cursor names; 0 for what is no cursor (the command will say so).
ShardId shard_of_cursor(const ShardMap& map, std::string_view cursor);

// Collects the parts' replies in any order. If a part replied an error, the first such part's is the reply.
class Gather {
 public:
  // random: for Join::kPick.
  Gather(Join join, size_t parts, uint64_t random) : join_(join), random_(random), waiting_(parts), replies_(parts) {}

  // For kArray: which keys the part has.
  void set_keys(uint32_t part, std::vector<uint32_t> keys) { replies_[part].keys = std::move(keys); }
  // For kCursor: the one shard that was asked.
  void set_cursor(const ShardMap& map, ShardId shard) {
    shard_map_ = map;
    shard_ = shard;
  }
  // weight: for kPick. True when this was the last one.
  bool add(uint32_t part, std::string_view reply, uint64_t weight);
  // Precondition: complete.
  void write(resp::OutputBuffer& out) const;

 private:
  struct PartReply {
    std::string bytes;
    uint64_t weight = 0;
    std::vector<uint32_t> keys;
  };
  void write_sum(resp::OutputBuffer& out) const;
  void write_array(resp::OutputBuffer& out) const;
  void write_concat(resp::OutputBuffer& out) const;
  void write_pick(resp::OutputBuffer& out) const;

  Join join_;
  uint64_t random_;
  ShardMap shard_map_{1};
  ShardId shard_ = 0;
  size_t waiting_;
  std::vector<PartReply> replies_;
};

}  // namespace capstan
