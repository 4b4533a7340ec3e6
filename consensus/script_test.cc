// Golden scripts: scripts/*.txt tell what groups say and do, line by line, and are the page on which a change of their
// conversation shows. Each block is some commands, "----", and what they print. CAPSTAN_REWRITE=1 writes the outputs
// anew, to be read before they are committed.
//
// Commands (times in ms; a "replica" is a number from 1):
//   replicas <n> [learners <replica>…] [lease 0]  makes a group
//   wait <ms>                      moves every clock and ticks; nothing is delivered or made durable by itself
//   ready <replica>                takes what it has: sends its messages, gives entries and hard state to the journal
//   durable <replica>              its journal makes everything durable
//   deliver [<from> <to>]          everything that was sent so far, or only that pair's
//   drop [<from> <to>]             loses it instead
//   settle [silently]              ready, durable and deliver until nothing moves
//   timeout <replica>              time passes for it alone, until it campaigns
//   propose <replica> <word>, read <replica>, released <replica>
//   transfer <replica> <to>, members <replica> voters <replica>… [learners <replica>…]
//   lost <replica> <peer>, connected <replica> <peer>, unwilling <replica>
//   crash <replica>                loses what is not durable and starts again
//   cut <replica> <index>, gate <replica> open|closed
//   show                           a line about each
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>

#include "consensus/group.h"

namespace capstan::consensus {
namespace {

using Words = std::vector<std::string>;

const char* name_of(MessageKind kind) {
  switch (kind) {
    case MessageKind::kAppend:
      return "append";
    case MessageKind::kAppendReply:
      return "append-reply";
    case MessageKind::kPreVote:
      return "pre-vote";
    case MessageKind::kPreVoteReply:
      return "pre-vote-reply";
    case MessageKind::kVote:
      return "vote";
    case MessageKind::kVoteReply:
      return "vote-reply";
    case MessageKind::kTimeoutNow:
      return "timeout-now";
    case MessageKind::kCommitted:
      return "committed";
  }
  return "?";
}

const char* name_of(Group::Role role) {
  constexpr const char* kNames[] = {"follower", "pre-candidate", "candidate", "leader"};
  return kNames[static_cast<size_t>(role)];
}

std::string describe(const Configuration& members) {
  std::string text = "{";
  const auto list = [&](const char* title, const std::vector<Member>& some) {
    if (some.empty()) return;
    text += text.size() > 1 ? "; " : "";
    text += title;
    for (const Member& member : some) text += " " + std::to_string(member.id);
  };
  list("voters", members.voters());
  list("outgoing", members.outgoing());
  list("learners", members.learners());
  return text + "}";
}

std::string describe(const Entry& entry) {
  std::string text = std::to_string(entry.term) + ":";
  if (entry.configuration.empty()) return text + std::string(entry.record);
  return text + describe(Configuration::decode(entry.configuration).value());
}

// A message with its bytes, as it is on its way.
struct Sent {
  Message message;
  std::vector<std::string> bytes;

  explicit Sent(const Message& from) : message(from) {
    for (Entry& entry : message.entries) {
      bytes.emplace_back(entry.record);
      bytes.emplace_back(entry.configuration);
    }
    for (size_t i = 0; i < message.entries.size(); ++i) {
      message.entries[i].record = bytes[2 * i];
      message.entries[i].configuration = bytes[2 * i + 1];
    }
  }
  Sent(Sent&&) = default;  // moving the vector leaves its strings where they are
  Sent& operator=(Sent&&) = default;
};

std::string describe(const Message& message) {
  std::ostringstream out;
  out << message.from << "→" << message.to << " " << name_of(message.kind) << " term " << message.term;
  const bool reply = message.kind == MessageKind::kAppendReply;
  const bool from_log = message.kind == MessageKind::kVote || message.kind == MessageKind::kPreVote ||
                        message.kind == MessageKind::kAppend || message.kind == MessageKind::kCommitted;
  if (from_log) out << " after " << message.previous << "/" << message.previous_term;
  if (message.round != 0) out << " round " << message.round;
  if (message.commit != 0) out << " commit " << message.commit;
  if (!message.entries.empty()) out << " entries";
  for (const Entry& entry : message.entries) out << " " << describe(entry);
  if (message.rejected && reply)
    out << " rejects " << message.previous << ", hint " << message.hint << "/" << message.hint_term;
  if (message.rejected && !reply) out << " refused";
  if (reply && !message.rejected) out << " match " << message.match << " received " << message.received;
  if (message.rebuilding) out << " rebuilding";
  if (message.gated) out << " gated";
  if (message.transfer) out << " transfer";
  return out.str();
}

class Replica final : public Host {
 public:
  Replica(const Options& options, const Configuration& initial, Time now) : options_(options) {
    group_ = std::make_unique<Group>(options_, *this, Recovered{{}, Log({0, 0, initial}), 0}, options.self, now);
    initial_ = initial;
  }
  std::string empty_record(Index) override { return "-"; }
  bool holds_context_of(Index, std::string_view) override { return gate_open; }

