// Records: the net effect of one command, transaction or script (model, "Words"). The only thing that changes state, in
// memory, in the journal, in LMDB and (later) on the wire.
//
// A Record in memory does not own its bytes: keys, ids and values are views into the client's buffer, a scratch arena
// or the journal's buffer, whichever it was made from, and are valid only while that is. Who must keep a record keeps
// its encoding (encode_record) and decodes it again.
#pragma once

#include <absl/container/inlined_vector.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/hlc.h"
#include "base/ids.h"
#include "base/result.h"
#include "quorum/clock.h"
#include "quorum/number.h"

namespace capstan {

// What a key is made of. The numbers are part of the journal's and LMDB's format.
enum class ElementKind : uint8_t {
  kString = 0,    // the one element of a string; id empty
  kField = 1,     // hash: id = field, value = bytes
  kMember = 2,    // set: id = member, value empty
  kScore = 3,     // sorted set: id = member, value = the score, 8 bytes (IEEE 754 binary64, little-endian)
  kPosition = 4,  // list: id = position (see FORMAT.md), value = bytes
  kEntry = 5,     // stream: id = entry id, value = encoded fields
  kTtl = 6,       // any key: id empty, value = 8 bytes little-endian: Unix time in ms, or kNeverExpires
};
inline constexpr unsigned kElementKinds = 7;
inline constexpr int64_t kNeverExpires = -1;
// Strings and times are one element each, which needs no id.
constexpr bool has_id(ElementKind kind) { return kind != ElementKind::kString && kind != ElementKind::kTtl; }
// Of these kinds values may be numbers, so they may be added to.
constexpr bool holds_numbers(ElementKind kind) {
  return kind == ElementKind::kString || kind == ElementKind::kField || kind == ElementKind::kScore;
}
// No value grows beyond it, as no string of Redis does; a splice that would is malformed.
inline constexpr uint64_t kMaxValueBytes = uint64_t{512} << 20;

// A mutation of one element: put, remove or amend (which is add or splice).
struct ElementEffect {
  enum class Action : uint8_t { kPut = 0, kRemove = 1, kAdd = 2, kSplice = 3 };

  Action action = Action::kPut;
  ElementKind kind = ElementKind::kString;
  // The record's builder's (effects.h): which of its strings holds `value`; 0 for none.
  uint32_t amended = 0;
  std::string_view id;
  // put: the new value. splice: the bytes written at `offset` (the value is padded with zero bytes up to there).
  std::string_view value;
  // put: an increment of an absent element made it. Only kinds that hold numbers.
  bool additive = false;
  // put: the stamp of the version that it repeats (a TTL put again with its key, model "Expiry"); else the record's.
  std::optional<Hlc> stamp;
  // put: removes exactly these dots instead of what the context covers (RESOLVE). Empty with has_over is legal.
  // Ascending, each once.
  bool has_over = false;
  std::vector<Dot> over;
  // add, splice: the dot of the version that is changed.
  Dot anchor;
  // add: what is added. Only kinds that hold numbers. From R the value changes in place, from a writer its log's
  // contribution grows.
  Number addend;
  // splice: byte offset. Only strings, only in R; offset + size ≤ kMaxValueBytes.
  uint64_t offset = 0;
};

// All mutations of one key, in this order: remove(key) if set, then at most one effect per element.
struct KeyEffect {
  Database database = 0;
  bool remove = false;
  std::string_view key;
  absl::InlinedVector<ElementEffect, 2> elements;  // room for a SET with a TTL
};

struct Record {
  Dot dot;
  Hlc hlc;
  Clock context;
  // clear(db): before everything else, each at most once, ascending.
  absl::InlinedVector<Database, 1> clears;
  // Each key at most once.
  std::vector<KeyEffect> keys;

  bool has_effect() const { return !clears.empty() || !keys.empty(); }
};

// Encodes all but the log, which whoever stores or sends the record names once for many (grammar: lmdb-store/FORMAT.md,
// "Records and versions"). A context that covers exactly
// the own log up to number − 1 costs one byte. Canonical: equal records, equal bytes.
void encode_record(const Record& record, Encoder& out);
// Views in the result point into the decoder's input. Malformed input: kCorrupt.
Result<Record> decode_record(LogId log, Decoder& in);
// The same into a record that is reused, so that replaying millions of them allocates nothing. False if malformed.
[[nodiscard]] bool decode_record_into(LogId log, Decoder& in, Record& out);

}  // namespace capstan
