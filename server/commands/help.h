// The HELP of commands that have subcommands.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "server/command.h"

namespace capstan {

// `lines`: of each subcommand its usage, and below it, indented, what it does. HELP itself is added.
inline Outcome reply_help(Call& call, std::string_view command, std::initializer_list<std::string_view> lines) {
  call.reply().array(lines.size() + 3);
  call.reply().simple(std::string(command) + " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
  for (const std::string_view line : lines) call.reply().simple(line);
  call.reply().simple("HELP");
  call.reply().simple("    This text.");
  return Outcome::kDone;
}

// What Redis answers to a number of arguments that it only notices in the subcommand.
inline Outcome reply_wrong_subcommand(Call& call, std::string_view command) {
  constexpr size_t kMaxQuoted = 128;
  return reply_error(call, "ERR unknown subcommand or wrong number of arguments for '" +
                               std::string(call.args[1].substr(0, kMaxQuoted)) + "'. Try " + std::string(command) +
                               " HELP.");
}

}  // namespace capstan
