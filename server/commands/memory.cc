// MEMORY.
#include <algorithm>
#include <string>

#include "resp/number.h"
#include "server/commands/arguments.h"
#include "server/commands/help.h"
#include "server/memory_use.h"
#include "server/node.h"
#include "server/node_report.h"
#include "server/text.h"

namespace capstan {
namespace {

// False: the error is replied. Nothing is sampled here, sizes are known.
bool parse_samples(Call& call) {
  for (size_t i = 3; i < call.args.size(); i += 2) {
    if (!same_word(call.args[i], "samples") || i + 1 == call.args.size()) {
      reply_syntax_error(call);
      return false;
    }
    const std::optional<int64_t> samples = integer_argument(call, i + 1);
    if (!samples) return false;
    if (*samples < 0) {
      reply_syntax_error(call);
      return false;
    }
  }
  return true;
}

Outcome usage(Call& call) {
  if (!parse_samples(call)) return Outcome::kDone;
  call.eval().without_use();
  const KeyRef key = call.key(2);
  if (call.eval().exists(key)) {
    call.reply().integer(static_cast<int64_t>(call.eval().memory_bytes(key)));
  } else {
    call.reply().null();
  }
  return Outcome::kDone;
}

double ratio(uint64_t a, uint64_t b) { return b == 0 ? 0 : static_cast<double>(a) / static_cast<double>(b); }

struct DataSize {
  uint64_t keys = 0;
  uint64_t bytes = 0;  // of rows in memory
};

DataSize data_size(const NodeReport& report) {
  DataSize size;
  for (const WorkerReport& worker : report) {
    for (const ShardReport& shard : worker.shards) {
      size.bytes += shard.memory_bytes;
      for (const uint64_t keys : shard.keys) size.keys += keys;
    }
  }
  return size;
}

void write_stats(resp::Writer& writer, const NodeReport& report, const MemoryUse& use) {
  const DataSize data = data_size(report);
  const auto integer = [&writer](std::string_view name, uint64_t value) {
    writer.bulk(name);
    writer.integer(static_cast<int64_t>(value));
  };
  const auto real = [&writer](std::string_view name, double value) {
    writer.bulk(name);
    writer.real(value);
  };
  const uint64_t overhead = use.used_bytes - std::min(use.used_bytes, data.bytes);
  writer.map(16);
  integer("peak.allocated", use.peak_bytes);
  integer("total.allocated", use.used_bytes);
  integer("startup.allocated", use.startup_bytes);
  integer("clients.normal", total(report, &WorkerReport::client_memory_bytes));
  integer("overhead.total", overhead);
  integer("keys.count", data.keys);
  integer("keys.bytes-per-key", data.keys == 0 ? 0 : data.bytes / data.keys);
  integer("dataset.bytes", data.bytes);
  real("dataset.percentage", 100 * ratio(data.bytes, use.used_bytes));
  real("peak.percentage", 100 * ratio(use.used_bytes, use.peak_bytes));
  integer("allocator.allocated", use.used_bytes);
  integer("allocator.active", use.active_bytes);
  integer("allocator.resident", use.mapped_bytes);
  real("allocator-fragmentation.ratio", ratio(use.active_bytes, use.used_bytes));
  real("rss-overhead.ratio", ratio(use.resident_bytes, use.mapped_bytes));
  real("fragmentation", ratio(use.resident_bytes, use.used_bytes));
}

Outcome stats(Call& call) {
  const LaterReply later(*call.session);
  gather_report(call.session->worker, [later](Worker&, const NodeReport& report) {
    resp::OutputBuffer out;
    resp::Writer writer(out, later.protocol());
    write_stats(writer, report, memory_use());
    later.send(out.view());
  });
  return Outcome::kLater;
}

Outcome doctor(Call& call) {
  const MemoryUse use = memory_use();
  constexpr uint64_t kLittle = 5 << 20;
  std::string text;
  if (use.used_bytes < kLittle) {
    text = "This server uses too little memory for a verdict.\n";
  } else {
    if (ratio(use.peak_bytes, use.used_bytes) > 1.5) {
      text +=
          "* Peak: the server once used more than one and a half times the memory it uses now; the allocator may "
          "keep some of it.\n";
    }
    if (ratio(use.active_bytes, use.used_bytes) > 1.1) {
      text += "* Fragmentation: pages that are in use hold more than a tenth of free space.\n";
    }
    if (text.empty()) text = "Nothing is wrong with this server's memory.\n";
  }
  call.reply().verbatim("txt", text);
  return Outcome::kDone;
}

Outcome malloc_stats(Call& call) {
  call.reply().verbatim("txt", allocator_statistics());
  return Outcome::kDone;
}

Outcome purge(Call& call) {
  purge_memory();
  call.reply().ok();
  return Outcome::kDone;
}

Outcome help(Call& call) {
  return reply_help(call, "MEMORY",
                    {
                        "DOCTOR",
                        "    What the figures say, in words.",
                        "MALLOC-STATS",
                        "    The allocator's own statistics.",
                        "PURGE",
                        "    Gives memory back that holds nothing.",
                        "STATS",
                        "    What the memory is used for.",
                        "USAGE <key> [SAMPLES <count>]",
                        "    Bytes of memory that the key takes while it is in memory.",
                    });
}

constexpr std::string_view kGatherTips = "nondeterministic_output request_policy:all_shards response_policy:special";

constexpr CommandSpec kSubcommands[] = {
    {.name = "doctor",
     .arity = 2,
     .run = doctor,
     .group = "server",
     .since = "4.0.0",
     .complexity = "O(1)",
     .summary = "Says whether something is wrong with the memory",
     .tips = kGatherTips},
    {.name = "help",
     .arity = 2,
     .flags = kLoading | kStale,
     .run = help,
     .group = "server",
     .since = "4.0.0",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "malloc-stats",
     .arity = 2,
     .run = malloc_stats,
     .group = "server",
     .since = "4.0.0",
     .complexity = "Depends on how much memory is allocated",
     .summary = "Replies the allocator's own statistics",
     .tips = kGatherTips},
    {.name = "purge",
     .arity = 2,
     .run = purge,
     .group = "server",
     .since = "4.0.0",
     .complexity = "Depends on how much memory is allocated",
     .summary = "Gives memory back that holds nothing",
     .tips = "request_policy:all_shards response_policy:all_succeeded"},
    {.name = "stats",
     .arity = 2,
     .run = stats,
     .group = "server",
     .since = "4.0.0",
     .complexity = "O(1)",
     .summary = "Replies what the memory is used for",
     .tips = kGatherTips},
    {.name = "usage",
     .arity = -3,
     .flags = kReadonly,
     .keys = {2, 2, 1},
     .scope = Scope::kShard,
     .run = usage,
     .key_use = "RO",
     .group = "server",
     .since = "4.0.0",
     .complexity = "O(1)",
     .summary = "Replies the bytes of memory that a key takes while it is in memory",
     .syntax = "<key:key> [SAMPLES <count:integer>]"},
};

constexpr CommandSpec kCommands[] = {
    {.name = "memory",
     .arity = -2,
     .group = "server",
     .since = "4.0.0",
     .complexity = "Depends on the subcommand",
     .summary = "What the memory is used for",
     .subcommands = kSubcommands},
};

}  // namespace

std::span<const CommandSpec> memory_commands() { return kCommands; }

}  // namespace capstan
