#include "server/group_simulator.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "resp/parser.h"
#include "server/command.h"

namespace capstan {

using consensus::Configuration;
using consensus::Index;
using consensus::kMillisecond;
using consensus::Member;
using consensus::PeerId;
using lmdb_store::Keyspace;

namespace {

constexpr ShardId kShard = 0;
constexpr size_t kClients = 6;
constexpr int64_t kWallStartMs = 1'000'000;  // of simulated wall clocks; TTLs are no part of this

std::vector<std::string_view> views(const std::vector<std::string>& words) { return {words.begin(), words.end()}; }

// The commands that clients use, on a map: what their replies are if they run one after the other.
class Model {
 public:
  std::string run(const std::vector<std::string>& words) {
    const std::string& verb = words[0];
    if (verb == "get") return bulk(words[1]);
    if (verb == "set" && words.size() == 3) return set(words[1], words[2]);
    if (verb == "set") {  // key new IFEQ old
      if (!values_.contains(words[1]) || values_[words[1]] != words[4]) return "$-1\r\n";
      return set(words[1], words[2]);
    }
    if (verb == "incr") {
      std::string& value = values_[words[1]];
      value = std::to_string(value.empty() ? 1 : std::stoll(value) + 1);
      return ":" + value + "\r\n";
    }
    if (verb == "append") return ":" + std::to_string((values_[words[1]] += words[2]).size()) + "\r\n";
    if (verb == "del") return ":" + std::to_string(values_.erase(words[1])) + "\r\n";
    if (verb == "mset") {
      for (size_t i = 1; i < words.size(); i += 2) values_[words[i]] = words[i + 1];
      return "+OK\r\n";
    }
    CHECK(verb == "mget");
    std::string reply = "*" + std::to_string(words.size() - 1) + "\r\n";
    for (size_t i = 1; i < words.size(); ++i) reply += bulk(words[i]);
    return reply;
  }
  const std::map<std::string, std::string>& values() const { return values_; }

 private:
  std::string set(const std::string& key, const std::string& value) {
    values_[key] = value;
    return "+OK\r\n";
  }
  std::string bulk(const std::string& key) const {
    const auto found = values_.find(key);
    if (found == values_.end()) return "$-1\r\n";
    return "$" + std::to_string(found->second.size()) + "\r\n" + found->second + "\r\n";
  }

  std::map<std::string, std::string> values_;
};

std::string show(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word.substr(0, 40);
  return text;
}

}  // namespace

void GroupSimulator::Statistics::add(const Statistics& other) {
  for (uint64_t Statistics::*const field :
       {&Statistics::turns, &Statistics::applied, &Statistics::unknown, &Statistics::refused, &Statistics::crashes,
        &Statistics::power_losses, &Statistics::lost_disks, &Statistics::rebuilds, &Statistics::leaders,
        &Statistics::records}) {
    this->*field += other.*field;
  }
}

GroupSimulator::GroupSimulator(uint64_t seed, size_t nodes)
    : random_(seed), log_{LogId::kAgreedBit | 7}, busy_(kClients) {
  std::vector<Member> voters;
  for (size_t i = 0; i < nodes; ++i) {
    Node& node = *nodes_.emplace_back(std::make_unique<Node>(random_.next()));
    node.name = "n" + std::to_string(i + 1);
    node.life = ++lives_;
    node.rate = 1 + (random_.unit() - 0.5) * 0.04;
    node.offset = random_.between(0, 1'000'000) * kMillisecond;
    voters.push_back({node.life, node.name});
  }
  founders_ = Configuration(voters);
  for (size_t i = 0; i < nodes; ++i) start(i);
}

GroupSimulator::~GroupSimulator() = default;

size_t GroupSimulator::index_of(std::string_view name) const {
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i]->name == name) return i;
  }
  CHECK(false);
}

// ---- a node's life

