// OBJECT: how a key is stored, in the words that Redis has for it.
#include <limits>

#include "resp/number.h"
#include "server/commands/arguments.h"

namespace capstan {
namespace {

constexpr size_t kMaxEmbeddedBytes = 44;
// Redis keeps one object of each of these integers, shared by all keys, and shows it with the highest count there is.
constexpr int64_t kSharedIntegers = 10000;

// Redis' encodings as they follow from the value alone. (There, a string that was changed in place is raw; we store
// nothing that would tell.)
std::string_view string_encoding(std::string_view value) {
  if (resp::parse_integer(value)) return "int";
  return value.size() <= kMaxEmbeddedBytes ? "embstr" : "raw";
}

Outcome encoding(Call& call) {
  call.eval().without_use();
  const KeyRef key = call.key(2);
  // Enough to tell the encodings apart.
  const StringRead read = call.eval().string_range(key, 0, kMaxEmbeddedBytes + 1);
  if (read.lookup == Lookup::kFound) {
    call.reply().bulk(string_encoding(read.value));
  } else if (read.lookup == Lookup::kMissing) {
    call.reply().null();
  } else {
    return refuse(call, read.lookup);
  }
  return Outcome::kDone;
}

Outcome refcount(Call& call) {
  call.eval().without_use();
  const KeyRef key = call.key(2);
  if (!call.eval().exists(key)) {
    call.reply().null();
    return Outcome::kDone;
  }
  const StringRead read = call.eval().string_range(key, 0, kMaxEmbeddedBytes + 1);
  if (read.lookup == Lookup::kNotResident) return refuse(call, read.lookup);
  const std::optional<int64_t> integer = resp::parse_integer(read.value);
  const bool shared = integer && *integer >= 0 && *integer < kSharedIntegers;
  call.reply().integer(shared ? std::numeric_limits<int32_t>::max() : 1);
  return Outcome::kDone;
}

Outcome idletime(Call& call) {
  call.eval().without_use();
  const KeyRef key = call.key(2);
  if (call.eval().exists(key)) {
    call.reply().integer(call.eval().idle_s(key));
  } else {
    call.reply().null();
  }
  return Outcome::kDone;
}

// There is no LFU policy here: rows are evicted by recency.
Outcome freq(Call& call) {
  call.eval().without_use();
  if (!call.eval().exists(call.key(2))) {
    call.reply().null();
    return Outcome::kDone;
  }
  return reply_error(call,
                     "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when "
                     "switching between policies at runtime LRU and LFU data will take some time to adjust.");
}

Outcome help(Call& call) {
  constexpr std::string_view kLines[] = {
      "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
      "ENCODING <key>",
      "    The name of the form in which Redis would hold the value.",
      "FREQ <key>",
      "    How often the key is used; needs an LFU policy, which there is none.",
      "IDLETIME <key>",
      "    Seconds since the key was last used.",
      "REFCOUNT <key>",
      "    How many keys share the value in Redis.",
      "HELP",
      "    This text.",
  };
  call.reply().array(std::size(kLines));
  for (const std::string_view line : kLines) call.reply().simple(line);
  return Outcome::kDone;
}

constexpr KeyPositions kKey = {2, 2, 1};

constexpr CommandSpec kSubcommands[] = {
    {.name = "encoding",
     .arity = 3,
     .flags = kReadonly,
     .keys = kKey,
     .scope = Scope::kShard,
     .run = encoding,
     .categories = "keyspace",
     .key_use = "RO",
     .group = "generic",
     .since = "2.2.3",
     .complexity = "O(1)",
     .summary = "Names the form in which Redis would hold the value",
     .syntax = "<key:key>",
     .tips = "nondeterministic_output"},
    {.name = "freq",
     .arity = 3,
     .flags = kReadonly,
     .keys = kKey,
     .scope = Scope::kShard,
     .run = freq,
     .categories = "keyspace",
     .key_use = "RO",
     .group = "generic",
     .since = "4.0.0",
     .complexity = "O(1)",
     .summary = "Replies an error: uses are not counted",
     .syntax = "<key:key>",
     .tips = "nondeterministic_output"},
    {.name = "help",
     .arity = 2,
     .flags = kLoading | kStale,
     .scope = Scope::kConnection,
     .run = help,
     .categories = "keyspace",
     .group = "generic",
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "idletime",
     .arity = 3,
     .flags = kReadonly,
     .keys = kKey,
     .scope = Scope::kShard,
     .run = idletime,
     .categories = "keyspace",
     .key_use = "RO",
     .group = "generic",
     .since = "2.2.3",
     .complexity = "O(1)",
     .summary = "Replies the seconds since the key was last used",
     .syntax = "<key:key>",
     .tips = "nondeterministic_output"},
    {.name = "refcount",
     .arity = 3,
     .flags = kReadonly,
     .keys = kKey,
     .scope = Scope::kShard,
     .run = refcount,
     .categories = "keyspace",
     .key_use = "RO",
     .group = "generic",
     .since = "2.2.3",
     .complexity = "O(1)",
     .summary = "Replies how many keys share the value in Redis",
     .syntax = "<key:key>",
     .tips = "nondeterministic_output"},
};

constexpr CommandSpec kCommands[] = {
    {.name = "object",
     .arity = -2,
     .group = "generic",
     .since = "2.2.3",
     .complexity = "Depends on the subcommand",
     .summary = "How a key is stored",
     .subcommands = kSubcommands},
};

}  // namespace

std::span<const CommandSpec> object_commands() { return kCommands; }

}  // namespace capstan
