// The payload of a collection's key row (FORMAT.md, "Collections"): the head that inline and large ones have, and the
// elements of an inline one. Its counterpart for strings is string_form.h.
#pragma once

#include <absl/container/inlined_vector.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "lmdb-store/element_codec.h"
#include "lmdb-store/log_dictionary.h"
#include "quorum/clock.h"

namespace capstan::lmdb_store {

// What a collection has met since it was made, for OBJECT ENCODING.
enum Met : uint8_t {
  kMetLong = 1,      // an id or a value of more than kMaxInlineBytes
  kMetMany = 2,      // more than kMaxInline elements
  kMetVeryMany = 4,  // more than kMaxPacked elements
  kMetText = 8,      // of a set: a member that is no integer
};
inline constexpr uint64_t kMaxInline = 128;
inline constexpr size_t kMaxInlineBytes = 64;
inline constexpr uint64_t kMaxPacked = 512;

struct CollectionForm {
  struct Tree {
    uint8_t level = 0;
    uint64_t page = 0;
  };

  ElementKind kind = ElementKind::kMember;
  uint8_t met = 0;
  uint64_t count = 0;   // of elements
  uint64_t digest = 0;  // the key's
  Hlc latest;           // no version is younger; some that were may be gone
  // Of each log the last record that changed anything of the key, by removing, too; by the dictionary's index.
  absl::InlinedVector<LogNumber, 2> touched;
  bool has_ttl = false;
  ElementView ttl;

  bool large = false;
  // large: where the pages lie
  uint64_t generation = 0;
  uint64_t next_page = 1;
  Tree by_id;
  Tree by_score;  // sorted sets
  // inline: from which the elements are counted, and these, one behind the other
  ElementBase base;
  std::string_view elements;

  bool ordered_by_score() const { return kind == ElementKind::kScore; }
  void touch(LogNumber record);
  // Every record that has left anything here.
  bool covered_by(const Clock& context, const LogDictionary& logs) const;
  // Whether it has the record already (LMDB's rows may be newer than the clock).
  bool contains(const Dot& dot, const LogDictionary& logs) const;
};

// Whether a payload is a collection's: its first byte says so.
bool is_collection(std::string_view payload);
// False: it is no collection, or malformed. Elements are not looked at. Views point into the payload.
bool parse_collection_form(std::string_view payload, CollectionForm& form);
// Appends the payload. form.elements may not view `out`.
void append_collection_form(const CollectionForm& form, std::string& out);

}  // namespace capstan::lmdb_store
