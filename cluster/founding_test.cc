// Nodes of a new cluster that find their first voters, while links break, processes crash and disks are lost: whatever
// happens, no two different documents are on disks at the same time.
#include "cluster/founding.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdio>
#include <deque>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "base/random.h"
#include "base/random_testing.h"
#include "resp/parser.h"

namespace capstan::cluster {

namespace {

using State = Founding::State;

constexpr resp::Limits kLimits;

Nodes nodes_as(size_t me, size_t count) {
  Nodes nodes;
  for (size_t i = 1; i <= count; ++i) nodes.all.push_back({"n" + std::to_string(i), "10.0.0.1", 7001, 17001, ""});
  nodes.me = nodes.all[me].name;
  return nodes;
}

bool says(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

// As in redis-cli: the words of a message, with a space between.
std::string shown(std::string_view bytes) {
  resp::Parser parser(kLimits);
  resp::Arguments words;
  const resp::Parsed parsed = parser.next(bytes, words);
  BOOST_TEST_REQUIRE((parsed.outcome == resp::Outcome::kCommand && parsed.consumed == bytes.size()));
  std::string text;
  for (const std::string_view word : words) text.append(text.empty() ? "" : " ").append(word);
  return text;
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    words.push_back(text.substr(0, text.find(' ')));
    text.remove_prefix(std::min(words.back().size() + 1, text.size()));
  }
  return words;
}

// Machines with a disk each, on which a process may run, and links between them as those of links.h: ordered, what is
// on its way when one breaks is lost from some place on, and either side hears of it in its own time.
class World {
 public:
  World(size_t count, uint64_t seed) : random_(seed), inboxes_(count * count), links_(count * count) {
    for (size_t i = 0; i < count; ++i) machines_.push_back({nodes_as(i, count), Identity{++lives_, 0, {}}, {}});
  }

  size_t size() const { return machines_.size(); }
  bool runs(size_t who) const { return machines_[who].process.has_value(); }
  Founding& process(size_t who) { return *machines_[who].process; }
  const Identity& disk(size_t who) const { return machines_[who].disk; }
  const std::vector<std::string>& errors() const { return errors_; }
  void forget_errors() { errors_.clear(); }

  void start(size_t who) {
    if (!runs(who)) machines_[who].process.emplace(machines_[who].nodes, machines_[who].disk);
  }
  // What was on its way to the disk has reached it, or not.
  void crash(size_t who, bool written) {
    if (!runs(who)) return;
    const Identity* const saving = process(who).to_save();
    if (written && saving != nullptr) machines_[who].disk = *saving;
    machines_[who].process.reset();
    for (size_t other = 0; other < size(); ++other) {
      cut(who, other);
      inbox(who, other) = {};
    }
    check();
  }
  void lose_disk(size_t who) {
    crash(who, false);
    machines_[who].disk = Identity{++lives_, 0, {}};
  }

  void connect(size_t a, size_t b) {
    if (a == b || !runs(a) || !runs(b) || link(a, b) != 0) return;
    link(a, b) = ++last_link_;
    inbox(a, b).events.push_back({Event::kUp, last_link_, ""});
    inbox(b, a).events.push_back({Event::kUp, last_link_, ""});
  }
  void connect_all() {
    for (size_t a = 0; a < size(); ++a) {
      for (size_t b = 0; b < a; ++b) connect(a, b);
    }
  }
  void cut(size_t a, size_t b) {
    if (link(a, b) == 0) return;
    link(a, b) = 0;
    for (Inbox* const each : {&inbox(a, b), &inbox(b, a)}) {
      while (each->events.size() > 1 && each->events.back().kind == Event::kMessage && random_.chance(0.5)) {
        each->events.pop_back();
      }
      each->events.push_back({Event::kDown, 0, ""});
    }
  }

