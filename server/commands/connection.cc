// Commands about the connection itself; CLIENT has its own file.
#include "server/connection.h"

#include "resp/number.h"
#include "server/commands/arguments.h"
#include "server/node.h"
#include "server/password.h"
#include "server/text.h"
#include "server/version.h"
#include "server/worker.h"

namespace capstan {
namespace {

constexpr std::string_view kWrongPassword = "WRONGPASS invalid username-password pair or user is disabled.";

Outcome ping(Call& call) {
  if (call.args.size() > 2) return reply_wrong_arity(call, *call.spec);
  const bool looks_like_message = call.session->has(kSubscribed) && call.session->protocol == resp::Protocol::kResp2;
  if (looks_like_message) {
    call.reply().array(2);
    call.reply().bulk("pong");
    call.reply().bulk(call.args.size() == 1 ? "" : call.args[1]);
  } else if (call.args.size() == 1) {
    call.reply().raw(resp::kPong);
  } else {
    call.reply().bulk(call.args[1]);
  }
  return Outcome::kDone;
}

Outcome echo(Call& call) {
  call.reply().bulk(call.args[1]);
  return Outcome::kDone;
}

Outcome quit(Call& call) {
  call.reply().ok();
  call.session->connection.close_after_output();
  return Outcome::kDone;
}

Outcome select(Call& call) {
  const std::optional<Database> database = database_argument(call, 1);
  if (!database) return Outcome::kDone;
  call.session->database = *database;
  call.reply().ok();
  return Outcome::kDone;
}

// The only user is "default"; without a password it takes any.
bool authenticate(Call& call, std::string_view user, std::string_view password) {
  const std::string& required = call.session->worker.settings().require_pass;
  if (user != "default" || (!required.empty() && !same_secret(required, password))) return false;
  call.session->connection.require_authentication(false);
  return true;
}

Outcome auth(Call& call) {
  if (call.args.size() > 3) return reply_syntax_error(call);
  const bool with_user = call.args.size() == 3;
  if (!with_user && call.session->worker.settings().require_pass.empty()) {
    return reply_error(call,
                       "ERR AUTH <password> called without any password configured for the default user. Are you "
                       "sure your configuration is correct?");
  }
  if (!authenticate(call, with_user ? call.args[1] : "default", call.args.back())) {
    return reply_error(call, kWrongPassword);
  }
  call.reply().ok();
  return Outcome::kDone;
}

// AUTH and SETNAME take effect one by one, as in Redis. False: the error is replied.
bool apply_hello_options(Call& call) {
  for (size_t i = 2; i < call.args.size(); ++i) {
    const size_t more = call.args.size() - i - 1;
    if (same_word(call.args[i], "auth") && more >= 2) {
      if (!authenticate(call, call.args[i + 1], call.args[i + 2])) {
        reply_error(call, kWrongPassword);
        return false;
      }
      i += 2;
    } else if (same_word(call.args[i], "setname") && more >= 1) {
      if (!valid_client_name(call.args[i + 1])) {
        reply_error(call, "ERR Client names cannot contain spaces, newlines or special characters.");
        return false;
      }
      call.session->name = call.args[i + 1];
      i += 1;
    } else {
      reply_error(call, "ERR Syntax error in HELLO option '" + std::string(call.args[i]) + "'");
      return false;
    }
  }
  return true;
}

void write_hello(const Session& session, resp::Writer writer) {
  writer.map(7);
  writer.bulk("server");
  writer.bulk("redis");
  writer.bulk("version");
  writer.bulk(kRedisVersion);
  writer.bulk("proto");
  writer.integer(static_cast<int64_t>(session.protocol));
  writer.bulk("id");
  writer.integer(static_cast<int64_t>(session.id));
  writer.bulk("mode");
  writer.bulk(session.worker.settings().cluster ? "cluster" : "standalone");
  writer.bulk("role");
  writer.bulk("master");  // also of a node that leads nothing: it takes every command
  writer.bulk("modules");
  writer.array(0);
}

Outcome hello(Call& call) {
  Session& session = *call.session;
  int64_t version = static_cast<int64_t>(session.protocol);
  if (call.args.size() >= 2) {
    const std::optional<int64_t> asked = resp::parse_integer(call.args[1]);
    if (!asked) return reply_error(call, "ERR Protocol version is not an integer or out of range");
    if (*asked != 2 && *asked != 3) return reply_error(call, "NOPROTO unsupported protocol version");
    version = *asked;
  }
  if (!apply_hello_options(call)) return Outcome::kDone;
  if (session.has(kStranger)) {
    return reply_error(call,
                       "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO "
                       "AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol "
                       "version at the same time");
  }
  session.protocol = version == 3 ? resp::Protocol::kResp3 : resp::Protocol::kResp2;
  write_hello(session, resp::Writer(call.reply().out(), session.protocol));
  return Outcome::kDone;
}

// Back to what a new connection is.
Outcome reset(Call& call) {
  Session& session = *call.session;
  session.leave_multi();
  session.watched.clear();
  session.database = 0;
  session.protocol = resp::Protocol::kResp2;
  session.name.clear();
  session.consistency = Consistency();
  session.set(kOwnLevel, false);
  session.set(kLocalReads, false);
  session.set(kReplyOff, false);
  session.worker.stop_monitoring(session.connection);
  session.worker.unsubscribe_all(session.connection);
  session.connection.require_authentication(!session.worker.settings().require_pass.empty());
  call.reply().simple("RESET");
  return Outcome::kDone;
}

constexpr CommandSpec kCommands[] = {
    {.name = "ping",
     .arity = -1,
     .flags = kFast | kWhileSubscribed,
     .run = ping,
     .categories = "connection",
     .group = "connection",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Replies PONG, or the message",
     .syntax = "[<message:string>]",
     .tips = "request_policy:all_shards response_policy:all_succeeded"},
    {.name = "echo",
     .arity = 2,
     .flags = kLoading | kStale | kFast,
     .run = echo,
     .categories = "connection",
     .group = "connection",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Replies the message",
     .syntax = "<message:string>"},
    {.name = "quit",
     .arity = -1,
     .flags = kNoscript | kLoading | kStale | kFast | kNoAuth | kAllowBusy | kNotQueued | kWhileSubscribed,
     .run = quit,
     .categories = "connection",
     .group = "connection",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Closes the connection when the replies so far are sent"},
    {.name = "select",
     .arity = 2,
     .flags = kLoading | kStale | kFast,
     .run = select,
     .categories = "connection",
     .group = "connection",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Chooses the connection's database",
     .syntax = "<index:integer>"},
    {.name = "auth",
     .arity = -2,
     .flags = kNoscript | kLoading | kStale | kFast | kNoAuth | kAllowBusy | kAllSecret,
     .run = auth,
     .categories = "connection",
     .group = "connection",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Proves who the client is",
     .syntax = "[<username:string>] <password:string>"},
    {.name = "hello",
     .arity = -1,
     .flags = kNoscript | kLoading | kStale | kFast | kNoAuth | kAllowBusy | kSomeSecret,
     .run = hello,
     .categories = "connection",
     .group = "connection",
     .since = "6.0.0",
     .complexity = "O(1)",
     .summary = "Agrees on the protocol, and says what this server is",
     .syntax = "[<protover:integer> [AUTH <username:string> <password:string>] [SETNAME <clientname:string>]]"},
    {.name = "reset",
     .arity = 1,
     .flags = kNoscript | kLoading | kStale | kFast | kNoAuth | kAllowBusy | kNotQueued | kWhileSubscribed,
     .run = reset,
     .categories = "connection",
     .group = "connection",
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Makes the connection what it was when it was opened"},
};

}  // namespace

std::span<const CommandSpec> connection_commands() { return kCommands; }

}  // namespace capstan
