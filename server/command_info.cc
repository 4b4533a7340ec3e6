#include "server/command_info.h"

#include <algorithm>

#include "server/text.h"

namespace capstan {
namespace {

struct FlagName {
  uint32_t flag;
  std::string_view name;
};
constexpr FlagName kFlagNames[] = {
    {kWrite, "write"},
    {kReadonly, "readonly"},
    {kDenyOom, "denyoom"},
    {kAdmin, "admin"},
    {kPubsub, "pubsub"},
    {kNoscript, "noscript"},
    {kBlocking, "blocking"},
    {kLoading, "loading"},
    {kStale, "stale"},
    {kSkipMonitor, "skip_monitor"},
    {kSkipSlowlog, "skip_slowlog"},
    {kAsking, "asking"},
    {kFast, "fast"},
    {kNoAuth, "no_auth"},
    {kNoAsyncLoading, "no_async_loading"},
    {kNoMulti, "no_multi"},
    {kMovableKeys, "movablekeys"},
    {kAllowBusy, "allow_busy"},
    {kNoMandatoryKeys, "no_mandatory_keys"},
};

// Redis writes the first word of a key's use in capitals, what is done with the value in small letters.
std::vector<std::string> use_of(std::string_view text) {
  std::vector<std::string> words;
  for (const std::string_view word : split_at(text, " ")) {
    words.push_back(words.empty() ? std::string(word) : lower(word));
  }
  return words;
}

bool contains(std::span<const std::string_view> words, std::string_view word) {
  return std::any_of(words.begin(), words.end(), [word](std::string_view each) { return same_word(each, word); });
}

// What a command that VARIABLE_FLAGS is said of does with its key, which depends on its words.
std::vector<std::string> variable_use(const CommandSpec& spec, std::span<const std::string_view> words) {
  if (spec.name == "set") {
    if (contains(words.subspan(3), "get")) return {"RW", "access", "update"};
    return {"OW", "update"};
  }
  // BITFIELD
  const bool changes = contains(words.subspan(2), "set") || contains(words.subspan(2), "incrby");
  if (changes) return {"RW", "access", "update"};
  return {"RO", "access"};
}

}  // namespace

std::vector<std::string_view> split_at(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + separator.size(), text.size()));
  }
  return parts;
}

std::vector<std::string_view> flag_names(const CommandSpec& spec) {
  std::vector<std::string_view> names;
  for (const FlagName& flag : kFlagNames) {
    if ((spec.flags & flag.flag) != 0) names.push_back(flag.name);
  }
  return names;
}

std::vector<std::string_view> acl_categories(const CommandSpec& spec) {
  std::vector<std::string_view> categories = split_at(spec.categories, " ");
  const auto add = [&](uint32_t flag, std::string_view category) {
    const bool known = std::find(categories.begin(), categories.end(), category) != categories.end();
    if ((spec.flags & flag) != 0 && !known) categories.push_back(category);
  };
  add(kWrite, "write");
  add(kReadonly, "read");
  add(kAdmin, "admin");
  add(kAdmin, "dangerous");
  add(kPubsub, "pubsub");
  add(kBlocking, "blocking");
  categories.push_back((spec.flags & kFast) != 0 ? "fast" : "slow");
  return categories;
}

bool has_category(const CommandSpec& spec, std::string_view category) {
  return contains(acl_categories(spec), category);
}

std::vector<KeySpecification> key_specifications(const CommandSpec& spec) {
  std::vector<KeySpecification> specifications;
  if (spec.keys.first == 0) return specifications;
  const std::vector<std::string_view> uses = split_at(spec.key_use, "; ");
  for (size_t i = 0; i < uses.size(); ++i) {
    KeySpecification specification;
    specification.first = spec.keys.first + static_cast<int>(i);
    specification.use = use_of(uses[i]);
    if (i + 1 == uses.size()) {
      specification.last = spec.keys.last < 0 ? spec.keys.last : spec.keys.last - specification.first;
      specification.step = spec.keys.step;
    }
    specifications.push_back(std::move(specification));
  }
  return specifications;
}

bool has_keys(const CommandSpec& spec) { return spec.keys.first != 0 && spec.key_use != kNotKey; }

std::vector<UsedKey> used_keys(const CommandSpec& spec, std::span<const std::string_view> words) {
  std::vector<UsedKey> keys;
  const int count = static_cast<int>(words.size());
  for (KeySpecification& specification : key_specifications(spec)) {
    const int last = specification.last < 0 ? count + specification.last : specification.first + specification.last;
    const bool varies = specification.use.back() == "variable_flags";
    const std::vector<std::string> use = varies ? variable_use(spec, words) : std::move(specification.use);
    for (int i = specification.first; i <= last && i < count; i += specification.step) {
      keys.push_back({words[static_cast<size_t>(i)], use});
    }
  }
  return keys;
}

const CommandSpec* find_command_line(std::span<const std::string_view> words) {
  if (words.empty()) return nullptr;
  const CommandSpec* const spec = find_command(words[0]);
  if (spec == nullptr || spec->subcommands.empty() || words.size() < 2) return spec;
  return find_subcommand(*spec, words[1]);
}

const CommandSpec* find_full_name(std::string_view name) {
  const size_t bar = name.find('|');
  const CommandSpec* const spec = find_command(name.substr(0, bar));
  if (spec == nullptr || bar == name.npos) return spec;
  return find_subcommand(*spec, name.substr(bar + 1));
}

}  // namespace capstan
