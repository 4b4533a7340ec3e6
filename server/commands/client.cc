// CLIENT and its subcommands.
#include <algorithm>
#include <map>
#include <memory>

#include "resp/number.h"
#include "server/commands/client_filter.h"
#include "server/commands/help.h"
#include "server/connection.h"
#include "server/node.h"
#include "server/password.h"
#include "server/text.h"
#include "server/worker.h"

namespace capstan {

bool ClientFilter::matches(const Session& session, uint64_t me) const {
  if (skip_me && session.id == me) return false;
  if (type && *type != (session.has(kSubscribed) ? ClientType::kPubsub : ClientType::kNormal)) return false;
  if (address && *address != session.peer_address) return false;
  if (local_address && *local_address != session.local_address) return false;
  if (user && *user != "default") return false;
  return ids.empty() || std::find(ids.begin(), ids.end(), session.id) != ids.end();
}

std::optional<ClientType> parse_client_type(std::string_view word) {
  if (same_word(word, "normal")) return ClientType::kNormal;
  if (same_word(word, "pubsub")) return ClientType::kPubsub;
  if (same_word(word, "master") || same_word(word, "replica") || same_word(word, "slave")) {
    return ClientType::kReplication;
  }
  return std::nullopt;
}

namespace {

constexpr uint32_t kFlags = kNoscript | kLoading | kStale;
constexpr std::string_view kNoSuchClient = "ERR No such client";

Outcome reply_ok(Call& call) {
  call.reply().ok();
  return Outcome::kDone;
}

Outcome id(Call& call) {
  call.reply().integer(static_cast<int64_t>(call.session->id));
  return Outcome::kDone;
}

Outcome info(Call& call) {
  call.reply().verbatim("txt", call.session->connection.describe(call.now_ms) + "\n");
  return Outcome::kDone;
}

Outcome getname(Call& call) {
  if (call.session->name.empty()) {
    call.reply().null();
  } else {
    call.reply().bulk(call.session->name);
  }
  return Outcome::kDone;
}

Outcome setname(Call& call) {
  if (!valid_client_name(call.args[2])) {
    return reply_error(call, "ERR Client names cannot contain spaces, newlines or special characters.");
  }
  call.session->name = call.args[2];
  return reply_ok(call);
}

// Of Redis 7.2; its clients send it at connect.
Outcome setinfo(Call& call) {
  const bool library = same_word(call.args[2], "lib-name");
  if (!library && !same_word(call.args[2], "lib-ver")) {
    return reply_error(call, "ERR Unrecognized option '" + std::string(call.args[2]) + "'");
  }
  if (!valid_client_name(call.args[3])) {
    return reply_error(call, "ERR " + lower(call.args[2]) + " cannot contain spaces, newlines or special characters.");
  }
  (library ? call.session->library_name : call.session->library_version) = call.args[3];
  return reply_ok(call);
}

Outcome no_evict(Call& call) {
  if (!same_word(call.args[2], "on") && !same_word(call.args[2], "off")) return reply_syntax_error(call);
  call.session->no_evict = same_word(call.args[2], "on");
  return reply_ok(call);
}

Outcome reply(Call& call) {
  Session& session = *call.session;
  if (same_word(call.args[2], "on")) {
    session.set(kReplyOff, false);
    session.set(kReplySkip, false);
    return reply_ok(call);
  }
  if (same_word(call.args[2], "off")) {
    session.set(kReplyOff);
  } else if (!same_word(call.args[2], "skip")) {
    return reply_syntax_error(call);
  } else if (!session.has(kReplyOff)) {
    session.set(kReplySkipNext);
  }
  return Outcome::kDone;
}

// ---- LIST

// False: the error is replied.
bool parse_list(Call& call, ClientFilter& filter) {
  filter.skip_me = false;
  if (call.args.size() == 4 && same_word(call.args[2], "type")) {
    filter.type = parse_client_type(call.args[3]);
    if (!filter.type) reply_error(call, "ERR Unknown client type '" + std::string(call.args[3]) + "'");
    return filter.type.has_value();
  }
  if (call.args.size() > 3 && same_word(call.args[2], "id")) {
    for (const std::string_view word : call.args.subspan(3)) {
      const std::optional<int64_t> number = resp::parse_integer(word);
      if (!number) {
        reply_error(call, "ERR Invalid client ID");
        return false;
      }
      filter.ids.push_back(static_cast<uint64_t>(*number));
    }
    return true;
  }
  if (call.args.size() == 2) return true;
  reply_syntax_error(call);
  return false;
}

Outcome list(Call& call) {
  ClientFilter filter;
  if (!parse_list(call, filter)) return Outcome::kDone;
  using Lines = std::vector<std::pair<uint64_t, std::string>>;
  auto lines = std::make_shared<std::vector<Lines>>(call.node->workers());
  const LaterReply later(*call.session);
  call.session->worker.on_every_worker(
      [lines, filter, now_ms = call.now_ms](Worker& worker) {
        worker.for_each_connection([&](Connection& connection) {
          if (!filter.matches(connection.session, 0)) return;
          (*lines)[worker.index()].emplace_back(connection.session.id, connection.describe(now_ms));
        });
      },
      [lines, later, ids = filter.ids](Worker&) {
        std::map<uint64_t, std::string> all;
        for (Lines& part : *lines) all.insert(part.begin(), part.end());
        std::string text;
        // As asked for, also twice; else all.
        for (const uint64_t number : ids) {
          if (const auto found = all.find(number); found != all.end()) text.append(found->second).append("\n");
        }
        if (ids.empty()) {
          for (const auto& [number, line] : all) text.append(line).append("\n");
        }
        resp::OutputBuffer out;
        resp::Writer(out, later.protocol()).verbatim("txt", text);
        later.send(out.view());
      });
  return Outcome::kLater;
}

// ---- KILL

// One filter of the new form; false: the error is replied.
bool parse_kill_filter(Call& call, std::string_view name, std::string_view value, ClientFilter& filter) {
  const auto refuse_with = [&call](std::string_view message) {
    reply_error(call, message);
    return false;
  };
  if (same_word(name, "id")) {
    const std::optional<int64_t> number = resp::parse_integer(value);
    if (!number || *number < 1) return refuse_with("ERR client-id should be greater than 0");
    filter.ids = {static_cast<uint64_t>(*number)};
  } else if (same_word(name, "type")) {
    filter.type = parse_client_type(value);
    if (!filter.type) return refuse_with("ERR Unknown client type '" + std::string(value) + "'");
  } else if (same_word(name, "addr")) {
    filter.address = value;
  } else if (same_word(name, "laddr")) {
    filter.local_address = value;
  } else if (same_word(name, "user")) {
    if (value != "default") return refuse_with("ERR No such user '" + std::string(value) + "'");
    filter.user = value;
  } else if (same_word(name, "skipme") && same_word(value, "yes")) {
    filter.skip_me = true;
  } else if (same_word(name, "skipme") && same_word(value, "no")) {
    filter.skip_me = false;
  } else {
    return refuse_with("ERR syntax error");
  }
  return true;
}

void kill_one(Connection& connection, uint64_t me) {
  if (connection.session.id == me) {
    connection.close_after_output();  // its reply goes first
  } else {
    connection.close_now();
  }
}

Outcome kill(Call& call) {
  ClientFilter filter;
  const bool old_form = call.args.size() == 3;
  if (old_form) {
    filter.address = call.args[2];
    filter.skip_me = false;
  } else {
    if (call.args.size() % 2 != 0) return reply_syntax_error(call);
    for (size_t i = 2; i < call.args.size(); i += 2) {
      if (!parse_kill_filter(call, call.args[i], call.args[i + 1], filter)) return Outcome::kDone;
    }
  }
  auto killed = std::make_shared<std::vector<int64_t>>(call.node->workers());
  const LaterReply later(*call.session);
  const uint64_t me = call.session->id;
  call.session->worker.on_every_worker(
      [killed, filter, me](Worker& worker) {
        worker.for_each_connection([&](Connection& connection) {
          if (!filter.matches(connection.session, me)) return;
          ++(*killed)[worker.index()];
          kill_one(connection, me);
        });
      },
      [killed, later, old_form](Worker&) {
        int64_t count = 0;
        for (const int64_t part : *killed) count += part;
        resp::OutputBuffer out;
        resp::Writer writer(out, later.protocol());
        if (!old_form) {
          writer.integer(count);
        } else if (count > 0) {
          writer.ok();
        } else {
          writer.error(kNoSuchClient);
        }
        later.send(out.view());
      });
  return Outcome::kLater;
}

// ---- PAUSE, UNBLOCK

Outcome pause_everywhere(Call& call, int64_t until_ms, bool all) {
  const LaterReply later(*call.session);
  call.session->worker.on_every_worker([until_ms, all](Worker& worker) { worker.pause(until_ms, all); },
                                       [later](Worker&) { later.send(resp::kOk); });
  return Outcome::kLater;
}

Outcome pause(Call& call) {
  bool all = true;
  if (call.args.size() > 4) return reply_wrong_subcommand(call, "CLIENT");
  if (call.args.size() == 4) {
    all = same_word(call.args[3], "all");
    if (!all && !same_word(call.args[3], "write")) {
      return reply_error(call, "ERR CLIENT PAUSE mode must be WRITE or ALL");
    }
  }
  const std::optional<int64_t> timeout_ms = resp::parse_integer(call.args[2]);
  if (!timeout_ms || *timeout_ms > INT64_MAX - call.now_ms) {
    return reply_error(call, "ERR timeout is not an integer or out of range");
  }
  if (*timeout_ms < 0) return reply_error(call, "ERR timeout is negative");
  return pause_everywhere(call, call.now_ms + *timeout_ms, all);
}

Outcome unpause(Call& call) { return pause_everywhere(call, 0, false); }

Outcome unblock(Call& call) {
  if (call.args.size() > 4) return reply_wrong_subcommand(call, "CLIENT");
  const bool with_error = call.args.size() == 4 && same_word(call.args[3], "error");
  if (call.args.size() == 4 && !with_error && !same_word(call.args[3], "timeout")) {
    return reply_error(call, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
  }
  const std::optional<int64_t> client = resp::parse_integer(call.args[2]);
  if (!client) return reply_not_integer(call);
  auto unblocked = std::make_shared<std::vector<int64_t>>(call.node->workers());
  const LaterReply later(*call.session);
  call.session->worker.on_every_worker(
      [unblocked, client = static_cast<uint64_t>(*client), with_error](Worker& worker) {
        Connection* const connection = worker.find_connection(client);
        if (connection == nullptr || connection->session.blocked == nullptr) return;
        (*unblocked)[worker.index()] = 1;
        connection->session.blocked->unblock(with_error);
      },
      [unblocked, later](Worker&) {
        resp::OutputBuffer out;
        resp::Writer(out, later.protocol()).integer(*std::max_element(unblocked->begin(), unblocked->end()));
        later.send(out.view());
      });
  return Outcome::kLater;
}

Outcome help(Call& call);

constexpr std::string_view kDangerous = "dangerous connection";

constexpr CommandSpec kSubcommands[] = {
    {.name = "getname",
     .arity = 2,
     .flags = kFlags,
     .run = getname,
     .categories = "connection",
     .group = "connection",
     .since = "2.6.9",
     .complexity = "O(1)",
     .summary = "Replies the connection's name"},
    {.name = "help",
     .arity = 2,
     .flags = kLoading | kStale,
     .run = help,
     .categories = "connection",
     .group = "connection",
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "id",
     .arity = 2,
     .flags = kFlags,
     .run = id,
     .categories = "connection",
     .group = "connection",
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Replies the connection's number"},
    {.name = "info",
     .arity = 2,
     .flags = kFlags,
     .run = info,
     .categories = "connection",
     .group = "connection",
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Describes the connection",
     .tips = "nondeterministic_output"},
    {.name = "kill",
     .arity = -3,
     .flags = kFlags | kAdmin,
     .run = kill,
     .categories = kDangerous,
     .group = "connection",
     .since = "2.4.0",
     .complexity = "O(N) for N connections",
     .summary = "Closes connections",
     .syntax =
         "<ip-port:string>|[ID <client-id:integer>|TYPE <type:string>|USER <username:string>|ADDR <ip-port:string>"
         "|LADDR <ip-port:string>|SKIPME <yes-no:string>] …"},
    {.name = "list",
     .arity = -2,
     .flags = kFlags | kAdmin,
     .run = list,
     .categories = kDangerous,
     .group = "connection",
     .since = "2.4.0",
     .complexity = "O(N) for N connections",
     .summary = "Describes connections, one a line",
     .syntax = "[TYPE <type:string>] [ID <client-id:integer> …]",
     .tips = "nondeterministic_output"},
    {.name = "no-evict",
     .arity = 3,
     .flags = kFlags | kAdmin,
     .run = no_evict,
     .categories = kDangerous,
     .group = "connection",
     .since = "7.0.0",
     .complexity = "O(1)",
     .summary = "Marks the connection as one that is not closed for want of memory",
     .syntax = "ON|OFF"},
    {.name = "pause",
     .arity = -3,
     .flags = kFlags | kAdmin,
     .run = pause,
     .categories = kDangerous,
     .group = "connection",
     .since = "2.9.50",
     .complexity = "O(1)",
     .summary = "Makes all commands, or those that write, wait for a time",
     .syntax = "<timeout:integer> [WRITE|ALL]"},
    {.name = "reply",
     .arity = 3,
     .flags = kFlags,
     .run = reply,
     .categories = "connection",
     .group = "connection",
     .since = "3.2.0",
     .complexity = "O(1)",
     .summary = "Turns replies on or off, or leaves out the next one",
     .syntax = "ON|OFF|SKIP"},
    {.name = "setinfo",
     .arity = 4,
     .flags = kFlags,
     .run = setinfo,
     .categories = "connection",
     .group = "connection",
     .since = "7.2.0",
     .complexity = "O(1)",
     .summary = "Notes the client library's name or version",
     .syntax = "LIB-NAME <libname:string>|LIB-VER <libver:string>"},
    {.name = "setname",
     .arity = 3,
     .flags = kFlags,
     .run = setname,
     .categories = "connection",
     .group = "connection",
     .since = "2.6.9",
     .complexity = "O(1)",
     .summary = "Names the connection",
     .syntax = "<connection-name:string>"},
    {.name = "unblock",
     .arity = -3,
     .flags = kFlags | kAdmin,
     .run = unblock,
     .categories = kDangerous,
     .group = "connection",
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Ends another connection's blocking command",
     .syntax = "<client-id:integer> [TIMEOUT|ERROR]"},
    {.name = "unpause",
     .arity = 2,
     .flags = kFlags | kAdmin,
     .run = unpause,
     .categories = kDangerous,
     .group = "connection",
     .since = "6.2.0",
     .complexity = "O(N) for N connections that wait",
     .summary = "Ends CLIENT PAUSE"},
};

Outcome help(Call& call) {
  resp::Writer& writer = call.reply();
  writer.array(1 + 2 * std::size(kSubcommands));
  writer.simple("CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
  for (const CommandSpec& spec : kSubcommands) {
    std::string usage(spec.name);
    std::transform(usage.begin(), usage.end(), usage.begin(), [](unsigned char c) { return std::toupper(c); });
    if (!spec.syntax.empty()) usage.append(" ").append(spec.syntax);
    writer.simple(usage);
    writer.simple("    " + std::string(spec.summary) + ".");
  }
  return Outcome::kDone;
}

constexpr CommandSpec kCommands[] = {
    {.name = "client",
     .arity = -2,
     .group = "connection",
     .since = "2.4.0",
     .complexity = "that of the subcommand",
     .summary = "Commands about connections",
     .subcommands = kSubcommands},
};

}  // namespace

std::span<const CommandSpec> client_commands() { return kCommands; }

}  // namespace capstan