  Group& group() { return *group_; }
  void write(const Ready& ready) {
    if (ready.hard_state) hard_state_ = *ready.hard_state;
    if (ready.first_new != 0) {
      entries_.resize(ready.first_new - 1 - base_);
      for (Index index = ready.first_new; index <= ready.last_new; ++index) {
        const Entry entry = group_->log().entry(index);
        entries_.push_back({entry.term, std::string(entry.record), std::string(entry.configuration)});
      }
    }
    if (ready.mark != 0) mark_ = ready.mark;
  }
  bool sync(Time now) {
    if (mark_ == synced_) return false;
    synced_ = mark_;
    durable_hard_state_ = hard_state_;
    durable_entries_ = entries_;
    group_->durable(mark_, now);
    return true;
  }
  void crash(Time now) {
    hard_state_ = durable_hard_state_;
    entries_ = durable_entries_;
    mark_ = synced_ = 0;
    Log log({0, 0, initial_});
    for (const Stored& entry : entries_) log.append({entry.term, entry.record, entry.configuration});
    group_ = std::make_unique<Group>(options_, *this, Recovered{hard_state_, std::move(log), 0}, options_.self, now);
  }

  bool gate_open = true;

 private:
  struct Stored {
    Term term;
    std::string record;
    std::string configuration;
  };

  Options options_;
  Configuration initial_;
  std::unique_ptr<Group> group_;
  HardState hard_state_, durable_hard_state_;
  std::vector<Stored> entries_, durable_entries_;
  Index base_ = 0;
  Mark mark_ = 0, synced_ = 0;
};

class Script {
 public:
  // What the commands of a block print.
  std::string run(const std::string& block) {
    out_.str({});
    std::istringstream lines(block);
    for (std::string line; std::getline(lines, line);) {
      if (line.empty() || line[0] == '#') continue;
      std::istringstream text(line);
      Words words;
      for (std::string word; text >> word;) words.push_back(word);
      command(words);
    }
    return out_.str();
  }

 private:
  static PeerId number(const std::string& word) { return std::stoull(word); }
  Replica& replica(const std::string& word) { return *replicas_.at(number(word)); }
  static std::vector<Member> members(const Words& words, size_t from, const std::string& until) {
    std::vector<Member> some;
    for (size_t i = from; i < words.size() && words[i] != until; ++i)
      some.push_back({number(words[i]), "n" + words[i]});
    return some;
  }
  static Configuration configuration(const Words& words, size_t from) {
    const auto learners = std::find(words.begin(), words.end(), "learners");
    const auto position = static_cast<size_t>(learners - words.begin());
    return Configuration(members(words, from, "learners"),
                         learners == words.end() ? std::vector<Member>() : members(words, position + 1, ""));
  }

  void command(const Words& words) {
    if (change(words)) return;
    if (words[0] == "ready") {
      ready(number(words[1]));
    } else if (words[0] == "durable") {
      replica(words[1]).sync(now_);
    } else if (words[0] == "deliver" || words[0] == "drop") {
      deliver(words);
    } else if (words[0] == "settle") {
      const std::string before = out_.str();
      settle();
      if (words.size() > 1) out_ = std::ostringstream(before, std::ios::ate);
    } else if (words[0] == "timeout") {
      Group& group = replica(words[1]).group();
      do group.tick(now_ += kMillisecond);
      while (group.role() == Group::Role::kFollower);
    } else if (words[0] == "wait") {
      wait(number(words[1]));
    } else if (words[0] == "show") {
      show();
    } else {
      BOOST_FAIL("unknown command " + words[0]);
    }
  }

  bool change(const Words& words) {
    const std::string& verb = words[0];
    if (verb == "replicas") {
      make(words);
    } else if (verb == "propose") {
      const auto index = replica(words[1]).group().propose(words[2], now_);
      if (!index) out_ << words[1] << " does not take it\n";
    } else if (verb == "read") {
      const ReadPoint point = points_[number(words[1])] =
          replica(words[1]).group().read(replica(words[1]).group().log().last(), now_);
      out_ << "index " << point.index << " round " << point.round << "\n";
    } else if (verb == "released") {
      out_ << (replica(words[1]).group().released(points_[number(words[1])]) ? "yes\n" : "no\n");
    } else if (verb == "transfer") {
      print(replica(words[1]).group().transfer(number(words[2]), now_));
    } else if (verb == "members") {
      print(replica(words[1]).group().change_members(configuration(words, 3), now_));
    } else if (verb == "lost") {
      replica(words[1]).group().peer_lost(number(words[2]), now_);
    } else if (verb == "connected") {
      replica(words[1]).group().peer_connected(number(words[2]), now_);
    } else if (verb == "unwilling") {
      replica(words[1]).group().set_willing(false, now_);
    } else if (verb == "crash") {
      replica(words[1]).crash(now_);
    } else if (verb == "cut") {
      replica(words[1]).group().cut(number(words[2]));
    } else if (verb == "gate") {
      replica(words[1]).gate_open = words[2] == "open";
    } else {
      return false;
    }
    return true;
  }

