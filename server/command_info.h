// What COMMAND says of a command that its row does not hold word for word. Pure.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/command.h"

namespace capstan {

std::vector<std::string_view> flag_names(const CommandSpec& spec);
// Without the '@'. Some follow from the flags.
std::vector<std::string_view> acl_categories(const CommandSpec& spec);
bool has_category(const CommandSpec& spec, std::string_view category);

// Where keys are and what becomes of them. Positions count from the command's name.
struct KeySpecification {
  int first = 0;
  int last = 0;  // counted from `first`; negative: from the last argument
  int step = 1;
  std::vector<std::string> use;  // as COMMAND writes it: "RW", "access", …
};
std::vector<KeySpecification> key_specifications(const CommandSpec& spec);

// False also where the positions name shard channels, which choose a slot as keys do.
bool has_keys(const CommandSpec& spec);

// The keys in a command line, each with what becomes of it. Precondition: has_keys(), and the arity fits.
struct UsedKey {
  std::string_view name;
  std::vector<std::string> use;
};
std::vector<UsedKey> used_keys(const CommandSpec& spec, std::span<const std::string_view> words);

// The command, or the subcommand, that the words begin with; nullptr if there is none.
const CommandSpec* find_command_line(std::span<const std::string_view> words);
// "get", "client|list", in any case; nullptr if there is none.
const CommandSpec* find_full_name(std::string_view name);

std::vector<std::string_view> split_at(std::string_view text, std::string_view separator);

}  // namespace capstan
