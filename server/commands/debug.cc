// DEBUG, as far as tests of clients need it: SLEEP, OBJECT, SET-ACTIVE-EXPIRE. Only with enable-debug-command.
#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>

#include "server/commands/help.h"
#include "server/connection.h"
#include "server/node.h"
#include "server/text.h"
#include "server/worker.h"

namespace capstan {
namespace {

bool allowed(const Call& call) {
  const Settings& settings = call.session->worker.settings();
  if (settings.debug_access != Access::kLocal) return settings.debug_access == Access::kYes;
  const std::string& address = call.session->peer_address;
  return call.session->unix_socket || address.starts_with("127.") || address.starts_with("[::1]");
}

// Keeps the worker from doing anything else, which is what it is for. Text that is no number is 0, as with Redis.
Outcome sleep(Call& call) {
  const double seconds = std::clamp(std::strtod(std::string(call.args[2]).c_str(), nullptr), 0.0, 1e6);
  timespec left{static_cast<time_t>(seconds), static_cast<long>((seconds - std::floor(seconds)) * 1e9)};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
  call.reply().ok();
  return Outcome::kDone;
}

Outcome set_active_expiry(Call& call) {
  const bool on = std::strtol(std::string(call.args[2]).c_str(), nullptr, 10) != 0;
  const LaterReply later(*call.session);
  call.session->worker.on_every_worker(
      [on](Worker& worker) {
        for (const auto& shard : worker.executor().shards()) shard->set_active_expiry(on);
      },
      [later](Worker&) { later.send(resp::kOk); });
  return Outcome::kLater;
}

// ---- OBJECT: put together from what other commands say of the key

TransactionCommand shard_command(Database database, std::string_view full_name,
                                 std::initializer_list<std::string_view> words) {
  return {&command_by_full_name(full_name), database, OwnedArguments(std::span(words.begin(), words.size()))};
}

void describe_object(Worker& worker, Task& task, std::string_view replies) {
  resp::OutputBuffer out;
  resp::Writer writer(out, task.protocol);
  const std::vector<size_t>& ends = task.transaction->reply_ends;
  const auto value = [&](size_t i) {  // of a one-line or bulk reply
    const size_t begin = i == 0 ? 0 : ends[i - 1];
    std::string_view reply = replies.substr(begin, ends[i] - begin);
    if (reply[0] == '$') reply = reply.substr(reply.find('\n'));
    return std::string(reply.substr(1, reply.rfind('\r') - 1));
  };
  if (task.transaction->refused) {
    writer.raw(replies);
  } else if (replies.starts_with(":0")) {
    writer.error("ERR no such key");
  } else {
    writer.simple("Value at:0x0 refcount:1 encoding:" + value(1) + " serializedlength:" + value(2) +
                  " lru:0 lru_seconds_idle:" + value(3));
  }
  worker.deliver(task.reply_to, out.view(), 0);
}

Outcome object(Call& call) {
  Session& session = *call.session;
  const std::string_view key = call.args[2];
  auto task = std::make_unique<Task>();
  task->reply_to = session.reply_address;
  task->shard = session.worker.dispatcher().shard_map().shard_of(key);
  task->protocol = session.protocol;
  task->spec = &command_by_full_name("exec");
  task->database = session.database;
  task->transaction = std::make_unique<Transaction>();
  auto& commands = task->transaction->commands;
  commands.push_back(shard_command(session.database, "exists", {"exists", key}));
  commands.push_back(shard_command(session.database, "object|encoding", {"object", "encoding", key}));
  commands.push_back(shard_command(session.database, "memory|usage", {"memory", "usage", key}));
  commands.push_back(shard_command(session.database, "object|idletime", {"object", "idletime", key}));
  task->on_done = describe_object;
  const unsigned owner = session.worker.dispatcher().owner(task->shard);
  // Later in this turn, or at the owner: the place of the reply is not open yet.
  session.worker.post(session.worker.index(),
                      [owner, task = std::move(task)](Worker& self) mutable { self.submit(owner, std::move(task)); });
  return Outcome::kLater;
}

Outcome help(Call& call) {
  return reply_help(call, "DEBUG",
                    {
                        "OBJECT <key>",
                        "    How a key is stored; serializedlength is its size in memory.",
                        "SET-ACTIVE-EXPIRE <0|1>",
                        "    Whether keys that expired are removed in the background.",
                        "SLEEP <seconds>",
                        "    Stops this connection's worker for a time.",
                    });
}

Outcome debug(Call& call) {
  if (!allowed(call)) {
    return reply_error(call,
                       "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can "
                       "run it from a local connection, otherwise you need to set this option in the configuration "
                       "file, and then restart the server.");
  }
  const std::string_view subcommand = call.args[1];
  if (call.args.size() == 2 && same_word(subcommand, "help")) return help(call);
  if (call.args.size() == 3) {
    if (same_word(subcommand, "sleep")) return sleep(call);
    if (same_word(subcommand, "object")) return object(call);
    if (same_word(subcommand, "set-active-expire")) return set_active_expiry(call);
  }
  return reply_wrong_subcommand(call, "DEBUG");
}

constexpr CommandSpec kCommands[] = {
    {.name = "debug",
     .arity = -2,
     .flags = kAdmin | kNoscript | kLoading | kStale,
     .run = debug,
     .group = "server",
     .since = "1.0.0",
     .complexity = "Depends on the subcommand",
     .summary = "Helps to test clients",
     .syntax = "OBJECT <key:key>|SET-ACTIVE-EXPIRE <enabled:integer>|SLEEP <seconds:double>|HELP"},
};

}  // namespace

std::span<const CommandSpec> debug_commands() { return kCommands; }

}  // namespace capstan
