// capstan-inspect: what is in a data directory, for people. Changes nothing, also beside a running server.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "lmdb-store/file.h"
#include "lmdb-store/flush.h"
#include "lmdb-store/journal_format.h"
#include "lmdb-store/journal_recovery.h"
#include "lmdb-store/lmdb_environment.h"
#include "lmdb-store/row_key.h"
#include "lmdb-store/segment.h"

namespace capstan::lmdb_store {
namespace {

constexpr std::string_view kUsage =
    "usage: capstan-inspect [--rows] [--journal] DIRECTORY\n"
    "  DIRECTORY   a server's data directory (its --dir)\n"
    "  --journal   a line for each journal entry\n"
    "  --rows      a line for each key row\n";

struct Arguments {
  std::string directory;
  bool rows = false;
  bool journal = false;
};

std::string printable(std::string_view bytes) {
  constexpr size_t kMaxBytes = 200;
  std::string text;
  for (const char c : bytes.substr(0, kMaxBytes)) {
    if (c == '"' || c == '\\') {
      text += {'\\', c};
    } else if (std::isprint(static_cast<unsigned char>(c))) {
      text += c;
    } else {
      text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return '"' + text + '"' + (bytes.size() > kMaxBytes ? fmt::format("… ({} bytes)", bytes.size()) : "");
}

std::string megabytes(uint64_t bytes) { return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6); }

std::string clock_text(const Clock& clock) {
  std::string text;
  for (const Dot& dot : clock)
    text += fmt::format(" {}{:016x}:{}", dot.log.agreed() ? "R " : "", dot.log.value, dot.number);
  return text.empty() ? " nothing" : text;
}

bool report(const std::string& what, const Error& error) {
  fmt::print(stderr, "{}: {}\n", what, error.message);
  return false;
}

// --- journals

struct SegmentSummary {
  uint64_t frames = 0;
  uint64_t entries = 0;
  uint64_t payload_bytes = 0;
  Position synced = 0;
  std::string end;  // where and how it ends
};

void print_entries(std::string_view entries, Position position, bool print, SegmentSummary& summary) {
  constexpr std::string_view kParts[] = {"", " first part", " middle part", " last part"};
  for (size_t at = 0; at + kEntryHeaderBytes <= entries.size();) {
    const EntryHeader header = load_entry_header(entries.data() + at);
    if (print) {
      fmt::print("    {}:{} type {} shard {} {} bytes{}\n", segment_of(position), offset_of(position) + at, header.type,
                 header.shard, header.bytes, kParts[static_cast<size_t>(header.part)]);
    }
    summary.entries += header.part == Part::kWhole || header.part == Part::kFirst;
    summary.payload_bytes += header.bytes;
    at += kEntryHeaderBytes + header.bytes;
  }
}

// Reads frames until there is none; says why there is none.
Result<SegmentSummary> read_segment(File& file, const SegmentHeader& header, bool print) {
  SegmentSummary summary;
  std::string frame(kMaxFrameBytes, '\0');
  for (uint64_t offset = kSegmentHeaderBytes;;) {
    Result<size_t> read = file.pread(frame.data(), frame.size(), offset);
    if (!read) return read.error();
    const Position position = position_of(header.segment, offset);
    const bool tagged = *read >= kFrameHeaderBytes &&  //
                        frame_tag(frame.data()) == segment_tag(header.identity, header.segment);
    if (!tagged) {
      summary.end = fmt::format("no frame at {}", offset);
      return summary;
    }
    const FrameHeader frame_header = peek_frame(frame.data());
    const uint64_t bytes = frame_header.frame_bytes();
    if (bytes > *read || !frame_is_intact({frame.data(), bytes}, header.identity, position)) {
      summary.end = fmt::format("DAMAGED frame at {}", offset);
      return summary;
    }
    ++summary.frames;
    summary.synced = std::max(summary.synced, frame_header.synced);
    print_entries({frame.data() + kFrameHeaderBytes, frame_header.entry_bytes}, position + kFrameHeaderBytes, print,
                  summary);
    offset += bytes;
    if (frame_header.ends_segment) {
      summary.end = fmt::format("full at {}", offset);
      return summary;
    }
  }
}

bool inspect_segment(FileSystem& files, const std::string& path, bool print) {
  Result<std::unique_ptr<File>> file = files.open(path, FileSystem::Open::kExisting);
  if (!file) return report(path, file.error());
  std::string bytes(kSegmentHeaderBytes, '\0');
  Result<size_t> read = (*file)->pread(bytes.data(), bytes.size(), 0);
  if (!read) return report(path, read.error());
  const auto header = *read == bytes.size() ? decode_segment_header(bytes) : std::nullopt;
  if (!header) {
    fmt::print("  {}: DAMAGED header\n", path);
    return false;
  }
  Result<SegmentSummary> summary = read_segment(**file, *header, print);
  if (!summary) return report(path, summary.error());
  const Position synced = std::max(header->synced, summary->synced);
  fmt::print("  segment {} of journal {:016x} (from segment {}): {} frames, {} entries, {}; {}; synced up to {}:{}\n",
             header->segment, header->identity, header->start, summary->frames, summary->entries,
             megabytes(summary->payload_bytes), summary->end, segment_of(synced), offset_of(synced));
  return summary->end.find("DAMAGED") == std::string::npos;
}

bool inspect_journals(FileSystem& files, const Arguments& arguments) {
  const std::string parent = journal_directory(arguments.directory);
  Result<std::vector<std::string>> workers = files.list(parent);
  if (!workers) return report(parent, workers.error());
  bool sound = true;
  for (const std::string& worker : *workers) {
    const std::string directory = parent + '/' + worker;
    Result<std::vector<std::string>> names = files.list(directory);
    if (!names) {
      sound = report(directory, names.error());
      continue;
    }
    const auto spares = std::count_if(names->begin(), names->end(), is_spare);
    fmt::print("journal of worker {}: {} files, {} of them spare\n", worker, names->size(), spares);
    for (const std::string& name : *names) {
      if (segment_number(name)) sound = inspect_segment(files, directory + '/' + name, arguments.journal) && sound;
    }
  }
  return sound;
}

// --- environments

bool print_rows(ReadView& view) {
  bool sound = true;
  const auto cursor = view.cursor(Table::kKeys);
  for (bool more = cursor->seek(""); more; more = cursor->next()) {
    Result<StoredRow> row = decode_row(cursor->key(), cursor->value());
    if (!row) {
      sound = report("  " + printable(cursor->key()), row.error());
      continue;
    }
    fmt::print("  database {} slot {} {} {} bytes\n", sort_key_database(row->word), sort_key_slot(row->word),
               printable(row->id), row->payload.size());
  }
  return sound;
}

bool inspect_environment(const std::string& shard, const std::string& path, bool rows) {
  constexpr std::string_view kNames[kTables] = {"meta", "keys", "elements", "expiry", "slots"};
  auto environment = LmdbEnvironment::open(path, {.read_only = true});
  if (!environment) return report("shard " + shard, environment.error());
  Result<LmdbEnvironment::Statistics> statistics = (*environment)->statistics();
  if (!statistics) return report("shard " + shard, statistics.error());
  fmt::print("shard {}: {} in the file, {} in use\n", shard, megabytes(statistics->file_bytes),
             megabytes(statistics->used_bytes));
  for (unsigned i = 0; i < kTables; ++i) {
    const LmdbEnvironment::TableStatistics& table = statistics->tables[i];
    const uint64_t pages = table.branch_pages + table.leaf_pages + table.overflow_pages;
    fmt::print("  {:8} {} entries, {}, depth {}\n", kNames[i], table.entries, megabytes(pages * statistics->page_bytes),
               table.depth);
  }
  Result<std::unique_ptr<ReadView>> view = (*environment)->read();
  if (!view) return report("shard " + shard, view.error());
  Result<StoredState> state = read_state(**view);
  if (!state) return report("shard " + shard, state.error());
  fmt::print("  applied{}; everything below {}:{} of the journals\n", clock_text(state->applied),
             segment_of(state->position), offset_of(state->position));
  fmt::print(
      "  log R {:016x}, {}\n", state->agreed.id.value,
      state->agreed.tail_may_be_lost ? "its tail may be lost if the system crashes" : "nothing of it can be lost");
  return !rows || print_rows(**view);
}

bool inspect_environments(FileSystem& files, const Arguments& arguments) {
  const std::string parent = arguments.directory + "/shards";
  Result<std::vector<std::string>> shards = files.list(parent);
  if (!shards) return report(parent, shards.error());
  bool sound = true;
  for (const std::string& shard : *shards) {
    sound = inspect_environment(shard, parent + '/' + shard, arguments.rows) && sound;
  }
  return sound;
}

int inspect(const std::vector<std::string_view>& words) {
  Arguments arguments;
  for (const std::string_view word : words) {
    if (word == "--rows") {
      arguments.rows = true;
    } else if (word == "--journal") {
      arguments.journal = true;
    } else if (word.substr(0, 1) != "-" && arguments.directory.empty()) {
      arguments.directory = word;
    } else {
      arguments.directory.clear();
      break;
    }
  }
  if (arguments.directory.empty()) {
    fmt::print(stderr, "{}", kUsage);
    return 2;
  }
  FileSystem& files = posix_file_system();
  const bool journals = inspect_journals(files, arguments), environments = inspect_environments(files, arguments);
  return journals && environments ? 0 : 1;
}

}  // namespace
}  // namespace capstan::lmdb_store

int main(int count, char** words) try {
  return capstan::lmdb_store::inspect({words + std::min(count, 1), words + count});
} catch (const std::exception& failure) {
  std::fprintf(stderr, "capstan-inspect: %s\n", failure.what());
  return 1;
}
