// The longest common subsequence of two strings, and which of several equally long ones: the one that redis-server 7.0
// finds. Pure.
//
// The table of lengths L(i, j), of the first i bytes of a and the first j of b, is computed a row at a time with 64
// columns to the machine word (Hyyrö, "Bit-parallel LCS-length computation revisited", AWOCA 2004): a row is the set of
// columns j where L(i, j) = L(i, j - 1) + 1. That one bit per cell is also all that the way back through the table
// asks.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace capstan {

// Bytes that the whole table takes with four to a cell, as redis-server keeps it, for the limit that it puts on them.
// We need a thirty-second of that.
uint64_t lcs_table_bytes(uint64_t a_size, uint64_t b_size);

uint64_t lcs_length(std::string_view a, std::string_view b);

// A run of bytes common to both, at most as long as it can be.
struct LcsMatch {
  uint64_t a_first = 0;
  uint64_t b_first = 0;
  uint64_t size = 0;
  bool operator==(const LcsMatch&) const = default;
};
// The runs that make up the subsequence, the last one first.
std::vector<LcsMatch> lcs_matches(std::string_view a, std::string_view b);

}  // namespace capstan
