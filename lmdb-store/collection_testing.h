// Random elements and damaged bytes, for the tests of pages and sequences.
#pragma once

#include <string>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "lmdb-store/element_codec.h"

namespace capstan::lmdb_store {

template <typename T>
std::string why(const Result<T>& result) {
  return result.ok() ? std::string() : result.error().message;
}

// A place that owns its id.
struct TestPlace {
  uint64_t word = 0;
  std::string id;
  auto operator<=>(const TestPlace&) const = default;

  TestPlace() = default;
  TestPlace(uint64_t of_word, std::string of_id) : word(of_word), id(std::move(of_id)) {}
  explicit TestPlace(const Place& place) : word(place.word), id(place.id) {}
  Place view() const { return {word, id}; }
};

// An element without its place, owned.
struct TestElement {
  std::string value;
  LogNumber dot;
  Hlc hlc;
  uint64_t amended_last = 0;
  bool additive = false;
  bool general = false;

  ElementView view(const TestPlace& at) const {
    ElementView element;
    element.place = at.view();
    element.general = general;
    element.value = value;
    if (general) return element;
    element.dot = dot;
    element.hlc = hlc;
    element.amended_last = amended_last;
    element.additive = additive;
    return element;
  }
};

inline bool same(const ElementView& a, const ElementView& b) {
  return a.place == b.place && a.general == b.general && a.value == b.value && a.dot.log == b.dot.log &&
         a.dot.number == b.dot.number && a.hlc == b.hlc && a.amended_last == b.amended_last && a.additive == b.additive;
}

inline std::string random_bytes(Random& random, size_t size) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random.next());
  return bytes;
}

// Mostly of one log, with numbers and stamps that rise.
inline TestElement random_element(Random& random, size_t value_bytes) {
  static constexpr uint64_t kStamp = uint64_t{1'700'000'000'000} << 16;
  TestElement element;
  element.value = random_bytes(random, value_bytes);
  if (random.chance(0.03)) return element.general = true, element;
  element.dot = {static_cast<uint16_t>(random.chance(0.1) ? random.below(65536) : 3), 1 + random.below(1'000'000)};
  element.hlc = Hlc{kStamp + element.dot.number * 65536};
  if (random.chance(0.02)) element.hlc = Hlc{random.next()};
  if (random.chance(0.1)) element.amended_last = element.dot.number + 1 + random.below(1000);
  element.additive = random.chance(0.1);
  return element;
}

// The bytes with something wrong: bits turned over, bytes lost or added, a part of them moved. Exactly as long as they
// are, so that sanitizers see reads beyond.
inline std::vector<char> damaged(Random& random, const std::string& bytes) {
  std::vector<char> broken(bytes.begin(), bytes.end());
  switch (random.below(5)) {
    case 0:
      broken.resize(random.below(bytes.size() + 1));
      break;
    case 1:
      broken.push_back(static_cast<char>(random.next()));
      break;
    case 2:
      std::copy_n(bytes.begin(), random.below(bytes.size() / 2 + 1),
                  broken.begin() + static_cast<ptrdiff_t>(random.below(bytes.size() / 2 + 1)));
      break;
    default:
      // Most of what there is to break stands at the front.
      for (uint64_t turned = 1 + random.below(3); turned > 0; --turned) {
        const size_t range = random.chance(0.5) ? std::min<size_t>(bytes.size(), 40) : bytes.size();
        broken[random.below(range)] ^= static_cast<char>(1 << random.below(8));
      }
  }
  broken.shrink_to_fit();
  return broken;
}

}  // namespace capstan::lmdb_store
