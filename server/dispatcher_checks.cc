// What a command has to pass before it runs: its level is taken off, it must exist, fit and be allowed, and it may have
// to wait for EXEC or for the end of CLIENT PAUSE.
#include <utility>

#include "server/arity.h"
#include "server/dispatcher.h"
#include "server/node.h"
#include "server/text.h"
#include "server/token.h"
#include "server/worker.h"

namespace capstan {
namespace {

// As much of a client's words as Redis repeats in an error.
constexpr size_t kMaxQuoted = 128;

// Redis prints words as C strings.
std::string_view up_to_nul(std::string_view word) { return word.substr(0, word.find('\0')); }

std::string unknown_command(std::span<const std::string_view> words) {
  std::string rest;
  for (size_t i = 1; i < words.size() && rest.size() < kMaxQuoted; ++i) {
    const std::string_view word = up_to_nul(words[i]).substr(0, kMaxQuoted - rest.size());
    rest.append("'").append(word).append("' ");
  }
  const std::string_view name = up_to_nul(words[0]).substr(0, kMaxQuoted);
  return "ERR unknown command '" + std::string(name) + "', with args beginning with: " + rest;
}

bool stricter(const Consistency& a, const Consistency& b) {
  const auto rank = [](const Consistency& c) {
    return std::pair(c.write.needed(Dispatcher::kReplicas), c.read.needed(Dispatcher::kReplicas));
  };
  return a.level != b.level ? a.level < b.level : rank(a) > rank(b);
}

// To a client of RESP2 a message is an array like any reply's.
bool lost_among_messages(const Session& session, const CommandSpec& spec) {
  return session.has(kSubscribed) && session.protocol == resp::Protocol::kResp2 && (spec.flags & kWhileSubscribed) == 0;
}

std::string unknown_subcommand(const CommandSpec& container, std::string_view word) {
  std::string name(container.name);
  for (char& c : name) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 0x20) : c;
  return "ERR unknown subcommand '" + std::string(word.substr(0, kMaxQuoted)) + "'. Try " + name + " HELP.";
}

}  // namespace

Dispatcher::Next Dispatcher::strip_prefix(Connection& connection, Request& request) {
  if (request.words.size() < 3 || !parse_level(request.words[1])) return Next::kGoOn;
  const CommandSpec* const spec = look_up(request.words[0]);  // it may have another name, or none
  if (spec == nullptr || spec->name != "consistency") return Next::kGoOn;
  Result<ParsedConsistency> parsed = parse_consistency(request.words.subspan(1));
  if (!parsed) {
    reject(connection, parsed.error().message);
    return Next::kAnswered;
  }
  if (1 + parsed->used == request.words.size()) return Next::kGoOn;  // the connection's level: a command of its own
  request.words = request.words.subspan(1 + parsed->used);
  request.consistency = std::move(parsed->consistency);
  request.own_level = true;
  return Next::kGoOn;
}

Dispatcher::Next Dispatcher::resolve(Connection& connection, Request& request) {
  request.spec = look_up(request.words[0]);
  if (request.spec == nullptr) {
    // A browser that was led here to make it send commands to this server: not one of its lines is one.
    if (same_word(request.words[0], "post") || same_word(request.words[0], "host:")) {
      connection.close_after_output();
      return Next::kAnswered;
    }
    reject(connection, unknown_command(request.words));
    return Next::kAnswered;
  }
  if (request.spec->subcommands.empty() || request.words.size() < 2) return Next::kGoOn;
  const CommandSpec* const subcommand = find_subcommand(*request.spec, request.words[1]);
  if (subcommand == nullptr) {
    reject(connection, unknown_subcommand(*request.spec, request.words[1]));
    return Next::kAnswered;
  }
  request.spec = subcommand;
  return Next::kGoOn;
}

Dispatcher::Next Dispatcher::strip_trailing(Connection& connection, Request& request) {
  if ((request.spec->flags & kTrailingLevel) == 0) return Next::kGoOn;
  const std::optional<size_t> at = find_trailing_consistency(request.words, words_needed(*request.spec));
  if (!at) return Next::kGoOn;
  Result<ParsedConsistency> parsed = parse_consistency(request.words.subspan(*at + 1));
  std::string error;
  if (!parsed) {
    error = parsed.error().message;
  } else if (*at + 1 + parsed->used != request.words.size()) {
    error = "ERR syntax error";
  } else if (request.own_level) {
    error = "ERR CONSISTENCY is given twice";
  }
  if (!error.empty()) {
    reject(connection, error, request.spec);
    return Next::kAnswered;
  }
  request.words = request.words.first(*at);
  request.consistency = std::move(parsed->consistency);
  request.own_level = true;
  return Next::kGoOn;
}

