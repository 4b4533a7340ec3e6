// The small grammar in which a command's row writes its arguments (command.h, CommandSpec::syntax), as a tree; COMMAND
// DOCS and docs/compatibility.md read it. Pure.
//
//   syntax   = sequence *( "|" sequence )          alternatives
//   sequence = *( item [ "…" ] )                   "…": once or more
//   item     = TOKEN | "<" name ":" type ">" | "[" syntax "]" | "(" syntax ")"
//
// A token belongs to the arguments that follow it in its sequence: EX <seconds:integer> is one argument.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace capstan {

struct Argument {
  std::string name;
  std::string type;   // "key", "string", "integer", …; "pure-token", "oneof", "block"
  std::string token;  // empty: none
  bool optional = false;
  bool multiple = false;
  std::vector<Argument> arguments;  // of "oneof" and "block"
};

// The arguments in order. Errors: where the text does not follow the grammar.
Result<std::vector<Argument>> parse_syntax(std::string_view text);

}  // namespace capstan
