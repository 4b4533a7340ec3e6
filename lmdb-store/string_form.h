// The compact payload of a key row (FORMAT.md, "Key rows"): a string with one version, plain or additive, no writer's
// contribution, at most one version of a TTL. Almost every string is that; its head has fixed offsets, so the hot path
// reads and rewrites it in place. Everything else is kept in the general form (quorum's KeyState).
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "base/hlc.h"
#include "quorum/record.h"

namespace capstan::lmdb_store {

// The first byte of a key row's payload.
enum ShapeBit : uint8_t {
  kShapeAdditive = 1,
  kShapeAmended = 2,  // the version's own log changed the value in place: the number of the last amendment follows
  kShapeTtl = 4,      // a version of the ttl element follows
  kShapeChunked = 8,  // the value lies in element rows: generation and size follow
  kShapeInline = 16,  // a collection whose elements lie here (collection_form.h)
  kShapeLarge = 64,   // a collection whose elements lie in pages
  kShapeGeneral = 128,
  kNoString = kShapeInline | kShapeLarge | kShapeGeneral,
};

// Strings longer than this lie in chunks of this size, so that a splice costs what it changes.
inline constexpr uint64_t kChunkBytes = 64 * 1024;

struct LogNumber {
  uint16_t log = 0;  // index in the environment's dictionary of logs
  uint64_t number = 0;
};

struct StringForm {
  uint8_t shape = 0;
  LogNumber dot;
  Hlc hlc;
  uint64_t amended_last = 0;  // kShapeAmended: number in the dot's log
  LogNumber ttl_dot;          // kShapeTtl
  Hlc ttl_hlc;
  int64_t expire_at_ms = kNeverExpires;
  uint64_t generation = 0;  // kShapeChunked
  uint64_t size = 0;        // bytes of the whole value
  std::string_view value;   // unless chunked

  bool has(ShapeBit bit) const { return (shape & bit) != 0; }
};

inline constexpr size_t kPlainHeadBytes = 1 + 2 + 8 + 8;
inline constexpr size_t kAmendedBytes = 8;
inline constexpr size_t kTtlBytes = 2 + 8 + 8 + 8;
inline constexpr size_t kChunkedBytes = 8 + 8;

inline size_t string_head_bytes(uint8_t shape) {
  return kPlainHeadBytes + ((shape & kShapeAmended) ? kAmendedBytes : 0) + ((shape & kShapeTtl) ? kTtlBytes : 0) +
         ((shape & kShapeChunked) ? kChunkedBytes : 0);
}

// False if the payload is in another form, or (on bytes from disk) shorter than its head.
inline bool parse_string_form(std::string_view payload, StringForm& form) {
  if (payload.empty()) return false;
  form.shape = static_cast<uint8_t>(payload[0]);
  if ((form.shape & kNoString) != 0 || payload.size() < string_head_bytes(form.shape)) return false;
  const char* at = payload.data() + 1;
  const auto read_dot = [&at](LogNumber& dot) {
    dot.log = load_le<uint16_t>(at);
    dot.number = load_le<uint64_t>(at + 2);
    at += 10;
  };
  const auto read_u64 = [&at] {
    at += 8;
    return load_le<uint64_t>(at - 8);
  };
  read_dot(form.dot);
  form.hlc = Hlc{read_u64()};
  form.amended_last = form.has(kShapeAmended) ? read_u64() : 0;
  if (form.has(kShapeTtl)) {
    read_dot(form.ttl_dot);
    form.ttl_hlc = Hlc{read_u64()};
    form.expire_at_ms = static_cast<int64_t>(read_u64());
  } else {
    form.expire_at_ms = kNeverExpires;
  }
  if (form.has(kShapeChunked)) {
    form.generation = read_u64();
    form.size = read_u64();
    form.value = {};
  } else {
    form.value = payload.substr(static_cast<size_t>(at - payload.data()));
    form.size = form.value.size();
  }
  return true;
}

// Writes the head (string_head_bytes(form.shape) bytes) and returns its end, where an inline value goes.
inline char* write_string_head(char* to, const StringForm& form) {
  *to++ = static_cast<char>(form.shape);
  const auto write_dot = [&to](const LogNumber& dot) {
    store_le(to, dot.log);
    store_le(to + 2, dot.number);
    to += 10;
  };
  const auto write_u64 = [&to](uint64_t value) {
    store_le(to, value);
    to += 8;
  };
  write_dot(form.dot);
  write_u64(form.hlc.value);
  if (form.has(kShapeAmended)) write_u64(form.amended_last);
  if (form.has(kShapeTtl)) {
    write_dot(form.ttl_dot);
    write_u64(form.ttl_hlc.value);
    write_u64(static_cast<uint64_t>(form.expire_at_ms));
  }
  if (form.has(kShapeChunked)) {
    write_u64(form.generation);
    write_u64(form.size);
  }
  return to;
}

}  // namespace capstan::lmdb_store
