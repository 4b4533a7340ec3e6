// The bytes of the journal: segment headers, frames, entries. FORMAT.md has the grammar and the reasons; this is its
// only implementation, used by the writer (journal_batch.h) and the reader (journal_recovery.h). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/ids.h"

namespace capstan::lmdb_store {

// A place in the journals of a node: segment number in the upper, offset in its file in the lower 32 bits. Every start
// numbers its segments above all earlier ones, so positions of one shard only ever grow, over all starts.
using Position = uint64_t;

inline constexpr Position position_of(uint32_t segment, uint64_t offset) {
  return (static_cast<Position>(segment) << 32) | offset;
}
inline constexpr uint32_t segment_of(Position position) { return static_cast<uint32_t>(position >> 32); }
inline constexpr uint32_t offset_of(Position position) { return static_cast<uint32_t>(position); }

// A block of its own, so that writing the first frame never rewrites the header's sector.
inline constexpr uint32_t kSegmentHeaderBytes = 4096;
inline constexpr uint32_t kFrameHeaderBytes = 24;
inline constexpr uint32_t kEntryHeaderBytes = 8;
inline constexpr uint32_t kFrameAlignment = 8;
// No frame is longer, header and padding included: bounds a reader's memory.
inline constexpr uint32_t kMaxFrameBytes = 1u << 20;
inline constexpr uint64_t kMaxSegmentBytes = 1u << 30;
// Shards are written in 24 bits.
inline constexpr ShardId kMaxShards = 1u << 24;

inline constexpr uint64_t align_frame(uint64_t bytes) {
  return (bytes + kFrameAlignment - 1) & ~static_cast<uint64_t>(kFrameAlignment - 1);
}

struct SegmentHeader {
  uint64_t identity = 0;  // random, one per journal: per worker and start
  uint32_t segment = 0;
  uint32_t start = 0;          // the number of the journal's first segment; orders journals in time
  uint64_t segment_bytes = 0;  // the size of the file
  Position synced = 0;         // known to be synced when the segment was prepared
};

// kSegmentHeaderBytes long.
std::string encode_segment_header(const SegmentHeader& header);
std::optional<SegmentHeader> decode_segment_header(std::string_view bytes);

// Names this segment of this journal: lets a reader tell, without a checksum, frames of this life of the file from
// those of an earlier one.
inline uint32_t segment_tag(uint64_t identity, uint32_t segment) {
  return static_cast<uint32_t>(mix64(identity, segment));
}

struct FrameHeader {
  uint64_t checksum = 0;
  uint32_t entry_bytes = 0;  // without padding
  uint32_t tag = 0;
  Position synced = 0;        // the last position known to be synced when the frame was written
  bool ends_segment = false;  // an empty frame: the journal goes on in the next segment

  uint64_t frame_bytes() const { return align_frame(kFrameHeaderBytes + entry_bytes); }
};

// Fills in the header of a whole frame (header, entries, zero padding) that will lie at `position`.
void seal_frame(char* frame, uint64_t identity, Position position, uint32_t entry_bytes, bool ends_segment,
                Position synced);
// What the first kFrameHeaderBytes say; nothing of it is verified.
FrameHeader peek_frame(const char* bytes);
inline uint32_t frame_tag(const char* bytes) { return load_le<uint32_t>(bytes + 12); }
// `frame` is header.frame_bytes() long.
bool frame_is_intact(std::string_view frame, uint64_t identity, Position position);

// An entry, or a part of one that did not fit into a frame. Type 0 is none: what zero fill would be read as.
enum class Part : uint8_t { kWhole, kFirst, kMiddle, kLast };

struct EntryHeader {
  uint8_t type = 0;
  ShardId shard = 0;
  Part part = Part::kWhole;
  uint32_t bytes = 0;
};

inline void store_entry_header(char* to, const EntryHeader& header) {
  store_le<uint32_t>(to, header.bytes | static_cast<uint32_t>(header.part) << 30);
  store_le<uint32_t>(to + 4, header.type | header.shard << 8);
}
inline EntryHeader load_entry_header(const char* from) {
  const auto length = load_le<uint32_t>(from);
  const auto what = load_le<uint32_t>(from + 4);
  return {static_cast<uint8_t>(what), what >> 8, static_cast<Part>(length >> 30), length & 0x3fffffff};
}

}  // namespace capstan::lmdb_store
