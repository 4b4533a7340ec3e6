#include "server/commands/command_docs.h"

#include <algorithm>

#include "server/command_info.h"
#include "server/syntax.h"

namespace capstan {
namespace {

// Writes arguments, and counts keys on the way: which key specification one belongs to.
class ArgumentWriter {
 public:
  ArgumentWriter(resp::Writer& writer, size_t key_specifications)
      : writer_(writer), specifications_(key_specifications) {}

  void write(const std::vector<Argument>& arguments) {
    writer_.array(arguments.size());
    for (const Argument& argument : arguments) write(argument);
  }

 private:
  void write(const Argument& argument) {
    const bool is_key = argument.type == "key" && specifications_ > 0;
    const bool has_token = !argument.token.empty();
    const bool has_flags = argument.optional || argument.multiple;
    const bool has_arguments = !argument.arguments.empty();
    writer_.map(size_t{2} + is_key + has_token + has_flags + has_arguments);
    field("name", argument.name);
    field("type", argument.type);
    if (is_key) {
      writer_.bulk("key_spec_index");
      writer_.integer(static_cast<int64_t>(std::min(keys_++, specifications_ - 1)));
    }
    if (has_token) field("token", argument.token);
    if (has_flags) {
      writer_.bulk("flags");
      writer_.set(size_t{argument.optional} + size_t{argument.multiple});
      if (argument.optional) writer_.simple("optional");
      if (argument.multiple) writer_.simple("multiple");
    }
    if (has_arguments) {
      writer_.bulk("arguments");
      write(argument.arguments);
    }
  }

  void field(std::string_view name, std::string_view value) {
    writer_.bulk(name);
    writer_.bulk(value);
  }

  resp::Writer& writer_;
  const size_t specifications_;
  size_t keys_ = 0;
};

void write_docs(resp::Writer& writer, const CommandSpec& spec) {
  const auto field = [&writer](std::string_view name, std::string_view value) {
    writer.bulk(name);
    writer.bulk(value);
  };
  const std::vector<Argument> arguments = parse_syntax(spec.syntax).value();
  writer.bulk(command_full_name(spec));
  writer.map(4 + size_t{!arguments.empty()} + size_t{!spec.subcommands.empty()});
  field("summary", spec.summary);
  field("since", spec.since);
  field("group", spec.group);
  field("complexity", spec.complexity);
  if (!arguments.empty()) {
    writer.bulk("arguments");
    ArgumentWriter(writer, key_specifications(spec).size()).write(arguments);
  }
  if (spec.subcommands.empty()) return;
  writer.bulk("subcommands");
  writer.map(spec.subcommands.size());
  for (const CommandSpec& subcommand : spec.subcommands) write_docs(writer, subcommand);
}

}  // namespace

Outcome command_docs(Call& call) {
  if (call.args.size() == 2) {
    call.reply().map(all_commands().size());
    for (const CommandSpec* const spec : all_commands()) write_docs(call.reply(), *spec);
    return Outcome::kDone;
  }
  const size_t position = call.reply().position();
  size_t found = 0;
  for (const std::string_view name : call.args.subspan(2)) {
    const CommandSpec* const spec = find_full_name(name);
    if (spec == nullptr) continue;
    ++found;
    write_docs(call.reply(), *spec);
  }
  call.reply().map_at(position, found);
  return Outcome::kDone;
}

}  // namespace capstan
