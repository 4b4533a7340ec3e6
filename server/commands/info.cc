// INFO: asks every worker for its figures, then writes the sections that were asked for.
#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "server/commands/topology_reply.h"
#include "server/info_sections.h"
#include "server/node.h"
#include "server/text.h"

namespace capstan {
namespace {

// The sections that the words name, in their own order.
std::vector<const InfoSection*> chosen_sections(std::span<const std::string_view> words) {
  std::set<const InfoSection*> chosen;
  const auto choose = [&chosen](auto condition) {
    for (const InfoSection& section : info_sections()) {
      if (condition(section)) chosen.insert(&section);
    }
  };
  if (words.empty()) choose([](const InfoSection& section) { return section.by_default; });
  for (const std::string_view word : words) {
    if (same_word(word, "default")) {
      choose([](const InfoSection& section) { return section.by_default; });
    } else if (same_word(word, "all")) {
      choose([](const InfoSection& section) { return section.name != "modules"; });
    } else if (same_word(word, "everything")) {
      choose([](const InfoSection&) { return true; });
    } else {
      choose([word](const InfoSection& section) { return same_word(section.name, word); });
    }
  }
  return {chosen.begin(), chosen.end()};  // rows of one array: pointers are in its order
}

std::vector<ShardStatus> statuses(const NodeReport& report) {
  std::vector<ShardStatus> all;
  for (const WorkerReport& worker : report) {
    for (const ShardReport& shard : worker.shards) all.push_back(shard.status);
  }
  return all;
}

Outcome info(Call& call) {
  const std::vector<const InfoSection*> sections = chosen_sections(call.args.subspan(1));
  const LaterReply later(*call.session);
  gather_report(call.session->worker, [sections, later](Worker& worker, const NodeReport& report) {
    InfoText text;
    const SettingsSnapshot settings = worker.node().settings();
    const Topology topology = topology_of(worker, statuses(report));
    const InfoContext context{worker.node(), *settings, report, topology, memory_use(), worker.now_ms()};
    for (const InfoSection* const section : sections) {
      text.title(section->title);
      section->write(text, context);
    }
    resp::OutputBuffer out;
    resp::Writer(out, later.protocol()).verbatim("txt", text.text());
    later.send(out.view());
  });
  return Outcome::kLater;
}

constexpr CommandSpec kCommands[] = {
    {.name = "info",
     .arity = -1,
     .flags = kLoading | kStale,
     .run = info,
     .categories = "dangerous",
     .group = "server",
     .since = "1.0.0",
     .complexity = "O(1)",
     .summary = "Replies figures about the server, by section",
     .syntax = "[<section:string> …]",
     .tips = "nondeterministic_output request_policy:all_shards response_policy:special"},
};

}  // namespace

std::span<const CommandSpec> info_commands() { return kCommands; }

}  // namespace capstan