// As Shard::open, replay and start do, and Shard::found where nothing is on disk.
void GroupSimulator::start(size_t index) {
  Node& node = *nodes_[index];
  node.disk->options.segment_bytes = 256 * 1024;
  CHECK(node.disk->start().ok());
  node.keyspace = std::move(Keyspace::open(*node.store, {}).value());
  node.clock = HybridClock();
  node.clock.advance_to(node.keyspace->last_stamp());
  const bool new_disk = node.keyspace->group_state().empty();
  if (new_disk) CHECK(store(node, {node.life, log_, {0, 0, founders_}, {}}));
  const StoredGroup stored = std::move(StoredGroup::decode(node.keyspace->group_state()).value());
  RaftRecovery recovery(stored.base, stored.hard_state);
  for (const lmdb_store::TestEntry& entry : node.disk->recovered) {
    if (entry.position < node.keyspace->flushed_position()) continue;
    CHECK(recovery.replay(entry.type, entry.position, entry.payload).ok());
  }
  consensus::Recovered recovered = recovery.take();
  recovered.rebuilding = stored.rebuilding;
  GroupMember::Options options;
  options.group.self = stored.self;
  options.group.batch_delay = random_.chance(0.5) ? kMillisecond : 0;
  options.log_bytes = random_.chance(0.5) ? 4096 : 1 << 20;
  GroupMember::Services services{
      node.disk->journal(),
      *node.keyspace,
      node.clock,
      [this, index](const consensus::Message& message) {
        const std::string_view name = nodes_[index]->member->node_of(message.to);
        if (name.empty()) return;
        const Time at = now_ + (random_.chance(0.1) ? random_.between(1, 60) : 1) * kMillisecond / 2;
        wire_.push_back({at, index, index_of(name), message.to, consensus::Parcel(message), {}});
      },
      [this, index](std::string_view name) { return &nodes_[index]->to_nodes[std::string(name)]; },
      [this, index](const StoredGroup& next) { return store(*nodes_[index], next); }};
  node.member = std::make_unique<GroupMember>(kShard, log_, options, std::move(services), std::move(recovered),
                                              node.keyspace->flushed_position(), random_.next(), local(node));
  node.evaluation = std::make_unique<Evaluation>(*node.keyspace);
  node.evaluation->set_pending(&node.member->pending());
  node.disk->journal().release(kShard, node.keyspace->flushed_position());
  node.leadership = 0;
  node.seen = node.keyspace->applied()[log_];
}

void GroupSimulator::crash(size_t index, bool power_fails) {
  Node& node = *nodes_[index];
  const PeerId peer = node.member->group().self();
  for (const Held& held : node.held) settle(held.operation, Operation::Fate::kUnknown);
  node.held.clear();
  node.to_nodes.clear();
  node.evaluation.reset();
  node.member.reset();
  node.keyspace.reset();
  node.disk->stop();
  for (const auto& other : nodes_) {
    // Its connections are closed, or vanish.
    if (other->member && random_.chance(0.5)) other->member->group().peer_lost(peer, local(*other));
  }
  ++statistics_.crashes;
  if (!power_fails) return;
  node.disk->files.lose_power();
  ++statistics_.power_losses;
}

void GroupSimulator::lose_disk(size_t index) {
  Node& node = *nodes_[index];
  node.disk = std::make_unique<lmdb_store::TestNode>(random_.next());
  node.store = std::make_unique<lmdb_store::MemoryStore>();
  node.life = ++lives_;
  ++statistics_.lost_disks;
}

// As Shard's.
bool GroupSimulator::store(Node& node, const StoredGroup& stored) {
  node.keyspace->set_group_state(stored.encode());
  const lmdb_store::Position position = node.member ? node.member->flushable_position() : node.disk->journal().end();
  CHECK(node.keyspace->begin_flush(position, Keyspace::kWhole)->run().ok());
  while (node.keyspace->finish_flush()) {
  }
  if (node.member) ++statistics_.rebuilds;
  return true;
}

