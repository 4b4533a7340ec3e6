#include "server/config.h"

#include <glob.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>

#include "resp/glob.h"
#include "server/text.h"
#include "server/value_text.h"

namespace capstan {
namespace {

constexpr int kMaxIncludeDepth = 16;

Error wrong(std::string message) { return {ErrorCode::kInvalid, std::move(message)}; }

std::string_view trimmed(std::string_view line) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t first = line.find_first_not_of(kBlank);
  return first == line.npos ? std::string_view() : line.substr(first, line.find_last_not_of(kBlank) - first + 1);
}

// Calls f(line) for each line, without its newline; a last line without one counts, too.
template <typename F>
void for_each_line(std::string_view text, F f) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    f(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::string absolute(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> resolved(realpath(path.c_str(), nullptr), &std::free);
  return resolved ? std::string(resolved.get()) : path;
}

}  // namespace

// ---- reading

Result<> Configuration::take(std::string_view name, std::span<const std::string_view> words) {
  const Directive* const directive = find_directive(name);
  if (directive == nullptr) return wrong("unknown directive");
  const size_t number = directive_number(*directive);
  const Result<std::string> value = parse_value(*directive, words, values_[number], true);
  if (!value) return value.error();
  values_[number] = value.value();
  given_[number] = true;
  return {};
}

Result<> Configuration::read_text(const std::string& path, std::string_view text, int depth) {
  size_t number = 0;
  Result<> result;
  for_each_line(text, [&](std::string_view whole) {
    ++number;
    const std::string_view line = trimmed(whole);
    if (!result || line.empty() || line[0] == '#') return;
    const std::string place = path + ":" + std::to_string(number) + ": ";
    const std::optional<std::vector<std::string>> words = split_words(line);
    if (!words) {
      result = wrong(place + "unbalanced quotes: " + std::string(line));
      return;
    }
    const std::vector<std::string_view> views = views_of(*words);
    const bool include = same_word(views[0], "include") && views.size() == 2;
    const Result<> taken =
        include ? read_included((*words)[1], depth + 1) : take(views[0], std::span(views).subspan(1));
    if (!taken) result = wrong(place + (*words)[0] + ": " + taken.error().message);
  });
  return result;
}

Result<> Configuration::read_included(const std::string& path, int depth) {
  if (depth > kMaxIncludeDepth) return wrong("files include each other without end");
  std::vector<std::string> paths = {path};
  if (path.find_first_of("*?[") != path.npos) {
    glob_t found{};
    paths.clear();
    if (glob(path.c_str(), 0, nullptr, &found) == 0) paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
    globfree(&found);
  }
  for (const std::string& each : paths) {
    std::ifstream file(each);
    if (!file) return wrong("cannot open " + each + ": " + std::strerror(errno));
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    const Result<> read = read_text(each, text, depth);
    if (!read) return read.error();
  }
  return {};
}

Result<> Configuration::read_file(const std::string& path) {
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad() || !file.is_open()) return wrong("cannot open " + path + ": " + std::strerror(errno));
  config_file_ = absolute(path);
  return read_text(path, text, 0);
}

Result<> Configuration::read_arguments(std::span<const std::string_view> words) {
  if (!words.empty() && !words[0].starts_with("--")) {
    const Result<> read = read_file(std::string(words[0]));
    if (!read) return read.error();
    words = words.subspan(1);
  }
  while (!words.empty()) {
    if (!words[0].starts_with("--")) return wrong("a directive begins with --: " + std::string(words[0]));
    size_t count = 1;
    while (count < words.size() && !words[count].starts_with("--")) ++count;
    const Result<> taken = take(words[0].substr(2), words.subspan(1, count - 1));
    if (!taken) return wrong(std::string(words[0]) + ": " + taken.error().message);
    words = words.subspan(count);
  }
  return {};
}

Result<Settings> Configuration::settings(uint64_t machine_memory_bytes) const {
  DirectiveValues values = values_;
  std::string& directory = values[directive_number(*find_directive("dir"))];
  directory = std::filesystem::absolute(directory).lexically_normal().string();
  Result<Settings> settings = make_settings(std::move(values), machine_memory_bytes);
  if (!settings) return settings;
  settings->config_file = config_file_;
  return settings;
}

std::vector<std::string_view> Configuration::without_meaning() const {
  std::vector<std::string_view> names;
  for (const Directive& directive : all_directives()) {
    if (given_[directive_number(directive)] && directive.means_nothing()) names.push_back(directive.name);
  }
  return names;
}

// ---- CONFIG SET

