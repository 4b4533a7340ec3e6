// A shard of a cluster in simulated time: real group members (consensus, pending state, journals, keyspaces, rebuilds),
// real commands, and around them a network, disks, clocks and clients that misbehave, all from one seed. What clients
// were told is checked for linearizability.
//
// The check knows the order that the cluster itself chose: the log's. A command with an effect stands at its record's
// index, one without behind the last record that its evaluation saw. The history is linearizable in that order if every
// reply is what the commands before it make of it, and if a command that began after another one had ended does not
// stand before it. Commands whose outcome was not told stand where their record is, if the log has it.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "consensus/journal_testing.h"
#include "lmdb-store/journal_testing.h"
#include "lmdb-store/memory_store.h"
#include "server/evaluation.h"
#include "server/group_member.h"

namespace capstan {

class GroupSimulator {
 public:
  struct Statistics {
    uint64_t turns = 0, applied = 0, unknown = 0, refused = 0, crashes = 0, power_losses = 0, lost_disks = 0,
             rebuilds = 0, leaders = 0, records = 0;
    void add(const Statistics& other);
  };

  GroupSimulator(uint64_t seed, size_t nodes);
  ~GroupSimulator();
  // Faults and commands for so many milliseconds; then everything is healed, and has to come to one state. What does
  // not hold stops the process (CHECK), or is returned; empty: all is as it should be.
  std::string run(int milliseconds);
  const Statistics& statistics() const { return statistics_; }

 private:
  using Time = consensus::Time;
  using Words = std::vector<std::string>;

  // A command of a client, from its sending to what the client was told.
  struct Operation {
    Words words;
    Time begin = 0;
    Time end = 0;
    enum class Fate : uint8_t { kUnderWay, kApplied, kUnknown, kRefused } fate = Fate::kUnderWay;
    std::string reply;
    bool wrote = false;
    consensus::Index position = 0;  // of its record, or of the last one it saw
    consensus::OwnedEntry entry;    // as it was proposed
  };
  struct Held {
    size_t operation;
    uint64_t leadership;
    consensus::ReadPoint point;
  };
  struct Node {
    explicit Node(uint64_t seed) : disk(std::make_unique<lmdb_store::TestNode>(seed)) {}
    std::string name;
    consensus::PeerId life = 0;
    std::unique_ptr<lmdb_store::TestNode> disk;
    std::unique_ptr<lmdb_store::MemoryStore> store = std::make_unique<lmdb_store::MemoryStore>();
    double rate = 1;
    Time offset = 0;
    // While it is up:
    std::unique_ptr<lmdb_store::Keyspace> keyspace;
    HybridClock clock;
    std::unique_ptr<GroupMember> member;
    std::unique_ptr<Evaluation> evaluation;
    std::deque<Held> held;
    std::map<std::string, resp::OutputBuffer> to_nodes;  // rebuild messages
    uint64_t leadership = 0;
    consensus::Index seen = 0;  // what is committed, as of the last look
  };
  // On its way; a Raft message or bytes of rebuild messages.
  struct Flight {
    Time at;
    size_t from, to;
    consensus::PeerId to_life;
    std::optional<consensus::Parcel> message;
    std::string bytes;
  };

  Time local(const Node& node) const { return node.offset + static_cast<Time>(node.rate * static_cast<double>(now_)); }
  size_t index_of(std::string_view name) const;
  bool reaches(size_t from, size_t to) const { return !cut_.contains({from, to}); }

  void start(size_t index);
  void crash(size_t index, bool power_fails);
  void lose_disk(size_t index);
  bool store(Node& node, const StoredGroup& stored);
  void flush(Node& node);

  void step(bool faults);
  void deliver();
  void turn(size_t index, bool sync);
  void send_rebuilds(size_t index);
  void note_committed(Node& node);
  void release(Node& node);
  void misbehave();
  void mend_members();

  void issue(size_t client);
  Words random_command();
  void evaluate(Node& node, size_t operation);
  void settle(size_t operation, Operation::Fate fate);

  std::string check_history();
  std::string check_states();
  bool quiet();
  std::string describe() const;  // of all nodes, which are up

  Random random_;
  const LogId log_;
  consensus::Configuration founders_;
  Time now_ = 1000 * consensus::kMillisecond;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<Flight> wire_;
  std::map<std::pair<size_t, size_t>, bool> cut_;
  std::vector<Operation> history_;
  std::vector<std::optional<size_t>> busy_;  // by client: its operation
  std::map<consensus::Index, consensus::OwnedEntry> committed_;
  bool commands_ = true;  // clients send some
  uint64_t lives_ = 0;
  uint64_t values_ = 0;
  Statistics statistics_;
};

}  // namespace capstan
