#include "server/gather.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "base/random.h"
#include "resp/number.h"
#include "resp/writer.h"

namespace capstan {
namespace {

// A SCAN cursor: 14 bits of slot, then 39 bits of hash (lmdb_store::Keyspace::scan).
constexpr unsigned kHashBits = 39;

// The header line at the front: its number, and its length with the line end.
struct Header {
  int64_t number = 0;
  size_t size = 0;
};
Header header_of(std::string_view bytes) {
  const size_t end = bytes.find("\r\n");
  CHECK(end != std::string_view::npos);
  Header header{0, end + 2};
  std::from_chars(bytes.data() + 1, bytes.data() + end, header.number);
  return header;
}

bool is_null(std::string_view reply) { return reply == "$-1\r\n" || reply == "_\r\n" || reply == "*-1\r\n"; }

}  // namespace

Placement place(const ShardMap& map, const CommandSpec& spec, std::span<const std::string_view> arguments) {
  Placement placement;
  for_each_key(spec, arguments.size(), [&](size_t i) {
    const ShardId shard = map.shard_of(arguments[i]);
    if (!placement.any) placement.shard = shard;
    placement.several |= shard != placement.shard;
    placement.any = true;
  });
  return placement;
}

std::vector<Part> split(const ShardMap& map, const CommandSpec& spec, std::span<const std::string_view> arguments) {
  std::vector<Part> parts;
  uint32_t key = 0;
  for_each_key(spec, arguments.size(), [&](size_t i) {
    const ShardId shard = map.shard_of(arguments[i]);
    auto part = std::find_if(parts.begin(), parts.end(), [shard](const Part& p) { return p.shard == shard; });
    if (part == parts.end()) {
      part = parts.insert(parts.end(), Part{shard, {arguments[0]}, {}});
    }
    // What follows a key up to the next one is its own (MSET's value).
    const size_t step = static_cast<size_t>(spec.keys.step);
    part->arguments.insert(part->arguments.end(), arguments.begin() + i,
                           arguments.begin() + std::min(i + step, arguments.size()));
    part->keys.push_back(key++);
  });
  return parts;
}

size_t reply_length(std::string_view bytes) {
  size_t at = 0;
  for (size_t values = 1; values > 0; --values) {
    const std::string_view rest = bytes.substr(at);
    const Header header = header_of(rest);
    at += header.size;
    switch (rest[0]) {
      case '$':
      case '=':
        if (header.number >= 0) at += static_cast<size_t>(header.number) + 2;
        break;
      case '*':
      case '~':
      case '>':
        if (header.number > 0) values += static_cast<size_t>(header.number);
        break;
      case '%':
        values += 2 * static_cast<size_t>(header.number);
        break;
      case '|':  // attributes come before the value they belong to
        values += 2 * static_cast<size_t>(header.number) + 1;
        break;
      default:
        break;
    }
  }
  return at;
}

std::string continue_cursor(const ShardMap& map, ShardId shard, std::string_view reply) {
  constexpr std::string_view kFinished = "*2\r\n$1\r\n0\r\n";
  if (shard + 1 >= map.shards() || !reply.starts_with(kFinished)) return std::string(reply);
  const std::string cursor = std::to_string(uint64_t{map.first_slot(shard + 1)} << kHashBits);
  return "*2\r\n$" + std::to_string(cursor.size()) + "\r\n" + cursor + "\r\n" +
         std::string(reply.substr(kFinished.size()));
}

ShardId shard_of_cursor(const ShardMap& map, std::string_view cursor) {
  uint64_t position = 0;
  const auto [end, error] = std::from_chars(cursor.data(), cursor.data() + cursor.size(), position);
  if (error != std::errc() || end != cursor.data() + cursor.size()) return 0;
  const uint64_t slot = position >> kHashBits;
  return slot < kSlots ? map.shard_of(static_cast<Slot>(slot)) : 0;
}

bool Gather::add(uint32_t part, std::string_view reply, uint64_t weight) {
  CHECK(waiting_ > 0 && replies_[part].bytes.empty());
  replies_[part].bytes = reply;
  replies_[part].weight = weight;
  return --waiting_ == 0;
}

void Gather::write(resp::OutputBuffer& out) const {
  CHECK(waiting_ == 0);
  for (const PartReply& reply : replies_) {
    if (reply.bytes[0] == '-') return out.append(reply.bytes);
  }
  switch (join_) {
    case Join::kSum:
      return write_sum(out);
    case Join::kOk:
      return out.append(resp::kOk);
    case Join::kArray:
      return write_array(out);
    case Join::kConcat:
      return write_concat(out);
    case Join::kPick:
      return write_pick(out);
    case Join::kCursor:
      return out.append(continue_cursor(shard_map_, shard_, replies_[0].bytes));
    case Join::kNone:
      break;
  }
  CHECK(false);
}

void Gather::write_sum(resp::OutputBuffer& out) const {
  int64_t sum = 0;
  for (const PartReply& reply : replies_) sum += header_of(reply.bytes).number;
  resp::Writer(out, resp::Protocol::kResp2).integer(sum);
}

void Gather::write_array(resp::OutputBuffer& out) const {
  std::vector<std::string_view> elements;
  for (const PartReply& reply : replies_) {
    std::string_view rest = reply.bytes;
    rest.remove_prefix(header_of(rest).size);
    for (const uint32_t key : reply.keys) {
      const size_t length = reply_length(rest);
      if (elements.size() <= key) elements.resize(key + 1);
      elements[key] = rest.substr(0, length);
      rest.remove_prefix(length);
    }
  }
  resp::Writer(out, resp::Protocol::kResp2).array(elements.size());
  for (const std::string_view element : elements) out.append(element);
}

void Gather::write_concat(resp::OutputBuffer& out) const {
  int64_t count = 0;
  for (const PartReply& reply : replies_) count += header_of(reply.bytes).number;
  resp::Writer(out, resp::Protocol::kResp2).array(static_cast<size_t>(count));
  for (const PartReply& reply : replies_) {
    out.append(std::string_view(reply.bytes).substr(header_of(reply.bytes).size));
  }
}

void Gather::write_pick(resp::OutputBuffer& out) const {
  uint64_t total = 0;
  for (const PartReply& reply : replies_) total += is_null(reply.bytes) ? 0 : std::max<uint64_t>(reply.weight, 1);
  if (total == 0) return out.append(replies_[0].bytes);
  uint64_t at = Random(random_).below(total);
  for (const PartReply& reply : replies_) {
    const uint64_t weight = is_null(reply.bytes) ? 0 : std::max<uint64_t>(reply.weight, 1);
    if (at < weight) return out.append(reply.bytes);
    at -= weight;
  }
  CHECK(false);
}

}  // namespace capstan
