#include "server/commands/set_options.h"

#include "server/text.h"

namespace capstan {
namespace {

using Condition = SetOptions::Condition;
using Ttl = SetOptions::Ttl;

std::optional<TimeForm> time_option(std::string_view word) {
  if (same_word(word, "ex")) return TimeForm{.seconds = true, .absolute = false};
  if (same_word(word, "px")) return TimeForm{.seconds = false, .absolute = false};
  if (same_word(word, "exat")) return TimeForm{.seconds = true, .absolute = true};
  if (same_word(word, "pxat")) return TimeForm{.seconds = false, .absolute = true};
  return std::nullopt;
}

struct ConditionWord {
  Condition condition;
  bool has_operand;
};

std::optional<ConditionWord> condition_option(std::string_view word) {
  if (same_word(word, "nx")) return ConditionWord{Condition::kMissing, false};
  if (same_word(word, "xx")) return ConditionWord{Condition::kExists, false};
  if (same_word(word, "ifeq")) return ConditionWord{Condition::kValue, true};
  if (same_word(word, "ifversion")) return ConditionWord{Condition::kVersion, true};
  return std::nullopt;
}

// Goes through the words; each take_…() is false where the word is another one or contradicts what came before.
class OptionParser {
 public:
  explicit OptionParser(std::span<const std::string_view> words) : words_(words) {}

  bool more() const { return at_ < words_.size(); }

  bool take_condition() {
    const std::optional<ConditionWord> word = condition_option(words_[at_]);
    if (!word || (options_.condition != Condition::kNone && options_.condition != word->condition)) return false;
    options_.condition = word->condition;
    return word->has_operand ? take_operand(options_.operand) : take();
  }

  bool take_get() {
    if (!same_word(words_[at_], "get")) return false;
    options_.get = true;
    return take();
  }

  bool take_ttl(std::string_view name, Ttl ttl) {
    if (!same_word(words_[at_], name) || (options_.ttl != Ttl::kUnspecified && options_.ttl != ttl)) return false;
    options_.ttl = ttl;
    return take();
  }

  bool take_time() {
    const std::optional<TimeForm> form = time_option(words_[at_]);
    if (!form) return false;
    if (options_.ttl != Ttl::kUnspecified && (options_.ttl != Ttl::kSet || *form != options_.form)) return false;
    options_.ttl = Ttl::kSet;
    options_.form = *form;
    return take_operand(options_.time_text);
  }

  const SetOptions& options() const { return options_; }

 private:
  bool take() {
    ++at_;
    return true;
  }
  bool take_operand(std::string_view& operand) {
    if (at_ + 1 == words_.size()) return false;
    operand = words_[at_ + 1];
    at_ += 2;
    return true;
  }

  std::span<const std::string_view> words_;
  size_t at_ = 0;
  SetOptions options_;
};

}  // namespace

std::optional<SetOptions> parse_set_options(std::span<const std::string_view> words) {
  OptionParser parser(words);
  while (parser.more()) {
    if (!parser.take_condition() && !parser.take_get() && !parser.take_ttl("keepttl", Ttl::kKeep) &&
        !parser.take_time()) {
      return std::nullopt;
    }
  }
  return parser.options();
}

std::optional<SetOptions> parse_getex_options(std::span<const std::string_view> words) {
  OptionParser parser(words);
  while (parser.more()) {
    if (!parser.take_ttl("persist", Ttl::kPersist) && !parser.take_time()) return std::nullopt;
  }
  return parser.options();
}

}  // namespace capstan
