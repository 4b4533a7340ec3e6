// Rebuilding a replica from another one (model, "Rebuild"): for a replica that lacks what the leader's log has cut, and
// for one whose disk is new. It takes the source's keys piece by piece, each as of the source's clock at its reading,
// while the source serves; then the source's log from the first piece's clock on; and is a replica like others again
// when it has applied what the last piece had. A piece is asked for when the one before is in place, and twice the time
// has passed that this one took: so a rebuild takes no more of the source than its replica can take in, and leaves both
// most of their time for others. If the source is lost or has cut its log, it starts over.
//
// Messages over the links, RESP arrays of bulk strings; numbers are decimal:
//   rebuild 1 <shard> ask <rebuild> <from>                         from: where in the key order, 0 at first
//   rebuild 1 <shard> piece <rebuild> <next> <applied> <stamp> <keys>     next 0: that was the last one
//   rebuild 1 <shard> ask-log <rebuild> <base> <last>              entries behind base, up to last
//   rebuild 1 <shard> log <rebuild> <term> <base> <its term> <its configuration> (<term> <record> <configuration>)…
//   rebuild 1 <shard> gone <rebuild>                               the source cannot go on: start over
// <keys>: per key u8 database, bytes name, bytes state (KeyState). <from>, <next>: database · 2⁵³ + position + 1.
//
// Both sides belong to the shard's worker.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/hlc.h"
#include "base/ids.h"
#include "base/result.h"
#include "consensus/log.h"
#include "lmdb-store/keyspace.h"
#include "resp/output_buffer.h"

namespace capstan {

inline constexpr std::string_view kRebuildMessage = "rebuild";

// What a replica that is a source needs to remember of those that it helps.
class RebuildSource {
 public:
  RebuildSource(ShardId shard, LogId log, lmdb_store::Keyspace& keyspace)
      : shard_(shard), log_(log), keyspace_(keyspace) {}

  // Answers an ask or ask-log. kInvalid: malformed. `committed`: entries up to there may be told.
  Result<> answer(std::span<const std::string_view> words, const consensus::Log& entries, consensus::Term term,
                  consensus::Index committed, int64_t now_ms, resp::OutputBuffer& out);
  // Entries from here on must not be cut, because somebody will ask for them; 0: any may. Nobody is waited for whose
  // last question is long past.
  consensus::Index keep_from(int64_t now_ms) const;

 private:
  struct Helped {
    uint64_t rebuild = 0;
    consensus::Index first = 0;  // the clock of its first piece
    int64_t asked_ms = 0;
  };
  void write_piece(uint64_t rebuild, uint64_t from, resp::OutputBuffer& out);
  void write_log(uint64_t rebuild, consensus::Index base, consensus::Index last, const consensus::Log& entries,
                 consensus::Term term, resp::OutputBuffer& out) const;

  const ShardId shard_;
  const LogId log_;
  lmdb_store::Keyspace& keyspace_;
  std::vector<Helped> helped_;
};

// The rebuild of one replica, from its beginning until it is done or has to start over.
class Rebuild {
 public:
  // What it has when it is done.
  struct Outcome {
    consensus::Term source_term = 0;
    consensus::Log::Base base;
    std::vector<consensus::Entry> entries;  // views into bytes that this object owns
  };
  enum class State : uint8_t { kCopying, kReadingLog, kDone, kFailed };

  // `rebuild` names it among all of this process. The keyspace stays as it is until the first piece comes; one that is
  // older than what is here is refused (a new leader has everything, but may not have applied it yet).
  Rebuild(ShardId shard, LogId log, uint64_t rebuild, std::string source, lmdb_store::Keyspace& keyspace,
          int64_t now_ms);

  // Asks what is to be asked next, if it is time for that; of the same clock as all times here.
  void go_on(int64_t now_ms, resp::OutputBuffer& out);
  int64_t next_question_ms() const { return question_ ? ask_at_ms_ : INT64_MAX; }
  // Takes an answer of the source. kInvalid: malformed.
  Result<> receive(std::span<const std::string_view> words, int64_t now_ms);
  State state() const { return state_; }
  const std::string& source() const { return source_; }  // the node's name
  int64_t heard_ms() const { return heard_ms_; }
  uint64_t keys() const { return keys_; }
  // The keyspace is not what it was any more.
  bool begun() const { return any_piece_; }
  // Once done: gives the keyspace its clocks.
  Outcome finish();

 private:
  struct KeptEntry {
    consensus::Term term;
    std::string record;
    std::string configuration;
  };
  Result<> take_piece(std::span<const std::string_view> words);
  bool install(std::string_view keys, const Clock& as_of);
  Result<> take_log(std::span<const std::string_view> words);
  void ask(uint64_t from, resp::OutputBuffer& out) const;
  void ask_log(resp::OutputBuffer& out) const;

  const ShardId shard_;
  const LogId log_;
  const uint64_t rebuild_;
  const std::string source_;
  lmdb_store::Keyspace& keyspace_;
  State state_ = State::kCopying;
  int64_t heard_ms_;
  std::optional<uint64_t> question_ = 0;  // the next one: for a piece, from there; for the log, whatever it says
  int64_t asked_ms_ = 0;
  int64_t ask_at_ms_ = 0;
  uint64_t keys_ = 0;           // that were installed
  consensus::Index first_ = 0;  // the source's clock at the first piece,
  consensus::Index last_ = 0;   // and at the last one
  bool any_piece_ = false;
  Hlc stamp_;
  consensus::Term source_term_ = 0;
  consensus::Log::Base base_;
  std::vector<KeptEntry> entries_;
};

}  // namespace capstan
