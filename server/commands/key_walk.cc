#include "server/commands/key_walk.h"

#include <algorithm>

namespace capstan {
namespace {

// A fraction of a millisecond's work.
constexpr uint64_t kPositionsPerTurn = 2000;

}  // namespace

Outcome KeyWalk::advance(Call& call, const KeyFilter& filter) {
  uint64_t looked_at = 0;
  while (true) {
    const uint64_t positions = std::min(stride_, kPositionsPerTurn);
    found_.clear();
    if (call.eval().scan(call.database, cursor_, positions, found_) == Lookup::kNotResident) return Outcome::kFetch;
    looked_at += positions;
    remaining_ -= std::min<uint64_t>(remaining_, found_.size());
    // Removed keys leave positions behind for a while; the more of them in a row, the longer the next stride.
    stride_ = found_.empty() ? 2 * positions : remaining_;
    std::erase_if(found_, [&filter](const Scanned& scanned) { return !filter.matches(scanned.key, scanned.kind); });
    if (cursor_ == 0 || remaining_ == 0) return Outcome::kDone;
    keep_found();
    if (looked_at >= kPositionsPerTurn && call.state != nullptr) return Outcome::kAgain;
  }
}

void KeyWalk::keep_found() {
  for (const Scanned& scanned : found_) {
    names_.append(scanned.key);
    sizes_.push_back(scanned.key.size());
  }
}

void KeyWalk::write_names(resp::Writer& writer) const {
  writer.array(sizes_.size() + found_.size());
  std::string_view rest = names_;
  for (const size_t size : sizes_) {
    writer.bulk(rest.substr(0, size));
    rest.remove_prefix(size);
  }
  for (const Scanned& scanned : found_) writer.bulk(scanned.key);
}

}  // namespace capstan
