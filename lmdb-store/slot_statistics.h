// Per database and slot: how many keys there are, how many of them have a TTL, and the sum of their digests (the Merkle
// leaves). Kept up to date at each join; what DBSIZE, CLUSTER COUNTKEYSINSLOT, RANDOMKEY and anti-entropy read. One
// worker's.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "base/ids.h"
#include "base/slot.h"

namespace capstan::lmdb_store {

struct SlotStatistic {
  uint64_t digest = 0;
  uint64_t keys = 0;
  uint64_t expiring = 0;  // keys with a TTL
};

class SlotStatistics {
 public:
  // Changes mod 2^64: what goes down is added as its complement.
  void add(Database database, Slot slot, const SlotStatistic& change) {
    if (!databases_[database]) [[unlikely]]
      databases_[database] = std::make_unique<PerDatabase>();
    PerDatabase& all = *databases_[database];
    all.slots[slot].digest += change.digest;
    if ((change.keys | change.expiring) == 0) return;
    all.slots[slot].keys += change.keys;
    all.slots[slot].expiring += change.expiring;
    all.blocks[slot / kBlock] += change.keys;
    all.keys += change.keys;
    all.expiring += change.expiring;
  }
  void prefetch(Database database, Slot slot) const {
    if (databases_[database]) __builtin_prefetch(&databases_[database]->slots[slot], 1);
  }
  SlotStatistic at(Database database, Slot slot) const {
    return databases_[database] ? databases_[database]->slots[slot] : SlotStatistic{};
  }
  uint64_t keys(Database database) const { return databases_[database] ? databases_[database]->keys : 0; }
  uint64_t expiring(Database database) const { return databases_[database] ? databases_[database]->expiring : 0; }
  void clear(Database database) { databases_[database].reset(); }

  // The slot of the key that is number `index` in slot order. Precondition: index < keys(database).
  Slot slot_of_key(Database database, uint64_t index) const {
    const PerDatabase& all = *databases_[database];
    size_t block = 0;
    while (index >= all.blocks[block]) index -= all.blocks[block++];
    size_t slot = block * kBlock;
    while (index >= all.slots[slot].keys) index -= all.slots[slot++].keys;
    return static_cast<Slot>(slot);
  }

 private:
  static constexpr size_t kBlock = 128;
  struct PerDatabase {
    std::array<SlotStatistic, kSlots> slots{};
    std::array<uint64_t, kSlots / kBlock> blocks{};
    uint64_t keys = 0;
    uint64_t expiring = 0;
  };
  std::array<std::unique_ptr<PerDatabase>, kDatabases> databases_;
};

}  // namespace capstan::lmdb_store
