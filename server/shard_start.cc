// A shard's start: opening, recovery, and the group that agrees on its log R.
#include <spdlog/spdlog.h>

#include <fstream>
#include <random>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "server/shard_impl.h"

namespace capstan {

using lmdb_store::AgreedLog;
using lmdb_store::Keyspace;
using lmdb_store::LmdbEnvironment;

uint64_t random_word() {
  std::random_device source;
  return uint64_t{source()} << 32 | source();
}

std::string boot_identity() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string line;
  if (!std::getline(file, line) || line.empty()) line = std::to_string(random_word());
  return line;
}

Result<std::unique_ptr<Shard>> Shard::open(ShardId id, const std::string& directory, Services services,
                                           const Options& options) {
  auto environment = LmdbEnvironment::open(directory, {});
  if (!environment) return environment.error();
  auto keyspace = Keyspace::open(**environment, options.keyspace);
  if (!keyspace) return keyspace.error();
  auto impl = std::make_unique<Impl>(id, std::move(services), options, std::move(*environment), std::move(*keyspace));
  impl->log = impl->keyspace->agreed_log().id;
  if (!impl->keyspace->group_state().empty()) {
    Result<StoredGroup> stored = StoredGroup::decode(impl->keyspace->group_state());
    if (!stored) return stored.error();
    impl->log = stored->log;
    impl->recovery.emplace(stored->base, stored->hard_state);
    impl->stored_group = std::move(*stored);
  }
  if (Result<> fits = impl->check_kind_of_data(); !fits) return fits.error();
  return std::unique_ptr<Shard>(new Shard(std::move(impl)));
}

// A node of a cluster does not go on with what a single node wrote, nor the other way round: nobody would know what
// the other nodes have of it.
Result<> Shard::Impl::check_kind_of_data() const {
  const bool of_cluster = stored_group.has_value();
  const bool of_single_node = keyspace->agreed_log().id != LogId{};
  if (options.group && of_single_node) {
    return Error{ErrorCode::kInvalid, "the data are those of a single node: a node of a cluster begins without any"};
  }
  if (!options.group && of_cluster) {
    return Error{ErrorCode::kInvalid, "the data are those of a node of a cluster: give its `cluster` directives"};
  }
  return {};
}

Shard::Shard(std::unique_ptr<Impl> impl) : impl_(std::move(impl)), clustered_(impl_->options.group.has_value()) {}
Shard::~Shard() = default;

Result<> Shard::replay(uint8_t entry_type, uint64_t position, std::string_view payload) {
  Impl& shard = *impl_;
  const auto corrupt = [&](std::string_view what) {
    return Error{ErrorCode::kCorrupt, "journal position " + std::to_string(position) + ": " + std::string(what)};
  };
  if (position < shard.keyspace->flushed_position()) return {};
  if (is_raft_entry(entry_type)) {
    if (!shard.recovery) return corrupt("an entry of a Raft group that the state on disk does not know");
    return shard.recovery->replay(entry_type, position, payload);
  }
  if (shard.options.group) return corrupt("an entry of a single node in the journal of a cluster's node");
  Decoder in(payload);
  if (entry_type == kIdentityEntry) {
    AgreedLog promise{LogId{in.u64()}, std::string(in.bytes()), in.u8() != 0};
    if (!in.done() || !promise.id.agreed()) return corrupt("malformed identity");
    shard.log = promise.id;
    shard.keyspace->set_agreed_log(std::move(promise));
    return {};
  }
  if (entry_type != kRecordEntry) return corrupt("unknown entry type " + std::to_string(entry_type));
  Record& record = shard.evaluation.effects().record();
  if (!decode_record_into(shard.log, in, record)) return corrupt("malformed record");
  const uint64_t applied = shard.keyspace->applied()[shard.log];
  if (record.dot.number <= applied) return {};
  if (!shard.keyspace->applied().covers(record.context)) return corrupt("a record before its context");
  if (record.dot.number != applied + 1) return corrupt("a gap in log R before " + std::to_string(record.dot.number));
  // LMDB may hold rows newer than its clock, if a flush was cut short (flush.h).
  shard.keyspace->apply(record, Replay::kYes);
  ++shard.stats.records;
  shard.keyspace->evict(kEvictionSlice);
  if (shard.keyspace->dirty_bytes() < shard.replay_flush_bytes) return {};
  Result<> flushed = shard.flush_now(position + 1);
  if (flushed || flushed.error().code != ErrorCode::kFull) return flushed;
  // A node whose disk is full still starts, to be read and to be given space.
  shard.replay_flush_bytes = shard.keyspace->dirty_bytes() * 2;
  return {};
}