Dispatcher::Next Dispatcher::check(Connection& connection, Request& request) {
  const CommandSpec& spec = *request.spec;
  const Session& session = connection.session;
  std::string error;
  if (!arity_fits(spec, request.words.size())) {
    error = "ERR wrong number of arguments for '" + command_full_name(spec) + "' command";
  } else if (session.has(kStranger) && (spec.flags & kNoAuth) == 0) {
    error = "NOAUTH Authentication required.";
  } else if (lost_among_messages(session, spec)) {
    error = "ERR Can't execute '" + command_full_name(spec) +
            "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
  } else if (session.has(kMonitoring) && (spec.flags & (kWrite | kReadonly | kMayReplicate)) != 0) {
    error = "ERR Replica can't interact with the keyspace";  // as Redis calls a connection that runs MONITOR
  } else if (session.has(kInMulti) && (spec.flags & kNoMulti) != 0) {
    error = "ERR Command not allowed inside a transaction";
  } else if (request.own_level && session.has(kInMulti) && (spec.flags & kNotQueued) == 0) {
    error = "ERR in MULTI the level of EXEC counts for all commands";
  } else if (!request.consistency.after.empty() && !decode_token(request.consistency.after)) {
    error = "ERR AFTER needs a token of CONSISTENCY TOKEN";
  } else if (request.consistency.has_id && spec.scope == Scope::kConnection && spec.name != "exec") {
    error = "ERR ID is for commands that need a shard, and for EXEC";
  }
  if (error.empty()) return Next::kGoOn;
  reject(connection, error, &spec);
  return Next::kAnswered;
}

bool Dispatcher::postponed(const Connection& connection, const CommandSpec& spec) const {
  const uint32_t flags = worker_.flags();
  if ((flags & (kPausedAll | kPausedWrites)) == 0) return false;
  return (flags & kPausedAll) != 0 || involves(connection.session, spec, kWrite | kMayReplicate);
}

Dispatcher::Next Dispatcher::queue(Connection& connection, const Request& request) {
  Session& session = connection.session;
  if (!session.has(kInMulti) || (request.spec->flags & kNotQueued) != 0) return Next::kGoOn;
  session.queue.push_back({request.spec, session.database, OwnedArguments(request.words)});
  session.queue_bytes += session.queue.back().arguments.bytes();
  resp::OutputBuffer& out = connection.begin_reply();
  out.append(resp::kQueued);
  connection.end_reply(out);
  return Next::kAnswered;
}

void Dispatcher::choose_level(Connection& connection, Request& request) const {
  const Session& session = connection.session;
  const LevelPolicy& policy = worker_.settings().levels;
  if (request.own_level) return;
  if (session.has(kOwnLevel)) {
    request.consistency = session.consistency;
    return;
  }
  if (session.has(kLocalReads) && (request.spec->flags & kReadonly) != 0) {
    request.consistency.level = Level::kLocal;
    return;
  }
  const Consistency* chosen = nullptr;
  if (policy.has_patterns()) {
    // Of several keys the strictest.
    for_each_key(*request.spec, request.words.size(), [&](size_t key) {
      const Consistency* const match = policy.match(request.words[key]);
      const Consistency* const own = match != nullptr ? match : &policy.fallback();
      if (chosen == nullptr || stricter(*own, *chosen)) chosen = own;
    });
  }
  request.consistency = chosen != nullptr ? *chosen : policy.fallback();
}

void Dispatcher::reject(Connection& connection, std::string_view message, const CommandSpec* spec) {
  if (spec != nullptr) worker_.counters().by_command[command_number(*spec)].rejected.add();
  Session& session = connection.session;
  std::string aborted;
  if (spec != nullptr && spec->name == "exec") {
    aborted = message.starts_with("ERR ") ? message.substr(4) : message;
    aborted.insert(0, "EXECABORT Transaction discarded because of: ");
    message = aborted;
    session.leave_multi();
    session.watched.clear();
  } else if (session.has(kInMulti)) {
    session.queue_failed = true;
  }
  resp::OutputBuffer& out = connection.begin_reply();
  const size_t before = out.size();
  resp::Writer(out, session.protocol).error(message);
  worker_.count_error(out.view().substr(before));
  connection.end_reply(out);
}

}  // namespace capstan