namespace {

Error change_failed(std::string_view name, std::string_view why) {
  return wrong("ERR CONFIG SET failed (possibly related to argument '" + std::string(name) + "') - " +
               std::string(why));
}

Result<const Directive*> changeable(std::string_view name) {
  const Directive* const directive = find_directive(name);
  if (directive == nullptr || directive->has(kHidden)) {
    return wrong("ERR Unknown option or number of arguments for CONFIG SET - '" + std::string(name) + "'");
  }
  if (directive->has(kAtStartOnly)) return change_failed(name, "can't set immutable config");
  if (directive->has(kProtected)) return change_failed(name, "can't set protected config");
  return directive;
}

}  // namespace

Result<Settings> change_settings(const Settings& old, std::span<const std::string_view> pairs) {
  DirectiveValues values = old.values.empty() ? default_values() : old.values;
  std::vector<const Directive*> changed;
  // First what may be set at all, then the values, as Redis does: it shows in which error is told.
  for (size_t i = 0; i < pairs.size(); i += 2) {
    const Result<const Directive*> directive = changeable(pairs[i]);
    if (!directive) return directive.error();
    const bool twice = std::find(changed.begin(), changed.end(), directive.value()) != changed.end();
    if (twice) return change_failed(pairs[i], "duplicate parameter");
    changed.push_back(directive.value());
  }
  for (size_t i = 0; i < changed.size(); ++i) {
    const Directive& directive = *changed[i];
    std::string& value = values[directive_number(directive)];
    const Result<std::string> parsed = parse_value(directive, pairs.subspan(2 * i + 1, 1), value, false);
    if (!parsed) return change_failed(pairs[2 * i], parsed.error().message);
    if (directive.has(kFixedValue) && parsed.value() != value) {
      return change_failed(pairs[2 * i], "it is fixed when the server starts");
    }
    value = parsed.value();
  }
  Result<Settings> settings = make_settings(std::move(values), old.machine_memory);
  if (!settings) return change_failed(pairs[0], settings.error().message);
  settings->config_file = old.config_file;
  return settings;
}

// ---- CONFIG GET

std::vector<std::pair<std::string, std::string>> matching_values(const Settings& settings,
                                                                 std::span<const std::string_view> patterns) {
  const DirectiveValues values = settings.values.empty() ? default_values() : settings.values;
  std::vector<std::pair<std::string, std::string>> found;
  std::set<std::string> names;
  const auto add = [&](std::string_view canonical, std::string_view shown, const Directive& directive) {
    if (names.insert(std::string(canonical)).second) found.emplace_back(shown, values[directive_number(directive)]);
  };
  for (const std::string_view pattern : patterns) {
    if (pattern.find_first_of("*?[") == pattern.npos) {
      const Directive* const directive = find_directive(pattern);
      if (directive != nullptr && !directive->has(kHidden)) add(lower(pattern), pattern, *directive);
      continue;
    }
    for (const Directive& directive : all_directives()) {
      if (directive.has(kHidden)) continue;
      for (const std::string_view name : {directive.name, directive.alias}) {
        if (!name.empty() && resp::glob_match(pattern, name, resp::LetterCase::kIgnored)) add(name, name, directive);
      }
    }
  }
  return found;
}

// ---- CONFIG REWRITE

std::string rewritten(std::string_view text, const DirectiveValues& values) {
  std::string result;
  std::vector<bool> done(values.size());
  const auto write = [&](const Directive& directive) {
    const size_t number = directive_number(directive);
    if (done[number]) return;
    done[number] = true;
    for (const std::string& line : directive_lines(directive, values[number])) result.append(line).append("\n");
  };
  for_each_line(text, [&](std::string_view line) {
    const std::string_view content = trimmed(line);
    const std::optional<std::vector<std::string>> words = split_words(content);
    const bool has_words = words && !words->empty() && content[0] != '#';
    const Directive* const directive = has_words ? find_directive((*words)[0]) : nullptr;
    if (directive != nullptr) {
      write(*directive);
    } else {
      result.append(line).append("\n");
    }
  });
  constexpr std::string_view kHeading = "# Generated by CONFIG REWRITE\n";
  bool headed = text.find(kHeading) != text.npos;
  const DirectiveValues defaults = default_values();
  for (const Directive& directive : all_directives()) {
    const size_t number = directive_number(directive);
    if (done[number] || values[number] == defaults[number]) continue;
    // An included file or the command line says it; a second time it would be an error.
    if (directive.has(kHidden)) continue;
    if (!headed) result.append(kHeading);
    headed = true;
    write(directive);
  }
  return result;
}

}  // namespace capstan
