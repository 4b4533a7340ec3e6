#include "cluster/message_codec.h"

#include <algorithm>
#include <charconv>
#include <concepts>
#include <iterator>
#include <limits>
#include <string>

#include "resp/writer.h"

namespace capstan::cluster {
namespace {

using consensus::Entry;
using consensus::Message;
using consensus::MessageKind;

constexpr std::string_view kVersion = "1";
constexpr std::string_view kEntries = "entries";
// raft, version, shard, kind, from, to, term
constexpr size_t kHeadWords = 7;
constexpr size_t kWordsPerEntry = 3;
// A header, a number of 20 digits or a name, two line ends: what a word takes besides the bytes of a record.
constexpr size_t kBytesPerWord = 40;

// In the order of their numbers, from 1.
constexpr std::string_view kKinds[] = {"append", "append-reply", "pre-vote",    "pre-vote-reply",
                                       "vote",   "vote-reply",   "timeout-now", "committed"};
static_assert(std::size(kKinds) == static_cast<size_t>(MessageKind::kCommitted));

// A field that is written only if it is not zero.
struct Field {
  std::string_view name;
  uint64_t Message::*number;
  bool Message::*flag;
};

constexpr Field kFields[] = {
    {"previous", &Message::previous, nullptr},
    {"previous-term", &Message::previous_term, nullptr},
    {"commit", &Message::commit, nullptr},
    {"round", &Message::round, nullptr},
    {"match", &Message::match, nullptr},
    {"received", &Message::received, nullptr},
    {"hint", &Message::hint, nullptr},
    {"hint-term", &Message::hint_term, nullptr},
    {"promised", &Message::promised, nullptr},
    {"first", &Message::first, nullptr},
    {"ordered-round", &Message::ordered_round, nullptr},
    {"rejected", nullptr, &Message::rejected},
    {"gated", nullptr, &Message::gated},
    {"rebuilding", nullptr, &Message::rebuilding},
    {"transfer", nullptr, &Message::transfer},
    {"ordered", nullptr, &Message::ordered},
};
constexpr size_t kFieldCount = std::size(kFields);

uint64_t value_of(const Message& message, const Field& field) {
  return field.flag != nullptr ? uint64_t{message.*field.flag} : message.*field.number;
}

void write_number(resp::Writer& writer, uint64_t value) {
  char digits[std::numeric_limits<uint64_t>::digits10 + 1];
  const char* const end = std::to_chars(digits, std::end(digits), value).ptr;
  writer.bulk({digits, static_cast<size_t>(end - digits)});
}

template <std::unsigned_integral T>
[[nodiscard]] bool read_number(std::string_view text, T& value) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end;
}

// Few messages have more than a handful of fields: they and their count are found in one pass over the message.
struct Present {
  const Field* fields[kFieldCount];
  size_t count = 0;
};

Present present_fields(const Message& message) {
  Present present;
  for (const Field& field : kFields) {
    if (value_of(message, field) != 0) present.fields[present.count++] = &field;
  }
  return present;
}

size_t record_bytes(const Message& message) {
  size_t bytes = 0;
  for (const Entry& entry : message.entries) bytes += entry.record.size() + entry.configuration.size();
  return bytes;
}

// Reads the words one by one; the first that is wrong ends it.
class Reader {
 public:
  Reader(std::span<const std::string_view> words, ShardMessage& decoded) : words_(words), decoded_(decoded) {}

  Result<> read() {
    if (words_.size() < kHeadWords || words_[0] != kRaftMessage) return malformed("its head is not complete");
    if (words_[1] != kVersion) return malformed("its version is not 1");
    Message& message = decoded_.message;
    message.entries.clear();
    message = Message{.entries = std::move(message.entries)};
    if (!read_number(words_[2], decoded_.shard)) return malformed("the shard is no number");
    if (!read_number(words_[4], message.from) || !read_number(words_[5], message.to)) {
      return malformed("a replica's identity is no number");
    }
    if (!read_number(words_[6], message.term)) return malformed("the term is no number");
    if (Result<> read = read_fields(); !read) return read;
    const auto* const kind = std::find(std::begin(kKinds), std::end(kKinds), words_[3]);
    if (kind == std::end(kKinds)) return Error{ErrorCode::kNotFound, "a Raft message is of an unknown kind"};
    message.kind = static_cast<MessageKind>(kind - std::begin(kKinds) + 1);
    return {};
  }

