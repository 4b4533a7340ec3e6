// The directive table: everything that the configuration file, the command line and CONFIG may set. Names, types,
// limits and error texts are those of redis.conf and CONFIG SET (Redis 7.0) where Redis has the directive.
//
// A value is kept as the text that CONFIG GET shows; Settings hold what the text means. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "server/settings.h"

namespace capstan {

enum class ValueKind : uint8_t {
  kYesNo,
  kInteger,
  kOctal,
  kMemory,      // bytes, with an optional unit: 1k = 1000, 1kb = 1024, …
  kAutoMemory,  // the same, or "auto": chosen from the machine's memory
  kChoice,      // one of `choices`
  kText,
  kOwn,  // has a function of its own
};

enum DirectiveFlag : uint32_t {
  kAtStartOnly = 1u << 0,  // CONFIG SET refuses it: "can't set immutable config"
  kProtected = 1u << 1,    // the same, as Redis says it of directives that a client must not change
  kFixedValue = 1u << 2,   // may be "set" at run time to the value that it has (Redis could change it)
  kListed = 1u << 3,       // several words; one quoted word holds all of them as well
  kRepeated = 1u << 4,     // every line of a file adds to it; CONFIG SET replaces the whole
  kHidden = 1u << 5,       // unknown to CONFIG
  kSecret = 1u << 6,       // a password: shown to nobody who asks what others do (monitor.h)
};

// How a kOwn directive is read. words: the directive's words. old: the value so far, in text, or, where the new words
// replace what the directive held, its empty value.
using ParseValue = Result<std::string> (*)(std::span<const std::string_view> words, const std::string& old);
// Precondition: value was made by parse_value for the same directive.
using StoreValue = void (*)(Settings& settings, std::string_view value);

struct Directive {
  std::string_view name;
  std::string_view alias;  // an older name for the same; empty: none
  ValueKind kind = ValueKind::kText;
  std::string_view initial;  // the default
  uint32_t flags = 0;
  int64_t low = 0;
  uint64_t high = 0;
  std::string_view choices;  // of kChoice, space separated
  ParseValue parse = nullptr;
  // nullptr: the directive is Redis' and has no meaning here; it is accepted, shown, and warned of.
  StoreValue store = nullptr;

  bool has(DirectiveFlag flag) const { return (flags & flag) != 0; }
  bool means_nothing() const { return store == nullptr; }
};

// Sorted by name.
std::span<const Directive> all_directives();
// By name or alias, in any case; nullptr if unknown.
const Directive* find_directive(std::string_view name);
size_t directive_number(const Directive& directive);

// Values by directive_number().
using DirectiveValues = std::vector<std::string>;
DirectiveValues default_values();

// The text of a directive whose words are `words`. adding: the words come from one of several lines, else they are the
// whole. Errors: what Redis says ("argument must be 'yes' or 'no'"), without the directive's name.
Result<std::string> parse_value(const Directive& directive, std::span<const std::string_view> words,
                                const std::string& old, bool adding);

// What values mean. The machine's memory chooses where a value says "auto"; relative paths count from `dir`. Errors:
// directives that do not go together.
Result<Settings> make_settings(DirectiveValues values, uint64_t machine_memory_bytes);

// The lines with which a file would give the directive this value.
std::vector<std::string> directive_lines(const Directive& directive, const std::string& value);

// The rows of Redis' directives that have no meaning here (directives_of_redis.cc).
std::span<const Directive> directives_of_redis();
// The rows of those that have one (directives.cc).
std::span<const Directive> own_directives();

}  // namespace capstan
