// Elements of a collection: where they stand in an order, and their bytes as they lie in pages and inline rows
// (FORMAT.md, "Collections"). Pure; any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/hlc.h"
#include "lmdb-store/string_form.h"
#include "quorum/record.h"

namespace capstan::lmdb_store {

// Where an element stands: by its word, then by what its id has beyond that. Ids compare as byte strings. A view;
// whoever keeps it keeps the id's bytes.
struct Place {
  uint64_t word = 0;
  std::string_view id;
  auto operator<=>(const Place&) const = default;
};

// The order of fields, members and scores is that of their ids' hashes, of positions that of their bytes.
Place place_by_id(ElementKind kind, std::string_view id);
// By score, then by member. Precondition: the score is a number.
Place place_by_score(double score, std::string_view member);
// Words that compare as the scores do; −0 is +0.
uint64_t ordered_score(double score);
double score_of(uint64_t ordered);
// The position whose place this is, appended. Precondition: it came from place_by_id(kPosition, …).
void append_position(const Place& place, std::string& out);

// The shortest place above `left` and at or below `right`: their separator in a B+-tree (Bayer, Unterauer, "Prefix
// B-trees", 1977). With `low` it is the lowest of those without an id. Precondition: left < right. Views `right`.
Place separator_between(const Place& left, const Place& right, bool low = false);

// What the numbers and stamps of a page's elements are counted from, so that they take few bytes.
struct ElementBase {
  LogNumber dot;  // log: index of the environment's dictionary
  Hlc hlc;
};

// An element as it lies in a page or an inline row. Its views hold until that is changed or freed.
struct ElementView {
  Place place;
  bool general = false;    // anything but one version that at most its own log amended
  std::string_view value;  // general: encoded Versions, and what follows is empty
  LogNumber dot;
  Hlc hlc;
  uint64_t amended_last = 0;  // number in the dot's log; 0: unamended
  bool additive = false;
};

// Bytes that write_element() will write.
size_t element_bytes(const ElementView& element, const ElementBase& base);
// Returns the end. Precondition: room for element_bytes().
char* write_element(char* to, const ElementView& element, const ElementBase& base);

// Of bytes that write_element() wrote, or that checked_element() has found to be such.
size_t element_bytes(const char* at);
std::string_view element_id(const char* at);
ElementView read_element(const char* at, uint64_t word, const ElementBase& base);

// How many bytes the element takes that these bytes, from anywhere, begin with; 0: it is none that was written with
// this base.
size_t checked_element(std::string_view bytes, const ElementBase& base);

// LEB128 as Encoder writes it, at places whose bounds are known.
constexpr size_t varint_bytes(uint64_t value) { return (static_cast<size_t>(std::bit_width(value | 1)) + 6) / 7; }
inline uint64_t load_varint(const char*& at) {
  uint64_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    const auto byte = static_cast<uint8_t>(*at++);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
}

}  // namespace capstan::lmdb_store