  // The next event that `to` has of `from`. False: none.
  bool deliver(size_t to, size_t from) {
    Inbox& in = inbox(to, from);
    if (!runs(to) || in.events.empty()) return false;
    const Event event = std::move(in.events.front());
    in.events.pop_front();
    if (event.kind != Event::kMessage) {
      in.seen = event.link;
      event.kind == Event::kUp ? process(to).up(name(from)) : process(to).down(name(from));
      return true;
    }
    resp::Parser parser(kLimits);
    resp::Arguments words;
    BOOST_TEST_REQUIRE((parser.next(event.bytes, words).outcome == resp::Outcome::kCommand));
    const Result<> taken = process(to).receive(name(from), words);
    if (!taken) errors_.push_back(name(to) + " of " + name(from) + ": " + taken.error().message);
    if (!taken && in.seen == link(to, from)) cut(to, from);
    return true;
  }
  bool send(size_t who) {
    if (!runs(who)) return false;
    const Founding::Messages messages = process(who).take_messages();
    for (const std::string& receiver : messages.receivers) {
      const size_t to = std::stoul(receiver.substr(1)) - 1;
      if (link(who, to) == 0 || inbox(who, to).seen != link(who, to)) continue;
      inbox(to, who).events.push_back({Event::kMessage, link(who, to), messages.bytes});
    }
    return !messages.receivers.empty();
  }
  bool save(size_t who) {
    if (!runs(who) || process(who).to_save() == nullptr) return false;
    machines_[who].disk = *process(who).to_save();
    process(who).saved();
    check();
    return true;
  }

  // One thing that can happen, the next in turn; false: nothing can. What was to be sent is sent.
  bool step() {
    for (size_t who = 0; who < size(); ++who) send(who);
    const size_t turns = size() * (size() + 1);
    for (size_t tries = 0; tries < turns; ++tries) {
      turn_ = (turn_ + 1) % turns;
      const size_t who = turn_ / (size() + 1), other = turn_ % (size() + 1);
      if (other == size() ? save(who) : deliver(who, other)) return true;
    }
    return false;
  }
  void settle() {
    while (step()) {
    }
  }
  void random_step(double faults) {
    const size_t who = random_.below(size()), other = random_.below(size());
    if (random_.chance(faults)) {
      const uint64_t what = random_.below(4);
      what == 0 ? crash(who, random_.chance(0.5)) : what == 1 ? cut(who, other) : lose_disk(who);
      return;
    }
    const uint64_t what = random_.below(10);
    if (what < 1) return start(who);
    if (what < 3) return connect(who, other);
    what < 4 ? save(who) : what < 5 ? send(who) : deliver(who, other);
  }

  // Of those that run.
  size_t count(State state) {
    size_t found = 0;
    for (size_t who = 0; who < size(); ++who) found += runs(who) && process(who).state() == state;
    return found;
  }

  // All documents on disks are the same, and nobody votes for a life that is not its own.
  void check() const {
    const Document* document = nullptr;
    for (const Machine& machine : machines_) {
      if (machine.disk.document.empty()) continue;
      if (document == nullptr) document = &machine.disk.document;
      BOOST_TEST_REQUIRE((machine.disk.document == *document));
      const auto& founders = document->founders;
      const auto own = std::find(founders.begin(), founders.end(), Founder{machine.nodes.me, machine.disk.life, ""});
      const bool votes = machine.process && machine.process->state() == State::kFounded;
      BOOST_TEST_REQUIRE((!votes || own != founders.end()));
    }
  }

 private:
  struct Machine {
    Nodes nodes;
    Identity disk;
    std::optional<Founding> process;
  };
  struct Event {
    enum Kind : uint8_t { kUp, kMessage, kDown } kind;
    uint64_t link;
    std::string bytes;
  };
  struct Inbox {
    uint64_t seen = 0;  // the link that it believes to be there
    std::deque<Event> events;
  };

  static std::string name(size_t who) { return "n" + std::to_string(who + 1); }
  Inbox& inbox(size_t of, size_t from) { return inboxes_[of * size() + from]; }
  uint64_t& link(size_t a, size_t b) { return links_[std::max(a, b) * size() + std::min(a, b)]; }