 private:
  static Error malformed(std::string_view why) {
    return Error{ErrorCode::kInvalid, "a Raft message is malformed: " + std::string(why)};
  }

  Result<> read_fields() {
    for (size_t at = kHeadWords; at < words_.size(); at += 2) {
      if (at + 1 == words_.size()) return malformed("a name has no value");
      if (words_[at] == kEntries) return read_entries(words_[at + 1], words_.subspan(at + 2));
      const Field* const field = find(words_[at]);
      if (field == nullptr) continue;
      if (!take(*field, words_[at + 1])) return malformed("a field's value is no number, or stands there twice");
    }
    return {};
  }

  // Fields come in the order of the table: nearly always the first look finds one.
  const Field* find(std::string_view name) {
    for (size_t tries = 0; tries < kFieldCount; ++tries) {
      const Field& field = kFields[next_];
      next_ = next_ + 1 == kFieldCount ? 0 : next_ + 1;
      if (field.name == name) return &field;
    }
    return nullptr;
  }

  [[nodiscard]] bool take(const Field& field, std::string_view text) {
    const uint32_t bit = 1u << (&field - kFields);
    uint64_t value;
    if ((seen_ & bit) != 0 || !read_number(text, value)) return false;
    seen_ |= bit;
    if (field.flag == nullptr) {
      decoded_.message.*field.number = value;
    } else {
      decoded_.message.*field.flag = value != 0;
    }
    return field.flag == nullptr || value <= 1;
  }

  Result<> read_entries(std::string_view count_text, std::span<const std::string_view> words) {
    size_t count;
    if (!read_number(count_text, count) || words.size() % kWordsPerEntry != 0 ||
        count != words.size() / kWordsPerEntry) {
      return malformed("its entries are not as many as it says");
    }
    Message& message = decoded_.message;
    if (count > std::numeric_limits<consensus::Index>::max() - message.previous) {
      return malformed("its entries' indexes are too large");
    }
    message.entries.reserve(count);
    for (; !words.empty(); words = words.subspan(kWordsPerEntry)) {
      Entry& entry = message.entries.emplace_back();
      if (!read_number(words[0], entry.term)) return malformed("an entry's term is no number");
      entry.record = words[1];
      entry.configuration = words[2];
    }
    return {};
  }

  const std::span<const std::string_view> words_;
  ShardMessage& decoded_;
  size_t next_ = 0;    // the field that is looked at first
  uint32_t seen_ = 0;  // one bit per field
};
static_assert(kFieldCount <= 32);

}  // namespace

void encode_message(ShardId shard, const Message& message, resp::OutputBuffer& out) {
  const Present present = present_fields(message);
  const size_t entries = message.entries.size();
  const size_t words = kHeadWords + 2 * present.count + (entries == 0 ? 0 : 2 + kWordsPerEntry * entries);
  out.reserve((words + 1) * kBytesPerWord + record_bytes(message));
  resp::Writer writer(out, resp::Protocol::kResp2);
  writer.array(words);
  writer.bulk(kRaftMessage);
  writer.bulk(kVersion);
  write_number(writer, shard);
  writer.bulk(kKinds[static_cast<size_t>(message.kind) - 1]);
  write_number(writer, message.from);
  write_number(writer, message.to);
  write_number(writer, message.term);
  for (size_t i = 0; i < present.count; ++i) {
    writer.bulk(present.fields[i]->name);
    write_number(writer, value_of(message, *present.fields[i]));
  }
  if (entries == 0) return;
  writer.bulk(kEntries);
  write_number(writer, entries);
  for (const Entry& entry : message.entries) {
    write_number(writer, entry.term);
    writer.bulk(entry.record);
    writer.bulk(entry.configuration);
  }
}

Result<> decode_message(std::span<const std::string_view> words, ShardMessage& decoded) {
  return Reader(words, decoded).read();
}

}  // namespace capstan::cluster
