#include "server/rebuild.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "server/words.h"

namespace capstan {

using consensus::Entry;
using consensus::Index;
using consensus::Term;
using lmdb_store::Keyspace;

namespace {

constexpr std::string_view kVersion = "1";
constexpr std::string_view kAsk = "ask";
constexpr std::string_view kPiece = "piece";
constexpr std::string_view kAskLog = "ask-log";
constexpr std::string_view kLog = "log";
constexpr std::string_view kGone = "gone";

constexpr int64_t kPause = 2;  // times as long as a piece took
constexpr size_t kPieceBytes = 256 << 10;
constexpr size_t kKeysAtOnce = 16;  // that are looked up between two looks at the size of a piece
constexpr size_t kLogBytes = 1 << 20;
// A replica asks on at once; one that does not is gone.
constexpr int64_t kPatienceMs = 10'000;

Error malformed() { return {ErrorCode::kInvalid, "a malformed message of a rebuild"}; }

void begin(MessageWriter& message, ShardId shard, std::string_view kind, uint64_t rebuild) {
  message.word(kRebuildMessage);
  message.word(kVersion);
  message.number(shard);
  message.word(kind);
  message.number(rebuild);
}

// Where the walk through all databases is: 0 at the start and at the end.
constexpr uint64_t place_of(Database database, uint64_t position) {
  return (uint64_t{database} << Keyspace::kPositionBits | position) + 1;
}

}  // namespace

// ---- the source

Result<> RebuildSource::answer(std::span<const std::string_view> words, const consensus::Log& entries, Term term,
                               Index committed, int64_t now_ms, resp::OutputBuffer& out) {
  WordReader in(words.subspan(3));
  const std::string_view kind = in.next();
  const auto rebuild = in.number<uint64_t>();
  const auto from = in.number<uint64_t>();
  const auto last = kind == kAskLog ? in.number<Index>() : 0;
  if (!in.ok() || (kind != kAsk && kind != kAskLog)) return malformed();
  std::erase_if(helped_, [now_ms](const Helped& helped) { return now_ms - helped.asked_ms > kPatienceMs; });
  auto helped =
      std::find_if(helped_.begin(), helped_.end(), [rebuild](const Helped& h) { return h.rebuild == rebuild; });
  if (helped == helped_.end() && kind == kAsk && from == 0) {
    helped = helped_.insert(helped_.end(), Helped{rebuild, keyspace_.applied()[log_], now_ms});
  }
  if (helped == helped_.end() || helped->first < entries.base()) {
    MessageWriter message(out);
    begin(message, shard_, kGone, rebuild);
    return {};
  }
  helped->asked_ms = now_ms;
  if (kind == kAsk) {
    write_piece(rebuild, from, out);
  } else if (from < entries.base() || last > committed || from > last) {
    return malformed();
  } else {
    write_log(rebuild, from, last, entries, term, out);
  }
  return {};
}

Index RebuildSource::keep_from(int64_t now_ms) const {
  Index from = 0;
  for (const Helped& helped : helped_) {
    if (now_ms - helped.asked_ms <= kPatienceMs && (from == 0 || helped.first < from)) from = helped.first;
  }
  return from;
}

void RebuildSource::write_piece(uint64_t rebuild, uint64_t from, resp::OutputBuffer& out) {
  uint64_t place = from == 0 ? 0 : from - 1;
  auto database = static_cast<Database>(place >> Keyspace::kPositionBits);
  uint64_t position = place & ((uint64_t{1} << Keyspace::kPositionBits) - 1);
  std::string keys;
  Encoder encoder(keys);
  std::vector<Keyspace::ScannedKey> found;
  uint64_t next = 0;
  while (database < kDatabases) {
    found.clear();
    keyspace_.scan(database, position, kKeysAtOnce, Keyspace::kEverything, found, position);
    for (const Keyspace::ScannedKey& key : found) {
      KeyState state;
      if (!keyspace_.state_of(database, key.name, state)) continue;
      std::string bytes;
      Encoder state_encoder(bytes);
      state.encode(state_encoder);
      encoder.u8(database);
      encoder.bytes(key.name);
      encoder.bytes(bytes);
    }
    if (position == 0) ++database;
    if (keys.size() < kPieceBytes) continue;
    if (database < kDatabases) next = place_of(database, position);
    break;
  }
  MessageWriter message(out);
  begin(message, shard_, kPiece, rebuild);
  message.number(next);
  message.number(keyspace_.applied()[log_]);
  message.number(keyspace_.last_stamp().value);
  message.word(keys);
}

void RebuildSource::write_log(uint64_t rebuild, Index base, Index last, const consensus::Log& entries, Term term,
                              resp::OutputBuffer& out) const {
  MessageWriter message(out);
  begin(message, shard_, kLog, rebuild);
  message.number(term);
  message.number(base);
  message.number(entries.term_at(base));
  message.word(entries.configuration_at(base).encode());
  size_t bytes = 0;
  for (Index index = base + 1; index <= last && bytes < kLogBytes; ++index) {
    const Entry entry = entries.entry(index);
    message.number(entry.term);
    message.word(entry.record);
    message.word(entry.configuration);
    bytes += entry.record.size() + entry.configuration.size();
  }
}

// ---- the replica that is rebuilt

Rebuild::Rebuild(ShardId shard, LogId log, uint64_t rebuild, std::string source, Keyspace& keyspace, int64_t now_ms)
    : shard_(shard),
      log_(log),
      rebuild_(rebuild),
      source_(std::move(source)),
      keyspace_(keyspace),
      heard_ms_(now_ms),
      base_{0, 0, {}} {}

void Rebuild::go_on(int64_t now_ms, resp::OutputBuffer& out) {
  if (!question_ || now_ms < ask_at_ms_) return;
  asked_ms_ = now_ms;
  if (state_ == State::kCopying) {
    ask(*question_, out);
  } else {
    ask_log(out);
  }
  question_.reset();
}

void Rebuild::ask(uint64_t from, resp::OutputBuffer& out) const {
  MessageWriter message(out);
  capstan::begin(message, shard_, kAsk, rebuild_);
  message.number(from);
}

void Rebuild::ask_log(resp::OutputBuffer& out) const {
  MessageWriter message(out);
  capstan::begin(message, shard_, kAskLog, rebuild_);
  message.number(first_ + entries_.size());
  message.number(last_);
}

Result<> Rebuild::receive(std::span<const std::string_view> words, int64_t now_ms) {
  WordReader in(words.subspan(3));
  const std::string_view kind = in.next();
  // Of a rebuild before this one.
  if (in.number<uint64_t>() != rebuild_ || state_ == State::kDone || state_ == State::kFailed) {
    return in.ok() ? Result<>() : malformed();
  }
  heard_ms_ = now_ms;
  ask_at_ms_ = now_ms + std::max<int64_t>(kPause * (now_ms - asked_ms_), 1);
  if (kind == kGone) {
    state_ = State::kFailed;
    return {};
  }
  if (kind == kPiece && state_ == State::kCopying) return take_piece(in.rest());
  if (kind == kLog && state_ == State::kReadingLog) return take_log(in.rest());
  return malformed();
}

Result<> Rebuild::take_piece(std::span<const std::string_view> words) {
  WordReader in(words);
  const auto next = in.number<uint64_t>();
  const auto applied = in.number<Index>();
  const auto stamp = in.number<uint64_t>();
  const std::string_view keys = in.next();
  if (!in.ok() || applied < last_) return malformed();
  if (!any_piece_ && applied < keyspace_.applied()[log_]) {
    state_ = State::kFailed;
    return {};
  }
  if (!std::exchange(any_piece_, true)) {
    first_ = applied;
    keyspace_.begin_rebuild();
  }
  if (!install(keys, Clock{{log_, applied}})) return malformed();
  last_ = applied;
  stamp_ = Hlc{stamp};
  question_ = next;
  if (next == 0) state_ = State::kReadingLog;
  return {};
}

bool Rebuild::install(std::string_view keys, const Clock& as_of) {
  Decoder in(keys);
  while (in.ok() && in.remaining() > 0) {
    const Database database = in.u8();
    const std::string_view name = in.bytes();
    Decoder state_in(in.bytes());
    KeyState state;
    if (!in.ok() || database >= kDatabases || !KeyState::decode(state_in, state) || !state_in.done()) return false;
    keyspace_.install(database, name, state, as_of);
    ++keys_;
  }
  return in.ok();
}

Result<> Rebuild::take_log(std::span<const std::string_view> words) {
  WordReader in(words);
  const auto term = in.number<Term>();
  consensus::Log::Base base;
  base.index = in.number<Index>();
  base.term = in.number<Term>();
  Result<consensus::Configuration> configuration = consensus::Configuration::decode(in.next());
  if (!in.ok() || !configuration || base.index != first_ + entries_.size()) return malformed();
  base.configuration = std::move(*configuration);
  if (entries_.empty()) base_ = std::move(base);
  source_term_ = std::max(source_term_, term);
  while (in.more()) {
    const auto entry_term = in.number<Term>();
    const std::string_view record = in.next();
    const std::string_view change = in.next();
    if (!in.ok() || (!change.empty() && !consensus::Configuration::decode(change).ok())) return malformed();
    entries_.push_back({entry_term, std::string(record), std::string(change)});
  }
  if (!in.ok()) return malformed();
  const Index reached = first_ + entries_.size();
  if (reached > last_) return malformed();
  if (reached == last_) {
    state_ = State::kDone;
  } else {
    question_ = 0;
  }
  return {};
}

Rebuild::Outcome Rebuild::finish() {
  CHECK(state_ == State::kDone);
  Clock applied, newest;
  applied.set(log_, first_);
  newest.set(log_, last_);
  keyspace_.end_rebuild(applied, newest, stamp_);
  Outcome outcome;
  outcome.source_term = source_term_;
  outcome.base = base_;
  for (const KeptEntry& entry : entries_) outcome.entries.push_back({entry.term, entry.record, entry.configuration});
  return outcome;
}

}  // namespace capstan