  Random random_;
  std::deque<Machine> machines_;
  std::vector<Inbox> inboxes_;
  std::vector<uint64_t> links_;  // 0: none
  uint64_t last_link_ = 0;
  LifeId lives_ = 100;
  size_t turn_ = 0;
  std::vector<std::string> errors_;
};

World started(size_t count, uint64_t seed = 1) {
  World world(count, seed);
  for (size_t who = 0; who < count; ++who) world.start(who);
  return world;
}

// Everybody agrees, and nobody is lost; but those who lost their disks may be.
void expect_founded(World& world, size_t at_least) {
  BOOST_TEST(world.errors().empty());
  BOOST_TEST(world.count(State::kNewborn) == 0u);
  BOOST_TEST(world.count(State::kFounded) >= at_least);
  for (size_t who = 0; who < world.size(); ++who) BOOST_TEST((world.disk(who).document == world.disk(0).document));
}

// The founding of a cluster up to some step, then `fault`, then all is well again. For every step until nothing is
// left to do.
template <typename Fault>
void with_fault_at_every_step(size_t count, size_t at_least, Fault&& fault) {
  for (size_t victim = 0; victim < count; ++victim) {
    bool more = true;
    for (size_t steps = 0; more; ++steps) {
      BOOST_TEST_CONTEXT("node " << victim + 1 << " after " << steps << " steps") {
        World world = started(count, steps);
        world.connect_all();
        for (size_t i = 0; i < steps && more; ++i) more = world.step();
        fault(world, victim);
        world.settle();
        for (size_t who = 0; who < count; ++who) world.start(who);
        world.connect_all();
        world.settle();
        expect_founded(world, at_least);
      }
    }
  }
}

void run_random(uint64_t seed) {
  BOOST_TEST_CONTEXT("seed " << seed) {
    Random random(seed);
    World world = started(2 + random.below(4), random.next());
    const double faults = 0.002 * static_cast<double>(1 << random.below(6));
    for (uint64_t steps = random.below(2000); steps > 0; --steps) world.random_step(faults);
    // From here on all is well. Hearsay of a document that is lost ends with the process.
    for (size_t who = 0; who < world.size(); ++who) world.crash(who, true);
    for (size_t who = 0; who < world.size(); ++who) world.start(who);
    world.forget_errors();
    world.connect_all();
    world.settle();
    expect_founded(world, 0);
  }
}

// A node on its own, to which a test says what others would say.
struct Node3 {
  Node3(size_t me, Identity disk) : nodes(nodes_as(me, 3)), founding(nodes, std::move(disk)) {}

  Result<> hear(std::string_view node, std::string_view text) { return founding.receive(node, split(text)); }
  bool hears(std::string_view node, std::string_view text) { return hear(node, text).ok(); }
  std::string refusal(std::string_view node, std::string_view text) {
    const Result<> result = hear(node, text);
    BOOST_TEST_REQUIRE(!result.ok());
    BOOST_TEST((result.error().code == ErrorCode::kInvalid));
    return result.error().message;
  }
  // "n2,n3: <message>", or nothing.
  std::string says() {
    const Founding::Messages messages = founding.take_messages();
    std::string text;
    for (const std::string& each : messages.receivers) text += (text.empty() ? "" : ",") + each;
    return messages.receivers.empty() ? text : text + ": " + shown(messages.bytes);
  }
  bool saves() {
    if (founding.to_save() == nullptr) return false;
    founding.saved();
    return true;
  }

