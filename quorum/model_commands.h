// Test code: commands → replies and one record's net effect. The real
// evaluation is the server's; this one is as small as the model allows, over all kinds of elements.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "quorum/effects.h"
#include "quorum/state.h"

namespace capstan {

enum class Op {
  kGet,
  kSet,
  kSetWithTtl,
  kDelete,
  kIncrement,
  kIncrementFloat,
  kAppend,
  kHashSet,
  kHashDelete,
  kHashIncrement,
  kSetAdd,
  kSetRemove,
  kScoreAdd,
  kScoreIncrement,
  kScoreRemove,
  kPush,
  kPop,
  kStreamAdd,
  kExpire,
  kPersist,
  kFlush,
  kResolve,
  kRemembered,  // STRONG ID: an increment whose reply is remembered with client (id) and serial number
};

struct Command {
  Op op = Op::kGet;
  State::Key key;
  std::string id;      // field or member
  std::string value;   // what is set, appended, pushed
  int64_t number = 0;  // what is added, or the TTL's time in ms
  int64_t serial = 0;
  std::vector<Dot> over;
};

// The keys that the world writes: two in one database, one that its FLUSHDBs clear alone, one that is only incremented,
// and remembered results.
const std::vector<State::Key>& model_keys();
const State::Key& counter_key();
const State::Key& session_key();

// One command, or a MULTI of some, for log R or not, with TTLs near now_ms if wanted.
std::vector<Command> random_commands(Random& random, bool strong, bool with_ttl, int64_t now_ms);
std::vector<State::Key> keys_of(const std::vector<Command>& commands);

struct Evaluation {
  std::vector<std::string> replies;
  std::string record;  // encoded
  bool has_effect = false;
  std::set<State::Key> saw;  // keys that had a TTL when the record put into them
};

// Each command sees the effects of the earlier ones. expired: those of the keys that the evaluating replica's clock
// says are past. Splices are for logs R (strong) only.
Evaluation evaluate(const State& state, const RecordHead& head, const std::vector<Command>& commands, bool strong,
                    const std::set<State::Key>& expired);

}  // namespace capstan
