// XXH3, the one hash of the product (journal checksums, row keys, digests).
#pragma once

#include <cstdint>
#include <string_view>

namespace capstan {

uint64_t hash64(std::string_view bytes);
uint64_t hash64(std::string_view bytes, uint64_t seed);

struct Hash128 {
  uint64_t high = 0;
  uint64_t low = 0;
  bool operator==(const Hash128&) const = default;
};
Hash128 hash128(std::string_view bytes);
// Keyed: without the secret (random bytes, at least 136) nobody can look for collisions.
Hash128 hash128(std::string_view bytes, std::string_view secret);

// Mixes two words into one (a folded 64×64 multiplication); for combining hashes, not for bytes from outside.
inline uint64_t mix64(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a ^ 0x9e3779b97f4a7c15u) * (b ^ 0xd1b54a32d192ed03u);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

}  // namespace capstan