void GroupSimulator::flush(Node& node) {
  if (!node.keyspace->needs_flush() || node.member->rebuilding()) return;
  node.keyspace->set_group_state(node.member->stored_state());
  const lmdb_store::Position position = node.member->flushable_position();
  CHECK(node.disk->journal().write().ok() && node.disk->journal().sync().ok());
  CHECK(node.keyspace->begin_flush(position, Keyspace::kWhole)->run().ok());
  while (node.keyspace->finish_flush()) {
  }
  node.disk->journal().release(kShard, node.keyspace->flushed_position());
}

// ---- time passes

void GroupSimulator::step(bool faults) {
  now_ += kMillisecond / 2;
  ++statistics_.turns;
  deliver();
  if (faults) misbehave();
  for (size_t client = 0; client < kClients && commands_; ++client) {
    if (random_.chance(0.1)) issue(client);
  }
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i]->member && !random_.chance(0.1)) turn(i, !faults || random_.chance(0.7));
  }
  if (random_.chance(0.02)) mend_members();
}

void GroupSimulator::deliver() {
  std::vector<Flight> due;
  const auto later =
      std::stable_partition(wire_.begin(), wire_.end(), [this](const Flight& f) { return f.at <= now_; });
  due.assign(std::make_move_iterator(wire_.begin()), std::make_move_iterator(later));
  wire_.erase(wire_.begin(), later);
  for (const Flight& flight : due) {
    Node& to = *nodes_[flight.to];
    if (!to.member || !reaches(flight.from, flight.to)) continue;
    const std::string& from = nodes_[flight.from]->name;
    if (flight.message) {
      // A message for an earlier life of the node's replica comes to nobody.
      if (flight.to_life == to.member->group().self()) to.member->receive(from, flight.message->view(), local(to));
      continue;
    }
    resp::Limits limits;
    limits.max_bulk_bytes = uint64_t{1} << 30;
    resp::Parser parser(limits);
    resp::Arguments words;
    for (std::string_view left = flight.bytes; !left.empty();) {
      const resp::Parsed parsed = parser.next(left, words);
      CHECK(parsed.outcome == resp::Outcome::kCommand);
      CHECK(to.member->receive_rebuild(from, words, local(to)).ok());
      left.remove_prefix(parsed.consumed);
    }
  }
}

void GroupSimulator::turn(size_t index, bool sync) {
  Node& node = *nodes_[index];
  const Time now = local(node);
  note_committed(node);
  node.member->group().tick(now);
  node.member->end_turn(now);
  CHECK(node.disk->journal().write().ok());
  if (sync && node.member->awaits_sync()) CHECK(node.disk->journal().sync().ok());
  node.member->journal_advanced(now);
  note_committed(node);
  node.member->end_turn(now);
  release(node);
  send_rebuilds(index);
  if (const uint64_t leadership = node.member->leadership(); std::exchange(node.leadership, leadership) != leadership) {
    statistics_.leaders += leadership != 0 ? 1 : 0;
  }
}

void GroupSimulator::send_rebuilds(size_t index) {
  for (auto& [name, out] : nodes_[index]->to_nodes) {
    if (out.empty()) continue;
    wire_.push_back({now_ + kMillisecond, index, index_of(name), 0, std::nullopt, std::string(out.view())});
    out.clear();
  }
}

// What is committed at one node is what is committed there at all others. To be called before the log can be cut.
void GroupSimulator::note_committed(Node& node) {
  const consensus::Log& entries = node.member->group().log();
  const Index commit = node.member->group().commit();
  for (Index index = std::max(node.seen + 1, entries.first()); index <= commit; ++index) {
    const consensus::OwnedEntry entry(entries.entry(index));
    const auto [there, added] = committed_.try_emplace(index, entry);
    CHECK(there->second == entry, "a committed record does not change");
    statistics_.records += added;
  }
  node.seen = commit;
}

