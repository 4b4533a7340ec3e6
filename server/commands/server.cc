// Commands about the server as a whole.
#include "server/connection.h"
#include "server/node.h"
#include "server/text.h"
#include "server/worker.h"

namespace capstan {
namespace {

Outcome monitor(Call& call) {
  Session& session = *call.session;
  call.reply().ok();
  session.worker.start_monitoring(session.connection);
  return Outcome::kDone;
}

// On success the connection is closed without a reply, as everything else. Data are never dropped: NOSAVE only leaves
// out the flush, what the journal has is there after the next start.
Outcome shutdown(Call& call) {
  bool flush = true;
  bool abort = false;
  for (const std::string_view word : call.args.subspan(1)) {
    if (same_word(word, "nosave")) {
      flush = false;
    } else if (same_word(word, "abort")) {
      abort = true;
    } else if (!same_word(word, "save") && !same_word(word, "now") && !same_word(word, "force")) {
      return reply_syntax_error(call);
    }
  }
  if (abort && call.args.size() > 2) return reply_syntax_error(call);
  if (abort) return reply_error(call, "ERR No shutdown in progress.");
  call.node->shut_down(call.session->worker, flush);
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
};

}  // namespace

std::span<const CommandSpec> server_commands() { return kCommands; }

}  // namespace capstan