  void print(const Result<>& result) {
    if (!result) out_ << "refused: " << result.error().message << "\n";
  }

  void make(const Words& words) {
    const PeerId count = number(words[1]);
    std::vector<Member> voters, learners;
    const auto listed = std::find(words.begin(), words.end(), "learners");
    for (PeerId peer = 1; peer <= count; ++peer) {
      const bool learns = std::find(listed, words.end(), std::to_string(peer)) != words.end();
      (learns ? learners : voters).push_back({peer, "n" + std::to_string(peer)});
    }
    Options options;
    const auto lease = std::find(words.begin(), words.end(), "lease");
    if (lease != words.end()) options.lease = 0;
    for (PeerId peer = 1; peer <= count; ++peer) {
      options.self = peer;
      replicas_[peer] = std::make_unique<Replica>(options, Configuration(voters, learners), now_);
    }
  }

  void ready(PeerId peer) {
    Replica& at = *replicas_.at(peer);
    const Ready ready = at.group().take_ready(now_);
    at.write(ready);
    if (ready.hard_state) {
      out_ << peer << " journals term " << ready.hard_state->term << " vote " << ready.hard_state->voted_for << "\n";
    }
    if (ready.first_new != 0) {
      out_ << peer << " journals";
      for (Index i = ready.first_new; i <= ready.last_new; ++i)
        out_ << " " << i << "/" << describe(at.group().log().entry(i));
      out_ << "\n";
    }
    for (const Message& message : ready.messages) {
      out_ << describe(message) << "\n";
      network_.emplace_back(message);
    }
  }

  bool deliver(const Words& words) {
    std::vector<Sent> now, later;
    for (Sent& sent : network_) {
      const bool chosen =
          words.size() < 3 || (sent.message.from == number(words[1]) && sent.message.to == number(words[2]));
      (chosen ? now : later).push_back(std::move(sent));
    }
    network_ = std::move(later);
    if (words[0] == "drop") return false;
    for (const Sent& sent : now) {
      const auto found = replicas_.find(sent.message.to);
      if (found != replicas_.end()) found->second->group().receive(sent.message, now_);
    }
    return !now.empty();
  }

  void settle() {
    for (int step = 0; step < 100; ++step) {
      bool moved = false;
      for (auto& [peer, at] : replicas_) {
        if (at->group().has_ready(now_)) ready(peer), moved = true;
        moved |= at->sync(now_);
      }
      moved |= deliver({"deliver"});
      if (!moved) return;
    }
    out_ << "never settles\n";
  }

  void wait(uint64_t time_ms) {
    const Time until = now_ + static_cast<Time>(time_ms) * kMillisecond;
    while (now_ < until) {
      now_ += kMillisecond;
      for (auto& [peer, at] : replicas_) at->group().tick(now_);
    }
  }

  void show() {
    for (auto& [peer, at] : replicas_) {
      const Group& group = at->group();
      out_ << peer << " " << name_of(group.role()) << " term " << group.term() << " leader " << group.leader()
           << " log " << group.log().first() << "…" << group.log().last() << "/" << group.log().last_term()
           << " durable " << group.durable_index() << " commit " << group.commit() << " "
           << describe(group.configuration());
      if (group.needs_rebuild()) out_ << " needs a rebuild";
      if (group.leads()) out_ << (group.lease_end() > now_ ? " with a lease" : " without a lease");
      out_ << "\n";
    }
  }

  Time now_ = 0;
  std::map<PeerId, std::unique_ptr<Replica>> replicas_;
  std::map<PeerId, ReadPoint> points_;
  std::vector<Sent> network_;
  std::ostringstream out_;
};

// Runs a file and gives it back with the outputs that came.
std::string played(const std::string& text) {
  Script script;
  std::istringstream in(text);
  std::string result, block;
  bool expected = false;
  for (std::string line; std::getline(in, line);) {
    if (expected && !line.empty()) continue;
    if (expected) {
      expected = false;
      result += "\n";
    } else if (line == "----") {
      result += block + "----\n" + script.run(block);
      block.clear();
      expected = true;
    } else {
      block += line + "\n";
    }
  }
  return result + block;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(script_test)

BOOST_AUTO_TEST_CASE(every_script_prints_what_it_says) {
  const std::filesystem::path folder = std::filesystem::path(CAPSTAN_SOURCE_DIR) / "consensus/scripts";
  std::vector<std::filesystem::path> scripts(std::filesystem::directory_iterator(folder), {});
  std::sort(scripts.begin(), scripts.end());
  BOOST_REQUIRE(scripts.size() >= 5);
  for (const std::filesystem::path& path : scripts) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    const std::string result = played(text.str());
    if (std::getenv("CAPSTAN_REWRITE") != nullptr) std::ofstream(path) << result;
    BOOST_TEST(result == text.str(), path.filename().string() << " now prints:\n" << result);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::consensus
