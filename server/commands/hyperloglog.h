// HyperLogLog (Flajolet et al. 2007): an estimate of how many distinct elements were added, from 16,384 registers that
// each remember the longest run of zeros in the hashes that fell to it. The value is a string in Redis' form (7.0), so
// that values can be copied between the two:
//
//   "HYLL", u8 form, 3 zero bytes, u64 cached count (little-endian; bit 63: it is out of date)
//   form 0, dense    16,384 numbers of 6 bits, the first in the lowest bits of the first byte
//   form 1, sparse   runs:  00llllll            l + 1 registers of 0
//                           01llllll llllllll   the same, l of 14 bits
//                           1vvvvvll            l + 1 registers of v + 1
//
// The count is the estimator of Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (2017),
// algorithm 6. What is cached is neither used nor written here: PFCOUNT changes nothing.
//
// Pure functions, any thread. Values may come from anywhere: what is malformed is said to be, and nothing else happens.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace capstan::hyperloglog {

inline constexpr size_t kRegisters = 1 << 14;
// A longer sparse value becomes a dense one (Redis' default for hll-sparse-max-bytes).
inline constexpr size_t kMaxSparseBytes = 3000;

using Registers = std::array<uint8_t, kRegisters>;

// Where an element belongs, and what the register is at least once it was added: 1 to 51.
struct Place {
  size_t index = 0;
  uint8_t rank = 0;
};
Place place_of(std::string_view element);

// Whether a string begins as such a value does, and a dense one has its length.
bool is_value(std::string_view value);
bool is_dense(std::string_view value);
// Precondition of those below: is_value(). nullopt, false: it is malformed.
std::optional<uint8_t> register_at(std::string_view value, size_t index);
// Raises each register to what the value has.
[[nodiscard]] bool merge(std::string_view value, Registers& registers);

// Sparse if that is allowed and short enough.
std::string encode(const Registers& registers, bool may_be_sparse);
uint64_t count(const Registers& registers);

// Changes of a dense value: each is bytes at an offset.
struct Patch {
  size_t offset = 0;
  std::string bytes;
};
inline constexpr size_t kStaleOffset = 15;
inline constexpr char kStale = '\x80';
Patch dense_patch(std::string_view value, const Place& place);

}  // namespace capstan::hyperloglog