void GroupSimulator::release(Node& node) {
  while (!node.held.empty()) {
    const Held held = node.held.front();
    const bool over = held.leadership != node.member->leadership();
    if (!over && !node.member->released(held.point)) return;
    node.held.pop_front();
    const bool wrote = history_[held.operation].wrote;
    settle(held.operation, !over   ? Operation::Fate::kApplied
                           : wrote ? Operation::Fate::kUnknown
                                   : Operation::Fate::kRefused);
  }
}

// ---- what goes wrong

void GroupSimulator::misbehave() {
  Node& node = *nodes_[random_.below(nodes_.size())];
  const size_t index = index_of(node.name);
  if (!node.member) {
    if (random_.chance(0.02)) start(index);
  } else if (random_.chance(0.001)) {
    crash(index, random_.chance(0.5));
    // One disk at a time: nobody else is down or new, and all that vote have their first or latest disk.
    const bool all_vote = std::all_of(nodes_.begin(), nodes_.end(), [&](const auto& other) {
      if (other->name == node.name) return true;
      if (!other->member) return false;
      const Configuration& configuration = other->member->group().configuration();
      // While one of three is rebuilt, the others have to be there (model, "Rebuild").
      return !configuration.joint() && !other->member->rebuilding() && !other->member->group().needs_rebuild() &&
             configuration.voters().size() == nodes_.size() &&
             std::all_of(nodes_.begin(), nodes_.end(),
                         [&](const auto& each) { return configuration.is_voter(each->life); });
    });
    if (all_vote && random_.chance(0.5)) lose_disk(index);
  } else if (random_.chance(0.005)) {
    flush(node);
  } else if (random_.chance(0.002) && node.member->serves()) {
    static_cast<void>(node.member->transfer(nodes_[random_.below(nodes_.size())]->name, local(node)));
  }
  if (random_.chance(0.002)) {
    cut_.clear();
    for (size_t a = 0; a < nodes_.size(); ++a) {
      for (size_t b = 0; b < nodes_.size(); ++b) {
        if (a != b && random_.chance(0.25)) cut_[{a, b}] = true;
      }
    }
  } else if (random_.chance(0.004)) {
    cut_.clear();
  }
  if (random_.chance(0.01) && !wire_.empty())
    wire_.erase(wire_.begin() + static_cast<ptrdiff_t>(random_.below(wire_.size())));
}

void GroupSimulator::mend_members() {
  std::vector<std::string> names;
  std::vector<PeerId> lives;
  for (const auto& node : nodes_) {
    names.push_back(node->name);
    lives.push_back(node->member ? node->life : consensus::kNoPeer);
  }
  for (const auto& node : nodes_) {
    if (node->member) node->member->mend_membership(names, lives, local(*node));
  }
}

// ---- clients

GroupSimulator::Words GroupSimulator::random_command() {
  const std::string key = random_.chance(0.5) ? "r" : "s";
  const std::string value = std::to_string(++values_);
  switch (random_.below(9)) {
    case 0:
      return {"set", key, value};
    case 1:
      return {"get", key};
    case 2: {
      // Of the value that somebody set last, as far as clients know.
      for (size_t i = history_.size(); i-- > 0;) {
        const Words& words = history_[i].words;
        if (words[0] == "set" && words[1] == key) return {"set", key, value, "IFEQ", words[2]};
      }
      return {"get", key};
    }
    case 3:
      return {"append", "a", value.substr(value.size() - 1)};
    case 4:
      return {"del", random_.chance(0.5) ? "a" : key};
    case 5:
      return {"mset", "r", value, "s", value};
    case 6:
      return {"mget", "r", "s", "n", "a"};
    default:
      return {"incr", "n"};
  }
}

// Of a node that leads, or thinks so; now and then of any.
void GroupSimulator::issue(size_t client) {
  if (busy_[client]) return;
  std::vector<size_t> candidates;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i]->member && nodes_[i]->member->serves()) candidates.push_back(i);
  }
  if (candidates.empty()) return;
  const size_t operation = history_.size();
  history_.push_back({.words = random_command(), .begin = now_});
  busy_[client] = operation;
  evaluate(*nodes_[candidates[random_.below(candidates.size())]], operation);
}

