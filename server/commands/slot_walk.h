// The keys of one slot, a piece per turn, so that no other client waits for it long.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lmdb-store/keyspace.h"

namespace capstan {

class SlotWalk {
 public:
  // At most `count` keys.
  SlotWalk(Database database, Slot slot, uint64_t count)
      : database_(database), slot_(slot), count_(count), position_(first_position(slot)) {}

  // Takes the next piece. True: there may be more.
  bool advance(lmdb_store::Keyspace& keyspace, int64_t now_ms);
  // The live keys so far.
  const std::vector<std::string>& keys() const { return keys_; }

 private:
  static uint64_t first_position(Slot slot) {
    return uint64_t{slot} << (lmdb_store::Keyspace::kPositionBits - 14);  // a slot has 14 bits
  }

  const Database database_;
  const Slot slot_;
  const uint64_t count_;
  uint64_t position_;
  std::vector<std::string> keys_;
};

}  // namespace capstan
