// The batch of a journal: entries of one loop turn, encoded in place into one buffer that already has the layout of the
// segments they go to (frames of bounded size, end marks, fragments), so that writing it is one checksum pass and one
// pwrite per segment. Pure: no files, no threads. FORMAT.md explains the layout.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "lmdb-store/journal_format.h"

namespace capstan::lmdb_store {

// shard → position of its last entry.
using LastEntries = std::vector<std::pair<ShardId, Position>>;

class JournalBatch {
 public:
  struct Geometry {
    uint64_t identity = 0;
    uint64_t segment_bytes = 0;
    uint32_t frame_bytes = kMaxFrameBytes;  // of the largest frame, header included
  };
  // What goes to one segment: bytes [begin, end) of the buffer, at `offset` of its file.
  struct Run {
    uint32_t segment = 0;
    uint32_t offset = 0;
    size_t begin = 0;
    size_t end = 0;
    LastEntries last;  // complete, all batches considered, when the segment ends with this run
  };

  // Begins empty and without room, behind the end of a segment `base` that does not exist: the first one to be added is
  // the one after it.
  JournalBatch(const Geometry& geometry, uint32_t base);

  // Encode the payload at the end of the returned string, touching nothing before it; then end_entry or drop_entry.
  std::string& begin_entry(uint8_t type, ShardId shard) {
    CHECK(type != 0 && shard < kMaxShards && !in_entry_);
    in_entry_ = true;
    entry_begin_ = buffer_.size();
    entry_shard_ = shard;
    char header[kEntryHeaderBytes];
    store_entry_header(header, {type, shard, Part::kWhole, 0});
    buffer_.append(header, sizeof header);
    return buffer_;
  }
  void drop_entry() {
    buffer_.resize(entry_begin_);
    in_entry_ = false;
  }
  size_t payload_bytes() const { return buffer_.size() - entry_begin_ - kEntryHeaderBytes; }

  // Whether the entry may stay where it was encoded; else it needs room() for its entry_cost and end_entry moves it.
  bool fits_in_frame() const { return buffer_.size() <= frame_limit_; }
  // The position of the entry. Needs segments added when room() does not cover entry_cost.
  Position end_entry() {
    if (!fits_in_frame()) return place_entry();
    const Position position = position_at(entry_begin_);
    store_le(buffer_.data() + entry_begin_, static_cast<uint32_t>(payload_bytes()));
    note_last(entry_shard_, position);
    in_entry_ = false;
    return position;
  }

  // The segment after the last one known may be used too.
  void add_segment() { ++segments_ahead_; }
  // An upper bound of the bytes of segments that an entry takes (at most one segment's end included).
  uint64_t entry_cost(uint64_t payload_bytes) const;
  // Bytes of segments that certainly can still be filled: in the current segment and those added.
  uint64_t room() const;
  // What a whole new segment adds to room().
  uint64_t segment_room() const;

  bool empty() const { return frames_.size() == 1 && frame_is_empty(); }
  // Position after the last entry: all entries that end later lie at or above it.
  Position end() const {
    return empty() ? position_of(runs_[0].segment, runs_[0].offset) : position_at(buffer_.size());
  }

  // Completes the layout and computes the checksums; then runs() and bytes() are ready to be written.
  void finish(Position synced);
  const std::vector<Run>& runs() const { return runs_; }
  std::vector<Run>& runs() { return runs_; }
  std::string_view bytes(const Run& run) const {
    return std::string_view(buffer_).substr(run.begin, run.end - run.begin);
  }
  // After the runs were written: empty again, just behind them.
  void reset();

 private:
  struct Frame {
    size_t begin = 0;
    uint32_t entry_bytes = 0;
    bool ends_segment = false;
    uint32_t run = 0;
  };

  Position position_at(size_t at) const {
    const Run& run = runs_.back();
    return position_of(run.segment, run.offset + (at - run.begin));
  }
  void note_last(ShardId shard, Position position) {
    if (shard >= last_.size()) [[unlikely]]
      last_.resize(shard + 1, 0);
    last_[shard] = position;
  }
  Position place_entry();
  void put(const EntryHeader& header, std::string_view payload);
  void open_frame();
  void close_frame();
  void next_segment();
  bool frame_is_empty() const { return buffer_.size() == frames_.back().begin + kFrameHeaderBytes; }
  // Bytes of frames that still fit into the segment, counted from buffer offset `at`; the end mark has its place.
  uint64_t segment_left(size_t at) const;

  const Geometry geometry_;
  std::string buffer_;
  std::vector<Run> runs_;      // the last one is being filled
  std::vector<Frame> frames_;  // the last one is open
  size_t frame_limit_ = 0;     // buffer size up to which the open frame may grow
  size_t entry_begin_ = 0;
  ShardId entry_shard_ = 0;
  bool in_entry_ = false;
  uint32_t segments_ahead_ = 0;
  std::vector<Position> last_;  // by shard, in the current segment; 0: none
};

}  // namespace capstan::lmdb_store