Result<> Shard::start(lmdb_store::Journal& journal, bool tail_cut) {
  Impl& shard = *impl_;
  shard.journal = &journal;
  shard.evaluation.effects().reset();
  if (shard.options.group) {
    if (shard.recovery) {
      consensus::Recovered recovered = shard.recovery->take();
      recovered.rebuilding = shard.stored_group->rebuilding;
      shard.join_group(std::move(recovered), shard.keyspace->flushed_position());
      shard.recovery.reset();
    }
    shard.flush_soon = shard.keyspace->needs_flush();
    journal.release(shard.id, shard.keyspace->flushed_position());
    return {};
  }
  const AgreedLog& last = shard.keyspace->agreed_log();
  // Records that rows contain are gone (journal-damage truncate). The next ones will have them in their contexts.
  const bool newer_rows = shard.keyspace->has_newer_rows();
  const bool tail_lost = tail_cut || newer_rows || (last.boot != shard.boot && last.tail_may_be_lost);
  if (shard.log == LogId{} || tail_lost) {
    shard.log = LogId{LogId::kAgreedBit | random_word()};
    // Nobody has seen anything of it yet.
    shard.keyspace->set_agreed_log({shard.log, {}, false});
  }
  if (newer_rows) {
    shard.keyspace->accept_newer_rows();
    if (Result<> flushed = shard.flush_now(journal.end()); !flushed) return flushed;
  }
  shard.next_number = shard.keyspace->applied()[shard.log] + 1;
  shard.clock.advance_to(shard.keyspace->last_stamp());
  shard.flush_soon = shard.keyspace->needs_flush();
  journal.release(shard.id, shard.keyspace->flushed_position());
  return {};
}

// --- the group

void Shard::Impl::join_group(consensus::Recovered recovered, lmdb_store::Position first_unapplied) {
  clock.advance_to(keyspace->last_stamp());
  GroupMember::Options of_member{options.group->consensus, options.group->log_bytes};
  of_member.group.self = stored_group->self;
  GroupMember::Services services_of_member{
      *journal,      *keyspace,        clock,
      services.send, services.to_node, [this](const StoredGroup& stored) { return store_group(stored); }};
  member = std::make_unique<GroupMember>(id, log, of_member, std::move(services_of_member), std::move(recovered),
                                         first_unapplied, random_word(), boot_ns());
  evaluation.set_pending(&member->pending());
}

bool Shard::Impl::store_group(const StoredGroup& stored) {
  if (job) return false;
  keyspace->set_group_state(stored.encode());
  // Not by flush_now(), which would store the state as the group has it now.
  const auto whole = keyspace->begin_flush(flushable_position(), Keyspace::kWhole);
  const Result<> flushed = whole->run();
  while (keyspace->finish_flush()) {
  }
  if (!flushed && flushed.error().code == ErrorCode::kFull) return false;
  CHECK(flushed.ok(), "LMDB could be written");
  return true;
}

Result<> Shard::found(consensus::PeerId self, LogId log, const consensus::Configuration& configuration) {
  Impl& shard = *impl_;
  CHECK(shard.options.group && !shard.stored_group && shard.journal && log.agreed());
  consensus::Recovered nothing{{}, consensus::Log({0, 0, configuration}), 0, false, false};
  shard.log = log;
  shard.stored_group = StoredGroup{self, log, {0, 0, configuration}, {}};
  shard.keyspace->set_group_state(shard.stored_group->encode());
  // Durable before anything is promised in the group's name.
  if (Result<> flushed = shard.flush_now(shard.journal->end()); !flushed) return flushed;
  shard.join_group(std::move(nothing), shard.journal->end());
  return {};
}

std::optional<consensus::PeerId> Shard::founded_as() const {
  if (!impl_->stored_group) return std::nullopt;
  return impl_->stored_group->self;
}
void Shard::set_log(LogId log) {
  CHECK(clustered_ && !impl_->stored_group);
  impl_->log = log;
}
LogId Shard::log() const { return impl_->log; }
GroupMember* Shard::member() { return impl_->member.get(); }

ShardStatus Shard::status() const {
  ShardStatus status;
  status.id = impl_->id;
  status.leads = status.serves = !impl_->options.group;
  if (impl_->member) impl_->member->describe(status, boot_ns());
  return status;
}

void Shard::set_tail_may_be_lost(bool may_be_lost) { impl_->tail_may_be_lost = may_be_lost; }

lmdb_store::Position Shard::flushed_position() const { return impl_->keyspace->flushed_position(); }

}  // namespace capstan
