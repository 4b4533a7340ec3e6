#include "cluster/ring.h"

#include <algorithm>
#include <string_view>
#include <tuple>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"

namespace capstan::cluster {
namespace {

// Shards lie at equal distances: evenly spread, and when each is split, its first half keeps the place.
uint64_t place_of(ShardId shard, uint32_t shards) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(shard) << 64) / shards);
}

// The number is hashed with the name and is not the hash's seed: with that, names of three letters that differ in the
// last one share nearly all their points.
uint64_t point_of(const std::string& name, uint32_t number) {
  std::string bytes;
  Encoder encoder(bytes);
  encoder.raw(name);
  encoder.u32(number);
  return hash64(bytes);
}

// Numbers the distinct values in the order in which they come.
size_t number_of(const std::string& value, std::vector<std::string>& values) {
  const auto found = std::find(values.begin(), values.end(), value);
  if (found != values.end()) return static_cast<size_t>(found - values.begin());
  values.push_back(value);
  return values.size() - 1;
}

}  // namespace

Ring::Ring(const std::vector<Node>& nodes, uint32_t points) {
  CHECK(!nodes.empty() && points > 0);
  std::vector<const Node*> ordered;
  for (const Node& node : nodes) ordered.push_back(&node);
  std::sort(ordered.begin(), ordered.end(), [](const Node* a, const Node* b) { return a->name < b->name; });
  std::vector<std::string> data_centres;
  std::vector<std::string> racks;
  for (const Node* const node : ordered) {
    CHECK(owners_.empty() || owners_.back().name != node->name);
    for (uint32_t number = 0; number < points; ++number) {
      points_.push_back({point_of(node->name, number), owners_.size()});
    }
    owners_.push_back({node->name, number_of(node->zone.substr(0, node->zone.find('/')), data_centres),
                       number_of(node->zone, racks)});
  }
  std::sort(points_.begin(), points_.end(),
            [](const Point& a, const Point& b) { return std::tie(a.place, a.owner) < std::tie(b.place, b.owner); });
}

// All owners, in the order in which their first points come.
std::vector<size_t> Ring::walk(uint64_t place) const {
  const auto first = std::lower_bound(points_.begin(), points_.end(), place,
                                      [](const Point& point, uint64_t wanted) { return point.place < wanted; });
  const auto start = static_cast<size_t>(first - points_.begin());
  std::vector<size_t> met;
  std::vector<bool> seen(owners_.size());
  for (size_t i = 0; i < points_.size() && met.size() < owners_.size(); ++i) {
    const size_t owner = points_[(start + i) % points_.size()].owner;
    if (seen[owner]) continue;
    seen[owner] = true;
    met.push_back(owner);
  }
  return met;
}

std::vector<std::string> Ring::preference_list(ShardId shard, uint32_t shards, size_t replicas) const {
  CHECK(shard < shards);
  std::vector<size_t> left = walk(place_of(shard, shards));
  // Replicas in the list, by data centre and by rack.
  std::vector<size_t> in_data_centre(owners_.size());
  std::vector<size_t> in_rack(owners_.size());
  const auto load = [&](size_t owner) {
    return std::pair(in_data_centre[owners_[owner].data_centre], in_rack[owners_[owner].rack]);
  };
  std::vector<std::string> list;
  while (list.size() < replicas && !left.empty()) {
    // Of equals the first that the walk meets.
    const auto next =
        std::min_element(left.begin(), left.end(), [&load](size_t a, size_t b) { return load(a) < load(b); });
    ++in_data_centre[owners_[*next].data_centre];
    ++in_rack[owners_[*next].rack];
    list.push_back(owners_[*next].name);
    left.erase(next);
  }
  return list;
}

}  // namespace capstan::cluster
