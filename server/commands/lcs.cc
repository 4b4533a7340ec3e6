#include "server/commands/lcs.h"

#include <array>
#include <bit>

namespace capstan {
namespace {

constexpr size_t kWordBits = 64;

size_t words_for(uint64_t bits) { return (bits + kWordBits - 1) / kWordBits; }

using Words = std::vector<uint64_t>;

// For each byte that occurs in `a`, in which columns of `b` it stands.
class Columns {
 public:
  Columns(std::string_view a, std::string_view b) : words_(words_for(b.size())) {
    constexpr size_t kNone = ~size_t{0};
    starts_.fill(kNone);
    size_t distinct = 0;
    for (const char c : a) {
      size_t& start = starts_[static_cast<uint8_t>(c)];
      if (start == kNone) start = words_ * distinct++;
    }
    bits_.resize(words_ * distinct);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t start = starts_[static_cast<uint8_t>(b[j])];
      if (start != kNone) bits_[start + j / kWordBits] |= uint64_t{1} << (j % kWordBits);
    }
  }

  size_t words() const { return words_; }
  const uint64_t* of(char c) const { return bits_.data() + starts_[static_cast<uint8_t>(c)]; }

 private:
  size_t words_;
  std::array<size_t, 256> starts_;
  Words bits_;
};

// The row below `above`, for a byte that stands in `columns`. Rows are kept inverted: a clear bit is a step of L.
void next_row(const uint64_t* above, const uint64_t* columns, size_t words, uint64_t* row) {
  bool carry = false;
  for (size_t word = 0; word < words; ++word) {
    const uint64_t matches = above[word] & columns[word];
    uint64_t sum = 0;
    const bool overflow = __builtin_add_overflow(above[word], matches, &sum);
    const bool carry_overflow = __builtin_add_overflow(sum, uint64_t{carry}, &sum);
    carry = overflow || carry_overflow;
    row[word] = sum | (above[word] & ~columns[word]);
  }
}

}  // namespace

uint64_t lcs_table_bytes(uint64_t a_size, uint64_t b_size) {
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(a_size + 1, (b_size + 1) * sizeof(uint32_t), &bytes)) return ~uint64_t{0};
  return bytes;
}

uint64_t lcs_length(std::string_view a, std::string_view b) {
  const Columns columns(a, b);
  Words row(columns.words(), ~uint64_t{0});
  for (const char c : a) next_row(row.data(), columns.of(c), columns.words(), row.data());
  uint64_t length = 0;
  for (const uint64_t word : row) length += static_cast<uint64_t>(std::popcount(~word));
  return length;
}

std::vector<LcsMatch> lcs_matches(std::string_view a, std::string_view b) {
  const Columns columns(a, b);
  const size_t words = columns.words();
  Words table((a.size() + 1) * words, ~uint64_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    next_row(table.data() + (i - 1) * words, columns.of(a[i - 1]), words, table.data() + i * words);
  }
  const auto is_step = [&](size_t i, size_t j) {
    return (table[i * words + (j - 1) / kWordBits] >> ((j - 1) % kWordBits) & 1) == 0;
  };
  std::vector<LcsMatch> matches;
  bool in_run = false;
  size_t i = a.size();
  size_t j = b.size();
  while (i > 0 && j > 0) {
    if (a[i - 1] == b[j - 1]) {
      --i;
      --j;
      if (!in_run) matches.push_back({});
      matches.back() = {.a_first = i, .b_first = j, .size = matches.back().size + 1};
      in_run = true;
    } else {
      // Up where L(i - 1, j) > L(i, j - 1): where row i has a step at j that its byte did not make.
      in_run = false;
      --(is_step(i, j) ? i : j);
    }
  }
  return matches;
}

}  // namespace capstan
