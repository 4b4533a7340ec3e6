// The table as a whole: looking up, reading values, making settings of them.
#include <algorithm>
#include <filesystem>
#include <thread>

#include "resp/number.h"
#include "server/directives.h"
#include "server/text.h"
#include "server/value_text.h"

namespace capstan {
namespace {

using Words = std::span<const std::string_view>;

constexpr std::string_view kAuto = "auto";
constexpr uint64_t kMebibyte = 1 << 20;
constexpr unsigned kMaxDefaultIoThreads = 8;

Error wrong(std::string_view message) { return {ErrorCode::kInvalid, std::string(message)}; }

const std::vector<Directive>& table() {
  static const std::vector<Directive> sorted = [] {
    std::vector<Directive> all(own_directives().begin(), own_directives().end());
    all.insert(all.end(), directives_of_redis().begin(), directives_of_redis().end());
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return all;
  }();
  return sorted;
}

Error out_of_range(const Directive& directive) {
  return wrong("argument must be between " + std::to_string(directive.low) + " and " + std::to_string(directive.high) +
               " inclusive");
}

Result<std::string> parse_number(const Directive& directive, std::string_view word) {
  const std::optional<int64_t> number = resp::parse_integer(word);
  if (!number) return wrong("argument couldn't be parsed into an integer");
  const bool too_high = *number >= 0 && static_cast<uint64_t>(*number) > directive.high;
  if (*number < directive.low || too_high) return out_of_range(directive);
  return std::string(word);
}

Result<std::string> parse_octal(const Directive& directive, std::string_view word) {
  uint64_t number = 0;
  for (const char c : word) {
    if (c < '0' || c > '7' || number > directive.high) return wrong("argument couldn't be parsed as an octal number");
    number = number * 8 + static_cast<uint64_t>(c - '0');
  }
  if (word.empty()) return wrong("argument couldn't be parsed as an octal number");
  if (number > directive.high) return wrong("argument must be between 0 and 777 inclusive");
  return std::string(word);
}

Result<std::string> parse_bytes(const Directive& directive, std::string_view word) {
  const std::optional<uint64_t> bytes = parse_memory(word);
  if (!bytes) return wrong("argument must be a memory value");
  if (*bytes < static_cast<uint64_t>(directive.low) || *bytes > directive.high) return out_of_range(directive);
  return std::to_string(*bytes);
}

Result<std::string> parse_choice(const Directive& directive, std::string_view word) {
  std::string listed;
  const std::vector<std::string> choices = split_words(directive.choices).value();
  for (const std::string& choice : choices) {
    if (same_word(choice, word)) return choice;
    listed.append(listed.empty() ? "" : ", ").append(choice);
  }
  return wrong("argument(s) must be one of the following: " + listed);
}

Result<std::string> parse_word(const Directive& directive, std::string_view word) {
  switch (directive.kind) {
    case ValueKind::kYesNo:
      if (same_word(word, "yes") || same_word(word, "no")) return lower(word);
      return wrong("argument must be 'yes' or 'no'");
    case ValueKind::kInteger:
      return parse_number(directive, word);
    case ValueKind::kOctal:
      return parse_octal(directive, word);
    case ValueKind::kAutoMemory:
      if (same_word(word, kAuto)) return std::string(kAuto);
      return parse_bytes(directive, word);
    case ValueKind::kMemory:
      return parse_bytes(directive, word);
    case ValueKind::kChoice:
      return parse_choice(directive, word);
    case ValueKind::kText:
      return std::string(word);
    case ValueKind::kOwn:
      break;
  }
  CHECK(false, directive.name);
}

// More workers than half of the cores compete with clients on the same machine for the rest.
std::string default_io_threads() {
  return std::to_string(std::clamp(std::thread::hardware_concurrency() / 2, 1u, kMaxDefaultIoThreads));
}

std::string initial_value(const Directive& directive) {
  return directive.name == "io-threads" ? default_io_threads() : std::string(directive.initial);
}

// Where the value said "auto", the number is 0 so far.
Result<> choose_memory(Settings& settings, uint64_t machine_memory_bytes) {
  settings.machine_memory = machine_memory_bytes;
  if (settings.cache_memory == 0) settings.cache_memory = std::max(machine_memory_bytes / 2, 16 * kMebibyte);
  if (settings.dirty_memory == 0) {
    settings.dirty_memory = std::min(std::max(machine_memory_bytes / 8, 256 * kMebibyte), settings.cache_memory / 2);
  }
  if (settings.dirty_memory > settings.cache_memory) return wrong("dirty-memory must not exceed cache-memory");
  return {};
}

Result<> choose_cluster(Settings& settings) {
  if (settings.cluster_lines.empty()) return {};
  Result<cluster::Nodes> nodes = cluster::parse_nodes(settings.cluster_lines);
  if (!nodes) return nodes.error();
  // A leader that hears nobody has to notice before others replace it, and its followers before it does.
  if (settings.heartbeat_ms * 3 > settings.election_timeout_ms) {
    return wrong("election-timeout must be at least three times heartbeat");
  }
  if (settings.lease_ms > settings.election_timeout_ms) {
    return wrong("lease-duration must not exceed election-timeout");
  }
  if (settings.journal_damage == lmdb_store::JournalDamage::kTruncate) {
    return wrong(
        "journal-damage truncate is not for a node of a cluster: without its data it gets those of the others");
  }
  settings.cluster = std::move(*nodes);
  return {};
}

Result<> check_tls(const Settings& settings) {
  if (!settings.tls_cluster) return {};
  const std::pair<std::string_view, const std::string&> needed[] = {{"tls-cert-file", settings.tls.cert_file},
                                                                    {"tls-key-file", settings.tls.key_file},
                                                                    {"tls-ca-cert-file", settings.tls.ca_cert_file}};
  for (const auto& [name, file] : needed) {
    if (file.empty()) return wrong("tls-cluster yes needs " + std::string(name));
  }
  return {};
}

}  // namespace

std::span<const Directive> all_directives() { return table(); }

const Directive* find_directive(std::string_view name) {
  const auto found = std::find_if(table().begin(), table().end(), [name](const Directive& directive) {
    return same_word(directive.name, name) || (!directive.alias.empty() && same_word(directive.alias, name));
  });
  return found == table().end() ? nullptr : &*found;
}

size_t directive_number(const Directive& directive) { return static_cast<size_t>(&directive - table().data()); }

DirectiveValues default_values() {
  DirectiveValues values;
  for (const Directive& directive : table()) values.push_back(initial_value(directive));
  return values;
}

Result<std::string> parse_value(const Directive& directive, Words words, const std::string& old, bool adding) {
  std::vector<std::string> inner;
  std::vector<std::string_view> views;
  if (directive.has(kListed) && words.size() == 1) {
    std::optional<std::vector<std::string>> split = split_words(words[0]);
    if (!split) return wrong("unbalanced quotes");
    inner = std::move(*split);
    views = views_of(inner);
    words = views;
  }
  if (directive.kind == ValueKind::kOwn) {
    const bool replaces = directive.has(kRepeated) && !adding;
    return directive.parse(words, replaces ? std::string() : old);
  }
  if (words.size() != 1) return wrong("wrong number of arguments");
  return parse_word(directive, words[0]);
}

Result<Settings> make_settings(DirectiveValues values, uint64_t machine_memory_bytes) {
  Settings settings;
  for (const Directive& directive : table()) {
    if (directive.store != nullptr) directive.store(settings, values[directive_number(directive)]);
  }
  const Result<> chosen = choose_memory(settings, machine_memory_bytes);
  if (!chosen) return chosen.error();
  for (std::string* const path : {&settings.log_file, &settings.pid_file, &settings.unix_socket,
                                  &settings.tls.cert_file, &settings.tls.key_file, &settings.tls.ca_cert_file}) {
    if (!path->empty()) *path = (std::filesystem::path(settings.directory) / *path).string();
  }
  settings.values = std::move(values);
  if (const Result<> chosen_cluster = choose_cluster(settings); !chosen_cluster) return chosen_cluster.error();
  if (const Result<> complete = check_tls(settings); !complete) return complete.error();
  return settings;
}

std::vector<std::string> directive_lines(const Directive& directive, const std::string& value) {
  const std::string name(directive.name);
  if (!directive.has(kListed) && !directive.has(kRepeated)) return {name + " " + quote_word(value)};
  if (value.empty()) return {name + " \"\""};
  std::vector<std::string> lines = {name};
  const std::vector<std::string> words = split_words(value).value();
  for (const std::string& word : words) {
    if (word == ";") {
      lines.push_back(name);
    } else {
      lines.back() += " " + quote_word(word);
    }
  }
  return lines;
}

}  // namespace capstan