// As Shard::run does.
void GroupSimulator::evaluate(Node& node, size_t operation) {
  Operation& its = history_[operation];
  Evaluation& evaluation = *node.evaluation;
  GroupMember& member = *node.member;
  const int64_t now_ms = kWallStartMs + now_ / kMillisecond;
  const Hlc stamp = std::max(Hlc{node.clock.last().value + 1}, Hlc::at_ms(now_ms));
  const Dot dot{log_, member.next_number()};
  Record& record = evaluation.effects().record();
  evaluation.begin(true, std::max(now_ms, stamp.ms()), {dot, stamp, record.context});
  record.dot = dot;
  record.hlc = stamp;
  record.context = member.next_context();
  const std::vector<std::string_view> words = views(its.words);
  const CommandSpec* const spec = find_command(words[0]);
  resp::OutputBuffer out;
  resp::Writer writer(out, resp::Protocol::kResp2);
  Call call{.spec = spec, .args = words, .database = 0, .now_ms = now_ms, .evaluation = &evaluation, .writer = &writer};
  CHECK(spec->run(call) == Outcome::kDone);
  its.reply = out.view();
  its.wrote = !evaluation.effects().empty();
  its.position = member.group().log().last();
  if (its.wrote) {
    its.entry.term = member.group().term();
    Encoder encoder(its.entry.record);
    encode_record(record, encoder);
    if (!member.propose(record, local(node))) return settle(operation, Operation::Fate::kRefused);
    ++its.position;
  }
  node.held.push_back({operation, member.leadership(), member.reply_point(its.wrote, true, local(node))});
}

void GroupSimulator::settle(size_t operation, Operation::Fate fate) {
  Operation& its = history_[operation];
  its.fate = fate;
  its.end = now_;
  for (std::optional<size_t>& busy : busy_) {
    if (busy == operation) busy.reset();
  }
  if (fate == Operation::Fate::kApplied) ++statistics_.applied;
  if (fate == Operation::Fate::kUnknown) ++statistics_.unknown;
  if (fate == Operation::Fate::kRefused) ++statistics_.refused;
}

// ---- a run, and what must hold

// Everybody is there, votes and has everything, and nobody waits.
bool GroupSimulator::quiet() {
  const Index last = committed_.empty() ? 0 : committed_.rbegin()->first;
  bool led = false;
  for (const auto& node : nodes_) {
    if (!node->member || node->member->rebuilding() || !node->held.empty()) return false;
    if (node->keyspace->applied()[log_] != last || node->member->group().log().last() != last) return false;
    if (!node->member->votes() || node->member->group().configuration().joint()) return false;
    led |= node->member->serves();
  }
  return led;
}

std::string GroupSimulator::describe() const {
  std::string text;
  const auto list = [&text](const char* title, const std::vector<Member>& members) {
    text += title;
    for (const Member& member : members) text += " " + std::to_string(member.id) + "@" + member.node;
  };
  for (const auto& node : nodes_) {
    const consensus::Group& group = node->member->group();
    text += node->name + " life " + std::to_string(node->life) + " as " + std::to_string(group.self()) + " term " +
            std::to_string(group.term()) + (group.leads() ? " leads" : "") + (group.rebuilding() ? " rebuilding" : "") +
            " log " + std::to_string(group.log().first()) + "…" + std::to_string(group.log().last()) + " commit " +
            std::to_string(group.commit()) + " durable " + std::to_string(group.durable_index());
    list(", voters", group.configuration().voters());
    list(", outgoing", group.configuration().outgoing());
    list(", learners", group.configuration().learners());
    text += "\n";
  }
  return text;
}

