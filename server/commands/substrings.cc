// Parts of strings: APPEND, GETRANGE, SETRANGE, LCS.
#include <algorithm>
#include <string>

#include "server/commands/arguments.h"
#include "server/commands/lcs.h"
#include "server/commands/string_reply.h"

namespace capstan {
namespace {

// Whether a string of `size` bytes may be made. Both summands are lengths of strings or checked offsets.
bool is_allowed_size(const Call& call, uint64_t offset, uint64_t size) {
  return offset <= call.max_string_bytes && size <= call.max_string_bytes - offset;
}

Outcome append(Call& call) {
  const KeyRef key = call.key(1);
  const std::string_view bytes = call.args[2];
  uint64_t size = 0;
  const Lookup lookup = call.eval().string_size(key, size);
  if (!is_usable(lookup)) return refuse(call, lookup);
  if (!is_allowed_size(call, size, bytes.size())) return reply_too_long(call);
  if (lookup == Lookup::kMissing) {
    call.eval().set_string(key, bytes);
  } else if (!bytes.empty()) {
    const Lookup spliced = call.eval().splice(key, size, bytes);
    if (spliced == Lookup::kNotResident) return refuse(call, spliced);
  }
  call.reply().integer(static_cast<int64_t>(size + bytes.size()));
  return Outcome::kDone;
}

Outcome strlen(Call& call) {
  uint64_t size = 0;
  const Lookup lookup = call.eval().string_size(call.key(1), size);
  if (!is_usable(lookup)) return refuse(call, lookup);
  call.reply().integer(static_cast<int64_t>(size));
  return Outcome::kDone;
}

Outcome getrange(Call& call) {
  const std::optional<int64_t> start = integer_argument(call, 2);
  if (!start) return Outcome::kDone;
  const std::optional<int64_t> end = integer_argument(call, 3);
  if (!end) return Outcome::kDone;
  const KeyRef key = call.key(1);
  uint64_t size = 0;
  const Lookup lookup = call.eval().string_size(key, size);
  if (!is_usable(lookup)) return refuse(call, lookup);
  const std::optional<IndexRange> range = clip_range(*start, *end, size);
  if (!range) {
    call.reply().bulk("");
    return Outcome::kDone;
  }
  return reply_string(call, call.eval().string_range(key, range->first, range->last - range->first + 1));
}

Outcome setrange(Call& call) {
  const std::optional<int64_t> offset = integer_argument(call, 2);
  if (!offset) return Outcome::kDone;
  if (*offset < 0) return reply_error(call, "ERR offset is out of range");
  const KeyRef key = call.key(1);
  const std::string_view bytes = call.args[3];
  uint64_t size = 0;
  const Lookup lookup = call.eval().string_size(key, size);
  if (!is_usable(lookup)) return refuse(call, lookup);
  if (!bytes.empty()) {
    const auto at = static_cast<uint64_t>(*offset);
    if (!is_allowed_size(call, at, bytes.size())) return reply_too_long(call);
    const Lookup spliced = call.eval().splice(key, at, bytes);
    if (spliced == Lookup::kNotResident) return refuse(call, spliced);
    size = std::max<uint64_t>(size, at + bytes.size());
  }
  call.reply().integer(static_cast<int64_t>(size));
  return Outcome::kDone;
}

struct LcsOptions {
  bool length = false;
  bool indexes = false;
  bool match_lengths = false;
  int64_t min_match = 0;
};

// nullopt: refused, the error is replied.
std::optional<LcsOptions> lcs_options(Call& call) {
  LcsOptions options;
  for (size_t i = 3; i < call.args.size(); ++i) {
    const std::string_view word = call.args[i];
    if (same_word(word, "len")) {
      options.length = true;
    } else if (same_word(word, "idx")) {
      options.indexes = true;
    } else if (same_word(word, "withmatchlen")) {
      options.match_lengths = true;
    } else if (same_word(word, "minmatchlen") && i + 1 < call.args.size()) {
      const std::optional<int64_t> min_match = integer_argument(call, ++i);
      if (!min_match) return std::nullopt;
      options.min_match = *min_match;
    } else {
      reply_syntax_error(call);
      return std::nullopt;
    }
  }
  if (options.length && options.indexes) {
    reply_error(call, "ERR If you want both the length and indexes, please just use IDX.");
    return std::nullopt;
  }
  return options;
}

void reply_lcs_text(Call& call, std::string_view a, const std::vector<LcsMatch>& matches) {
  uint64_t size = 0;
  for (const LcsMatch& match : matches) size += match.size;
  char* to = call.reply().bulk_room(size);
  for (auto match = matches.rbegin(); match != matches.rend(); ++match) {
    to = std::copy_n(a.data() + match->a_first, match->size, to);
  }
}

void reply_lcs_range(resp::Writer& reply, uint64_t first, uint64_t size) {
  reply.array(2);
  reply.integer(static_cast<int64_t>(first));
  reply.integer(static_cast<int64_t>(first + size - 1));
}

void reply_lcs_indexes(Call& call, const std::vector<LcsMatch>& matches, const LcsOptions& options) {
  const auto is_shown = [&options](const LcsMatch& match) {
    return static_cast<int64_t>(match.size) >= options.min_match;
  };
  resp::Writer& reply = call.reply();
  uint64_t length = 0;
  reply.map(2);
  reply.bulk("matches");
  reply.array(static_cast<size_t>(std::count_if(matches.begin(), matches.end(), is_shown)));
  for (const LcsMatch& match : matches) {
    length += match.size;
    if (!is_shown(match)) continue;
    reply.array(options.match_lengths ? 3 : 2);
    reply_lcs_range(reply, match.a_first, match.size);
    reply_lcs_range(reply, match.b_first, match.size);
    if (options.match_lengths) reply.integer(static_cast<int64_t>(match.size));
  }
  reply.bulk("len");
  reply.integer(static_cast<int64_t>(length));
}

Outcome lcs(Call& call) {
  const StringRead a = call.eval().string(call.key(1));
  const StringRead b = call.eval().string(call.key(2));
  if (a.lookup == Lookup::kWrongType || b.lookup == Lookup::kWrongType) {
    return reply_error(call, "ERR The specified keys must contain string values");
  }
  if (a.lookup == Lookup::kNotResident || b.lookup == Lookup::kNotResident) return Outcome::kFetch;
  const std::optional<LcsOptions> options = lcs_options(call);
  if (!options) return Outcome::kDone;
  if (lcs_table_bytes(a.value.size(), b.value.size()) > call.max_string_bytes) {
    return reply_error(call, "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
  }
  if (options->length) {
    call.reply().integer(static_cast<int64_t>(lcs_length(a.value, b.value)));
    return Outcome::kDone;
  }
  const std::vector<LcsMatch> matches = lcs_matches(a.value, b.value);
  if (options->indexes) {
    reply_lcs_indexes(call, matches, *options);
  } else {
    reply_lcs_text(call, a.value, matches);
  }
  return Outcome::kDone;
}

constexpr KeyPositions kOneKey = {1, 1, 1};

constexpr CommandSpec kCommands[] = {
    {.name = "append",
     .arity = 3,
     .flags = kWrite | kDenyOom | kFast | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = append,
     .categories = "string",
     .key_use = "RW INSERT",
     .group = "string",
     .since = "2.0.0",
     .complexity = "O(N) for N appended bytes",
     .summary = "Appends to a string and replies its new length; a missing key counts as empty",
     .syntax = "<key:key> <value:string>"},
    {.name = "strlen",
     .arity = 2,
     .flags = kReadonly | kFast | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = strlen,
     .categories = "string",
     .key_use = "RO",
     .group = "string",
     .since = "2.2.0",
     .complexity = "O(1)",
     .summary = "Replies the length of a string in bytes",
     .syntax = "<key:key>"},
    {.name = "getrange",
     .arity = 4,
     .flags = kReadonly | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = getrange,
     .categories = "string",
     .key_use = "RO ACCESS",
     .group = "string",
     .since = "2.4.0",
     .complexity = "O(N) for N replied bytes",
     .summary = "Replies a part of a string",
     .syntax = "<key:key> <start:integer> <end:integer>"},
    {.name = "substr",
     .arity = 4,
     .flags = kReadonly | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = getrange,
     .categories = "string",
     .key_use = "RO ACCESS",
     .group = "string",
     .since = "1.0.0",
     .complexity = "O(N) for N replied bytes",
     .summary = "Replies a part of a string; the older name of GETRANGE",
     .syntax = "<key:key> <start:integer> <end:integer>"},
    {.name = "setrange",
     .arity = 4,
     .flags = kWrite | kDenyOom | kTrailingLevel,
     .keys = kOneKey,
     .scope = Scope::kShard,
     .run = setrange,
     .categories = "string",
     .key_use = "RW UPDATE",
     .group = "string",
     .since = "2.2.0",
     .complexity = "O(N) for N written bytes, with those that fill a gap",
     .summary = "Overwrites a part of a string and replies its new length",
     .syntax = "<key:key> <offset:integer> <value:string>"},
    {.name = "lcs",
     .arity = -3,
     .flags = kReadonly,
     .keys = {1, 2, 1},
     .scope = Scope::kShard,
     .run = lcs,
     .categories = "string",
     .key_use = "RO ACCESS",
     .group = "string",
     .since = "7.0.0",
     .complexity = "O(N*M) for strings of N and M bytes",
     .summary = "Finds the longest common subsequence of two strings",
     .syntax = "<key1:key> <key2:key> [LEN] [IDX] [MINMATCHLEN <min-match-len:integer>] [WITHMATCHLEN]"},
};

}  // namespace

std::span<const CommandSpec> substring_commands() { return kCommands; }

}  // namespace capstan
