// CONFIG. Changes are made by worker 0 alone, one after the other, so that none is lost; then every worker takes the
// new settings over.
#include "server/config.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "resp/limits.h"
#include "server/commands/help.h"
#include "server/connection.h"
#include "server/descriptor_limit.h"
#include "server/log.h"
#include "server/node.h"
#include "server/owned_arguments.h"
#include "server/worker.h"

namespace capstan {
namespace {

constexpr uint32_t kFlags = kAdmin | kNoscript | kLoading | kStale;

// Sends the reply from worker 0, where it is known, by way of the session's own.
void send_from(Worker& zero, unsigned to, const LaterReply& later, std::string reply) {
  zero.post(to, [later, reply = std::move(reply)](Worker&) { later.send(reply); });
}

std::string error_reply(const Error& error) {
  resp::OutputBuffer out;
  resp::Writer(out, resp::Protocol::kResp2).error(error.message);
  return std::string(out.view());
}

// ---- GET

Outcome get(Call& call) {
  const auto found = matching_values(call.session->worker.settings(), call.args.subspan(2));
  call.reply().map(found.size());
  for (const auto& [name, value] : found) {
    call.reply().bulk(name);
    call.reply().bulk(value);
  }
  return Outcome::kDone;
}

// ---- SET

void publish(Worker& zero, Settings settings, unsigned to, const LaterReply& later) {
  set_log_level(settings.log_level);
  zero.node().publish(zero, std::make_shared<const Settings>(std::move(settings)),
                      [to, later](Worker& done) { send_from(done, to, later, std::string(resp::kOk)); });
}

Error too_many_clients(uint32_t possible) {
  return {ErrorCode::kFull,
          "ERR CONFIG SET failed (possibly related to argument 'maxclients') - The operating system is not able to "
          "handle the specified number of clients, try with " +
              std::to_string(possible)};
}

Outcome set(Call& call) {
  if (call.args.size() % 2 != 0) return reply_syntax_error(call);
  Worker& worker = call.session->worker;
  const LaterReply later(*call.session);
  worker.post(0, [to = worker.index(), later, pairs = OwnedArguments(call.args.subspan(2))](Worker& zero) {
    Result<Settings> settings = change_settings(*zero.node().settings(), pairs.words());
    if (!settings) return send_from(zero, to, later, error_reply(settings.error()));
    const uint32_t possible = clients_possible(*settings);
    if (possible < settings->max_clients && settings->max_clients != zero.settings().max_clients) {
      return send_from(zero, to, later, error_reply(too_many_clients(possible)));
    }
    publish(zero, std::move(settings.value()), to, later);
  });
  return Outcome::kLater;
}

// ---- REWRITE

Result<> replace_file(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".new";
  const int descriptor = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor < 0) return system_error(errno, "cannot write " + temporary);
  const bool written = write(descriptor, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const bool durable = written && fsync(descriptor) == 0;
  const int error_number = errno;
  close(descriptor);
  if (durable && std::rename(temporary.c_str(), path.c_str()) == 0) return {};
  return system_error(durable ? errno : error_number, "cannot write " + path);
}

Result<> rewrite_file(const Settings& settings) {
  // A file that is gone is written anew; one that cannot be read must not lose its lines.
  std::ifstream file(settings.config_file);
  if (!file && errno != ENOENT) return system_error(errno, "cannot read " + settings.config_file);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return replace_file(settings.config_file, rewritten(text, settings.values));
}

// The one command that writes a file on a worker: it is rare, and short.
Outcome rewrite(Call& call) {
  Worker& worker = call.session->worker;
  if (worker.settings().config_file.empty())
    return reply_error(call, "ERR The server is running without a config file");
  const LaterReply later(*call.session);
  worker.post(0, [to = worker.index(), later](Worker& zero) {
    const Result<> done = rewrite_file(*zero.node().settings());
    if (!done) log_warning("CONFIG REWRITE: " + done.error().message);
    std::string reply(resp::kOk);
    if (!done) reply = error_reply({ErrorCode::kIo, "ERR Rewriting config file: " + done.error().message});
    send_from(zero, to, later, std::move(reply));
  });
  return Outcome::kLater;
}

// ---- RESETSTAT

Outcome resetstat(Call& call) {
  const LaterReply later(*call.session);
  call.session->worker.on_every_worker([](Worker& worker) { worker.reset_statistics(); },
                                       [later](Worker&) { later.send(resp::kOk); });
  return Outcome::kLater;
}

Outcome help(Call& call) {
  return reply_help(call, "CONFIG",
                    {
                        "GET <pattern> [<pattern> ...]",
                        "    The directives whose names match, and their values.",
                        "SET <directive> <value> [<directive> <value> ...]",
                        "    Changes directives: all of them, or none if there is an error.",
                        "RESETSTAT",
                        "    Sets the counters of INFO to zero.",
                        "REWRITE",
                        "    Writes the directives as they are now to the configuration file.",
                    });
}

constexpr CommandSpec kSubcommands[] = {
    {.name = "get",
     .arity = -3,
     .flags = kFlags,
     .run = get,
     .categories = "dangerous",
     .group = "server",
     .since = "2.0.0",
     .complexity = "O(N) for N directives",
     .summary = "Replies directives and their values",
     .syntax = "<parameter:string> …"},
    {.name = "help",
     .arity = 2,
     .flags = kLoading | kStale,
     .run = help,
     .group = "server",
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "resetstat",
     .arity = 2,
     .flags = kFlags,
     .run = resetstat,
     .categories = "dangerous",
     .group = "server",
     .since = "2.0.0",
     .complexity = "O(1)",
     .summary = "Sets the counters of INFO to zero"},
    {.name = "rewrite",
     .arity = 2,
     .flags = kFlags,
     .run = rewrite,
     .categories = "dangerous",
     .group = "server",
     .since = "2.8.0",
     .complexity = "O(1)",
     .summary = "Writes the directives as they are now to the configuration file"},
    {.name = "set",
     .arity = -4,
     .flags = kFlags | kSomeSecret,
     .run = set,
     .categories = "dangerous",
     .group = "server",
     .since = "2.0.0",
     .complexity = "O(N) for N directives",
     .summary = "Changes directives while the server runs",
     .syntax = "(<parameter:string> <value:string>)…",
     .tips = "request_policy:all_nodes response_policy:all_succeeded"},
};

constexpr CommandSpec kCommands[] = {
    {.name = "config",
     .arity = -2,
     .group = "server",
     .since = "2.0.0",
     .complexity = "Depends on the subcommand",
     .summary = "The server's directives",
     .subcommands = kSubcommands},
};

}  // namespace

std::span<const CommandSpec> config_commands() { return kCommands; }

}  // namespace capstan
