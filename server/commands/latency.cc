// LATENCY: samples of slow events, and how long each command takes.
#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "server/command_info.h"
#include "server/commands/help.h"
#include "server/node.h"
#include "server/node_report.h"
#include "server/worker.h"

namespace capstan {
namespace {

constexpr uint32_t kFlags = kAdmin | kNoscript | kLoading | kStale;

using Events = LatencyMonitor::Events;

// Two workers' samples of one event: per second the worse.
void merge(LatencyEvent& into, const LatencyEvent& from) {
  into.worst_ms = std::max(into.worst_ms, from.worst_ms);
  std::map<int64_t, int64_t> by_second;
  for (const LatencySample& sample : into.samples) by_second[sample.time_s] = sample.elapsed_ms;
  for (const LatencySample& sample : from.samples) {
    by_second[sample.time_s] = std::max(by_second[sample.time_s], sample.elapsed_ms);
  }
  into.samples.clear();
  for (const auto& [time_s, elapsed_ms] : by_second) into.samples.push_back({time_s, elapsed_ms});
  while (into.samples.size() > LatencyMonitor::kMaxSamples) into.samples.pop_front();
}

using WriteEvents = std::function<void(resp::Writer&, const Events&)>;

// Replies what `write` makes of all workers' events.
Outcome reply_with_events(Call& call, WriteEvents write) {
  Worker& caller = call.session->worker;
  auto parts = std::make_shared<std::vector<Events>>(caller.node().workers());
  const LaterReply later(*call.session);
  caller.on_every_worker([parts](Worker& worker) { (*parts)[worker.index()] = worker.latency_monitor().events(); },
                         [parts, later, write = std::move(write)](Worker&) {
                           Events all;
                           for (const Events& part : *parts) {
                             for (const auto& [name, event] : part) merge(all[name], event);
                           }
                           resp::OutputBuffer out;
                           resp::Writer writer(out, later.protocol());
                           write(writer, all);
                           later.send(out.view());
                         });
  return Outcome::kLater;
}

Outcome latest(Call& call) {
  return reply_with_events(call, [](resp::Writer& writer, const Events& events) {
    writer.array(events.size());
    for (const auto& [name, event] : events) {
      writer.array(4);
      writer.bulk(name);
      writer.integer(event.samples.back().time_s);
      writer.integer(event.samples.back().elapsed_ms);
      writer.integer(event.worst_ms);
    }
  });
}

Outcome history(Call& call) {
  return reply_with_events(call, [wanted = std::string(call.args[2])](resp::Writer& writer, const Events& events) {
    const auto found = events.find(wanted);
    if (found == events.end()) return writer.array(0);
    writer.array(found->second.samples.size());
    for (const LatencySample& sample : found->second.samples) {
      writer.array(2);
      writer.integer(sample.time_s);
      writer.integer(sample.elapsed_ms);
    }
  });
}

// One column per sample, as high as it is slow.
std::string draw(const std::string& name, const LatencyEvent& event) {
  constexpr size_t kColumns = 79;
  constexpr int64_t kRows = 8;
  const size_t columns = std::min(kColumns, event.samples.size());
  const auto first = event.samples.end() - static_cast<std::ptrdiff_t>(columns);
  const auto by_time = [](const LatencySample& a, const LatencySample& b) { return a.elapsed_ms < b.elapsed_ms; };
  const int64_t high = std::max_element(first, event.samples.end(), by_time)->elapsed_ms;
  const int64_t low = std::min_element(first, event.samples.end(), by_time)->elapsed_ms;
  std::string text = name + " - high " + std::to_string(high) + " ms, low " + std::to_string(low) +
                     " ms (the highest ever " + std::to_string(event.worst_ms) + " ms)\n";
  for (int64_t row = kRows; row > 0; --row) {
    for (auto sample = first; sample != event.samples.end(); ++sample) {
      text += sample->elapsed_ms * kRows >= (row - 1) * high + 1 ? '#' : ' ';
    }
    text += '\n';
  }
  return text;
}

Outcome graph(Call& call) {
  return reply_with_events(call, [wanted = std::string(call.args[2])](resp::Writer& writer, const Events& events) {
    const auto found = events.find(wanted);
    if (found == events.end()) {
      writer.error("ERR No samples available for event '" + wanted + "'");
    } else {
      writer.verbatim("txt", draw(wanted, found->second));
    }
  });
}

Outcome doctor(Call& call) {
  const int64_t threshold_ms = call.session->worker.settings().latency_threshold_ms;
  return reply_with_events(call, [threshold_ms](resp::Writer& writer, const Events& events) {
    std::string text;
    if (threshold_ms == 0) {
      text =
          "The latency monitor is off. CONFIG SET latency-monitor-threshold <milliseconds> turns it on: it keeps what "
          "takes at least so long.\n";
    } else if (events.empty()) {
      text =
          "Nothing took " + std::to_string(threshold_ms) + " ms or longer since the latency monitor was turned on.\n";
    }
    for (const auto& [name, event] : events) {
      text += name + ": " + std::to_string(event.samples.size()) + " slow seconds, the worst " +
              std::to_string(event.worst_ms) + " ms. SLOWLOG GET names the commands.\n";
    }
    writer.verbatim("txt", text);
  });
}

Outcome reset(Call& call) {
  auto reset_events = std::make_shared<std::vector<std::set<std::string>>>(call.node->workers());
  const std::vector<std::string> names(call.args.begin() + 2, call.args.end());
  const LaterReply later(*call.session);
  call.session->worker.on_every_worker(
      [reset_events, names](Worker& worker) {
        LatencyMonitor& monitor = worker.latency_monitor();
        std::set<std::string>& gone = (*reset_events)[worker.index()];
        for (const auto& [name, event] : monitor.events()) {
          if (names.empty() || std::find(names.begin(), names.end(), name) != names.end()) gone.insert(name);
        }
        for (const std::string& name : gone) monitor.clear(name);
      },
      [reset_events, later](Worker&) {
        std::set<std::string> all;
        for (const auto& part : *reset_events) all.insert(part.begin(), part.end());
        resp::OutputBuffer out;
        resp::Writer(out, later.protocol()).integer(static_cast<int64_t>(all.size()));
        later.send(out.view());
      });
  return Outcome::kLater;
}

// ---- HISTOGRAM

// Commands that the words name; of a container all its subcommands.
std::vector<const CommandSpec*> chosen_commands(std::span<const std::string_view> names) {
  std::vector<const CommandSpec*> chosen;
  for (const std::string_view name : names) {
    const CommandSpec* const spec = find_full_name(name);
    if (spec == nullptr) continue;
    if (spec->subcommands.empty()) chosen.push_back(spec);
    for (const CommandSpec& subcommand : spec->subcommands) chosen.push_back(&subcommand);
  }
  if (!names.empty()) return chosen;
  for (size_t i = 0; i < command_count(); ++i) chosen.push_back(&command_by_number(i));
  return chosen;
}

// How many calls took at most so many microseconds; only where the number grows.
void write_histogram(resp::Writer& writer, const CommandSpec& spec, const CommandReport& command) {
  writer.bulk(command_full_name(spec));
  writer.map(2);
  writer.bulk("calls");
  writer.integer(static_cast<int64_t>(command.calls));
  writer.bulk("histogram_usec");
  const size_t position = writer.position();
  size_t buckets = 0;
  uint64_t calls = 0;
  for (size_t i = 0; i < kLatencyBuckets; ++i) {
    if (command.latencies[i] == 0) continue;
    calls += command.latencies[i];
    writer.integer(static_cast<int64_t>(bucket_limit_ns(i) / 1000));
    writer.integer(static_cast<int64_t>(calls));
    ++buckets;
  }
  writer.map_at(position, buckets);
}

Outcome histogram(Call& call) {
  const LaterReply later(*call.session);
  gather_report(call.session->worker,
                [later, chosen = chosen_commands(call.args.subspan(2))](Worker&, const NodeReport& report) {
                  const std::vector<CommandReport> totals = command_totals(report);
                  resp::OutputBuffer out;
                  resp::Writer writer(out, later.protocol());
                  size_t written = 0;
                  for (const CommandSpec* const spec : chosen) {
                    const CommandReport& command = totals[command_number(*spec)];
                    if (command.calls == 0) continue;
                    write_histogram(writer, *spec, command);
                    ++written;
                  }
                  writer.map_at(0, written);
                  later.send(out.view());
                });
  return Outcome::kLater;
}

Outcome help(Call& call) {
  return reply_help(call, "LATENCY",
                    {
                        "DOCTOR",
                        "    What the samples say, in words.",
                        "GRAPH <event>",
                        "    An event's samples as a drawing.",
                        "HISTOGRAM [<command> ...]",
                        "    How many calls of each command took at most how many microseconds.",
                        "HISTORY <event>",
                        "    An event's samples: time and milliseconds.",
                        "LATEST",
                        "    The last sample of each event, and its worst.",
                        "RESET [<event> ...]",
                        "    Forgets the samples of these events, or of all.",
                    });
}

constexpr std::string_view kGatherTips = "nondeterministic_output request_policy:all_nodes response_policy:special";

constexpr CommandSpec kSubcommands[] = {
    {.name = "doctor",
     .arity = 2,
     .flags = kFlags,
     .run = doctor,
     .group = "server",
     .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Says what the latency monitor has seen",
     .tips = kGatherTips},
    {.name = "graph",
     .arity = 3,
     .flags = kFlags,
     .run = graph,
     .group = "server",
     .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Draws an event's samples",
     .syntax = "<event:string>",
     .tips = kGatherTips},
    {.name = "help",
     .arity = 2,
     .flags = kLoading | kStale,
     .run = help,
     .group = "server",
     .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "histogram",
     .arity = -2,
     .flags = kFlags,
     .run = histogram,
     .group = "server",
     .since = "7.0.0",
     .complexity = "O(N) for N commands",
     .summary = "Replies how long commands take",
     .syntax = "[<command:string> …]",
     .tips = kGatherTips},
    {.name = "history",
     .arity = 3,
     .flags = kFlags,
     .run = history,
     .group = "server",
     .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Replies an event's samples",
     .syntax = "<event:string>",
     .tips = kGatherTips},
    {.name = "latest",
     .arity = 2,
     .flags = kFlags,
     .run = latest,
     .group = "server",
     .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Replies each event's last sample",
     .tips = kGatherTips},
    {.name = "reset",
     .arity = -2,
     .flags = kFlags,
     .run = reset,
     .group = "server",
     .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Forgets samples",
     .syntax = "[<event:string> …]",
     .tips = "request_policy:all_nodes response_policy:all_succeeded"},
};

constexpr CommandSpec kCommands[] = {
    {.name = "latency",
     .arity = -2,
     .group = "server",
     .since = "2.8.13",
     .complexity = "Depends on the subcommand",
     .summary = "What was slow",
     .subcommands = kSubcommands},
};

}  // namespace

std::span<const CommandSpec> latency_commands() { return kCommands; }

}  // namespace capstan