  const Nodes nodes;
  Founding founding;
};

constexpr std::string_view kDocument = "founding 1 founded 12 replicas 3 founders 3 n1 11 n2 12 n3 13";
const Document kFounders = {{{"n1", 11, ""}, {"n2", 12, ""}, {"n3", 13, ""}}, 3};

}  // namespace

BOOST_AUTO_TEST_SUITE(founding_test)

BOOST_AUTO_TEST_CASE(the_first_node_makes_the_document_of_those_who_promised) {
  Node3 first(0, {11, 0, {}});
  first.founding.up("n2");
  first.founding.up("n3");
  BOOST_TEST(first.says() == "n2,n3: founding 1 newborn 11");
  BOOST_TEST(first.hears("n2", "founding 1 newborn 12 promised 11"));
  BOOST_TEST(first.hears("n3", "founding 1 newborn 13"));
  BOOST_TEST((first.founding.waiting_for() == std::vector<std::string_view>{"n3"}));
  BOOST_TEST(!first.saves());
  BOOST_TEST(first.hears("n3", "founding 1 newborn 13 promised 11"));
  BOOST_TEST_REQUIRE((first.founding.to_save() != nullptr));
  BOOST_TEST((*first.founding.to_save() == Identity{11, 0, kFounders}));
  BOOST_TEST(first.says() == "");
  BOOST_TEST((first.founding.state() == State::kNewborn));
  BOOST_TEST(first.saves());
  BOOST_TEST((first.founding.state() == State::kFounded));
  BOOST_TEST((first.founding.document() == kFounders));
  BOOST_TEST(first.says() == "n2,n3: founding 1 founded 11 replicas 3 founders 3 n1 11 n2 12 n3 13");
  BOOST_TEST(first.founding.waiting_for().empty());
  BOOST_TEST(first.founding.life_of("n3") == 13u);
}

BOOST_AUTO_TEST_CASE(another_node_promises_takes_the_document_and_spreads_it) {
  Node3 other(1, {12, 0, {}});
  other.founding.up("n3");
  BOOST_TEST(other.says() == "n3: founding 1 newborn 12");
  BOOST_TEST(other.hears("n3", "founding 1 newborn 13"));
  BOOST_TEST((other.founding.waiting_for() == std::vector<std::string_view>{"n1"}));
  other.founding.up("n1");
  BOOST_TEST(other.says() == "n1: founding 1 newborn 12");
  BOOST_TEST(other.hears("n1", "founding 1 newborn 11"));
  BOOST_TEST(other.says() == "");
  BOOST_TEST(other.saves());
  BOOST_TEST(other.says() == "n1: founding 1 newborn 12 promised 11");
  BOOST_TEST(other.hears("n1", "founding 1 founded 11 replicas 3 founders 3 n1 11 n2 12 n3 13"));
  BOOST_TEST(other.says() == "");
  BOOST_TEST(other.saves());
  BOOST_TEST(other.says() == "n3: founding 1 founded 12 replicas 3 founders 3 n1 11 n2 12 n3 13");
  BOOST_TEST((other.founding.state() == State::kFounded));
}

BOOST_AUTO_TEST_CASE(what_is_heard_while_the_disk_is_busy_counts_afterwards) {
  Node3 other(2, {13, 0, {}});
  other.founding.up("n1");
  other.founding.up("n2");
  BOOST_TEST(other.hears("n1", "founding 1 newborn 11"));
  BOOST_TEST(other.hears("n1", "founding 1 newborn 21"));  // its disk was replaced
  BOOST_TEST(other.founding.to_save()->promised == 11u);
  BOOST_TEST(other.saves());
  BOOST_TEST(other.founding.to_save()->promised == 21u);
  BOOST_TEST(other.hears("n2", "founding 1 founded 12 replicas 3 founders 3 n1 21 n2 12 n3 13"));
  BOOST_TEST(other.saves());
  BOOST_TEST(other.saves());
  BOOST_TEST((other.founding.state() == State::kFounded));
}

BOOST_AUTO_TEST_CASE(a_promise_that_was_given_on_an_older_connection_does_not_count) {
  Node3 first(0, {11, 0, {}});
  first.founding.up("n2");
  BOOST_TEST(first.hears("n2", "founding 1 newborn 12 promised 11"));
  first.founding.down("n2");
  first.founding.up("n3");
  BOOST_TEST(first.hears("n3", "founding 1 newborn 13 promised 11"));
  BOOST_TEST(!first.saves());
  first.founding.up("n2");
  BOOST_TEST(!first.saves());
  BOOST_TEST(first.hears("n2", "founding 1 newborn 22 promised 11"));
  BOOST_TEST(first.saves());
  BOOST_TEST((first.founding.document() == Document{{{"n1", 11, ""}, {"n2", 22, ""}, {"n3", 13, ""}}, 3}));
}

// The race for which there are promises: n3 is newborn when it says so to the second n1, and hears of the document of
// the first one before that has made another.
BOOST_AUTO_TEST_CASE(who_promised_to_another_disk_takes_an_old_document_only_when_freed) {
  for (const bool freed : {true, false}) {
    Node3 third(2, {13, 21, {}});
    third.founding.up("n1");
    third.founding.up("n2");
    BOOST_TEST(third.hears("n1", "founding 1 newborn 21"));
    BOOST_TEST(third.hears("n2", kDocument));
    BOOST_TEST(!third.saves());
    BOOST_TEST((third.founding.state() == State::kNewborn));
    const std::string_view old_one = "founding 1 founded 21 replicas 3 founders 3 n1 11 n2 12 n3 13";
    const std::string_view new_one = "founding 1 founded 21 replicas 3 founders 3 n1 21 n2 22 n3 13";
    BOOST_TEST(third.hears("n1", freed ? old_one : new_one));
    BOOST_TEST(third.saves());
    BOOST_TEST((third.founding.state() == State::kFounded));
    BOOST_TEST(third.founding.document().founders[0].life == (freed ? 11u : 21u));
  }
}

BOOST_AUTO_TEST_CASE(a_first_node_that_lost_its_disk_is_a_stranger_and_says_so) {
  Node3 first(0, {21, 0, {}});
  first.founding.up("n2");
  first.founding.up("n3");
  BOOST_TEST(first.hears("n3", "founding 1 newborn 13 promised 21"));
  BOOST_TEST(first.hears("n2", kDocument));
  BOOST_TEST(first.saves());
  BOOST_TEST((first.founding.state() == State::kStranger));
  BOOST_TEST((first.founding.document() == kFounders));
  BOOST_TEST(first.says() == "n2,n3: founding 1 founded 21 replicas 3 founders 3 n1 11 n2 12 n3 13");
  Node3 again(0, {21, 0, kFounders});
  BOOST_TEST((again.founding.state() == State::kStranger));
}

BOOST_AUTO_TEST_CASE(a_stranger_by_hearsay_promises_nothing_until_it_is_admitted) {
  Node3 second(1, {22, 0, {}});
  second.founding.up("n3");
  BOOST_TEST(second.hears("n3", "founding 1 founded 13 replicas 3 founders 3 n1 11 n2 12 n3 13"));
  BOOST_TEST((second.founding.state() == State::kStranger));
  BOOST_TEST((second.founding.document() == kFounders));
  BOOST_TEST(!second.saves());
  second.founding.down("n3");
  second.founding.up("n1");
  BOOST_TEST(second.hears("n1", "founding 1 newborn 21"));
  BOOST_TEST(!second.saves());
  BOOST_TEST((second.founding.state() == State::kStranger));
  BOOST_TEST(second.says() == "n1: founding 1 newborn 22");
  second.founding.admit();
  BOOST_TEST((*second.founding.to_save() == Identity{22, 0, kFounders}));
  BOOST_TEST(second.saves());
  BOOST_TEST(second.says() == "n1: founding 1 founded 22 replicas 3 founders 3 n1 11 n2 12 n3 13");
  second.founding.admit();
  BOOST_TEST(!second.saves());
}

BOOST_AUTO_TEST_CASE(a_node_that_is_not_in_the_document_is_a_stranger) {
  Node3 third(2, {13, 11, {}});
  third.founding.up("n1");
  BOOST_TEST(third.hears("n1", "founding 1 founded 11 replicas 3 founders 2 n1 11 n2 12"));
  BOOST_TEST(third.saves());
  BOOST_TEST((third.founding.state() == State::kStranger));
}

BOOST_AUTO_TEST_CASE(a_node_alone_founds_at_once) {
  const Nodes nodes = nodes_as(0, 1);
  Founding founding(nodes, {11, 0, {}});
  BOOST_TEST_REQUIRE((founding.to_save() != nullptr));
  BOOST_TEST((*founding.to_save() == Identity{11, 0, {{{"n1", 11, ""}}, 3}}));
  founding.saved();
  BOOST_TEST((founding.state() == State::kFounded));
  BOOST_TEST(founding.take_messages().receivers.empty());
}

BOOST_AUTO_TEST_CASE(two_clusters_of_the_same_nodes_are_an_error) {
  for (const bool saved : {true, false}) {
    Node3 second(1, {12, 11, {}});
    second.founding.up("n1");
    second.founding.up("n3");
    BOOST_TEST(second.hears("n1", "founding 1 founded 11 replicas 3 founders 3 n1 11 n2 12 n3 13"));
    if (saved) BOOST_TEST(second.saves());
    BOOST_TEST(
        says(second.refusal("n3", "founding 1 founded 13 replicas 3 founders 3 n1 11 n2 12 n3 33"), "another cluster"));
    BOOST_TEST(second.saves() == !saved);
    BOOST_TEST((second.founding.document() == kFounders));
  }
}

BOOST_AUTO_TEST_CASE(disks_that_were_copied_or_restored_are_an_error) {
  Node3 second(1, {12, 0, {}});
  second.founding.up("n1");
  second.founding.up("n3");
  BOOST_TEST(says(second.refusal("n3", "founding 1 newborn 12"), "n3 has the disk of n2"));
  BOOST_TEST(second.hears("n1", "founding 1 newborn 11"));
  BOOST_TEST(says(second.refusal("n3", "founding 1 newborn 11"), "n3 has the disk of n1"));
  BOOST_TEST(says(second.refusal("n1", kDocument), "n1 has the disk of n2"));
  // It has promised nothing, and yet it is a founder.
  BOOST_TEST(
      says(second.refusal("n3", "founding 1 founded 13 replicas 3 founders 3 n1 11 n2 12 n3 13"), "was it restored?"));
  BOOST_TEST(second.saves());
  BOOST_TEST(says(second.refusal("n3", "founding 1 founded 33 replicas 3 founders 2 n1 11 n3 12"), "is that of n3"));
  BOOST_TEST(check_identity({12, 0, kFounders}, "n2").ok());
  BOOST_TEST(check_identity({22, 0, kFounders}, "n2").ok());
  BOOST_TEST(says(check_identity({13, 0, kFounders}, "n2").error().message, "is that of n3"));
}

BOOST_AUTO_TEST_CASE(what_only_newer_versions_say_is_skipped) {
  Node3 first(0, {11, 0, {}});
  first.founding.up("n2");
  first.founding.up("n3");
  BOOST_TEST(first.hears("n2", "founding 1 newborn 12 zone dc1 promised 11 weight 3"));
  BOOST_TEST(first.hears("n3", "founding 1 newborn 13 promised 11"));
  BOOST_TEST(first.saves());
  BOOST_TEST(first.hears("n2", "founding 1 founded 12 epoch 7 replicas 3 founders 3 n1 11 n2 12 n3 13"));
  // Of another kind: it is newborn no more.
  Node3 other(0, {11, 0, {}});
  other.founding.up("n2");
  other.founding.up("n3");
  BOOST_TEST(other.hears("n2", "founding 1 newborn 12 promised 11"));
  BOOST_TEST(other.hears("n2", "founding 1 retired 12 of whatever"));
  BOOST_TEST(other.hears("n3", "founding 1 newborn 13 promised 11"));
  BOOST_TEST(!other.saves());
  BOOST_TEST((other.founding.waiting_for() == std::vector<std::string_view>{"n2"}));
}

BOOST_AUTO_TEST_CASE(malformed_messages_change_nothing) {
  Node3 second(1, {12, 11, {}});
  second.founding.up("n1");
  second.says();
  for (const char* const wrong : {"",
                                  "founding",
                                  "founding 1 newborn",
                                  "raft 1 newborn 11",
                                  "founding 2 newborn 11",
                                  "founding 1 newborn 0",
                                  "founding 1 newborn -1",
                                  "founding 1 newborn x",
                                  "founding 1 newborn 18446744073709551616",
                                  "founding 1 newborn 31 promised",
                                  "founding 1 newborn 31 promised 0",
                                  "founding 1 newborn 31 promised 5 promised 5",
                                  "founding 1 newborn 11 founders 3 n1 11 n2 12 n3 13",
                                  "founding 1 founded 11",
                                  "founding 1 newborn 11 replicas 3",
                                  "founding 1 founded 11 founders 3 n1 11 n2 12 n3 13",
                                  "founding 1 founded 11 replicas 0 founders 3 n1 11 n2 12 n3 13",
                                  "founding 1 founded 11 replicas 1025 founders 3 n1 11 n2 12 n3 13",
                                  "founding 1 founded 11 replicas 3 replicas 3 founders 3 n1 11 n2 12 n3 13",
                                  "founding 1 founded 11 replicas 3 founders 3 n1@a/b/c 11 n2 12 n3 13",
                                  "founding 1 founded 11 replicas 3 founders",
                                  "founding 1 founded 11 replicas 3 founders 0",
                                  "founding 1 founded 11 replicas 3 founders x n1 11",
                                  "founding 1 founded 11 replicas 3 founders 2 n1 11 n2 12 n3 13",
                                  "founding 1 founded 11 replicas 3 founders 3 n1 11 n2 12 n3",
                                  "founding 1 founded 11 replicas 3 founders 3 n1 11 n2 12 n3 0",
                                  "founding 1 founded 11 replicas 3 founders 3 n1 11 n2 12 n2 13",
                                  "founding 1 founded 11 replicas 3 founders 3 n1 11 n2 12 n3 12",
                                  "founding 1 founded 11 replicas 3 founders 3 n1 11 n3 13 n2 12",
                                  "founding 1 founded 11 replicas 3 founders 3 n1 11 n2 12 n? 13"}) {
    BOOST_TEST(says(second.refusal("n1", wrong), "malformed"), wrong);
    BOOST_TEST((second.founding.to_save() == nullptr && second.says().empty()));
    BOOST_TEST(second.founding.life_of("n1") == 0u);
  }
}

BOOST_AUTO_TEST_CASE(random_words_do_no_harm) {
  with_new_seeds(2000, [](uint64_t seed) {
    Random random(seed);
    std::vector<std::string_view> words =
        split("founding 1 newborn founded 11 12 31 promised replicas founders 2 3 n1 n2@dc1/a n3 13");
    std::vector<std::string_view> message = split(random.chance(0.5) ? "founding 1 newborn 11" : kDocument);
    for (uint64_t changes = random.below(4); changes > 0 && !message.empty(); --changes) {
      const auto at = message.begin() + static_cast<ptrdiff_t>(random.below(message.size()));
      const std::string_view word = words[random.below(words.size())];
      random.chance(0.3) ? message.erase(at) : random.chance(0.5) ? message.insert(at, word) : (*at = word, at);
    }
    Node3 second(1, {12, 11, {}});
    second.founding.up("n1");
    const Result<> taken = second.founding.receive("n1", message);
    BOOST_TEST_REQUIRE((taken.ok() || taken.error().code == ErrorCode::kInvalid), "seed " << seed);
    BOOST_TEST_REQUIRE((taken.ok() || (!second.saves() && second.founding.life_of("n1") == 0)), "seed " << seed);
    if (second.saves()) BOOST_TEST_REQUIRE(parse_identity(identity_text({12, 0, second.founding.document()})).ok());
  });
}

BOOST_AUTO_TEST_CASE(five_nodes_found_whatever_the_order_in_which_they_start) {
  for (const size_t count : {1u, 2u, 3u, 5u}) {
    std::vector<size_t> order(count);
    std::iota(order.begin(), order.end(), 0);
    do {
      World world(count, 1);
      for (const size_t who : order) {
        world.start(who);
        for (size_t other = 0; other < count; ++other) world.connect(who, other);
        world.settle();
      }
      expect_founded(world, count);
    } while (std::next_permutation(order.begin(), order.end()));
  }
}

BOOST_AUTO_TEST_CASE(nodes_found_whatever_the_order_in_which_they_are_connected) {
  // All orders of three links, and some of ten.
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    for (const size_t count : {3u, 5u}) {
      Random random(seed);
      World world = started(count, seed);
      std::vector<std::pair<size_t, size_t>> pairs;
      for (size_t a = 0; a < count; ++a) {
        for (size_t b = 0; b < a; ++b) pairs.insert(pairs.begin() + random.below(pairs.size() + 1), {a, b});
      }
      for (const auto& [a, b] : pairs) {
        world.connect(a, b);
        for (uint64_t steps = random.below(8); steps > 0; --steps) world.step();
      }
      world.settle();
      expect_founded(world, count);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_node_that_crashes_at_any_step_comes_back_as_a_founder) {
  for (const size_t count : {2u, 3u, 5u}) {
    for (const bool written : {true, false}) {
      with_fault_at_every_step(count, count, [=](World& world, size_t victim) { world.crash(victim, written); });
      // At once, or when the others have done without it what they can.
      with_fault_at_every_step(count, count, [=](World& world, size_t victim) {
        world.crash(victim, written);
        world.start(victim);
        world.connect_all();
      });
    }
  }
}

BOOST_AUTO_TEST_CASE(a_node_that_loses_its_disk_at_any_step_leaves_the_others_founders) {
  for (const size_t count : {2u, 3u, 5u}) {
    with_fault_at_every_step(count, count - 1, [](World& world, size_t victim) { world.lose_disk(victim); });
    with_fault_at_every_step(count, count - 1, [](World& world, size_t victim) {
      world.lose_disk(victim);
      world.start(victim);
      world.connect_all();
    });
  }
}

BOOST_AUTO_TEST_CASE(one_other_node_that_has_the_document_is_enough) {
  World world = started(3);
  world.connect_all();
  while (world.disk(0).document.empty()) BOOST_TEST_REQUIRE(world.step());
  world.cut(0, 2);
  while (world.disk(1).document.empty()) BOOST_TEST_REQUIRE(world.step());
  world.lose_disk(0);
  world.settle();
  BOOST_TEST(world.count(State::kFounded) == 2u);
}

BOOST_AUTO_TEST_CASE(whatever_happens_disks_never_hold_two_documents) {
  for (uint64_t seed = 0; seed < 10000; ++seed) run_random(seed);
  with_new_seeds(1000, run_random);
}

BOOST_AUTO_TEST_CASE(the_file_of_the_identity_says_it_in_words) {
  const std::string body = "capstan identity 1\nlife 12\nreplicas 3\nfounder n1 11\nfounder n2 12\nfounder n3 13\n";
  const std::string text = identity_text({12, 0, kFounders});
  BOOST_TEST(text.starts_with(body + "checksum "));
  BOOST_TEST(text.size() == body.size() + 26);
  BOOST_TEST(identity_text({12, 11, {}}).starts_with("capstan identity 1\nlife 12\npromised 11\nchecksum "));
  for (const Identity& identity : {Identity{12, 0, kFounders}, Identity{12, 11, {}}, Identity{~LifeId{0}, 0, {}}}) {
    const Result<Identity> read = parse_identity(identity_text(identity));
    BOOST_TEST_REQUIRE(read.ok());
    BOOST_TEST((*read == identity));
  }
}

BOOST_AUTO_TEST_CASE(the_document_says_how_the_first_node_would_have_shards_placed) {
  Nodes nodes = nodes_as(0, 2);
  nodes.replicas = 2;
  nodes.all[1].zone = "dc1/b";
  Founding first(nodes, {11, 0, {}});
  first.up("n2");
  BOOST_TEST_REQUIRE(first.receive("n2", split("founding 1 newborn 12 promised 11")).ok());
  BOOST_TEST_REQUIRE(first.to_save() != nullptr);
  const Document document{{{"n1", 11, ""}, {"n2", 12, "dc1/b"}}, 2};
  BOOST_TEST((first.to_save()->document == document));
  first.saved();
  BOOST_TEST(shown(first.take_messages().bytes) == "founding 1 founded 11 replicas 2 founders 2 n1 11 n2@dc1/b 12");
  const std::string text = identity_text({11, 0, document});
  BOOST_TEST(says(text, "replicas 2\nfounder n1 11\nfounder n2@dc1/b 12\n"));
  BOOST_TEST((parse_identity(text).value().document == document));
  // The other node's configuration says otherwise, which does not matter.
  const Nodes others = nodes_as(1, 2);
  Founding second(others, {12, 11, {}});
  second.up("n1");
  BOOST_TEST_REQUIRE(second.receive("n1", split("founding 1 founded 11 replicas 2 founders 2 n1 11 n2@dc1/b 12")).ok());
  BOOST_TEST_REQUIRE(second.to_save() != nullptr);
  BOOST_TEST((second.to_save()->document == document));
}

BOOST_AUTO_TEST_CASE(a_damaged_file_is_noticed) {
  const std::string text = identity_text({12, 0, kFounders});
  const auto is_corrupt = [](std::string_view damaged) {
    const Result<Identity> read = parse_identity(damaged);
    return !read.ok() && read.error().code == ErrorCode::kCorrupt;
  };
  for (size_t size = 0; size < text.size(); ++size) BOOST_TEST(is_corrupt(text.substr(0, size)));
  BOOST_TEST(is_corrupt(text + "\n"));
  BOOST_TEST(is_corrupt(std::string(100, '\0')));
  for (size_t at = 0; at < text.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = text;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      BOOST_TEST(is_corrupt(damaged));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_file_that_makes_no_sense_is_not_taken) {
  const auto error_of = [](std::string_view body) {
    char checksum[32];
    std::snprintf(checksum, sizeof checksum, "checksum %016lx\n", hash64(body));
    const Result<Identity> read = parse_identity(std::string(body) + checksum);
    BOOST_TEST_REQUIRE(!read.ok(), body);
    return read.error().code;
  };
  BOOST_TEST((error_of("capstan identity 2\nlife 12\n") == ErrorCode::kInvalid));
  for (const char* const body :
       {"", "capstan journal 1\nlife 12\n", "capstan identity 1\n", "capstan identity 1\nlife 0\n",
        "capstan identity 1\npromised 11\n", "capstan identity 1\nlife 12\nlife 12\n",
        "capstan identity 1\nlife 12\npromised 11\npromised 11\n", "capstan identity 1\nlife 12\nfounder n1\n",
        "capstan identity 1\nlife 12\nfounder n1 11 \n", "capstan identity 1\nlife 12\nfounder n2 12\nfounder n1 11\n",
        "capstan identity 1\nlife 12\nother line\n", "capstan identity 1\nlife 12\n\n"}) {
    BOOST_TEST((error_of(body) == ErrorCode::kCorrupt), body);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::cluster
