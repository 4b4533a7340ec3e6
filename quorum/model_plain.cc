#include "quorum/model_plain.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "base/check.h"

namespace capstan {

namespace {

using Part = std::map<std::string, std::string>;

std::string as_text(long double value) {
  char out[6000];
  std::string text(out, std::to_chars(out, std::end(out), value, std::chars_format::fixed, 17).ptr);
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text;
}

bool as_integer(const std::string& text, long long& value) {
  char* end = nullptr;
  errno = 0;
  value = std::strtoll(text.c_str(), &end, 10);
  return errno == 0 && *end == '\0' && std::to_string(value) == text;  // "07" is none
}

std::string put(Part& part, const std::string& id, const std::string& value) {
  return part.insert_or_assign(id, value).second ? "1" : "0";
}
std::string remove(Part& part, const std::string& id) { return part.erase(id) != 0 ? "1" : "0"; }

std::string increment(Part& part, const std::string& id, int64_t by) {
  const auto at = part.find(id);
  if (at == part.end()) return part[id] = std::to_string(by);
  long long value;
  if (!as_integer(at->second, value)) return "not a number";
  long long sum;
  if (__builtin_add_overflow(value, by, &sum)) return "overflow";
  return at->second = std::to_string(sum);
}

std::string increment_float(Part& part, const std::string& id, long double by) {
  const auto at = part.find(id);
  if (at == part.end()) return part[id] = as_text(by);
  return at->second = as_text(std::strtold(at->second.c_str(), nullptr) + by);
}

std::string as_bytes(double score) {
  std::string bytes(sizeof score, '\0');
  std::memcpy(bytes.data(), &score, sizeof score);
  return bytes;
}

std::string increment_score(Part& part, const std::string& id, double by) {
  double score = 0;
  const auto at = part.find(id);
  if (at != part.end()) std::memcpy(&score, at->second.data(), sizeof score);
  return part[id] = as_bytes(score + by);
}

}  // namespace

std::vector<std::string> PlainRedis::run(const std::vector<Command>& commands, Hlc stamp) {
  std::vector<std::string> replies;
  for (const Command& command : commands) {
    replies.push_back(run(command, stamp));
    const auto at = keys_.find(command.key);
    if (at != keys_.end() && at->second.empty()) keys_.erase(at);
  }
  return replies;
}

std::string PlainRedis::run(const Command& command, Hlc stamp) {
  Content& content = keys_[command.key];
  switch (command.op) {
    case Op::kGet:
      return content.strings.empty() ? "nil" : content.strings.at("");
    case Op::kSet:
      content = Content();
      content.strings[""] = command.value;
      return "OK";
    case Op::kDelete: {
      const bool there = !content.empty();
      content = Content();
      return there ? "1" : "0";
    }
    case Op::kIncrement:
      return increment(content.strings, "", command.number);
    case Op::kIncrementFloat:
      return increment_float(content.strings, "", static_cast<long double>(command.number) / 4);
    case Op::kAppend:
      content.strings[""] += command.value;
      return std::to_string(content.strings.at("").size());
    case Op::kFlush:
      std::erase_if(keys_, [&](const auto& entry) { return entry.first.first == command.key.first; });
      return "OK";
    case Op::kRemembered:
      return remembered(command);
    default:
      return run_collection(command, content, stamp);
  }
}

std::string PlainRedis::run_collection(const Command& command, Content& content, Hlc stamp) {
  switch (command.op) {
    case Op::kHashSet:
      return put(content.hash, command.id, command.value);
    case Op::kHashDelete:
      return remove(content.hash, command.id);
    case Op::kHashIncrement:
      return increment(content.hash, command.id, command.number);
    case Op::kSetAdd:
      return put(content.set, command.id, "");
    case Op::kSetRemove:
      return remove(content.set, command.id);
    case Op::kScoreAdd:
      return put(content.scores, command.id, as_bytes(static_cast<double>(command.number)));
    case Op::kScoreIncrement:
      return increment_score(content.scores, command.id, static_cast<double>(command.number) / 8);
    case Op::kScoreRemove:
      return remove(content.scores, command.id);
    case Op::kPush:
      content.list.push_back(command.value);
      return "1";
    case Op::kPop: {
      if (content.list.empty()) return "nil";
      std::string first = content.list.front();
      content.list.erase(content.list.begin());
      return first;
    }
    case Op::kStreamAdd:
      return put(content.stream, std::to_string(stamp.value), command.value);
    default:
      CHECK(false, "a command that worlds of STRONG commands alone do not have");
  }
}

// Once per client and serial number.
std::string PlainRedis::remembered(const Command& command) {
  Part& results = keys_[session_key()].strings;
  std::string& result = results[command.id];
  const std::string serial = std::to_string(command.serial) + ':';
  if (result.starts_with(serial)) return result.substr(serial.size());
  std::string reply = increment(keys_[command.key].strings, "", command.number);
  result = serial + reply;
  return reply;
}

}  // namespace capstan
