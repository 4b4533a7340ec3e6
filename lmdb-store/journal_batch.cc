#include "lmdb-store/journal_batch.h"

#include <algorithm>

namespace capstan::lmdb_store {
namespace {

// A part of an entry is not made smaller than this only to fill a frame.
constexpr uint64_t kMinFragmentBytes = 64;
// What a frame may cost beyond the payload of the one part in it.
constexpr uint64_t kFrameOverhead = kFrameHeaderBytes + kEntryHeaderBytes + kFrameAlignment;
// What may stay unused at the end of a segment because no fragment fits there.
constexpr uint64_t kSegmentWaste = kMinFragmentBytes + 2 * kFrameOverhead;
// A buffer that one huge entry has blown up is given back.
constexpr size_t kKeptBufferBytes = 4u << 20;

}  // namespace

JournalBatch::JournalBatch(const Geometry& geometry, uint32_t base) : geometry_(geometry) {
  CHECK(geometry.frame_bytes <= kMaxFrameBytes && geometry.frame_bytes % kFrameAlignment == 0);
  CHECK(geometry.frame_bytes >= 4 * kFrameOverhead);
  CHECK(geometry.segment_bytes <= kMaxSegmentBytes && geometry.segment_bytes % kFrameAlignment == 0);
  CHECK(geometry.segment_bytes >= kSegmentHeaderBytes + kFrameHeaderBytes + 4 * kSegmentWaste);
  runs_.push_back({base, static_cast<uint32_t>(geometry.segment_bytes)});
  open_frame();
}

uint64_t JournalBatch::segment_left(size_t at) const {
  const Run& run = runs_.back();
  const uint64_t used = run.offset + (at - run.begin) + kFrameHeaderBytes;
  return used < geometry_.segment_bytes ? geometry_.segment_bytes - used : 0;
}

uint64_t JournalBatch::entry_cost(uint64_t payload_bytes) const {
  return payload_bytes + kFrameOverhead * (payload_bytes / (geometry_.frame_bytes - kFrameOverhead) + 2);
}

uint64_t JournalBatch::segment_room() const {
  return geometry_.segment_bytes - kSegmentHeaderBytes - kFrameHeaderBytes - kSegmentWaste;
}

uint64_t JournalBatch::room() const {
  const uint64_t left = segment_left(in_entry_ ? entry_begin_ : buffer_.size());
  return (left > kSegmentWaste ? left - kSegmentWaste : 0) + segments_ahead_ * segment_room();
}

void JournalBatch::open_frame() {
  const size_t begin = buffer_.size();
  frames_.push_back({begin, 0, false, static_cast<uint32_t>(runs_.size() - 1)});
  frame_limit_ = begin + std::min<uint64_t>(geometry_.frame_bytes, segment_left(begin));
  buffer_.append(kFrameHeaderBytes, '\0');
}

void JournalBatch::close_frame() {
  Frame& frame = frames_.back();
  if (frame_is_empty()) {
    buffer_.resize(frame.begin);
    frames_.pop_back();
    return;
  }
  frame.entry_bytes = static_cast<uint32_t>(buffer_.size() - frame.begin - kFrameHeaderBytes);
  buffer_.resize(frame.begin + align_frame(buffer_.size() - frame.begin));
}

// With no frame open: marks the end of the segment and goes on in the next one.
void JournalBatch::next_segment() {
  CHECK(segments_ahead_ > 0);
  --segments_ahead_;
  Run& run = runs_.back();
  if (run.offset < geometry_.segment_bytes) {
    frames_.push_back({buffer_.size(), 0, true, static_cast<uint32_t>(runs_.size() - 1)});
    buffer_.append(kFrameHeaderBytes, '\0');
  }
  run.end = buffer_.size();
  for (ShardId shard = 0; shard < last_.size(); ++shard) {
    if (last_[shard] != 0) run.last.emplace_back(shard, std::exchange(last_[shard], 0));
  }
  runs_.push_back({run.segment + 1, kSegmentHeaderBytes, buffer_.size()});
}

void JournalBatch::put(const EntryHeader& header, std::string_view payload) {
  char bytes[kEntryHeaderBytes];
  store_entry_header(bytes, header);
  buffer_.append(bytes, sizeof bytes);
  buffer_.append(payload);
}

// Takes the entry out again and lays it into the frames that follow, in parts if it must be.
Position JournalBatch::place_entry() {
  const std::string payload = buffer_.substr(entry_begin_ + kEntryHeaderBytes);
  EntryHeader header = load_entry_header(buffer_.data() + entry_begin_);
  buffer_.resize(entry_begin_);
  in_entry_ = false;
  std::string_view rest = payload;
  Position position = 0;
  for (;;) {
    const uint64_t frame_left = frame_limit_ > buffer_.size() ? frame_limit_ - buffer_.size() : 0;
    const bool fits = kEntryHeaderBytes + rest.size() <= frame_left;
    const uint64_t in_new_frame = kFrameHeaderBytes + kEntryHeaderBytes + rest.size();
    const bool fits_in_new_frame = !frame_is_empty() && in_new_frame <= geometry_.frame_bytes &&
                                   in_new_frame + kFrameAlignment <= segment_left(buffer_.size());
    const bool split = !fits && !fits_in_new_frame && frame_left >= kEntryHeaderBytes + kMinFragmentBytes;
    if (fits || split) {
      if (position == 0) position = position_at(buffer_.size());
      header.bytes = static_cast<uint32_t>(fits ? rest.size() : frame_left - kEntryHeaderBytes);
      const bool first = rest.size() == payload.size();
      header.part = fits ? (first ? Part::kWhole : Part::kLast) : (first ? Part::kFirst : Part::kMiddle);
      put(header, rest.substr(0, header.bytes));
      rest.remove_prefix(header.bytes);
      note_last(header.shard, position);
      if (fits) return position;
    }
    close_frame();
    if (segment_left(buffer_.size()) < kFrameOverhead + kMinFragmentBytes) next_segment();
    open_frame();
  }
}

void JournalBatch::finish(Position synced) {
  CHECK(!in_entry_);
  close_frame();
  runs_.back().end = buffer_.size();
  for (const Frame& frame : frames_) {
    const Run& run = runs_[frame.run];
    const Position position = position_of(run.segment, run.offset + (frame.begin - run.begin));
    seal_frame(buffer_.data() + frame.begin, geometry_.identity, position, frame.entry_bytes, frame.ends_segment,
               synced);
  }
}

void JournalBatch::reset() {
  const Run last = std::move(runs_.back());
  runs_.clear();
  frames_.clear();
  if (buffer_.capacity() > kKeptBufferBytes) {
    buffer_ = std::string();
  } else {
    buffer_.clear();
  }
  runs_.push_back({last.segment, static_cast<uint32_t>(last.offset + (last.end - last.begin))});
  open_frame();
}

}  // namespace capstan::lmdb_store
