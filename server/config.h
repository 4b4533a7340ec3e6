// Where directives come from: a file in redis.conf's syntax, the command line, CONFIG SET; and CONFIG REWRITE, which
// writes them back.
//
// A file's line is a directive's name and its words, split and quoted as inline commands are; '#' at its beginning
// makes a comment; `include <path>` reads another file (or several, by a glob) in its place. On the command line
// `--name word …` is such a line. Later values replace earlier ones.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "server/directives.h"
#include "server/settings.h"

namespace capstan {

class Configuration {
 public:
  Configuration() : values_(default_values()) {}

  // Errors name the file, the line and the directive.
  Result<> read_file(const std::string& path);
  // The words after the program's name: first the path of a file, unless it begins with "--"; then directives.
  Result<> read_arguments(std::span<const std::string_view> words);

  // A relative `dir` counts from the working directory; other relative paths count from `dir`.
  Result<Settings> settings(uint64_t machine_memory_bytes) const;

  const DirectiveValues& values() const { return values_; }
  // Directives that were given although they mean nothing here, in the order of the table, each once.
  std::vector<std::string_view> without_meaning() const;

 private:
  Result<> read_text(const std::string& path, std::string_view text, int depth);
  Result<> read_included(const std::string& path, int depth);
  Result<> take(std::string_view name, std::span<const std::string_view> words);

  DirectiveValues values_;
  std::vector<bool> given_ = std::vector<bool>(all_directives().size());
  std::string config_file_;
};

// CONFIG SET: pairs of name and value, all or none. The error is ready to be replied ("ERR …").
Result<Settings> change_settings(const Settings& old, std::span<const std::string_view> pairs);

// CONFIG GET: the names that match the patterns and their values, each once. A pattern without wildcards is answered
// with the name as it was written.
std::vector<std::pair<std::string, std::string>> matching_values(const Settings& settings,
                                                                 std::span<const std::string_view> patterns);

// CONFIG REWRITE: the file's text with the lines of every directive as its value is now; comments, empty lines and the
// order stay. Directives that the file does not name are added at the end, if they have not their defaults.
std::string rewritten(std::string_view text, const DirectiveValues& values);

}  // namespace capstan
