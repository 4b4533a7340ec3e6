#include "consensus/simulator.h"

#include <stdexcept>

#include "base/hash.h"

namespace capstan::consensus {

namespace {

constexpr Time kSecond = 1000 * kMillisecond;
constexpr Time kTimeToFinish = 5 * kSecond;  // after the faults, and one more second for each rebuild

Member member(PeerId life) { return {life, "node-" + std::to_string(life)}; }

}  // namespace

Simulator::Simulator(uint64_t seed, size_t voters, std::ostream* story)
    : seed_(seed), voters_(voters), story_(story), random_(seed * 2 + voters) {
  draw_profile();
  std::vector<Member> members;
  for (size_t slot = 0; slot < voters; ++slot) members.push_back(member(next_life_ + slot));
  initial_ = Configuration(members);
  for (size_t slot = 0; slot <= voters; ++slot) {
    wanted_.push_back(slot < voters ? Wanted::kVoter : Wanted::kOut);
    replicas_.push_back(std::make_unique<Replica>(*this, slot, next_life_++, Log::Base{0, 0, initial_}));
    Replica& replica = *replicas_.back();
    // Two clocks may run apart by max_drift, so each may be off by a bit less than half of it.
    replica.clock_rate = 1 + (random_.unit() - 0.5) * 0.96 * options_.max_drift;
    replica.clock_offset = random_.between(0, 1000 * kSecond);
  }
}

Simulator::~Simulator() = default;

void Simulator::draw_profile() {
  const auto one_of = [this](auto... values) {
    const std::array choices{values...};
    return choices[random_.below(choices.size())];
  };
  profile_.duration = random_.between(2 * kSecond, 4 * kSecond);
  profile_.loss = one_of(0.0, 0.01, 0.05, 0.2);
  profile_.duplication = one_of(0.0, 0.02, 0.1);
  profile_.delay = one_of(1, 3, 10, 30) * kMillisecond;
  profile_.sync_delay = one_of(1, 5, 20) * kMillisecond;
  profile_.fault_interval = one_of(50, 150, 400) * kMillisecond;
  profile_.client_interval = one_of(1, 5, 20) * kMillisecond;
  profile_.closed_gates = one_of(0.0, 0.02, 0.2);
  profile_.cuts = one_of(0.001, 0.01, 0.05);
  profile_.impolite_cuts = one_of(0.1, 0.5, 0.9);
  profile_.members_change = random_.chance(0.6);
  profile_.disks_are_lost = random_.chance(0.5);
  if (random_.chance(0.2)) options_.lease = 0;
  if (random_.chance(0.5)) {
    options_.max_message_bytes = random_.between(1, 500);
    options_.max_bytes_in_flight = random_.between(100, 5000);
  }
  if (random_.chance(0.3)) options_.max_promotion_lag = 10;
  if (random_.chance(0.5)) options_.batch_delay = one_of(1, 5, 20) * kMillisecond;
}

// --- events

void Simulator::at(Time when, std::function<void()> action) { events_.push({when, ++order_, std::move(action)}); }

void Simulator::step() {
  // The queue's elements are constant; nothing looks at a moved one.
  Event event = std::move(const_cast<Event&>(events_.top()));
  events_.pop();
  now_ = event.at;
  ++statistics_.events;
  event.action();
}

void Simulator::every(const std::function<Time()>& interval, const std::function<void()>& action) {
  at(now_ + interval(), [this, interval, action] {
    action();
    every(interval, action);
  });
}

void Simulator::run() {
  for (const auto& replica : replicas_) start(*replica);
  const auto around = [this](Time interval) { return random_.between(interval / 10 + 1, 2 * interval); };
  every([=, this] { return around(profile_.fault_interval); },
        [this] {
          if (faults_) fault();
        });
  every([=, this] { return around(profile_.client_interval); },
        [this] {
          if (clients_) client();
        });
  every([=] { return around(100 * kMillisecond); },
        [this] {
          if (clients_) ask_for_prefix();
        });
  every([=] { return around(40 * kMillisecond); }, [this] { operate(); });
  while (now_ < profile_.duration) step();

  calm();
  const uint64_t rebuilds = statistics_.rebuilds;
  // Some profiles let only an entry or two be on its way.
  Index longest = 0;
  for (const auto& replica : replicas_) longest = std::max(longest, replica->group->log().last());
  const Time backlog = static_cast<Time>(longest) * 3 * kMillisecond;
  const Time begin = now_;
  std::optional<std::pair<Index, Term>> last_entry;
  for (Time next = now_; !finished(last_entry); next += 20 * kMillisecond) {
    const Time limit = kTimeToFinish + backlog + static_cast<Time>(statistics_.rebuilds - rebuilds) * kSecond;
    if (now_ > begin + limit) fail("they do not finish after the faults are over");
    while (now_ < next) step();
  }
  for (const auto& replica : replicas_) check_entries(*replica, replica->group->log().first(), replica->seen_last);
}

// All faults end, and everybody who is down comes back.
void Simulator::calm() {
  note("calm");
  faults_ = false;
  profile_.loss = profile_.duplication = profile_.closed_gates = 0;
  profile_.delay = kMillisecond;
  profile_.sync_delay = kMillisecond;
  profile_.client_interval = 10 * kMillisecond;
  cut_.clear();
  for (const auto& replica : replicas_) {
    replica->stalled_until = replica->disk_stalled_until = now_;
    if (down(*replica)) {
      start(*replica);
    } else {
      replica->turn_at = now_ + kSecond;  // so that it wakes before
      wake(*replica, now_);
    }
  }
}

// In three steps: the group is as it is wanted; the clients stop and a last entry is proposed; all have applied it.
bool Simulator::finished(std::optional<std::pair<Index, Term>>& last_entry) {
  const Replica* const one = leader();
  if (one == nullptr) return false;
  for (const auto& replica : replicas_) {
    if (replica.get() != one && replica->group->leads()) return false;
  }
  Group& group = *one->group;
  if (!last_entry || last_entry->second != group.term()) {
    const Configuration& present = group.configuration();
    if (present.joint() || group.commit() < group.log().configuration_index()) return false;
    if (next_configuration(present, true) != present) return false;
    clients_ = false;
    const std::optional<Index> index = group.propose("the last", local(*one));
    if (index) last_entry.emplace(*index, group.term());
    wake(*replicas_[one->slot], now_);
    return false;
  }
  for (const Member& each : group.configuration().members()) {
    const Replica* const replica = running(each.id);
    require(replica != nullptr, "every member runs");
    if (replica->rebuild || one->applied.size() < last_entry->first) return false;
    if (replica->applied.size() != one->applied.size()) return false;
    require(replica->applied == one->applied, "all have applied the same", replica);
  }
  return true;
}

// --- who is who

Time Simulator::local(const Replica& replica) const {
  return replica.clock_offset + static_cast<Time>(static_cast<double>(now_) * replica.clock_rate);
}

// Whoever has that identity now; nullptr if it is down or gone for good.
Simulator::Replica* Simulator::running(PeerId life) {
  for (const auto& replica : replicas_) {
    if (replica->life == life) return down(*replica) ? nullptr : replica.get();
  }
  return nullptr;
}

// Of those who lead the one of the highest term.
Simulator::Replica* Simulator::leader() {
  Replica* latest = nullptr;
  for (const auto& replica : replicas_) {
    if (down(*replica) || !replica->group->leads()) continue;
    if (latest == nullptr || latest->group->term() < replica->group->term()) latest = replica.get();
  }
  return latest;
}

// --- telling

void Simulator::note(std::string_view what, uint64_t a, uint64_t b, uint64_t c) {
  for (const uint64_t word : {hash64(what), static_cast<uint64_t>(now_), a, b, c}) trace_ = mix64(trace_, word);
  if (story_ == nullptr) return;
  *story_ << now_ / 1000 << " us: " << what << ' ' << a << ' ' << b << ' ' << c << '\n';
}

std::string Simulator::describe(const Replica& replica) const {
  std::string out = "\n  " + std::to_string(replica.life) + ": ";
  if (down(replica)) return out + "down";
  const Group& group = *replica.group;
  const auto list = [](const std::vector<Member>& members) {
    std::string text;
    for (const Member& each : members) text += ' ' + std::to_string(each.id);
    return text;
  };
  constexpr std::array kRoles{"follower", "pre-candidate", "candidate", "leader"};
  out += kRoles[static_cast<size_t>(group.role())];
  const auto number = [&](const char* name, uint64_t value) {
    out += std::string(", ") + name + ' ' + std::to_string(value);
  };
  number("term", group.term());
  number("follows", group.leader());
  number("base", group.log().base());
  number("last", group.log().last());
  number("of term", group.log().last_term());
  number("durable", group.durable_index());
  number("commit", group.commit());
  number("applied", replica.applied.size());
  number("flushed", replica.flushed);
  out += group.needs_rebuild() ? ", needs a rebuild" : "";
  out += group.rebuilding() ? ", is rebuilt" : "";
  if (replica.rebuild) number("from", replica.rebuild->source);
  out += "; voters" + list(group.configuration().voters()) + "; outgoing" + list(group.configuration().outgoing()) +
         "; learners" + list(group.configuration().learners());
  constexpr std::array kStates{"probes", "replicates", "rebuilds"};
  for (const Member& member : group.configuration().members()) {
    const Progress* const peer = group.progress(member.id);
    if (peer == nullptr) continue;
    out += "; " + std::to_string(member.id) + ' ' + kStates[static_cast<size_t>(peer->state())];
    number("match", peer->match());
    number("next", peer->next());
  }
  return out;
}

void Simulator::fail(const std::string& why) const {
  std::string out = "seed " + std::to_string(seed_) + ", " + std::to_string(voters_) + " voters, at " +
                    std::to_string(now_ / 1000) + " us: " + why;
  for (const auto& replica : replicas_) out += describe(*replica);
  out += "\n  To see it again: CAPSTAN_SEED=" + std::to_string(seed_) + " CAPSTAN_VOTERS=" + std::to_string(voters_) +
         " consensus-testing-tests --run_test=simulation_test/the_seed_that_is_asked_for";
  throw std::runtime_error(out);
}

void Simulator::require(bool holds, std::string_view what, const Replica* replica) const {
  if (holds) return;
  fail("it does not hold that " + std::string(what) +
       (replica == nullptr ? "" : ", at " + std::to_string(replica->life)));
}

}  // namespace capstan::consensus
