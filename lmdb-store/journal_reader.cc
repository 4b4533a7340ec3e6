#include "lmdb-store/journal_reader.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "lmdb-store/segment.h"

namespace capstan::lmdb_store {
namespace {

constexpr uint64_t kWindowBytes = 4u << 20;
static_assert(kWindowBytes >= kMaxFrameBytes);

}  // namespace

// A segment, seen through a piece of it.
class JournalReader::Window {
 public:
  Window(std::unique_ptr<File> file, const SegmentHeader& header) : file_(std::move(file)), header_(header) {}

  const SegmentHeader& header() const { return header_; }
  // [offset, offset + size), size ≤ kWindowBytes; shorter at the end of the segment.
  Result<std::string_view> at(uint64_t offset, uint64_t size) {
    auto view = from(offset, size);
    if (!view) return view;
    return view->substr(0, size);
  }
  // The same and whatever else there is in memory behind it.
  Result<std::string_view> from(uint64_t offset, uint64_t size) {
    size = std::min(size, header_.segment_bytes - std::min(offset, header_.segment_bytes));
    if (offset < begin_ || offset + size > begin_ + bytes_.size()) {
      bytes_.resize(std::min(kWindowBytes, header_.segment_bytes - offset));
      auto read = file_->pread(bytes_.data(), bytes_.size(), offset);
      if (!read) return read.error();
      // A file that was cut short reads as what a segment is filled with ahead of use.
      const size_t wanted = bytes_.size();
      bytes_.resize(*read);
      bytes_.resize(wanted, '\0');
      begin_ = offset;
    }
    return std::string_view(bytes_).substr(std::min<uint64_t>(offset - begin_, bytes_.size()));
  }

