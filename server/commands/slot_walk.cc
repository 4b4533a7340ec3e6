#include "server/commands/slot_walk.h"

#include <algorithm>

namespace capstan {
namespace {

// Rows that one turn looks at: a fraction of a millisecond's work.
constexpr uint64_t kRowsPerTurn = 2000;
// Removed keys leave rows behind for a while; what is left of them should not cost a turn each.
constexpr uint64_t kFewestRows = 100;

}  // namespace

bool SlotWalk::advance(lmdb_store::Keyspace& keyspace, int64_t now_ms) {
  const uint64_t wanted = std::min(count_, keyspace.slots().at(database_, slot_).keys);
  if (keys_.size() >= wanted) return false;
  std::vector<lmdb_store::Keyspace::ScannedKey> found;
  uint64_t next = 0;
  keyspace.scan(database_, position_, std::clamp(wanted - keys_.size(), kFewestRows, kRowsPerTurn), now_ms, found,
                next);
  for (auto& key : found) {
    if (keys_.size() >= wanted || slot_of(key.name) != slot_) return false;
    keys_.push_back(std::move(key.name));
  }
  position_ = next;
  return next != 0 && next < first_position(static_cast<Slot>(slot_ + 1));
}

}  // namespace capstan
