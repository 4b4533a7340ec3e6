// PFADD, PFCOUNT, PFMERGE: strings as HyperLogLogs (hyperloglog.h).
#include <string>

#include "server/commands/arguments.h"
#include "server/commands/hyperloglog.h"
#include "server/commands/string_reply.h"

namespace capstan {
namespace {

using hyperloglog::Registers;

Outcome reply_no_value(Call& call) {
  return reply_error(call, "WRONGTYPE Key is not a valid HyperLogLog string value.");
}
Outcome reply_malformed(Call& call) { return reply_error(call, "INVALIDOBJ Corrupted HLL object detected"); }

// Of a value that is no dense one, or missing: all registers are read and written.
Outcome add_to_sparse(Call& call, const KeyRef& key, const StringRead& read) {
  bool changes = read.lookup == Lookup::kMissing;
  for (size_t i = 2; i < call.args.size() && !changes; ++i) {
    const hyperloglog::Place place = hyperloglog::place_of(call.args[i]);
    const std::optional<uint8_t> rank = hyperloglog::register_at(read.value, place.index);
    if (!rank) return reply_malformed(call);
    changes = place.rank > *rank;
  }
  if (changes) {
    Registers registers{};
    if (read.lookup == Lookup::kFound && !hyperloglog::merge(read.value, registers)) return reply_malformed(call);
    for (size_t i = 2; i < call.args.size(); ++i) {
      const hyperloglog::Place place = hyperloglog::place_of(call.args[i]);
      registers[place.index] = std::max(registers[place.index], place.rank);
    }
    call.eval().set_string(key, call.eval().keep(hyperloglog::encode(registers, true)), true);
  }
  call.reply().integer(changes ? 1 : 0);
  return Outcome::kDone;
}

// In place: a register costs the bytes that it lies in.
Outcome add_to_dense(Call& call, const KeyRef& key, std::string_view value) {
  std::string changed(value);
  const auto write = [&](size_t offset, std::string_view bytes) {
    changed.replace(offset, bytes.size(), bytes);
    return call.eval().splice(key, offset, call.eval().keep(bytes)) != Lookup::kNotResident;
  };
  bool changes = false;
  for (size_t i = 2; i < call.args.size(); ++i) {
    const hyperloglog::Place place = hyperloglog::place_of(call.args[i]);
    if (place.rank <= *hyperloglog::register_at(changed, place.index)) continue;
    const hyperloglog::Patch patch = hyperloglog::dense_patch(changed, place);
    if (!write(patch.offset, patch.bytes)) return Outcome::kFetch;
    changes = true;
  }
  const bool was_current = (changed[hyperloglog::kStaleOffset] & hyperloglog::kStale) == 0;
  if (changes && was_current && !write(hyperloglog::kStaleOffset, {&hyperloglog::kStale, 1})) return Outcome::kFetch;
  call.reply().integer(changes ? 1 : 0);
  return Outcome::kDone;
}

Outcome pfadd(Call& call) {
  const KeyRef key = call.key(1);
  const StringRead read = call.eval().string(key);
  if (!is_usable(read.lookup)) return refuse(call, read.lookup);
  if (read.lookup == Lookup::kMissing) return add_to_sparse(call, key, read);
  if (!hyperloglog::is_value(read.value)) return reply_no_value(call);
  return hyperloglog::is_dense(read.value) ? add_to_dense(call, key, read.value) : add_to_sparse(call, key, read);
}

// Raises the registers to those of all keys from `first` on. nullopt: done; else the outcome, which is replied.
std::optional<Outcome> merge_keys(Call& call, size_t first, Registers& registers, bool& any_dense) {
  for (size_t i = first; i < call.args.size(); ++i) {
    const StringRead read = call.eval().string(call.key(i));
    if (!is_usable(read.lookup)) return refuse(call, read.lookup);
    if (read.lookup == Lookup::kMissing) continue;
    if (!hyperloglog::is_value(read.value)) return reply_no_value(call);
    if (!hyperloglog::merge(read.value, registers)) return reply_malformed(call);
    any_dense = any_dense || hyperloglog::is_dense(read.value);
  }
  return std::nullopt;
}

Outcome pfcount(Call& call) {
  Registers registers{};
  bool any_dense = false;
  if (const std::optional<Outcome> failed = merge_keys(call, 1, registers, any_dense)) return *failed;
  call.reply().integer(static_cast<int64_t>(hyperloglog::count(registers)));
  return Outcome::kDone;
}

Outcome pfmerge(Call& call) {
  Registers registers{};
  bool any_dense = false;
  if (const std::optional<Outcome> failed = merge_keys(call, 1, registers, any_dense)) return *failed;
  call.eval().set_string(call.key(1), call.eval().keep(hyperloglog::encode(registers, !any_dense)), true);
  call.reply().ok();
  return Outcome::kDone;
}

constexpr CommandSpec kCommands[] = {
    {.name = "pfadd",
     .arity = -2,
     .flags = kWrite | kDenyOom | kFast,
     .keys = {1, 1, 1},
     .scope = Scope::kShard,
     .run = pfadd,
     .categories = "hyperloglog",
     .key_use = "RW INSERT",
     .group = "hyperloglog",
     .since = "2.8.9",
     .complexity = "O(1) per element",
     .summary = "Adds elements to a HyperLogLog, and replies whether its estimate may have changed",
     .syntax = "<key:key> [<element:string>…]"},
    {.name = "pfcount",
     .arity = -2,
     .flags = kReadonly,
     .keys = {1, -1, 1},
     .scope = Scope::kShard,
     .run = pfcount,
     .categories = "hyperloglog",
     .key_use = "RW ACCESS",
     .group = "hyperloglog",
     .since = "2.8.9",
     .complexity = "O(N) for N keys",
     .summary = "Estimates how many distinct elements were added to one of several HyperLogLogs",
     .syntax = "<key:key>…"},
    {.name = "pfmerge",
     .arity = -2,
     .flags = kWrite | kDenyOom,
     .keys = {1, -1, 1},
     .scope = Scope::kShard,
     .run = pfmerge,
     .categories = "hyperloglog",
     .key_use = "RW ACCESS INSERT; RO ACCESS",
     .group = "hyperloglog",
     .since = "2.8.9",
     .complexity = "O(N) for N keys",
     .summary = "Makes a HyperLogLog the union of itself and others",
     .syntax = "<destkey:key> [<sourcekey:key>…]"},
};

}  // namespace

std::span<const CommandSpec> hyperloglog_commands() { return kCommands; }

}  // namespace capstan
