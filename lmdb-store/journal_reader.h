// Reads the segments of one old journal from its oldest entry to the end of what is intact, and finds out what lies
// behind that. Changes nothing; journal_recovery.cc decides what to do about what is found.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lmdb-store/journal_recovery.h"

namespace capstan::lmdb_store {

// A file that has a segment's name.
struct SegmentFile {
  uint32_t number = 0;
  std::optional<SegmentHeader> header;  // none: it cannot be read, which never is the work of a crash
};

// A journal as it lies in its directory; segments ascend in number.
struct JournalFiles {
  uint32_t worker = 0;
  std::string directory;
  uint64_t identity = 0;
  uint32_t start = 0;
  std::vector<SegmentFile> segments;
};

// Where the intact journal ends.
struct JournalEnd {
  size_t segment = 0;   // index into JournalFiles::segments
  uint64_t offset = 0;  // where the next frame would be; 0: the segment has not even a header
  // Why nothing can be read there. `impossible`: not even a crash before the next sync leaves this behind.
  std::string why;
  bool impossible = false;
  bool sealed = false;         // the last frame says that all before it is synced
  bool frames_behind = false;  // something of this journal lies behind the end
  Position synced = 0;         // the newest position that any frame or header, also behind the end, knows to be synced
};

class JournalReader {
 public:
  JournalReader(FileSystem& files, const JournalFiles& journal, const EntryCallback& callback);
  ~JournalReader();

  // Hands all entries to the callback, in order.
  Result<JournalEnd> read();
  // After read: per segment the last entries.
  const std::vector<std::map<ShardId, Position>>& last_entries() const { return last_; }
  bool has_entries() const;

 private:
  class Window;
  // The frame at `offset`; empty if no intact one is there.
  Result<std::string_view> frame_at(uint64_t offset);
  Result<> open(size_t segment);
  // True: the journal goes on in the next segment; false: end_ says where and why it ends.
  Result<bool> read_segment();
  Result<bool> read_frame(std::string_view frame, uint64_t offset);
  bool entries_are_well_formed(std::string_view entries) const;
  Result<> deliver(std::string_view entries, Position position);
  Result<> deliver_part(const EntryHeader& header, std::string_view payload, Position position);
  void stop(size_t segment, uint64_t offset, std::string why, bool impossible);
  bool next_is_missing();
  Result<> look_behind_end();
  Result<> look_from(uint64_t offset);

  FileSystem& files_;
  const JournalFiles& journal_;
  const EntryCallback& callback_;
  std::unique_ptr<Window> window_;
  size_t segment_ = 0;
  JournalEnd end_;
  // What was read so far can only be the rest of an entry whose beginning went with a released segment.
  bool beheaded_;
  std::vector<std::map<ShardId, Position>> last_;
  // The entry whose parts are being put together, if any.
  struct Partial {
    uint8_t type = 0;
    ShardId shard = 0;
    Position position = 0;
    size_t segment = 0;
    std::string payload;
  };
  std::optional<Partial> partial_;
};

}  // namespace capstan::lmdb_store
