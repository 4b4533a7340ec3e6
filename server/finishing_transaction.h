// EXEC of a queue that holds commands which need no shard (PING, SELECT, CLIENT …): the shard part has run as one
// record; then these run on the connection's worker, in order, and the replies are put together.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "resp/output_buffer.h"
#include "server/task.h"

namespace capstan {

class Connection;

struct FinishingTransaction {
  const CommandSpec* exec = nullptr;
  std::vector<TransactionCommand> queue;
  std::string shard_replies;
  std::vector<size_t> shard_reply_ends;
  size_t next = 0;        // in the queue
  size_t next_shard = 0;  // in shard_reply_ends
  resp::OutputBuffer reply;
  std::string instead;  // of the reply; empty: none
};

// Goes on at the place where EXEC's reply will be; `reply` is that of the command that returned kLater, empty at first.
void continue_transaction(Connection& connection, uint64_t place, std::string_view reply);

}  // namespace capstan
