// A command on its way to a shard, or waiting there, apart from the connection that it came from.
#pragma once

#include <absl/functional/any_invocable.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "resp/writer.h"
#include "server/command.h"
#include "server/level.h"
#include "server/once.h"
#include "server/owned_arguments.h"

namespace capstan {

class Worker;

// Where a reply goes: to a connection's place for it (Connection::open_place), or to one part of that.
struct ReplyAddress {
  uint32_t worker = 0;
  uint32_t part = 0;
  uint64_t client = 0;
  uint64_t place = 0;
};

// One command of a transaction's shard part.
struct TransactionCommand {
  const CommandSpec* spec = nullptr;
  Database database = 0;
  OwnedArguments arguments;
};

struct WatchedKey {
  Database database = 0;
  std::string name;
  uint64_t digest = 0;
};

// EXEC's shard part: one atomic record, if no watched key has changed.
struct Transaction {
  std::vector<TransactionCommand> commands;
  std::vector<WatchedKey> watched;
  // When it has run: its commands' replies, one behind the other, and where each ends.
  bool aborted = false;  // a watched key had changed
  bool refused = false;  // as a whole: the reply is the one error that says why
  std::string instead;   // of the replies, if it took effect and too few replicas have it; empty: enough have
  std::vector<size_t> reply_ends;
};

// WATCH's shard part: keys in, digests out (in the reply, 8 bytes each).
struct DigestRequest {
  std::vector<WatchedKey> keys;
};

// WAIT's shard part: how many other nodes have what is committed, on their disks.
struct HoldersRequest {
  uint64_t index = 0;  // in log R, up to where; 0: the leader fills in what is committed when it is asked
  uint32_t holders = 0;
};

struct Task {
  ReplyAddress reply_to;
  ShardId shard = 0;
  resp::Protocol protocol = resp::Protocol::kResp2;
  Level level = Level::kStrong;
  const CommandSpec* spec = nullptr;  // of a transaction: EXEC's
  Database database = 0;
  OwnedArguments arguments;
  std::string after;                // CONSISTENCY … AFTER; empty: none
  int64_t max_age_ms = -1;          // … MAXAGE; -1: any
  bool session = false;             // … SESSION
  std::unique_ptr<RequestId> once;  // … ID; nullptr: none
  int64_t timeout_ms = 0;           // how long it waits for a leader, and for its answer
  std::unique_ptr<Transaction> transaction;
  std::unique_ptr<DigestRequest> digests;
  std::unique_ptr<HoldersRequest> holders;
  // What to do with the outcome, on the worker of reply_to, instead of delivering the reply there.
  absl::AnyInvocable<void(Worker&, Task&, std::string_view reply)> on_done;

  // Of another node's client: it is not sent on, and answered to that node (forwarding.h). reply_to.worker is then the
  // node's number, reply_to.part that of the connection to it.
  bool remote = false;

  // While it waits.
  std::unique_ptr<CommandState> state;
  uint64_t seen = 0;  // of a session: the number of log R up to which its own earlier commands saw it; 0: not known yet
  int64_t parked_since_ms = 0;
  size_t argument_bytes = 0;
  int64_t elapsed_ns = 0;
};

}  // namespace capstan
