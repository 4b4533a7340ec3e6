// A walk over the keys of a database, a piece per turn, so that no other client waits for it long.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "server/command.h"
#include "server/commands/scan_options.h"

namespace capstan {

class KeyWalk final : public CommandState {
 public:
  static constexpr uint64_t kToTheEnd = std::numeric_limits<uint64_t>::max();

  // From `cursor` on, until about `count` keys were met, whether the filter lets them through or not.
  KeyWalk(uint64_t cursor, uint64_t count) : cursor_(cursor), remaining_(count), stride_(count) {}

  // Takes the next piece; all of the rest where the call has to finish in this turn. kDone: write_names() is to follow,
  // before any other read. kAgain and kFetch: to be called again, on the same object.
  Outcome advance(Call& call, const KeyFilter& filter);

  // Where the walk ended; 0: at the end.
  uint64_t cursor() const { return cursor_; }
  // The keys that the filter let through, as an array.
  void write_names(resp::Writer& writer) const;

 private:
  void keep_found();

  uint64_t cursor_;
  uint64_t remaining_;
  uint64_t stride_;  // positions to look at next
  // Names from earlier turns, one behind the other.
  std::string names_;
  std::vector<size_t> sizes_;
  // This turn's.
  std::vector<Scanned> found_;
};

// Runs the walk that the call began in an earlier turn, else one that starts at the cursor. write_head(cursor) writes
// what goes before the array of names.
template <typename WriteHead>
Outcome walk_keys(Call& call, uint64_t cursor, uint64_t count, const KeyFilter& filter, WriteHead write_head) {
  const bool resumed = call.state != nullptr && *call.state != nullptr;
  KeyWalk first(cursor, count);
  KeyWalk& walk = resumed ? static_cast<KeyWalk&>(**call.state) : first;
  const Outcome outcome = walk.advance(call, filter);
  if (outcome == Outcome::kDone) {
    write_head(walk.cursor());
    walk.write_names(call.reply());
  } else if (call.state != nullptr && !resumed) {
    *call.state = std::make_unique<KeyWalk>(std::move(first));
  }
  return outcome;
}

}  // namespace capstan