std::string GroupSimulator::run(int milliseconds) {
  const Time end = now_ + milliseconds * kMillisecond;
  while (now_ < end) step(true);
  cut_.clear();
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (!nodes_[i]->member) start(i);
  }
  const Time patience = now_ + 60'000 * kMillisecond;
  const uint64_t applied = statistics_.applied;
  while (statistics_.applied < applied + 20 && now_ < patience) step(false);
  if (statistics_.applied < applied + 20) return "no command is served after all is healed\n" + describe();
  commands_ = false;
  while (!quiet() && now_ < patience) step(false);
  if (!quiet()) return "the nodes do not come to one state after all is healed\n" + describe();
  if (std::string wrong = check_history(); !wrong.empty()) return wrong;
  return check_states();
}

std::string GroupSimulator::check_history() {
  std::multimap<Index, const Operation*> writes, reads;
  for (const Operation& operation : history_) {
    const auto there = operation.wrote ? committed_.find(operation.position) : committed_.end();
    const bool happened = there != committed_.end() && there->second == operation.entry;
    if (operation.fate == Operation::Fate::kApplied && operation.wrote && !happened) {
      return "an acknowledged command is not in the log: " + show(operation.words) + " at " +
             std::to_string(operation.position) + (there == committed_.end() ? ", nothing is known there" : "");
    }
    if (operation.fate == Operation::Fate::kRefused && happened)
      return "a refused command happened: " + show(operation.words);
    if (happened) writes.emplace(operation.position, &operation);
    if (operation.fate == Operation::Fate::kApplied && !operation.wrote) reads.emplace(operation.position, &operation);
  }
  if (committed_.size() != committed_.rbegin()->first) return "not every committed record was seen";
  // What replies say, in the log's order.
  Model model;
  for (Index index = 0; index <= committed_.rbegin()->first; ++index) {
    for (const auto* const list : {&writes, &reads}) {
      for (auto [at, last] = list->equal_range(index); at != last; ++at) {
        const Operation& operation = *at->second;
        const std::string wanted = model.run(operation.words);
        if (wanted != operation.reply) {
          return show(operation.words) + " at " + std::to_string(index) + " was answered " + operation.reply +
                 ", not " + wanted;
        }
      }
    }
  }
  // Who began later does not stand earlier.
  std::vector<const Operation*> by_begin, by_end;
  for (const auto* const list : {&writes, &reads}) {
    for (const auto& [index, operation] : *list) {
      by_begin.push_back(operation);
      if (operation->fate == Operation::Fate::kApplied) by_end.push_back(operation);
    }
  }
  std::sort(by_begin.begin(), by_begin.end(), [](auto* a, auto* b) { return a->begin < b->begin; });
  std::sort(by_end.begin(), by_end.end(), [](auto* a, auto* b) { return a->end < b->end; });
  Index reached = 0;
  const Operation* furthest = nullptr;
  auto ended = by_end.begin();
  for (const Operation* const operation : by_begin) {
    for (; ended != by_end.end() && (*ended)->end < operation->begin; ++ended) {
      if ((*ended)->position < reached) continue;
      reached = (*ended)->position;
      furthest = *ended;
    }
    // A write has an index of its own; a read stands behind the writes at its index.
    if (operation->position < reached || (operation->wrote && operation->position == reached && furthest != nullptr)) {
      return show(operation->words) + " stands before " + show(furthest->words) + ", which had ended before it began";
    }
  }
  for (const auto& [key, value] : model.values()) {
    KeyState state;
    if (!nodes_[0]->keyspace->state_of(0, key, state)) return "a key is missing: " + key;
  }
  return {};
}

std::string GroupSimulator::check_states() {
  for (const auto& node : nodes_) {
    for (const std::string key : {"r", "s", "n", "a"}) {
      KeyState one, other;
      const bool here = nodes_[0]->keyspace->state_of(0, key, one);
      const bool there = node->keyspace->state_of(0, key, other);
      if (here != there || (here && !(one == other))) return "replicas differ in " + key + " at " + node->name;
    }
  }
  return {};
}

}  // namespace capstan
