// Sets.
#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <string>
#include <vector>

#include "server/commands/arguments.h"
#include "server/commands/string_reply.h"

namespace capstan {
namespace {

constexpr ElementKind kMember = ElementKind::kMember;

using Members = std::vector<std::string_view>;

// A command on the set args[1], which has `size` members; 0: there is no such key.
using SetFunction = Outcome (*)(Call& call, const KeyRef& key, uint64_t size);

template <SetFunction function>
Outcome on_set(Call& call) {
  const KeyRef key = call.key(1);
  const CollectionRead read = call.eval().collection(key, kMember);
  return is_usable(read.lookup) ? function(call, key, read.size) : refuse(call, read.lookup);
}

// --- one set

Outcome sadd(Call& call, const KeyRef& key, uint64_t /*size*/) {
  absl::InlinedVector<Element, 8> fresh;
  for (const std::string_view member : call.args.subspan(2)) {
    if (!call.eval().element(key, member)) fresh.push_back({member, {}});
  }
  const uint64_t added = fresh.empty() ? 0 : call.eval().put_elements(key, kMember, fresh);
  call.reply().integer(static_cast<int64_t>(added));
  return Outcome::kDone;
}

Outcome srem(Call& call, const KeyRef& key, uint64_t /*size*/) {
  Members gone;
  absl::flat_hash_set<std::string_view> seen;
  for (const std::string_view member : call.args.subspan(2)) {
    if (!call.eval().element(key, member)) continue;
    if (call.args.size() == 3 || seen.insert(member).second) gone.push_back(member);
  }
  if (!gone.empty()) call.eval().remove_elements(key, kMember, gone);
  call.reply().integer(static_cast<int64_t>(gone.size()));
  return Outcome::kDone;
}

Outcome scard(Call& call, const KeyRef& /*key*/, uint64_t size) {
  call.reply().integer(static_cast<int64_t>(size));
  return Outcome::kDone;
}

Outcome sismember(Call& call, const KeyRef& key, uint64_t /*size*/) {
  call.reply().integer(call.eval().element(key, call.args[2]).has_value());
  return Outcome::kDone;
}

Outcome smismember(Call& call, const KeyRef& key, uint64_t /*size*/) {
  call.reply().array(call.args.size() - 2);
  for (const std::string_view member : call.args.subspan(2)) {
    call.reply().integer(call.eval().element(key, member).has_value());
  }
  return Outcome::kDone;
}

Outcome smove(Call& call) {
  const KeyRef from = call.key(1), to = call.key(2);
  const std::string_view member = call.args[3];
  const Lookup source = call.eval().collection(from, kMember).lookup;
  if (source == Lookup::kMissing) {
    call.reply().integer(0);
    return Outcome::kDone;
  }
  if (source != Lookup::kFound) return refuse(call, source);
  const Lookup target = call.eval().collection(to, kMember).lookup;
  if (!is_usable(target)) return refuse(call, target);
  const bool there = call.eval().element(from, member).has_value();
  if (there && from.name != to.name) {
    const bool had = call.eval().element(to, member).has_value();
    call.eval().remove_elements(from, kMember, std::span(&member, 1));
    const Element element{member, {}};
    if (!had) call.eval().put_elements(to, kMember, std::span(&element, 1));
  }
  call.reply().integer(there);
  return Outcome::kDone;
}

void reply_members(Call& call, const KeyRef& key) {
  call.eval().for_each_element(key, [&](const Element& element) { call.reply().bulk(element.id); });
}

Outcome smembers(Call& call, const KeyRef& key, uint64_t size) {
  call.reply().set(size);
  reply_members(call, key);
  return Outcome::kDone;
}

// --- random members

// So many different ranks below `size`, each choice alike likely (Floyd's algorithm; Bentley, "A sample of
// brilliance", CACM 1987).
std::vector<uint64_t> draw_ranks(Call& call, uint64_t count, uint64_t size) {
  absl::flat_hash_set<uint64_t> drawn;
  std::vector<uint64_t> ranks;
  for (uint64_t below = size - count; below < size; ++below) {
    const uint64_t rank = call.eval().draw(below + 1);
    ranks.push_back(drawn.insert(rank).second ? rank : below);
    drawn.insert(ranks.back());
  }
  return ranks;
}

Outcome spop_one(Call& call, const KeyRef& key, uint64_t size) {
  if (size == 0) {
    call.reply().null();
    return Outcome::kDone;
  }
  const Element element = call.eval().element_at(key, call.eval().draw(size));
  const std::string_view member = call.eval().keep(element.id);
  call.reply().bulk(member);
  call.eval().remove_elements(key, kMember, std::span(&member, 1));
  return Outcome::kDone;
}

Outcome spop(Call& call) {
  if (call.args.size() > 3) return reply_syntax_error(call);
  int64_t count = 1;
  if (call.args.size() == 3) {
    const std::optional<int64_t> read = resp::parse_integer(call.args[2]);
    if (!read || *read < 0) return reply_error(call, "ERR value is out of range, must be positive");
    count = *read;
  }
  const KeyRef key = call.key(1);
  const auto [lookup, size] = call.eval().collection(key, kMember);
  if (!is_usable(lookup)) return refuse(call, lookup);
  if (call.args.size() == 2) return spop_one(call, key, size);
  const uint64_t taken = std::min<uint64_t>(static_cast<uint64_t>(count), size);
  call.reply().set(taken);
  if (taken == size) {
    reply_members(call, key);
    if (size > 0) call.eval().remove(key);
    return Outcome::kDone;
  }
  Members gone;
  for (const uint64_t rank : draw_ranks(call, taken, size)) {
    gone.push_back(call.eval().keep(call.eval().element_at(key, rank).id));
    call.reply().bulk(gone.back());
  }
  if (!gone.empty()) call.eval().remove_elements(key, kMember, gone);
  return Outcome::kDone;
}

// Nothing else bounds a reply of members that are drawn again and again.
constexpr int64_t kMaxRepeatedDraws = 10'000'000;

Outcome srandmember(Call& call) {
  if (call.args.size() > 3) return reply_syntax_error(call);
  std::optional<int64_t> count;
  if (call.args.size() == 3) {
    count = integer_argument(call, 2);
    if (!count) return Outcome::kDone;
    if (*count == std::numeric_limits<int64_t>::min()) {
      return reply_error(call,
                         "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");
    }
  }
  if (count && *count < -kMaxRepeatedDraws) {
    return reply_error(call, "ERR value is out of range, at most 10000000 members are drawn with repetition");
  }
  const KeyRef key = call.key(1);
  const auto [lookup, size] = call.eval().collection(key, kMember);
  if (!is_usable(lookup)) return refuse(call, lookup);
  const auto reply_at = [&](uint64_t rank) { call.reply().bulk(call.eval().element_at(key, rank).id); };
  if (!count) {
    size == 0 ? call.reply().null() : reply_at(call.eval().draw(size));
    return Outcome::kDone;
  }
  if (size == 0 || *count == 0) {
    call.reply().array(0);
  } else if (*count < 0) {
    call.reply().array(static_cast<size_t>(-*count));
    for (int64_t left = *count; left < 0; ++left) reply_at(call.eval().draw(size));
  } else if (static_cast<uint64_t>(*count) >= size) {
    call.reply().array(size);
    reply_members(call, key);
  } else {
    call.reply().array(static_cast<size_t>(*count));
    for (const uint64_t rank : draw_ranks(call, static_cast<uint64_t>(*count), size)) reply_at(rank);
  }
  return Outcome::kDone;
}

// --- several sets

enum class Operation : uint8_t { kUnion, kIntersection, kDifference };

// The sizes of the sets args[first, last); nullopt: refused, `outcome` says how.
std::optional<std::vector<uint64_t>> set_sizes(Call& call, size_t first, size_t last, Outcome& outcome) {
  std::vector<uint64_t> sizes;
  for (size_t i = first; i < last; ++i) {
    const CollectionRead read = call.eval().collection(call.key(i), kMember);
    sizes.push_back(read.size);
    if (is_usable(read.lookup)) continue;
    outcome = refuse(call, read.lookup);
    return std::nullopt;
  }
  return sizes;
}

Members members_of(Call& call, const KeyRef& key) {
  Members members;
  call.eval().for_each_element(key, [&](const Element& element) { members.push_back(call.eval().keep(element.id)); });
  return members;
}

bool in_all(Call& call, std::string_view member, size_t first, size_t last, size_t but) {
  for (size_t i = first; i < last; ++i) {
    if (i != but && !call.eval().element(call.key(i), member)) return false;
  }
  return true;
}

Members intersect(Call& call, const std::vector<uint64_t>& sizes, size_t first) {
  const auto smallest = std::min_element(sizes.begin(), sizes.end());
  if (*smallest == 0) return {};
  const size_t from = first + static_cast<size_t>(smallest - sizes.begin());
  Members found;
  for (const std::string_view member : members_of(call, call.key(from))) {
    if (in_all(call, member, first, first + sizes.size(), from)) found.push_back(member);
  }
  return found;
}

Members unite(Call& call, size_t first, size_t last) {
  absl::flat_hash_set<std::string_view> seen;
  Members found;
  for (size_t i = first; i < last; ++i) {
    for (const std::string_view member : members_of(call, call.key(i))) {
      if (seen.insert(member).second) found.push_back(member);
    }
  }
  return found;
}

Members subtract(Call& call, size_t first, size_t last) {
  const auto in_another = [&](std::string_view member) {
    for (size_t i = first + 1; i < last; ++i) {
      if (call.eval().element(call.key(i), member)) return true;
    }
    return false;
  };
  Members found = members_of(call, call.key(first));
  std::erase_if(found, in_another);
  return found;
}

std::optional<Members> combine(Call& call, Operation operation, size_t first, Outcome& outcome) {
  const size_t last = call.args.size();
  const auto sizes = set_sizes(call, first, last, outcome);
  if (!sizes) return std::nullopt;
  switch (operation) {
    case Operation::kUnion:
      return unite(call, first, last);
    case Operation::kIntersection:
      return intersect(call, *sizes, first);
    case Operation::kDifference:
      return subtract(call, first, last);
  }
  return std::nullopt;
}

template <Operation operation>
Outcome reply_combined(Call& call) {
  Outcome outcome = Outcome::kDone;
  const std::optional<Members> members = combine(call, operation, 1, outcome);
  if (!members) return outcome;
  call.reply().set(members->size());
  for (const std::string_view member : *members) call.reply().bulk(member);
  return Outcome::kDone;
}

template <Operation operation>
Outcome store_combined(Call& call) {
  Outcome outcome = Outcome::kDone;
  const std::optional<Members> members = combine(call, operation, 2, outcome);
  if (!members) return outcome;
  const KeyRef key = call.key(1);
  call.eval().remove(key);
  std::vector<Element> elements;
  for (const std::string_view member : *members) elements.push_back({member, {}});
  if (!elements.empty()) call.eval().put_elements(key, kMember, elements);
  call.reply().integer(static_cast<int64_t>(elements.size()));
  return Outcome::kDone;
}

constexpr CommandSpec row(std::string_view name, int arity, uint32_t flags, KeyPositions keys, CommandFunction run,
                          std::string_view key_use, std::string_view since, std::string_view complexity,
                          std::string_view summary, std::string_view syntax, std::string_view tips = {}) {
  return {.name = name,
          .arity = arity,
          .flags = flags,
          .keys = keys,
          .scope = Scope::kShard,
          .run = run,
          .categories = "set",
          .key_use = key_use,
          .group = "set",
          .since = since,
          .complexity = complexity,
          .summary = summary,
          .syntax = syntax,
          .tips = tips};
}

constexpr KeyPositions kFirst = {1, 1, 1};
constexpr KeyPositions kAll = {1, -1, 1};

constexpr CommandSpec kCommands[] = {
    row("sadd", -3, kWrite | kDenyOom | kFast, kFirst, on_set<sadd>, "RW INSERT", "1.0.0", "O(1) per member",
        "Adds members to a set, and replies how many were not there", "<key:key> <member:string>…"),
    row("scard", 2, kReadonly | kFast, kFirst, on_set<scard>, "RO", "1.0.0", "O(1)", "Number of a set's members",
        "<key:key>"),
    row("sdiff", -2, kReadonly, kAll, reply_combined<Operation::kDifference>, "RO ACCESS", "1.0.0",
        "O(N) for N members in all", "What the first set has and the others do not", "<key:key>…",
        "nondeterministic_output_order"),
    row("sdiffstore", -3, kWrite | kDenyOom, kAll, store_combined<Operation::kDifference>, "OW UPDATE; RO ACCESS",
        "1.0.0", "O(N) for N members in all", "Stores what the first set has and the others do not",
        "<destination:key> <key:key>…"),
    row("sinter", -2, kReadonly, kAll, reply_combined<Operation::kIntersection>, "RO ACCESS", "1.0.0",
        "O(N * M) for the smallest of M sets, with N members", "What all sets have", "<key:key>…",
        "nondeterministic_output_order"),
    row("sinterstore", -3, kWrite | kDenyOom, kAll, store_combined<Operation::kIntersection>, "RW UPDATE; RO ACCESS",
        "1.0.0", "O(N * M) for the smallest of M sets, with N members", "Stores what all sets have",
        "<destination:key> <key:key>…"),
    row("sismember", 3, kReadonly | kFast, kFirst, on_set<sismember>, "RO", "1.0.0", "O(1)",
        "Whether a set has a member", "<key:key> <member:string>"),
    row("smembers", 2, kReadonly, kFirst, on_set<smembers>, "RO ACCESS", "1.0.0", "O(N) for N members",
        "All members of a set", "<key:key>", "nondeterministic_output_order"),
    row("smismember", -3, kReadonly | kFast, kFirst, on_set<smismember>, "RO ACCESS", "6.2.0", "O(1) per member",
        "Which of the members a set has", "<key:key> <member:string>…"),
    row("smove", 4, kWrite | kFast, {1, 2, 1}, smove, "RW ACCESS DELETE; RW INSERT", "1.0.0", "O(1)",
        "Moves a member from one set to another", "<source:key> <destination:key> <member:string>"),
    row("spop", -2, kWrite | kFast, kFirst, spop, "RW ACCESS DELETE", "1.0.0", "O(1) per member",
        "Removes and replies random members of a set", "<key:key> [<count:integer>]", "nondeterministic_output"),
    row("srandmember", -2, kReadonly, kFirst, srandmember, "RO ACCESS", "1.0.0", "O(1) per member",
        "Replies random members of a set", "<key:key> [<count:integer>]", "nondeterministic_output"),
    row("srem", -3, kWrite | kFast, kFirst, on_set<srem>, "RW DELETE", "1.0.0", "O(1) per member",
        "Removes members from a set, and replies how many were there", "<key:key> <member:string>…"),
    row("sunion", -2, kReadonly, kAll, reply_combined<Operation::kUnion>, "RO ACCESS", "1.0.0",
        "O(N) for N members in all", "What any of the sets has", "<key:key>…", "nondeterministic_output_order"),
    row("sunionstore", -3, kWrite | kDenyOom, kAll, store_combined<Operation::kUnion>, "OW UPDATE; RO ACCESS", "1.0.0",
        "O(N) for N members in all", "Stores what any of the sets has", "<destination:key> <key:key>…"),
};

}  // namespace

std::span<const CommandSpec> set_commands() { return kCommands; }

}  // namespace capstan
