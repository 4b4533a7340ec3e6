// CONSISTENCY without a command behind it: the connection's level, GET, RESET, TOKEN. As a prefix or suffix of other
// commands it is taken off by the dispatcher.
#include <memory>

#include "server/level.h"
#include "server/node.h"
#include "server/text.h"
#include "server/token.h"
#include "server/worker.h"

namespace capstan {
namespace {

Outcome get_level(Call& call) {
  const Session& session = *call.session;
  const LevelPolicy& policy = session.worker.settings().levels;
  call.reply().bulk((session.has(kOwnLevel) ? session.consistency : policy.fallback()).to_string());
  return Outcome::kDone;
}

Outcome reset_level(Call& call) {
  call.session->consistency = Consistency();
  call.session->set(kOwnLevel, false);
  call.reply().ok();
  return Outcome::kDone;
}

// What this node's clients can have seen of each shard covers all that this connection has.
Outcome get_token(Call& call) {
  auto token = std::make_shared<std::vector<Token>>(call.node->workers());
  const LaterReply later(*call.session);
  call.session->worker.on_every_worker(
      [token](Worker& worker) {
        for (const auto& shard : worker.executor().shards()) {
          (*token)[worker.index()].emplace_back(shard->id(), worker.executor().seen_by_clients(*shard));
        }
      },
      [token, later](Worker&) {
        Token all;
        for (const Token& part : *token) all.insert(all.end(), part.begin(), part.end());
        resp::OutputBuffer out;
        resp::Writer(out, later.protocol()).bulk(encode_token(all));
        later.send(out.view());
      });
  return Outcome::kLater;
}

Outcome set_level(Call& call) {
  Result<ParsedConsistency> parsed = parse_consistency(call.args.subspan(1));
  if (!parsed) return reply_error(call, parsed.error().message);
  if (1 + parsed->used != call.args.size()) return reply_syntax_error(call);
  Consistency& consistency = parsed->consistency;
  if (consistency.has_id) return reply_error(call, "ERR ID belongs to one command");
  if (!consistency.after.empty() && !decode_token(consistency.after)) {
    return reply_error(call, "ERR AFTER needs a token of CONSISTENCY TOKEN");
  }
  call.session->consistency = std::move(consistency);
  call.session->set(kOwnLevel);
  call.reply().ok();
  return Outcome::kDone;
}

Outcome consistency(Call& call) {
  if (call.args.size() == 2) {
    if (same_word(call.args[1], "get")) return get_level(call);
    if (same_word(call.args[1], "reset")) return reset_level(call);
    if (same_word(call.args[1], "token")) return get_token(call);
  }
  return set_level(call);
}

Outcome readonly(Call& call) {
  call.session->set(kLocalReads);
  call.reply().ok();
  return Outcome::kDone;
}

Outcome readwrite(Call& call) {
  call.session->set(kLocalReads, false);
  call.reply().ok();
  return Outcome::kDone;
}

constexpr CommandSpec kCommands[] = {
    {.name = "consistency",
     .arity = -2,
     .flags = kLoading | kStale | kFast | kMovableKeys | kAfterOthers,
     .run = consistency,
     .categories = "connection",
     .group = "connection",
     .since = "capstan",
     .complexity = "O(1), or that of the command",
     .summary = "Chooses the consistency level of one command, or of the connection",
     .syntax = "GET|RESET|TOKEN|STRONG|EVENTUAL|LOCAL [W <replicas:string>] [R <replicas:string>] "
               "[TIMEOUT <milliseconds:integer>] [MAXAGE <milliseconds:integer>] [AFTER <token:string>] [SESSION] "
               "[ID <client:string> <serial:integer>] [<command:string> …]"},
    {.name = "readonly",
     .arity = 1,
     .flags = kLoading | kStale | kFast,
     .run = readonly,
     .categories = "connection",
     .group = "cluster",
     .since = "3.0.0",
     .complexity = "O(1)",
     .summary = "Makes the connection's reads LOCAL"},
    {.name = "readwrite",
     .arity = 1,
     .flags = kLoading | kStale | kFast,
     .run = readwrite,
     .categories = "connection",
     .group = "cluster",
     .since = "3.0.0",
     .complexity = "O(1)",
     .summary = "Ends READONLY"},
};

}  // namespace

std::span<const CommandSpec> consistency_commands() { return kCommands; }

}  // namespace capstan