 private:
  const std::unique_ptr<File> file_;
  const SegmentHeader header_;
  uint64_t begin_ = 0;
  std::string bytes_;
};

JournalReader::JournalReader(FileSystem& files, const JournalFiles& journal, const EntryCallback& callback)
    : files_(files),
      journal_(journal),
      callback_(callback),
      beheaded_(journal.segments.front().number > journal.start),
      last_(journal.segments.size()) {}

JournalReader::~JournalReader() = default;

bool JournalReader::has_entries() const {
  return std::any_of(last_.begin(), last_.end(), [](const auto& shards) { return !shards.empty(); });
}

Result<JournalEnd> JournalReader::read() {
  if (!journal_.segments.front().header) {
    stop(0, 0, "its header is damaged", true);
  } else {
    for (segment_ = 0;; ++segment_) {
      auto goes_on = read_segment();
      if (!goes_on) return goes_on.error();
      if (!*goes_on) break;
    }
  }
  if (Result<> looked = look_behind_end(); !looked) return looked.error();
  return end_;
}

void JournalReader::stop(size_t segment, uint64_t offset, std::string why, bool impossible) {
  end_.segment = segment;
  end_.offset = offset;
  end_.why = std::move(why);
  end_.impossible = impossible;
}

Result<> JournalReader::open(size_t segment) {
  const SegmentFile& found = journal_.segments[segment];
  auto file = files_.open(segment_path(journal_.directory, found.number), FileSystem::Open::kExisting);
  if (!file) return file.error();
  window_ = std::make_unique<Window>(std::move(*file), *found.header);
  end_.synced = std::max(end_.synced, found.header->synced);
  return {};
}

Result<std::string_view> JournalReader::frame_at(uint64_t offset) {
  const SegmentHeader& header = window_->header();
  auto start = window_->at(offset, kFrameHeaderBytes);
  if (!start) return start.error();
  if (start->size() < kFrameHeaderBytes) return std::string_view();
  const FrameHeader frame = peek_frame(start->data());
  if (frame.tag != segment_tag(header.identity, header.segment)) return std::string_view();
  if (frame.entry_bytes > kMaxFrameBytes || frame.frame_bytes() > kMaxFrameBytes) return std::string_view();
  auto whole = window_->at(offset, frame.frame_bytes());
  if (!whole) return whole.error();
  if (whole->size() < frame.frame_bytes()) return std::string_view();
  if (!frame_is_intact(*whole, header.identity, position_of(header.segment, offset))) return std::string_view();
  return *whole;
}

bool JournalReader::next_is_missing() {
  const auto& segments = journal_.segments;
  const size_t next = segment_ + 1;
  return next == segments.size() || !segments[next].header || segments[next].number != segments[segment_].number + 1;
}

Result<bool> JournalReader::read_segment() {
  if (Result<> opened = open(segment_); !opened) return opened.error();
  for (uint64_t offset = kSegmentHeaderBytes;;) {
    auto frame = frame_at(offset);
    if (!frame) return frame.error();
    if (frame->empty()) {
      stop(segment_, offset, "the frame there fails its checksum", false);
      return false;
    }
    const FrameHeader header = peek_frame(frame->data());
    const Position position = position_of(window_->header().segment, offset);
    end_.synced = std::max(end_.synced, header.synced);
    if (header.ends_segment) {
      if (!next_is_missing()) return true;
      stop(segment_, offset, "the next segment is missing or its header is damaged", true);
      return false;
    }
    end_.sealed = header.entry_bytes == 0 && header.synced == position;
    const std::string_view entries = frame->substr(kFrameHeaderBytes, header.entry_bytes);
    if (!entries_are_well_formed(entries)) {
      stop(segment_, offset, "the frame there is intact but malformed", true);
      return false;
    }
    if (Result<> done = deliver(entries, position + kFrameHeaderBytes); !done) return done.error();
    offset += header.frame_bytes();
  }
}

bool JournalReader::entries_are_well_formed(std::string_view entries) const {
  bool beheaded = beheaded_;
  bool partial = partial_.has_value();
  EntryHeader open;
  if (partial) open = {partial_->type, partial_->shard};
  while (!entries.empty()) {
    if (entries.size() < kEntryHeaderBytes) return false;
    const EntryHeader header = load_entry_header(entries.data());
    if (header.type == 0 || header.bytes > entries.size() - kEntryHeaderBytes) return false;
    const bool continues = header.part == Part::kMiddle || header.part == Part::kLast;
    beheaded = beheaded && continues;
    if (continues != partial && !beheaded) return false;
    if (continues && partial && (header.type != open.type || header.shard != open.shard)) return false;
    partial = header.part == Part::kFirst || header.part == Part::kMiddle;
    beheaded = beheaded && partial;
    open = header;
    entries.remove_prefix(kEntryHeaderBytes + header.bytes);
  }
  return true;
}

Result<> JournalReader::deliver(std::string_view entries, Position position) {
  while (!entries.empty()) {
    const EntryHeader header = load_entry_header(entries.data());
    Result<> done = deliver_part(header, entries.substr(kEntryHeaderBytes, header.bytes), position);
    if (!done) return done;
    entries.remove_prefix(kEntryHeaderBytes + header.bytes);
    position += kEntryHeaderBytes + header.bytes;
  }
  return {};
}

Result<> JournalReader::deliver_part(const EntryHeader& header, std::string_view payload, Position position) {
  if (std::exchange(beheaded_, beheaded_ && header.part == Part::kMiddle) &&
      (header.part == Part::kMiddle || header.part == Part::kLast)) {
    return {};
  }
  if (header.part == Part::kWhole) {
    last_[segment_][header.shard] = position;
    return callback_({header.type, header.shard, position, payload});
  }
  if (header.part == Part::kFirst) partial_.emplace(Partial{header.type, header.shard, position, segment_, {}});
  partial_->payload.append(payload);
  if (header.part != Part::kLast) return {};
  const Partial whole = *std::exchange(partial_, std::nullopt);
  for (size_t i = whole.segment; i <= segment_; ++i) last_[i][whole.shard] = whole.position;
  return callback_({whole.type, whole.shard, whole.position, whole.payload});
}

// Searches all that follows the end, at every place where a frame can begin.
Result<> JournalReader::look_behind_end() {
  uint64_t offset = std::max<uint64_t>(end_.offset, kSegmentHeaderBytes);
  for (size_t i = end_.segment; i < journal_.segments.size(); ++i, offset = kSegmentHeaderBytes) {
    if (!journal_.segments[i].header) continue;
    if (Result<> opened = open(i); !opened) return opened;
    if (Result<> looked = look_from(offset); !looked) return looked;
  }
  return {};
}

Result<> JournalReader::look_from(uint64_t offset) {
  const SegmentHeader& header = window_->header();
  const uint32_t tag = segment_tag(header.identity, header.segment);
  for (;;) {
    auto piece = window_->from(offset, kFrameHeaderBytes);
    if (!piece) return piece.error();
    if (piece->size() < kFrameHeaderBytes) return {};
    size_t at = 0;
    while (at + kFrameHeaderBytes <= piece->size() && frame_tag(piece->data() + at) != tag) at += kFrameAlignment;
    offset += at;
    if (at + kFrameHeaderBytes > piece->size()) continue;
    end_.frames_behind = true;
    auto frame = frame_at(offset);
    if (!frame) return frame.error();
    if (!frame->empty()) end_.synced = std::max(end_.synced, peek_frame(frame->data()).synced);
    offset += frame->empty() ? kFrameAlignment : frame->size();
  }
}

}  // namespace capstan::lmdb_store
