#include "server/monitor.h"

#include <algorithm>
#include <cstdio>

#include "server/directives.h"
#include "server/text.h"

namespace capstan {
namespace {

void append_quoted(std::string& line, std::string_view word) {
  line += '"';
  for (const char c : word) {
    switch (c) {
      case '\\':
        line += "\\\\";
        break;
      case '"':
        line += "\\\"";
        break;
      case '\n':
        line += "\\n";
        break;
      case '\r':
        line += "\\r";
        break;
      case '\t':
        line += "\\t";
        break;
      case '\a':
        line += "\\a";
        break;
      case '\b':
        line += "\\b";
        break;
      default:
        if (c >= ' ' && c <= '~') {
          line += c;
        } else {
          char escaped[5];
          std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned char>(c));
          line += escaped;
        }
    }
  }
  line += '"';
}

}  // namespace

std::string monitor_line(int64_t now_us, Database database, std::string_view address,
                         std::span<const std::string_view> words) {
  char time[40];
  std::snprintf(time, sizeof time, "+%lld.%06lld", static_cast<long long>(now_us / 1'000'000),
                static_cast<long long>(now_us % 1'000'000));
  std::string line(time);
  line.append(" [").append(std::to_string(database)).append(" ").append(address).append("]");
  for (const std::string_view word : words) {
    line += ' ';
    append_quoted(line, word);
  }
  return line.append("\r\n");
}

std::vector<std::string_view> redacted(const CommandSpec& spec, std::span<const std::string_view> words) {
  constexpr std::string_view kRedacted = "(redacted)";
  std::vector<std::string_view> shown(words.begin(), words.end());
  if ((spec.flags & (kAllSecret | kSomeSecret)) == 0) return shown;
  const auto name = std::find_if(words.begin(), words.end(), [&](auto word) { return same_word(word, spec.name); });
  // A renamed command is not found: then everything behind the first word counts.
  for (size_t i = name == words.end() ? 1 : static_cast<size_t>(name - words.begin()) + 1; i < words.size(); ++i) {
    const Directive* const directive = find_directive(words[i - 1]);
    const bool after_auth = same_word(words[i - 1], "auth") || (i > 1 && same_word(words[i - 2], "auth"));
    if ((spec.flags & kAllSecret) != 0 || after_auth || (directive != nullptr && directive->has(kSecret))) {
      shown[i] = kRedacted;
    }
  }
  return shown;
}

}  // namespace capstan
