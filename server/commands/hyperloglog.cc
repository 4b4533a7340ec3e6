#include "server/commands/hyperloglog.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/bytes.h"

namespace capstan::hyperloglog {
namespace {

constexpr std::string_view kMagic = "HYLL";
constexpr size_t kHeaderBytes = 16;
constexpr size_t kFormOffset = 4;
constexpr char kDense = 0;
constexpr char kSparse = 1;
constexpr unsigned kIndexBits = 14;
constexpr unsigned kRankBits = 64 - kIndexBits;  // the largest rank is one more
constexpr unsigned kRegisterBits = 6;
constexpr uint8_t kRegisterMask = (1 << kRegisterBits) - 1;
constexpr size_t kDenseBytes = kHeaderBytes + kRegisters * kRegisterBits / 8;

constexpr uint8_t kLongZeros = 0x40;
constexpr uint8_t kRanks = 0x80;
constexpr size_t kMaxZeros = 64;
constexpr size_t kMaxRankRun = 4;
constexpr uint8_t kMaxSparseRank = 32;

// MurmurHash64A (Appleby 2008, public domain) with the seed that such values are made with everywhere.
uint64_t hash_of(std::string_view bytes) {
  constexpr uint64_t kMultiplier = 0xc6a4a7935bd1e995;
  constexpr uint64_t kSeed = 0xadc83b19;
  constexpr unsigned kShift = 47;
  uint64_t hash = kSeed ^ (bytes.size() * kMultiplier);
  for (; bytes.size() >= sizeof(uint64_t); bytes.remove_prefix(sizeof(uint64_t))) {
    uint64_t word = load_le<uint64_t>(bytes.data()) * kMultiplier;
    word ^= word >> kShift;
    hash = (hash ^ (word * kMultiplier)) * kMultiplier;
  }
  if (!bytes.empty()) {
    uint64_t rest = 0;
    for (size_t i = bytes.size(); i-- > 0;) rest = rest << 8 | static_cast<uint8_t>(bytes[i]);
    hash = (hash ^ rest) * kMultiplier;
  }
  hash = (hash ^ hash >> kShift) * kMultiplier;
  return hash ^ hash >> kShift;
}

// A register's bits lie in two bytes at most.
struct BitPlace {
  size_t byte;
  unsigned shift;
};
BitPlace bits_of(size_t index) {
  const size_t bit = index * kRegisterBits;
  return {kHeaderBytes + bit / 8, static_cast<unsigned>(bit % 8)};
}

uint16_t two_bytes(std::string_view value, size_t at) {
  const auto low = static_cast<uint8_t>(value[at]);
  const auto high = at + 1 < value.size() ? static_cast<uint8_t>(value[at + 1]) : uint8_t{0};
  return static_cast<uint16_t>(low | high << 8);
}

uint8_t dense_register(std::string_view value, size_t index) {
  const BitPlace place = bits_of(index);
  return two_bytes(value, place.byte) >> place.shift & kRegisterMask;
}

// Calls run(first register, how many, rank) for each run; false: malformed.
template <typename Run>
bool for_each_run(std::string_view value, Run run) {
  size_t index = 0;
  for (size_t at = kHeaderBytes; at < value.size(); ++at) {
    const auto byte = static_cast<uint8_t>(value[at]);
    size_t length = 0;
    uint8_t rank = 0;
    if ((byte & kRanks) != 0) {
      length = (byte & 3u) + 1;
      rank = static_cast<uint8_t>((byte >> 2 & 31u) + 1);
    } else if ((byte & kLongZeros) == 0) {
      length = byte + size_t{1};
    } else {
      if (++at == value.size()) return false;
      length = ((byte & 63u) << 8 | static_cast<uint8_t>(value[at])) + size_t{1};
    }
    if (length > kRegisters - index) return false;
    run(index, length, rank);
    index += length;
  }
  return index == kRegisters;
}

std::string header(char form) {
  std::string bytes(kMagic);
  bytes.push_back(form);
  bytes.resize(kHeaderBytes, '\0');
  bytes[kStaleOffset] = kStale;
  return bytes;
}

void append_zeros(std::string& out, size_t length) {
  if (length <= kMaxZeros) {
    out.push_back(static_cast<char>(length - 1));
  } else {
    out.push_back(static_cast<char>(kLongZeros | (length - 1) >> 8));
    out.push_back(static_cast<char>(length - 1));
  }
}

std::optional<std::string> encode_sparse(const Registers& registers) {
  std::string out = header(kSparse);
  for (size_t index = 0; index < kRegisters;) {
    const uint8_t rank = registers[index];
    const size_t most = rank == 0 ? kRegisters : kMaxRankRun;
    size_t length = 1;
    while (length < most && index + length < kRegisters && registers[index + length] == rank) ++length;
    if (rank > kMaxSparseRank) return std::nullopt;
    if (rank == 0) {
      append_zeros(out, length);
    } else {
      out.push_back(static_cast<char>(kRanks | (rank - 1) << 2 | (length - 1)));
    }
    if (out.size() > kMaxSparseBytes) return std::nullopt;
    index += length;
  }
  return out;
}

// The paper's σ and τ: series that are summed until nothing changes any more.
double sigma(double x) {
  if (x == 1) return std::numeric_limits<double>::infinity();
  double sum = x;
  for (double factor = 1, before = -1; sum != before; factor += factor) {
    x *= x;
    before = sum;
    sum += x * factor;
  }
  return sum;
}

double tau(double x) {
  if (x == 0 || x == 1) return 0;
  double sum = 1 - x;
  double factor = 1;
  for (double before = -1; sum != before;) {
    x = std::sqrt(x);
    before = sum;
    factor *= 0.5;
    sum -= (1 - x) * (1 - x) * factor;
  }
  return sum / 3;
}

}  // namespace

Place place_of(std::string_view element) {
  const uint64_t hash = hash_of(element);
  // A bit behind the last ends every run.
  const uint64_t run = hash >> kIndexBits | uint64_t{1} << kRankBits;
  return {hash & (kRegisters - 1), static_cast<uint8_t>(std::countr_zero(run) + 1)};
}

bool is_dense(std::string_view value) { return value[kFormOffset] == kDense; }

bool is_value(std::string_view value) {
  if (value.size() < kHeaderBytes || !value.starts_with(kMagic)) return false;
  return value[kFormOffset] == kSparse || (value[kFormOffset] == kDense && value.size() == kDenseBytes);
}

std::optional<uint8_t> register_at(std::string_view value, size_t index) {
  if (is_dense(value)) return dense_register(value, index);
  uint8_t found = 0;
  const bool whole = for_each_run(value, [&](size_t first, size_t length, uint8_t rank) {
    if (index >= first && index < first + length) found = rank;
  });
  return whole ? std::optional(found) : std::nullopt;
}

bool merge(std::string_view value, Registers& registers) {
  if (is_dense(value)) {
    for (size_t i = 0; i < kRegisters; ++i) registers[i] = std::max(registers[i], dense_register(value, i));
    return true;
  }
  return for_each_run(value, [&](size_t first, size_t length, uint8_t rank) {
    for (size_t i = first; rank > 0 && i < first + length; ++i) registers[i] = std::max(registers[i], rank);
  });
}

std::string encode(const Registers& registers, bool may_be_sparse) {
  std::optional<std::string> sparse = may_be_sparse ? encode_sparse(registers) : std::nullopt;
  if (sparse) return std::move(*sparse);
  std::string out = header(kDense);
  out.resize(kDenseBytes, '\0');
  for (size_t i = 0; i < kRegisters; ++i) {
    const Patch patch = dense_patch(out, {i, registers[i]});
    out.replace(patch.offset, patch.bytes.size(), patch.bytes);
  }
  return out;
}

Patch dense_patch(std::string_view value, const Place& place) {
  const BitPlace bits = bits_of(place.index);
  const auto mask = static_cast<uint16_t>(kRegisterMask << bits.shift);
  const auto changed =
      static_cast<uint16_t>((two_bytes(value, bits.byte) & ~mask) | static_cast<uint16_t>(place.rank << bits.shift));
  std::string bytes(1, static_cast<char>(changed));
  if (bits.shift + kRegisterBits > 8) bytes.push_back(static_cast<char>(changed >> 8));
  return {bits.byte, std::move(bytes)};
}

uint64_t count(const Registers& registers) {
  constexpr double kAlpha = 0.721347520444481703680;  // 1 / (2 ln 2)
  constexpr double kCount = kRegisters;
  std::array<uint32_t, kRegisterMask + 1> with_rank{};
  for (const uint8_t rank : registers) ++with_rank[rank];
  double sum = kCount * tau((kCount - with_rank[kRankBits + 1]) / kCount);
  for (unsigned rank = kRankBits; rank >= 1; --rank) sum = (sum + with_rank[rank]) * 0.5;
  sum += kCount * sigma(with_rank[0] / kCount);
  return static_cast<uint64_t>(std::llround(kAlpha * kCount * kCount / sum));
}

}  // namespace capstan::hyperloglog
