// Commands about the server as a whole.
#include <string>

#include "base/clock.h"
#include "server/commands/topology_reply.h"
#include "server/connection.h"
#include "server/node.h"
#include "server/text.h"
#include "server/worker.h"

namespace capstan {
namespace {

Outcome monitor(Call& call) {
  Session& session = *call.session;
  if (session.exec_commands > 0) return reply_error(call, "ERR MONITOR isn't allowed for DENY BLOCKING client");
  call.reply().ok();
  session.worker.start_monitoring(session.connection);
  return Outcome::kDone;
}

Outcome role(Call& call) { return reply_from_topology(call, write_role); }

Outcome time(Call& call) {
  const int64_t now_us = wall_us();
  call.reply().array(2);
  call.reply().bulk(std::to_string(now_us / 1'000'000));
  call.reply().bulk(std::to_string(now_us % 1'000'000));
  return Outcome::kDone;
}

// On success the connection is closed without a reply, as everything else. Data are never dropped: NOSAVE only leaves
// out the flush, what the journal has is there after the next start.
Outcome shutdown(Call& call) {
  bool save = false;
  bool nosave = false;
  bool abort = false;
  for (const std::string_view word : call.args.subspan(1)) {
    if (same_word(word, "nosave")) {
      nosave = true;
    } else if (same_word(word, "save")) {
      save = true;
    } else if (same_word(word, "abort")) {
      abort = true;
    } else if (!same_word(word, "now") && !same_word(word, "force")) {
      return reply_syntax_error(call);
    }
  }
  if ((save && nosave) || (abort && call.args.size() > 2)) return reply_syntax_error(call);
  if (abort) return reply_error(call, "ERR No shutdown in progress.");
  call.node->shut_down(call.session->worker, !nosave);
  return Outcome::kLater;
}

constexpr CommandSpec kCommands[] = {
    {.name = "monitor",
     .arity = 1,
     .flags = kAdmin | kNoscript | kLoading | kStale,
     .run = monitor,
     .categories = "dangerous",
     .group = "server",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Shows every command that the server runs from now on"},
    {.name = "role",
     .arity = 1,
     .flags = kNoscript | kLoading | kStale | kFast,
     .run = role,
     .categories = "admin dangerous",
     .group = "server",
     .since = "2.8.12",
     .complexity = "O(1)",
     .summary = "Replies the server's part in replication"},
    {.name = "shutdown",
     .arity = -1,
     .flags = kAdmin | kNoscript | kLoading | kStale | kNoMulti | kAllowBusy,
     .run = shutdown,
     .categories = "dangerous",
     .group = "server",
     .since = "1.0.0",
     .complexity = "that of a flush",
     .summary = "Stops the server; all data are kept",
     .syntax = "[NOSAVE|SAVE] [NOW] [FORCE] [ABORT]"},
    {.name = "time",
     .arity = 1,
     .flags = kLoading | kStale | kFast,
     .run = time,
     .group = "server",
     .since = "2.6.0",
     .complexity = "O(1)",
     .summary = "Replies the time as seconds and microseconds of Unix time",
     .tips = "nondeterministic_output"},
};

}  // namespace

std::span<const CommandSpec> server_commands() { return kCommands; }

}  // namespace capstan
