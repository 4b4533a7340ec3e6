#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "base/check.h"
#include "server/command.h"
#include "server/text.h"

namespace capstan {
namespace {

constexpr size_t kMaxNameBytes = 64;

class CommandTable {
 public:
  CommandTable() {
    std::vector<CommandSpec> top;
    for (const auto family : {string_commands(),   substring_commands(),   increment_commands(),   bitmap_commands(),
                              bitfield_commands(), key_commands(),         expiry_commands(),      object_commands(),
                              keyspace_commands(), transaction_commands(), connection_commands(),  client_commands(),
                              command_commands(),  config_commands(),      info_commands(),        saving_commands(),
                              waiting_commands(),  slowlog_commands(),     latency_commands(),     memory_commands(),
                              debug_commands(),    server_commands(),      consistency_commands(), cluster_commands(),
                              pubsub_commands(),   capstan_commands(),     hyperloglog_commands(), set_commands()}) {
      top.insert(top.end(), family.begin(), family.end());
    }
    std::sort(top.begin(), top.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    size_t count = top.size();
    for (const CommandSpec& spec : top) count += spec.subcommands.size();
    rows_.reserve(count);
    rows_ = top;
    containers_.resize(count, nullptr);
    for (size_t i = 0; i < top.size(); ++i) adopt_subcommands(i);
    for (size_t i = 0; i < top.size(); ++i) {
      sorted_.push_back(&rows_[i]);
      CHECK(by_name_.emplace(rows_[i].name, &rows_[i]).second, rows_[i].name);
    }
  }

  // false: no such command, or the new name is taken.
  bool rename(std::string_view name, std::string_view new_name) {
    const CommandSpec* const spec = find(name);
    if (spec == nullptr) return false;
    by_name_.erase(by_name_.find(lower(name)));
    if (new_name.empty()) {
      std::erase(sorted_, spec);
      return true;
    }
    return by_name_.emplace(new_names_.emplace_back(lower(new_name)), spec).second;
  }

  std::span<const CommandSpec* const> sorted() const { return sorted_; }
  const std::vector<CommandSpec>& rows() const { return rows_; }
  const CommandSpec* container(size_t number) const { return containers_[number]; }

  const CommandSpec* find(std::string_view name) const {
    if (name.size() > kMaxNameBytes) return nullptr;
    std::array<char, kMaxNameBytes> lowered;
    std::transform(name.begin(), name.end(), lowered.begin(), to_lower);
    const auto found = by_name_.find(std::string_view(lowered.data(), name.size()));
    return found == by_name_.end() ? nullptr : found->second;
  }

 private:
  // The rows of subcommands follow all commands; the reserved room keeps every row in its place.
  void adopt_subcommands(size_t number) {
    CommandSpec& spec = rows_[number];
    if (spec.subcommands.empty()) return;
    const size_t first = rows_.size();
    for (const CommandSpec& subcommand : spec.subcommands) {
      containers_[rows_.size()] = &spec;
      rows_.push_back(subcommand);
    }
    spec.subcommands = std::span(&rows_[first], rows_.size() - first);
  }

  std::vector<CommandSpec> rows_;
  std::vector<const CommandSpec*> containers_;  // of subcommands; else nullptr
  std::vector<const CommandSpec*> sorted_;
  absl::flat_hash_map<std::string_view, const CommandSpec*> by_name_;
  std::deque<std::string> new_names_;
};

CommandTable& table() {
  static CommandTable instance;
  return instance;
}

}  // namespace

std::span<const CommandSpec* const> all_commands() { return table().sorted(); }

size_t command_number(const CommandSpec& spec) { return static_cast<size_t>(&spec - table().rows().data()); }

size_t command_count() { return table().rows().size(); }

const CommandSpec& command_by_number(size_t number) { return table().rows()[number]; }

std::string command_full_name(const CommandSpec& spec) {
  const CommandSpec* const container = table().container(command_number(spec));
  std::string name;
  if (container != nullptr) name.append(container->name).append("|");
  return name.append(spec.name);
}

const CommandSpec* find_by_full_name(std::string_view name) {
  static const auto by_name = [] {
    std::map<std::string, const CommandSpec*, std::less<>> all;
    for (const CommandSpec& row : table().rows()) all.emplace(command_full_name(row), &row);
    return all;
  }();
  const auto found = by_name.find(name);
  return found == by_name.end() ? nullptr : found->second;
}

const CommandSpec& command_by_full_name(std::string_view name) {
  const CommandSpec* const found = find_by_full_name(name);
  CHECK(found != nullptr, name);
  return *found;
}

const CommandSpec* find_command(std::string_view name) { return table().find(name); }

bool rename_command(std::string_view name, std::string_view new_name) { return table().rename(name, new_name); }

const CommandSpec* find_subcommand(const CommandSpec& container, std::string_view name) {
  const auto found = std::find_if(container.subcommands.begin(), container.subcommands.end(),
                                  [name](const CommandSpec& spec) { return same_word(spec.name, name); });
  return found == container.subcommands.end() ? nullptr : &*found;
}

Outcome reply_error(Call& call, std::string_view message) {
  call.reply().error(message);
  return Outcome::kDone;
}

Outcome reply_wrong_arity(Call& call, const CommandSpec& spec) {
  return reply_error(call, "ERR wrong number of arguments for '" + command_full_name(spec) + "' command");
}

Outcome reply_wrong_type(Call& call) {
  return reply_error(call, "WRONGTYPE Operation against a key holding the wrong kind of value");
}

Outcome reply_syntax_error(Call& call) { return reply_error(call, "ERR syntax error"); }

Outcome reply_not_integer(Call& call) { return reply_error(call, "ERR value is not an integer or out of range"); }

Outcome refuse(Call& call, Lookup lookup) {
  if (lookup == Lookup::kNotResident) return Outcome::kFetch;
  CHECK(lookup == Lookup::kWrongType);
  return reply_wrong_type(call);
}

}  // namespace capstan
