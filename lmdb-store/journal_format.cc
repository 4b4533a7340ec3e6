#include "lmdb-store/journal_format.h"

namespace capstan::lmdb_store {
namespace {

constexpr uint64_t kMagic = 0x4c414e52554f4a43;  // "CJOURNAL"
constexpr uint32_t kVersion = 1;
constexpr uint32_t kEndsSegment = 1u << 31;
constexpr size_t kChecksumBytes = 8;

// The checksum stands first and covers all that follows it; the seed ties it to this one place.
uint64_t frame_checksum(std::string_view frame, uint64_t identity, Position position) {
  return hash64(frame.substr(kChecksumBytes), mix64(identity, position));
}

}  // namespace

std::string encode_segment_header(const SegmentHeader& header) {
  std::string bytes(kChecksumBytes, '\0');
  Encoder out(bytes);
  out.u64(kMagic);
  out.u32(kVersion);
  out.u32(header.segment);
  out.u64(header.identity);
  out.u32(header.start);
  out.u32(0);
  out.u64(header.segment_bytes);
  out.u64(header.synced);
  bytes.resize(kSegmentHeaderBytes);
  store_le(bytes.data(), hash64(std::string_view(bytes).substr(kChecksumBytes)));
  return bytes;
}

std::optional<SegmentHeader> decode_segment_header(std::string_view bytes) {
  if (bytes.size() != kSegmentHeaderBytes) return std::nullopt;
  if (load_le<uint64_t>(bytes.data()) != hash64(bytes.substr(kChecksumBytes))) return std::nullopt;
  Decoder in(bytes.substr(kChecksumBytes));
  if (in.u64() != kMagic || in.u32() != kVersion) return std::nullopt;
  SegmentHeader header;
  header.segment = in.u32();
  header.identity = in.u64();
  header.start = in.u32();
  in.u32();
  header.segment_bytes = in.u64();
  header.synced = in.u64();
  const bool sane = header.segment_bytes % kFrameAlignment == 0 && header.segment_bytes <= kMaxSegmentBytes &&
                    header.segment_bytes >= kSegmentHeaderBytes + kFrameHeaderBytes && header.start <= header.segment;
  if (!sane) return std::nullopt;
  return header;
}

void seal_frame(char* frame, uint64_t identity, Position position, uint32_t entry_bytes, bool ends_segment,
                Position synced) {
  store_le<uint32_t>(frame + 8, entry_bytes | (ends_segment ? kEndsSegment : 0));
  store_le<uint32_t>(frame + 12, segment_tag(identity, segment_of(position)));
  store_le<uint64_t>(frame + 16, synced);
  const std::string_view whole(frame, align_frame(kFrameHeaderBytes + entry_bytes));
  store_le<uint64_t>(frame, frame_checksum(whole, identity, position));
}

FrameHeader peek_frame(const char* bytes) {
  FrameHeader header;
  header.checksum = load_le<uint64_t>(bytes);
  const auto length = load_le<uint32_t>(bytes + 8);
  header.entry_bytes = length & ~kEndsSegment;
  header.ends_segment = (length & kEndsSegment) != 0;
  header.tag = frame_tag(bytes);
  header.synced = load_le<uint64_t>(bytes + 16);
  return header;
}

bool frame_is_intact(std::string_view frame, uint64_t identity, Position position) {
  return load_le<uint64_t>(frame.data()) == frame_checksum(frame, identity, position);
}

}  // namespace capstan::lmdb_store
