#include "server/syntax.h"

#include <algorithm>

#include "server/text.h"

namespace capstan {
namespace {

constexpr std::string_view kEllipsis = "…";
constexpr std::string_view kMarks = " |[]()<>";

class SyntaxParser {
 public:
  explicit SyntaxParser(std::string_view text) : rest_(text) {}

  Result<std::vector<Argument>> parse() {
    std::vector<std::vector<Argument>> alternatives = parse_alternatives();
    if (!failed_ && !rest_.empty()) fail("a bracket is closed that was not opened");
    if (failed_) return Error{ErrorCode::kInvalid, error_};
    if (alternatives.size() == 1) return std::move(alternatives[0]);
    return std::vector<Argument>{one_of(std::move(alternatives))};
  }

 private:
  void fail(std::string_view why) {
    if (!failed_) error_ = std::string(why) + " before '" + std::string(rest_) + "'";
    failed_ = true;
  }

  void skip_blanks() {
    while (rest_.starts_with(' ')) rest_.remove_prefix(1);
  }

  bool take(std::string_view word) {
    skip_blanks();
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }

  bool at_end() {
    skip_blanks();
    return failed_ || rest_.empty() || rest_[0] == ']' || rest_[0] == ')';
  }

  std::vector<std::vector<Argument>> parse_alternatives() {
    std::vector<std::vector<Argument>> alternatives;
    do {
      alternatives.push_back(parse_sequence());
      if (alternatives.back().empty() && !(alternatives.size() == 1 && rest_.empty())) fail("nothing stands");
    } while (!failed_ && take("|"));
    return alternatives;
  }

  // Items, then each token joined with the arguments behind it.
  std::vector<Argument> parse_sequence() {
    std::vector<Argument> items;
    while (!at_end() && rest_[0] != '|') {
      items.push_back(parse_item());
      if (!failed_ && take(kEllipsis)) items.back().multiple = true;
    }
    std::vector<Argument> joined;
    for (size_t i = 0; i < items.size(); ++i) {
      const bool takes =
          items[i].type == "pure-token" && !items[i].multiple && i + 1 < items.size() && belongs_to_token(items[i + 1]);
      if (!takes) {
        joined.push_back(std::move(items[i]));
        continue;
      }
      std::vector<Argument> taken;
      const std::string token = items[i].token;
      while (i + 1 < items.size() && belongs_to_token(items[i + 1])) taken.push_back(std::move(items[++i]));
      joined.push_back(unite(std::move(taken)));
      joined.back().token = token;
    }
    return joined;
  }

  static bool belongs_to_token(const Argument& argument) { return argument.token.empty() && !argument.optional; }

  Argument parse_item() {
    if (take("[")) {
      Argument group = parse_group("]");
      group.optional = true;
      return group;
    }
    if (take("(")) return parse_group(")");
    if (take("<")) return parse_argument();
    const size_t size = std::min({rest_.find_first_of(kMarks), rest_.find(kEllipsis), rest_.size()});
    Argument token;
    token.token = rest_.substr(0, size);
    token.name = lower(token.token);
    token.type = "pure-token";
    if (size == 0) fail("a word is missing");
    rest_.remove_prefix(size);
    return token;
  }

  Argument parse_group(std::string_view end) {
    std::vector<std::vector<Argument>> alternatives = parse_alternatives();
    if (!take(end)) fail("a bracket is not closed");
    if (failed_) return {};
    return alternatives.size() == 1 ? unite(std::move(alternatives[0])) : one_of(std::move(alternatives));
  }

  Argument parse_argument() {
    const size_t end = rest_.find('>');
    const size_t colon = rest_.substr(0, end).rfind(':');
    if (end == rest_.npos || colon == rest_.npos || colon == 0 || colon + 1 == end) {
      fail("<name:type> is expected");
      return {};
    }
    Argument argument;
    argument.name = rest_.substr(0, colon);
    argument.type = rest_.substr(colon + 1, end - colon - 1);
    rest_.remove_prefix(end + 1);
    return argument;
  }

  static std::string joint_name(const std::vector<Argument>& arguments) {
    std::string name;
    for (const Argument& argument : arguments) name.append(name.empty() ? "" : "_").append(argument.name);
    return name;
  }

  static Argument unite(std::vector<Argument> arguments) {
    if (arguments.size() == 1) return std::move(arguments[0]);
    Argument block;
    block.name = joint_name(arguments);
    block.type = "block";
    block.arguments = std::move(arguments);
    return block;
  }

  static Argument one_of(std::vector<std::vector<Argument>> alternatives) {
    Argument result;
    for (std::vector<Argument>& alternative : alternatives) result.arguments.push_back(unite(std::move(alternative)));
    result.name = joint_name(result.arguments);
    result.type = "oneof";
    return result;
  }

  std::string_view rest_;
  bool failed_ = false;
  std::string error_;
};

}  // namespace

Result<std::vector<Argument>> parse_syntax(std::string_view text) { return SyntaxParser(text).parse(); }

}  // namespace capstan
