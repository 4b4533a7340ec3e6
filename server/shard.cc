#include "server/shard.h"

#include <algorithm>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "resp/output_buffer.h"
#include "server/shard_impl.h"

namespace capstan {

using lmdb_store::AgreedLog;
using lmdb_store::Keyspace;
using lmdb_store::WantedRow;

namespace {

constexpr std::string_view kNoRoom = "MISCONF the disk is full: writes are refused until there is space, reads go on";

}  // namespace

// --- records

void Shard::Impl::begin(Level level, int64_t now_ms) {
  // Taken over by propose() if there is an effect.
  const Hlc stamp = std::max(Hlc{clock.last().value + 1}, Hlc::at_ms(now_ms));
  const Dot dot{log, member ? member->next_number() : next_number};
  Record& record = evaluation.effects().record();
  // Empties the record; its head is set behind that.
  evaluation.begin(level == Level::kStrong, std::max(now_ms, stamp.ms()), {dot, stamp, record.context});
  record.dot = dot;
  record.hlc = stamp;
  record.context = member ? member->next_context() : keyspace->applied();
  last_write_ms = now_ms;
}

// Appends what was evaluated to the journal's batch and joins it. One voter: the record is committed with that batch.
Result<> Shard::Impl::propose() {
  Effects& effects = evaluation.effects();
  if (effects.empty()) return {};
  if (member) return propose_to_group();
  if (!promised()) [[unlikely]] {
    if (Result<> done = promise(); !done) return done;
  }
  const Record& record = effects.record();
  Encoder out(journal->begin_entry(kRecordEntry, id));
  encode_record(record, out);
  if (Result<lmdb_store::Position> position = journal->end_entry(); !position) return position.error();
  clock.advance_to(record.hlc);
  ++next_number;
  keyspace->apply(record, Replay::kNo);
  ++stats.records;
  return {};
}

Result<> Shard::Impl::propose_to_group() {
  if (!member->propose(evaluation.effects().record(), boot_ns())) {
    return Error{ErrorCode::kFull, std::string(kNoRoom)};
  }
  gate.wrote = true;
  ++stats.records;
  return {};
}

bool Shard::Impl::gated(Level level) {
  if (!member || level != Level::kStrong) return false;
  gate.leadership = member->leadership();
  gate.point = member->reply_point(gate.wrote, evaluation.saw_pending(), boot_ns());
  return !member->released(gate.point);
}

// Whether a later start will know, whatever happens, that records of this start may be lost.
bool Shard::Impl::promised() const {
  const AgreedLog& last = keyspace->agreed_log();
  return last.boot == boot && last.tail_may_be_lost >= tail_may_be_lost;
}

// Durable before the first record that it is about: were both lost, the next start would name others like the lost
// ones. So the turn waits for the disk here, once per start.
Result<> Shard::Impl::promise() {
  const AgreedLog next{log, boot, tail_may_be_lost};
  Encoder out(journal->begin_entry(kIdentityEntry, id));
  out.u64(next.id.value);
  out.bytes(next.boot);
  out.u8(next.tail_may_be_lost);
  if (Result<lmdb_store::Position> position = journal->end_entry(); !position) return position.error();
  if (Result<lmdb_store::Position> written = journal->write(); !written) return written.error();
  if (Result<> synced = journal->sync(); !synced) return synced;
  keyspace->set_agreed_log(next);
  return {};
}

void Shard::Impl::count_lookups(const CommandSpec& spec) {
  const Evaluation::Lookups lookups = evaluation.take_lookups();
  if ((spec.flags & kReadonly) == 0) return;
  stats.keyspace_hits += lookups.hits;
  stats.keyspace_misses += lookups.misses;
}

void Shard::Impl::collect(const CommandSpec& spec, const Call& call) {
  wanted.clear();
  if (spec.keys.first == 0 || keyspace->reads_at_once()) return;
  const auto count = static_cast<int>(call.args.size());
  const int last = spec.keys.last < 0 ? count + spec.keys.last : spec.keys.last;
  for (int i = spec.keys.first; i <= last && i < count; i += spec.keys.step) {
    const KeyRef key = call.key(static_cast<size_t>(i));
    if (keyspace->find(key.database, key.name, key.hash).presence == Keyspace::Presence::kUnknown &&
        !pending(key.database, key.name)) {
      wanted.push_back(WantedRow{false, key.database, std::string(key.name)});
    }
  }
}

// Outcome: it is not to be executed, or not now.
std::optional<Outcome> Shard::Impl::repeat(Call& call, Level level) {
  const StringRead read = evaluation.string(KeyRef(kSessionDatabase, call.once->client));
  evaluation.take_lookups();  // no user's key
  if (read.lookup == Lookup::kMissing) return std::nullopt;
  if (read.lookup == Lookup::kNotResident) {
    wanted = std::move(evaluation.missing_rows());
    return Outcome::kFetch;
  }
  const std::optional<Remembered> last = Remembered::decode(read.value);
  CHECK(read.lookup == Lookup::kFound && last, "what is remembered of a client can be read");
  const std::optional<std::string> error = check_repetition(*last, call.once->serial, call.writer->protocol());
  if (!error) return std::nullopt;
  if (error->empty()) {
    call.reply().raw(last->reply);
  } else {
    call.reply().error(*error);
  }
  return gated(level) ? Outcome::kHeld : Outcome::kDone;
}

void Shard::Impl::remember(const RequestId& request, const Remembered& result) {
  evaluation.set_string(KeyRef(kSessionDatabase, request.client), evaluation.keep(result.encode()));
}

Outcome Shard::run(const CommandSpec& spec, Call& call, Level level) {
  Impl& shard = *impl_;
  if (!resident(spec, call)) return Outcome::kFetch;
  resp::OutputBuffer& out = call.writer->out();
  const size_t before = out.size();
  if (!shard.may_write(spec)) [[unlikely]] {
    call.reply().error(kNoRoom);
    return Outcome::kDone;
  }
  shard.gate = {};
  shard.begin(level, call.now_ms);
  call.evaluation = &shard.evaluation;
  if (call.once != nullptr) [[unlikely]] {
    if (const std::optional<Outcome> repeated = shard.repeat(call, level)) return *repeated;
  }
  const Outcome outcome = spec.run(call);
  if (outcome == Outcome::kFetch) {
    shard.wanted = std::move(shard.evaluation.missing_rows());
    return outcome;
  }
  if (outcome != Outcome::kDone) return outcome;
  shard.count_lookups(spec);
  if (call.once != nullptr) [[unlikely]] {
    Remembered result{.serial = call.once->serial, .protocol = call.writer->protocol()};
    result.reply = out.view().substr(before);
    shard.remember(*call.once, result);
  }
  const bool must_be_kept = (spec.flags & kWrite) != 0 || call.once != nullptr;
  // Without room, what a read would have removed (expired keys) stays; it is hidden all the same.
  if (Result<> proposed = shard.propose(); !proposed && must_be_kept) [[unlikely]] {
    out.truncate(before);
    call.reply().error(kNoRoom);
  }
  return shard.gated(level) ? Outcome::kHeld : Outcome::kDone;
}

bool Shard::resident(const CommandSpec& spec, const Call& call) {
  impl_->collect(spec, call);
  return impl_->wanted.empty();
}

Result<> Shard::begin_transaction(Level level, int64_t now_ms, bool writes) {
  if (writes && !impl_->room()) return Error{ErrorCode::kFull, std::string(kNoRoom)};
  impl_->transaction_writes = writes;
  impl_->gate = {};
  impl_->begin(level, now_ms);
  impl_->evaluation.read_at_once(true);
  return {};
}

Outcome Shard::run_in_transaction(const CommandSpec& spec, Call& call) {
  call.evaluation = &impl_->evaluation;
  const Outcome outcome = spec.run(call);
  impl_->count_lookups(spec);
  return outcome;
}

std::optional<Remembered> Shard::recall(const RequestId& id) {
  const StringRead read = impl_->evaluation.string(KeyRef(kSessionDatabase, id.client));
  impl_->evaluation.take_lookups();
  if (read.lookup == Lookup::kMissing) return std::nullopt;
  std::optional<Remembered> last = Remembered::decode(read.value);
  CHECK(read.lookup == Lookup::kFound && last, "what is remembered of a client can be read");
  return last;
}

void Shard::remember(const RequestId& id, const Remembered& result) { impl_->remember(id, result); }

Result<Outcome> Shard::end_transaction(Level level) {
  impl_->evaluation.read_at_once(false);
  if (Result<> proposed = impl_->propose(); !proposed && impl_->transaction_writes)
    return Error{ErrorCode::kFull, std::string(kNoRoom)};
  return impl_->gated(level) ? Outcome::kHeld : Outcome::kDone;
}

const ReplyGate& Shard::reply_gate() const { return impl_->gate; }

bool Shard::released(const ReplyGate& gate) const {
  return gate.leadership == impl_->member->leadership() && impl_->member->released(gate.point);
}

bool Shard::void_gate(const ReplyGate& gate) const { return gate.leadership != impl_->member->leadership(); }

void Shard::fetch(std::function<void()> ready) {
  std::vector<WantedRow> wanted = std::move(impl_->wanted);
  impl_->wanted.clear();
  if (wanted.empty()) return ready();
  impl_->keyspace->fetch(std::move(wanted), impl_->services.read_pool, impl_->services.completions, std::move(ready));
}

std::optional<uint64_t> Shard::digest(const KeyRef& key, int64_t now_ms) {
  if (GroupMember* const member = impl_->member.get(); member && !member->pending().empty()) {
    const KeyState* const pending = member->pending().find(key.database, key.name);
    if (pending) return pending->exists() && !pending->expired(now_ms) ? pending->digest(key.hash) : 0;
  }
  const Keyspace::Found found = impl_->keyspace->find(key.database, key.name, key.hash);
  if (found.presence == Keyspace::Presence::kUnknown) {
    impl_->wanted.assign(1, WantedRow{false, key.database, std::string(key.name)});
    return std::nullopt;
  }
  if (!found.row) return 0;
  const Keyspace::KeyInfo info = impl_->keyspace->info(*found.row, now_ms);
  return info.exists && !info.expired ? impl_->keyspace->digest(*found.row, key.hash) : 0;
}

bool Shard::overloaded() const {
  // While flushes catch up, or when they fail, as much again may get dirty.
  const Keyspace& keyspace = *impl_->keyspace;
  return impl_->journal->starved() ||
         keyspace.dirty_bytes() + keyspace.flushing_bytes() >= 2 * keyspace.options().dirty_bytes;
}

void Shard::set_active_expiry(bool on) { impl_->active_expiry = on; }
ShardId Shard::id() const { return impl_->id; }
Keyspace& Shard::keyspace() { return *impl_->keyspace; }
const Shard::Stats& Shard::stats() const { return impl_->stats; }

void Shard::reset_stats() { impl_->stats.expired_keys = impl_->stats.keyspace_hits = impl_->stats.keyspace_misses = 0; }

}  // namespace capstan
