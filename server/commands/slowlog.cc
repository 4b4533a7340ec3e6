// SLOWLOG: every worker has the entries of its clients; together they are one log.
#include <algorithm>
#include <memory>

#include "resp/number.h"
#include "server/commands/help.h"
#include "server/node.h"
#include "server/worker.h"

namespace capstan {
namespace {

constexpr uint32_t kFlags = kAdmin | kLoading | kStale;
constexpr int64_t kDefaultCount = 10;

using Entries = std::vector<SlowLogEntry>;

// Calls done with all workers' entries, newest first, no more than slowlog-max-len.
void gather_entries(Worker& caller, std::function<void(const Entries&)> done) {
  auto parts = std::make_shared<std::vector<Entries>>(caller.node().workers());
  caller.on_every_worker(
      [parts](Worker& worker) {
        const auto& entries = worker.slow_log().entries();
        (*parts)[worker.index()].assign(entries.begin(), entries.end());
      },
      [parts, done = std::move(done)](Worker& worker) {
        Entries all;
        for (const Entries& part : *parts) all.insert(all.end(), part.begin(), part.end());
        std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.id > b.id; });
        all.resize(std::min<size_t>(all.size(), worker.settings().slowlog_max_len));
        done(all);
      });
}

void write_entry(resp::Writer& writer, const SlowLogEntry& entry) {
  writer.array(6);
  writer.integer(static_cast<int64_t>(entry.id));
  writer.integer(entry.time_s);
  writer.integer(entry.elapsed_us);
  writer.array(entry.words.size());
  for (const std::string& word : entry.words) writer.bulk(word);
  writer.bulk(entry.peer_address);
  writer.bulk(entry.client_name);
}

Outcome get(Call& call) {
  if (call.args.size() > 3) return reply_wrong_subcommand(call, "SLOWLOG");
  std::optional<int64_t> count = kDefaultCount;
  if (call.args.size() == 3) count = resp::parse_integer(call.args[2]);
  if (!count || *count < -1) return reply_error(call, "ERR count should be greater than or equal to -1");
  const LaterReply later(*call.session);
  const size_t most = *count < 0 ? SIZE_MAX : static_cast<size_t>(*count);
  gather_entries(call.session->worker, [later, most](const Entries& entries) {
    const size_t shown = std::min(most, entries.size());
    resp::OutputBuffer out;
    resp::Writer writer(out, later.protocol());
    writer.array(shown);
    for (size_t i = 0; i < shown; ++i) write_entry(writer, entries[i]);
    later.send(out.view());
  });
  return Outcome::kLater;
}

Outcome len(Call& call) {
  const LaterReply later(*call.session);
  gather_entries(call.session->worker, [later](const Entries& entries) {
    resp::OutputBuffer out;
    resp::Writer(out, later.protocol()).integer(static_cast<int64_t>(entries.size()));
    later.send(out.view());
  });
  return Outcome::kLater;
}

Outcome reset(Call& call) {
  const LaterReply later(*call.session);
  call.session->worker.on_every_worker([](Worker& worker) { worker.slow_log().clear(); },
                                       [later](Worker&) { later.send(resp::kOk); });
  return Outcome::kLater;
}

Outcome help(Call& call) {
  return reply_help(
      call, "SLOWLOG",
      {
          "GET [<count>]",
          "    The newest entries (10 if no count is given, all if it is -1). Each has a number, a time, how",
          "    many microseconds it took, the command's words, the client's address and its name.",
          "LEN",
          "    How many entries there are.",
          "RESET",
          "    Forgets them all.",
      });
}

constexpr CommandSpec kSubcommands[] = {
    {.name = "get",
     .arity = -2,
     .flags = kFlags,
     .run = get,
     .group = "server",
     .since = "2.2.12",
     .complexity = "O(N) for N entries",
     .summary = "Replies the newest entries of the slow log",
     .syntax = "[<count:integer>]",
     .tips = "request_policy:all_nodes nondeterministic_output"},
    {.name = "help",
     .arity = 2,
     .flags = kLoading | kStale,
     .run = help,
     .group = "server",
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "len",
     .arity = 2,
     .flags = kFlags,
     .run = len,
     .group = "server",
     .since = "2.2.12",
     .complexity = "O(1)",
     .summary = "Replies how many entries the slow log has",
     .tips = "request_policy:all_nodes response_policy:agg_sum nondeterministic_output"},
    {.name = "reset",
     .arity = 2,
     .flags = kFlags,
     .run = reset,
     .group = "server",
     .since = "2.2.12",
     .complexity = "O(N) for N entries",
     .summary = "Empties the slow log",
     .tips = "request_policy:all_nodes response_policy:all_succeeded"},
};

constexpr CommandSpec kCommands[] = {
    {.name = "slowlog",
     .arity = -2,
     .group = "server",
     .since = "2.2.12",
     .complexity = "Depends on the subcommand",
     .summary = "The log of slow commands",
     .subcommands = kSubcommands},
};

}  // namespace

std::span<const CommandSpec> slowlog_commands() { return kCommands; }

}  // namespace capstan
