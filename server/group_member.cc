#include "server/group_member.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "server/log.h"

namespace capstan {

using consensus::Configuration;
using consensus::Entry;
using consensus::Index;
using consensus::Member;
using consensus::Message;
using consensus::PeerId;
using consensus::ReadPoint;
using consensus::Time;

namespace {

constexpr uint8_t kStoredGroupVersion = 1;

const Member* find_member(const Configuration& configuration, PeerId peer) {
  for (const auto* const list : {&configuration.voters(), &configuration.outgoing(), &configuration.learners()}) {
    for (const Member& member : *list) {
      if (member.id == peer) return &member;
    }
  }
  return nullptr;
}

}  // namespace

std::string StoredGroup::encode() const {
  std::string bytes;
  Encoder out(bytes);
  out.u8(kStoredGroupVersion);
  out.u64(self);
  out.u64(log.value);
  out.varint(base.index);
  out.varint(base.term);
  out.bytes(base.configuration.encode());
  out.u64(hard_state.term);
  out.u64(hard_state.voted_for);
  out.u8(rebuilding);
  return bytes;
}

Result<StoredGroup> StoredGroup::decode(std::string_view bytes) {
  StoredGroup group;
  Decoder in(bytes);
  const uint8_t version = in.u8();
  group.self = in.u64();
  group.log = LogId{in.u64()};
  group.base.index = in.varint();
  group.base.term = in.varint();
  Result<Configuration> configuration = Configuration::decode(in.bytes());
  group.hard_state.term = in.u64();
  group.hard_state.voted_for = in.u64();
  group.rebuilding = in.u8() != 0;
  if (version != kStoredGroupVersion || !in.done() || !configuration || !group.log.agreed() ||
      group.self == consensus::kNoPeer) {
    return Error{ErrorCode::kCorrupt, "what LMDB says of the shard's Raft group is malformed"};
  }
  group.base.configuration = std::move(*configuration);
  return group;
}

GroupMember::GroupMember(ShardId shard, LogId log, const Options& options, Services services,
                         consensus::Recovered recovered, lmdb_store::Position first_unapplied, uint64_t seed, Time now)
    : shard_(shard),
      log_(log),
      options_(options),
      services_(std::move(services)),
      pending_(services_.keyspace),
      source_(shard, log, services_.keyspace),
      rebuilds_(seed),
      replica_(shard, options.group,
               Replica::Services{
                   services_.journal,
                   services_.send,
                   [this](Index index, const Entry& entry) { apply(index, entry); },
                   [this](Index index) { return empty_record(index); },
                   // Of log R everything below an entry is held when it is taken, and there are no other logs yet.
                   [](Index, std::string_view) { return true; },
               },
               std::move(recovered), first_unapplied, seed, now) {}

std::string_view GroupMember::node_of(PeerId peer) const {
  if (const Member* const member = find_member(group().configuration(), peer)) return member->node;
  const auto stranger = strangers_.find(peer);
  return stranger == strangers_.end() ? std::string_view() : stranger->second;
}

void GroupMember::receive(std::string_view node, const Message& message, Time now) {
  // A new replica does not know those who came after the founders.
  if (find_member(group().configuration(), message.from) == nullptr) {
    constexpr size_t kMaxStrangers = 64;
    if (strangers_.size() >= kMaxStrangers) strangers_.clear();
    strangers_[message.from] = node;
  }
  group().receive(message, now);
}

std::string_view GroupMember::leader() const { return node_of(group().leader()); }

// ---- leading

bool GroupMember::serves() const {
  return leadership_ != 0 && group().leads() && group().term() == led_term_ &&
         group().transferring_to() == consensus::kNoPeer && replica_.applied() >= inherited_;
}

Clock GroupMember::next_context() const {
  Clock context = services_.keyspace.applied();
  context.set(log_, next_number() - 1);
  return context;
}

bool GroupMember::propose(const Record& record, Time now) {
  CHECK(record.dot.number == next_number());
  encoded_.clear();
  Encoder out(encoded_);
  encode_record(record, out);
  const std::optional<Index> index = replica_.propose(encoded_, now);
  if (!index) return false;
  CHECK(*index == record.dot.number);
  services_.clock.advance_to(record.hlc);
  pending_.add(record);
  return true;
}

// A record's own commit proves that this was the leader when the command came; anything else has to be confirmed
// (model, "Levels").
ReadPoint GroupMember::reply_point(bool wrote, bool saw_pending, Time now) {
  const Index last = group().log().last();
  if (wrote) return {last, 0};
  return group().read(saw_pending ? last : 0, now);
}

uint32_t GroupMember::others_with(Index index) const {
  uint32_t holders = 0;
  for (const Member& member : group().configuration().members()) {
    const consensus::Progress* const progress = group().progress(member.id);
    if (progress != nullptr && progress->match() >= index) ++holders;
  }
  return holders;
}

bool GroupMember::current_since(Time since) const {
  return (!group().leads() || serves()) && replica_.applied() >= group().commit() && group().current_since(since);
}

// The stamp of the log's last record.
Hlc GroupMember::last_stamp() const {
  const consensus::Log& entries = group().log();
  if (entries.last() < entries.first()) return services_.keyspace.last_stamp();
  Record record;
  Decoder in(entries.entry(entries.last()).record);
  CHECK(decode_record_into(log_, in, record), "a record of log R can be read");
  return record.hlc;
}

std::string GroupMember::empty_record(Index index) {
  services_.clock.advance_to(last_stamp());
  Record record;
  record.dot = {log_, index};
  record.hlc = services_.clock.next(wall_ms());
  record.context = services_.keyspace.applied();
  record.context.set(log_, index - 1);
  std::string bytes;
  Encoder out(bytes);
  encode_record(record, out);
  return bytes;
}

void GroupMember::notice_leadership() {
  const bool leads = group().leads();
  if (group().leader() != leader_seen_) {
    leader_seen_ = group().leader();
    log_info("shard " + std::to_string(shard_) + ": " +
             (leader_seen_ == consensus::kNoPeer ? "no leader" : "led by " + std::string(leader())) + ", term " +
             std::to_string(group().term()));
  }
  if (leadership_ != 0 && (!leads || group().term() != led_term_)) {
    leadership_ = 0;
    pending_.drop();
  }
  if (!leads || leadership_ != 0) return;
  leadership_ = ++leaderships_;
  led_term_ = group().term();
  inherited_ = group().log().last();
}

// ---- the turn

void GroupMember::end_turn(Time now) {
  notice_leadership();  // before what others have proposed is applied
  drive_rebuild(now);
  replica_.end_turn(now);
  notice_leadership();
  cut_log(now);
}

void GroupMember::apply(Index index, const Entry& entry) {
  Decoder in(entry.record);
  CHECK(decode_record_into(log_, in, record_), "a record of log R can be read");
  lmdb_store::Keyspace& keyspace = services_.keyspace;
  CHECK(record_.dot.number == index && keyspace.applied()[log_] + 1 == index);
  CHECK(keyspace.applied().covers(record_.context), "a record's context is applied before it");
  keyspace.apply(record_, keyspace.has_newer_rows() ? Replay::kYes : Replay::kNo);
  services_.clock.advance_to(record_.hlc);
  if (!pending_.empty()) pending_.applied(record_);
}

void GroupMember::cut_log(Time now) {
  const consensus::Log& entries = group().log();
  if (entries.bytes() <= options_.log_bytes) return;
  Index to = entries.base();
  Index most = std::min(replica_.applied(), group().durable_index());
  const Index kept = source_.keep_from(now / consensus::kMillisecond);
  if (kept != 0) most = std::min(most, kept);
  for (uint64_t bytes = entries.bytes(); to < most && bytes > options_.log_bytes / 2;) bytes -= entries.bytes_at(++to);
  if (to > entries.base()) replica_.cut(to);
}

// ---- rebuilding

Result<> GroupMember::receive_rebuild(std::string_view node, std::span<const std::string_view> words, Time now) {
  resp::OutputBuffer* const out = services_.to_node(node);
  if (out == nullptr) return {};
  const int64_t now_ms = now / consensus::kMillisecond;
  const bool question = words.size() > 3 && words[3].starts_with("ask");
  if (question) {
    // Who is rebuilt itself, or has not caught up with its own rows, is no source.
    if (rebuilding() || services_.keyspace.has_newer_rows()) return {};
    return source_.answer(words, group().log(), group().term(), group().commit(), now_ms, *out);
  }
  if (!rebuild_ || rebuild_->source() != node || group().leads()) return {};
  Result<> taken = rebuild_->receive(words, now_ms);
  if (rebuild_->begun() && !rebuilding()) group().begin_rebuild(now);
  return taken;
}

void GroupMember::drive_rebuild(Time now) {
  constexpr int64_t kPatienceMs = 3000;
  constexpr Time kPause = 100 * consensus::kMillisecond;
  const int64_t now_ms = now / consensus::kMillisecond;
  if (rebuild_ && rebuild_->state() == Rebuild::State::kDone) return finish_rebuild(now);
  const bool wanted = group().needs_rebuild() || rebuilding();
  if (rebuild_ && !wanted) rebuild_.reset();  // not begun, and another leader has what it lacks
  if (rebuild_) {
    const bool lost = services_.to_node(rebuild_->source()) == nullptr || now_ms - rebuild_->heard_ms() > kPatienceMs;
    if (!lost && rebuild_->state() != Rebuild::State::kFailed) {
      return rebuild_->go_on(now_ms, *services_.to_node(rebuild_->source()));
    }
    if (rebuild_->begun()) {
      log_warning("shard " + std::to_string(shard_) + ": the rebuild from " + rebuild_->source() + " starts over");
    }
    rebuild_.reset();
    next_rebuild_ = now + kPause;
  }
  if (!wanted || now < next_rebuild_) return;
  const std::string_view source = leader();
  if (group().leads() || source.empty() || services_.to_node(source) == nullptr) return;
  begin_rebuild(source, now);
}

void GroupMember::begin_rebuild(std::string_view source, Time now) {
  log_info("shard " + std::to_string(shard_) + ": rebuilding this replica from " + std::string(source));
  rebuild_.emplace(shard_, log_, ++rebuilds_, std::string(source), services_.keyspace, now / consensus::kMillisecond);
  drive_rebuild(now);
}

// First the state is durable, then the journal gets the log that goes with it. A crash in between leaves what a replica
// has that lags: the log that it had before, if it leads to the new state, else none; the rest comes from the leader.
void GroupMember::finish_rebuild(Time now) {
  if (!finished_) finished_ = rebuild_->finish();
  StoredGroup stored = state_at(finished_->base);
  stored.rebuilding = false;
  stored.hard_state = std::max(finished_->source_term, group().term()) == group().term()
                          ? group().hard_state()
                          : consensus::HardState{finished_->source_term, consensus::kNoPeer};
  if (!services_.store(stored)) return;
  group().rebuilt(finished_->base, finished_->entries, finished_->source_term, now);
  replica_.rebuilt(finished_->base.index);
  log_info("shard " + std::to_string(shard_) + ": rebuilt, " + std::to_string(rebuild_->keys()) + " keys");
  finished_.reset();
  rebuild_.reset();
}

Time GroupMember::next_deadline() const {
  const int64_t question_ms = rebuild_ ? rebuild_->next_question_ms() : INT64_MAX;
  const Time next = group().next_deadline();
  return question_ms == INT64_MAX ? next : std::min(next, question_ms * consensus::kMillisecond);
}

// ---- members

void GroupMember::mend_membership(std::span<const std::string> nodes, std::span<const PeerId> lives, Time now) {
  const Configuration& configuration = group().configuration();
  if (!serves() || configuration.joint()) return;
  const auto life_of = [&](const std::string& node) {
    const auto found = std::find(nodes.begin(), nodes.end(), node);
    return found == nodes.end() ? consensus::kNoPeer : lives[static_cast<size_t>(found - nodes.begin())];
  };
  const auto gone = [&](const Member& member) {
    const PeerId life = life_of(member.node);
    return life != consensus::kNoPeer && life != member.id;
  };
  std::vector<Member> voters = configuration.voters();
  std::vector<Member> learners = configuration.learners();
  for (const Member& member : configuration.members()) {
    if (!gone(member)) continue;
    std::erase(voters, member);
    std::erase(learners, member);
    const Member successor{life_of(member.node), member.node};
    if (!configuration.is_member(successor.id)) learners.push_back(successor);
    log_info("shard " + std::to_string(shard_) + ": " + member.node + " came back without its data, it is replaced");
    return change_members(voters, learners, now);
  }
  // Who voted in an earlier life may still be among the learners: only who is there votes.
  const auto present =
      std::find_if(learners.begin(), learners.end(), [&](const Member& each) { return life_of(each.node) == each.id; });
  if (present == learners.end()) return;
  voters.push_back(*present);
  learners.erase(present);
  change_members(voters, learners, now);
}

void GroupMember::prefer_leader(std::string_view node, Time now) {
  constexpr Time kInterval = 10'000 * consensus::kMillisecond;
  if (!serves() || node == leader() || now < next_move_) return;
  for (const Member& member : group().configuration().voters()) {
    if (member.node != node) continue;
    const consensus::Progress* const progress = group().progress(member.id);
    const bool able = progress != nullptr && progress->state() == consensus::Progress::State::kReplicate &&
                      progress->match() >= group().commit();
    if (!able) return;
    // Once in a while, should it not succeed.
    next_move_ = now + kInterval;
    if (group().transfer(member.id, now))
      log_info("shard " + std::to_string(shard_) + ": back to its leader " + member.node);
  }
}

Result<> GroupMember::transfer(std::string_view node, Time now) {
  if (!serves()) return Error{ErrorCode::kInvalid, "this node does not lead the shard"};
  for (const Member& member : group().configuration().voters()) {
    if (member.node == node) return group().transfer(member.id, now);
  }
  return Error{ErrorCode::kNotFound, "no voter of the shard is on that node"};
}

// What cannot be done now is tried again later.
void GroupMember::change_members(std::vector<Member> voters, std::vector<Member> learners, Time now) {
  if (voters.empty()) return;
  const Result<> changed = group().change_members(Configuration(std::move(voters), std::move(learners)), now);
  if (changed) log_info("shard " + std::to_string(shard_) + ": its replicas change");
}

// ---- flushes and reports

StoredGroup GroupMember::state_at(consensus::Log::Base base) const {
  return {group().self(), log_, std::move(base), group().hard_state(), group().rebuilding()};
}

std::string GroupMember::stored_state() const {
  const consensus::Log& entries = group().log();
  const Index applied = replica_.applied();
  return state_at({applied, entries.term_at(applied), entries.configuration_at(applied)}).encode();
}

void GroupMember::describe(ShardStatus& status, Time now) const {
  const consensus::Group& its = group();
  status.leader = leader();
  status.leads = its.leads();
  status.serves = serves();
  status.term = its.term();
  status.commit = its.commit();
  status.applied = replica_.applied();
  status.last = its.log().last();
  status.first = its.log().first();
  status.log_bytes = its.log().bytes();
  for (const Member& member : its.configuration().members()) {
    ReplicaStatus& replica = status.replicas.emplace_back();
    replica.node = member.node;
    replica.peer = member.id;
    replica.voter = its.configuration().is_voter(member.id);
    const consensus::Progress* const progress = status.leads ? its.progress(member.id) : nullptr;
    if (member.id == its.self() && status.leads) {
      replica.match = its.durable_index();
      replica.active = true;
    } else if (progress != nullptr) {
      replica.match = progress->match();
      replica.active = now - progress->heard_at() < options_.group.election_timeout_max;
      replica.rebuilding = progress->state() == consensus::Progress::State::kRebuild;
    }
  }
}

}  // namespace capstan
