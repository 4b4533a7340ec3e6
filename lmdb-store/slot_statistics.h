// Per database and slot: how many keys there are and the sum of their digests (the Merkle leaves). Kept up to date at
// each join; what DBSIZE, CLUSTER COUNTKEYSINSLOT, RANDOMKEY and anti-entropy read. One worker's.
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
};

class SlotStatistics {
 public:
  void add(Database database, Slot slot, uint64_t digest_change, int64_t keys_change) {
    if (!databases_[database]) [[unlikely]]
      databases_[database] = std::make_unique<PerDatabase>();
    PerDatabase& all = *databases_[database];
    all.slots[slot].digest += digest_change;
    if (keys_change == 0) return;
    all.slots[slot].keys += static_cast<uint64_t>(keys_change);
    all.blocks[slot / kBlock] += static_cast<uint64_t>(keys_change);
    all.keys += static_cast<uint64_t>(keys_change);
  }
  void prefetch(Database database, Slot slot) const {
    if (databases_[database]) __builtin_prefetch(&databases_[database]->slots[slot], 1);
  }
  SlotStatistic at(Database database, Slot slot) const {
    return databases_[database] ? databases_[database]->slots[slot] : SlotStatistic{};
  }
  uint64_t keys(Database database) const { return databases_[database] ? databases_[database]->keys : 0; }
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
  };
  std::array<std::unique_ptr<PerDatabase>, kDatabases> databases_;
};

}  // namespace capstan::lmdb_store
