// COMMAND and its subcommands: the command table, told to clients.
#include <cstdlib>

#include "resp/glob.h"
#include "server/command_info.h"
#include "server/commands/command_docs.h"
#include "server/commands/help.h"
#include "server/level.h"
#include "server/text.h"

namespace capstan {
namespace {

constexpr uint32_t kFlags = kLoading | kStale;

void write_key_specification(resp::Writer& writer, const KeySpecification& specification) {
  writer.map(3);
  writer.bulk("flags");
  writer.set(specification.use.size());
  for (const std::string& word : specification.use) writer.simple(word);
  writer.bulk("begin_search");
  writer.map(2);
  writer.bulk("type");
  writer.bulk("index");
  writer.bulk("spec");
  writer.map(1);
  writer.bulk("index");
  writer.integer(specification.first);
  writer.bulk("find_keys");
  writer.map(2);
  writer.bulk("type");
  writer.bulk("range");
  writer.bulk("spec");
  writer.map(3);
  writer.bulk("lastkey");
  writer.integer(specification.last);
  writer.bulk("keystep");
  writer.integer(specification.step);
  writer.bulk("limit");
  writer.integer(0);
}

void write_command(resp::Writer& writer, const CommandSpec& spec) {
  writer.array(10);
  writer.bulk(command_full_name(spec));
  writer.integer(spec.arity);
  const std::vector<std::string_view> flags = flag_names(spec);
  writer.set(flags.size());
  for (const std::string_view flag : flags) writer.simple(flag);
  writer.integer(spec.keys.first);
  writer.integer(spec.keys.last);
  writer.integer(spec.keys.step);
  const std::vector<std::string_view> categories = acl_categories(spec);
  writer.set(categories.size());
  for (const std::string_view category : categories) writer.simple("@" + std::string(category));
  const std::vector<std::string_view> tips = split_at(spec.tips, " ");
  writer.set(tips.size());
  for (const std::string_view tip : tips) writer.bulk(tip);
  const std::vector<KeySpecification> specifications = key_specifications(spec);
  writer.set(specifications.size());
  for (const KeySpecification& specification : specifications) write_key_specification(writer, specification);
  if (spec.subcommands.empty()) return writer.set(0);
  writer.array(spec.subcommands.size());
  for (const CommandSpec& subcommand : spec.subcommands) write_command(writer, subcommand);
}

Outcome all(Call& call) {
  call.reply().array(all_commands().size());
  for (const CommandSpec* const spec : all_commands()) write_command(call.reply(), *spec);
  return Outcome::kDone;
}

Outcome info(Call& call) {
  if (call.args.size() == 2) return all(call);
  call.reply().array(call.args.size() - 2);
  for (const std::string_view name : call.args.subspan(2)) {
    const CommandSpec* const spec = find_full_name(name);
    if (spec == nullptr) {
      call.reply().null();
    } else {
      write_command(call.reply(), *spec);
    }
  }
  return Outcome::kDone;
}

Outcome count(Call& call) {
  call.reply().integer(static_cast<int64_t>(all_commands().size()));
  return Outcome::kDone;
}

// ---- LIST

bool is_listed(const CommandSpec& spec, std::string_view filter, std::string_view value) {
  if (filter.empty()) return true;
  if (same_word(filter, "aclcat")) return has_category(spec, value);
  if (same_word(filter, "pattern")) {
    return resp::glob_match(value, command_full_name(spec), resp::LetterCase::kIgnored);
  }
  return false;  // MODULE: there are none
}

Outcome list(Call& call) {
  std::string_view filter;
  std::string_view value;
  if (call.args.size() == 5 && same_word(call.args[2], "filterby")) {
    filter = call.args[3];
    value = call.args[4];
    const bool known = same_word(filter, "module") || same_word(filter, "aclcat") || same_word(filter, "pattern");
    if (!known) return reply_syntax_error(call);
  } else if (call.args.size() != 2) {
    return reply_syntax_error(call);
  }
  const size_t position = call.reply().position();
  size_t listed = 0;
  const auto write_if_listed = [&](const CommandSpec& spec) {
    if (!is_listed(spec, filter, value)) return;
    call.reply().bulk(command_full_name(spec));
    ++listed;
  };
  for (const CommandSpec* const spec : all_commands()) {
    write_if_listed(*spec);
    for (const CommandSpec& subcommand : spec->subcommands) write_if_listed(subcommand);
  }
  call.reply().array_at(position, listed);
  return Outcome::kDone;
}

// ---- GETKEYS

// The command without CONSISTENCY before or behind it.
std::span<const std::string_view> without_level(std::span<const std::string_view> words) {
  if (words.size() >= 3 && same_word(words[0], "consistency")) {
    const Result<ParsedConsistency> parsed = parse_consistency(words.subspan(1));
    if (parsed && 1 + parsed.value().used < words.size()) words = words.subspan(1 + parsed.value().used);
  }
  const CommandSpec* const spec = find_command_line(words);
  if (spec == nullptr || (spec->flags & kTrailingLevel) == 0) return words;
  const auto from = static_cast<size_t>(std::abs(spec->arity));
  return words.first(find_trailing_consistency(words, from).value_or(words.size()));
}

// nullptr: the error is replied.
const CommandSpec* command_with_keys(Call& call, std::span<const std::string_view> words) {
  const CommandSpec* const spec = find_command_line(words);
  const int count = static_cast<int>(words.size());
  std::string_view error;
  if (spec == nullptr) {
    error = "ERR Invalid command specified";
  } else if (!has_keys(*spec)) {
    error = "ERR The command has no key arguments";
  } else if (spec->arity > 0 ? count != spec->arity : count < -spec->arity) {
    error = "ERR Invalid number of arguments specified for command";
  }
  if (error.empty()) return spec;
  reply_error(call, error);
  return nullptr;
}

Outcome getkeys(Call& call) {
  const std::span<const std::string_view> words = without_level(call.args.subspan(2));
  const CommandSpec* const spec = command_with_keys(call, words);
  if (spec == nullptr) return Outcome::kDone;
  const std::vector<UsedKey> keys = used_keys(*spec, words);
  call.reply().array(keys.size());
  for (const UsedKey& key : keys) call.reply().bulk(key.name);
  return Outcome::kDone;
}

Outcome getkeysandflags(Call& call) {
  const std::span<const std::string_view> words = without_level(call.args.subspan(2));
  const CommandSpec* const spec = command_with_keys(call, words);
  if (spec == nullptr) return Outcome::kDone;
  const std::vector<UsedKey> keys = used_keys(*spec, words);
  call.reply().array(keys.size());
  for (const UsedKey& key : keys) {
    call.reply().array(2);
    call.reply().bulk(key.name);
    call.reply().set(key.use.size());
    for (const std::string& word : key.use) call.reply().simple(word);
  }
  return Outcome::kDone;
}

Outcome help(Call& call) {
  return reply_help(call, "COMMAND",
                    {
                        "(no subcommand)",
                        "    What the server knows of every command.",
                        "COUNT",
                        "    How many commands there are.",
                        "DOCS [<command-name> ...]",
                        "    What commands do, and their arguments; of all, or of these.",
                        "GETKEYS <full-command>",
                        "    The keys in a command line.",
                        "GETKEYSANDFLAGS <full-command>",
                        "    The keys in a command line, and what becomes of each.",
                        "INFO [<command-name> ...]",
                        "    What the server knows of commands; of all, or of these.",
                        "LIST [FILTERBY MODULE <name>|ACLCAT <category>|PATTERN <pattern>]",
                        "    The names of commands.",
                    });
}

constexpr CommandSpec kSubcommands[] = {
    {.name = "count",
     .arity = 2,
     .flags = kFlags,
     .run = count,
     .categories = "connection",
     .group = "server",
     .since = "2.8.13",
     .complexity = "O(1)",
     .summary = "Replies how many commands there are"},
    {.name = "docs",
     .arity = -2,
     .flags = kFlags,
     .run = command_docs,
     .categories = "connection",
     .group = "server",
     .since = "7.0.0",
     .complexity = "O(N) for N commands",
     .summary = "Says what commands do, and their arguments",
     .syntax = "[<command-name:string> …]",
     .tips = "nondeterministic_output_order"},
    {.name = "getkeys",
     .arity = -4,
     .flags = kFlags,
     .run = getkeys,
     .categories = "connection",
     .group = "server",
     .since = "2.8.13",
     .complexity = "O(N) for N arguments",
     .summary = "Replies the keys in a command line",
     .syntax = "<command:string> <arg:string> …"},
    {.name = "getkeysandflags",
     .arity = -4,
     .flags = kFlags,
     .run = getkeysandflags,
     .categories = "connection",
     .group = "server",
     .since = "7.0.0",
     .complexity = "O(N) for N arguments",
     .summary = "Replies the keys in a command line, and what becomes of each",
     .syntax = "<command:string> <arg:string> …"},
    {.name = "help",
     .arity = 2,
     .flags = kFlags,
     .run = help,
     .categories = "connection",
     .group = "server",
     .since = "5.0.0",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "info",
     .arity = -2,
     .flags = kFlags,
     .run = info,
     .categories = "connection",
     .group = "server",
     .since = "2.8.13",
     .complexity = "O(N) for N commands",
     .summary = "Replies what the server knows of commands",
     .syntax = "[<command-name:string> …]",
     .tips = "nondeterministic_output_order"},
    {.name = "list",
     .arity = -2,
     .flags = kFlags,
     .run = list,
     .categories = "connection",
     .group = "server",
     .since = "7.0.0",
     .complexity = "O(N) for N commands",
     .summary = "Replies the names of commands",
     .syntax = "[FILTERBY (MODULE <module-name:string>|ACLCAT <category:string>|PATTERN <pattern:pattern>)]",
     .tips = "nondeterministic_output_order"},
};

constexpr CommandSpec kCommands[] = {
    {.name = "command",
     .arity = -1,
     .flags = kFlags,
     .run = all,
     .categories = "connection",
     .group = "server",
     .since = "2.8.13",
     .complexity = "O(N) for N commands",
     .summary = "Replies what the server knows of every command",
     .subcommands = kSubcommands,
     .tips = "nondeterministic_output_order"},
};

}  // namespace

std::span<const CommandSpec> command_commands() { return kCommands; }

}  // namespace capstan
