#include "server/level.h"

#include <algorithm>

#include "resp/glob.h"
#include "resp/number.h"
#include "server/text.h"

namespace capstan {
namespace {

constexpr std::pair<std::string_view, Quorum::Kind> kQuorumNames[] = {
    {"QUORUM", Quorum::Kind::kQuorum},
    {"ALL", Quorum::Kind::kAll},
    {"LOCAL_QUORUM", Quorum::Kind::kLocalQuorum},
    {"EACH_QUORUM", Quorum::Kind::kEachQuorum},
};

Error invalid(std::string message) { return Error{ErrorCode::kInvalid, "ERR " + std::move(message)}; }

std::optional<Quorum> parse_quorum(std::string_view word) {
  for (const auto& [name, kind] : kQuorumNames) {
    if (same_word(word, name)) return Quorum{kind, 0};
  }
  const std::optional<int64_t> number = resp::parse_integer(word);
  if (!number || *number < 1 || *number > UINT32_MAX) return std::nullopt;
  return Quorum{Quorum::Kind::kNumber, static_cast<uint32_t>(*number)};
}

std::string quorum_text(const Quorum& quorum) {
  if (quorum.kind == Quorum::Kind::kNumber) return std::to_string(quorum.number);
  for (const auto& [name, kind] : kQuorumNames) {
    if (kind == quorum.kind) return std::string(name);
  }
  return {};
}

enum class Option { kNone, kWrite, kRead, kTimeout, kMaxAge, kAfter, kSession, kId };

// How many values follow the option's word.
struct OptionSpec {
  std::string_view name;
  Option option;
  size_t values;
};
constexpr OptionSpec kOptions[] = {
    {"W", Option::kWrite, 1},       {"R", Option::kRead, 1},      {"TIMEOUT", Option::kTimeout, 1},
    {"MAXAGE", Option::kMaxAge, 1}, {"AFTER", Option::kAfter, 1}, {"SESSION", Option::kSession, 0},
    {"ID", Option::kId, 2},
};

const OptionSpec* find_option(std::string_view word) {
  for (const OptionSpec& spec : kOptions) {
    if (same_word(word, spec.name)) return &spec;
  }
  return nullptr;
}

Result<> set_quorum(Quorum& quorum, const OptionSpec& spec, std::string_view value) {
  const std::optional<Quorum> parsed = parse_quorum(value);
  if (!parsed) {
    return invalid(std::string(spec.name) + " needs a number from 1, QUORUM, ALL, LOCAL_QUORUM or EACH_QUORUM");
  }
  quorum = *parsed;
  return {};
}

Result<> set_milliseconds(int64_t& target, const OptionSpec& spec, std::string_view value) {
  const std::optional<int64_t> number = resp::parse_integer(value);
  if (!number || *number < 0) return invalid(std::string(spec.name) + " needs a number of milliseconds");
  target = *number;
  return {};
}

Result<> set_option(Consistency& to, const OptionSpec& spec, std::span<const std::string_view> values) {
  switch (spec.option) {
    case Option::kWrite:
      return set_quorum(to.write, spec, values[0]);
    case Option::kRead:
      return set_quorum(to.read, spec, values[0]);
    case Option::kTimeout:
      return set_milliseconds(to.timeout_ms, spec, values[0]);
    case Option::kMaxAge:
      return set_milliseconds(to.max_age_ms, spec, values[0]);
    case Option::kAfter:
      if (values[0].empty()) return invalid("AFTER needs a token");
      to.after = values[0];
      return {};
    case Option::kSession:
      to.session = true;
      return {};
    case Option::kId: {
      const std::optional<int64_t> serial = resp::parse_integer(values[1]);
      if (values[0].empty() || !serial || *serial < 0) return invalid("ID needs a client and a serial number");
      to.has_id = true;
      to.id_client = values[0];
      to.id_serial = static_cast<uint64_t>(*serial);
      return {};
    }
    case Option::kNone:
      break;
  }
  CHECK(false);
}

// What only makes sense at some levels is refused, not ignored.
Result<> check_options(const Consistency& consistency) {
  if (consistency.has_id && consistency.level != Level::kStrong) return invalid("ID needs the level STRONG");
  return {};
}

std::string quoted(std::string_view word) { return "'" + std::string(word.substr(0, 128)) + "'"; }

}  // namespace

std::string_view level_name(Level level) {
  switch (level) {
    case Level::kStrong:
      return "STRONG";
    case Level::kEventual:
      return "EVENTUAL";
    case Level::kLocal:
      return "LOCAL";
  }
  CHECK(false);
}

std::optional<Level> parse_level(std::string_view word) {
  for (const Level level : {Level::kStrong, Level::kEventual, Level::kLocal}) {
    if (same_word(word, level_name(level))) return level;
  }
  return std::nullopt;
}

uint32_t Quorum::needed(uint32_t replicas) const {
  switch (kind) {
    case Kind::kNumber:
      return number;
    case Kind::kAll:
      return replicas;
    default:
      return replicas / 2 + 1;
  }
}

bool Consistency::plain() const {
  Consistency bare;
  bare.level = level;
  return *this == bare;
}

std::string Consistency::to_string() const {
  std::string text(level_name(level));
  if (write.kind != Quorum::Kind::kDefault) text += " W " + quorum_text(write);
  if (read.kind != Quorum::Kind::kDefault) text += " R " + quorum_text(read);
  if (timeout_ms >= 0) text += " TIMEOUT " + std::to_string(timeout_ms);
  if (max_age_ms >= 0) text += " MAXAGE " + std::to_string(max_age_ms);
  if (!after.empty()) text += " AFTER " + after;
  if (session) text += " SESSION";
  if (has_id) text += " ID " + id_client + " " + std::to_string(id_serial);
  return text;
}

Result<ParsedConsistency> parse_consistency(std::span<const std::string_view> words) {
  if (words.empty()) return invalid("CONSISTENCY needs a level: STRONG, EVENTUAL or LOCAL");
  const std::optional<Level> level = parse_level(words[0]);
  if (!level) return invalid("unknown consistency level " + quoted(words[0]) + ", use STRONG, EVENTUAL or LOCAL");
  ParsedConsistency parsed;
  parsed.consistency.level = *level;
  parsed.used = 1;
  uint32_t seen = 0;
  while (parsed.used < words.size()) {
    const OptionSpec* const spec = find_option(words[parsed.used]);
    if (spec == nullptr) break;
    const uint32_t bit = 1u << static_cast<unsigned>(spec->option);
    if ((seen & bit) != 0) return invalid(std::string(spec->name) + " is given twice");
    seen |= bit;
    if (words.size() - parsed.used - 1 < spec->values) return invalid(std::string(spec->name) + " needs a value");
    const Result<> set = set_option(parsed.consistency, *spec, words.subspan(parsed.used + 1, spec->values));
    if (!set) return set.error();
    parsed.used += 1 + spec->values;
  }
  const Result<> checked = check_options(parsed.consistency);
  if (!checked) return checked.error();
  return parsed;
}

std::optional<size_t> find_trailing_consistency(std::span<const std::string_view> words, size_t from) {
  for (size_t i = from; i + 1 < words.size(); ++i) {
    if (same_word(words[i], "CONSISTENCY") && parse_level(words[i + 1])) return i;
  }
  return std::nullopt;
}

Result<> LevelPolicy::add(std::span<const std::string_view> words) {
  const bool has_pattern = words.size() >= 2 && parse_level(words[1]).has_value();
  // Options are name=value here; the grammar is the same once they are two words.
  std::vector<std::string_view> split;
  for (const std::string_view word : words.subspan(has_pattern ? 1 : 0)) {
    const size_t equals = split.empty() ? std::string_view::npos : word.find('=');
    split.push_back(word.substr(0, equals));
    if (equals != std::string_view::npos) split.push_back(word.substr(equals + 1));
  }
  const Result<ParsedConsistency> parsed = parse_consistency(split);
  if (!parsed) return parsed.error();
  if (parsed.value().used != split.size())
    return invalid("unknown consistency option " + quoted(split[parsed.value().used]));
  const Consistency& consistency = parsed.value().consistency;
  if (consistency.has_id || !consistency.after.empty()) return invalid("ID and AFTER belong to one command");
  if (!has_pattern) {
    fallback_ = consistency;
  } else {
    patterns_.emplace_back(std::string(words[0]), consistency);
  }
  return {};
}

const Consistency* LevelPolicy::match(std::string_view key) const {
  const auto found = std::find_if(patterns_.begin(), patterns_.end(),
                                  [key](const auto& pattern) { return resp::glob_match(pattern.first, key); });
  return found == patterns_.end() ? nullptr : &found->second;
}

}  // namespace capstan
