#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"

namespace capstan {

uint64_t hash64(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

uint64_t hash64(std::string_view bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

Hash128 hash128(std::string_view bytes) {
  const XXH128_hash_t h = XXH3_128bits(bytes.data(), bytes.size());
  return Hash128{h.high64, h.low64};
}

Hash128 hash128(std::string_view bytes, std::string_view secret) {
  CHECK(secret.size() >= XXH3_SECRET_SIZE_MIN);
  const XXH128_hash_t h = XXH3_128bits_withSecret(bytes.data(), bytes.size(), secret.data(), secret.size());
  return Hash128{h.high64, h.low64};
}

}  // namespace capstan
