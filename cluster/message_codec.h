// Messages of the shards' Raft groups as they travel between nodes: each one RESP array of bulk strings, so that
// redis-cli can read what goes over a link.
//
//   raft 1 <shard> <kind> <from> <to> <term> (<name> <value>)… [entries <count> (<term> <record> <configuration>)…]
//
// "1" is the version of this grammar. The kind is a word ("append", "vote-reply", …), numbers are decimal, a flag is 1.
// Fields that are zero, and an empty list of entries, are left out; the entries come last. A reader skips names that it
// does not know, so that nodes of different versions understand each other.
//
// Any thread; no state.
#pragma once

#include <span>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "consensus/types.h"
#include "resp/output_buffer.h"

namespace capstan::cluster {

struct ShardMessage {
  ShardId shard = 0;
  consensus::Message message;
};

// The first word, which tells these messages from others on a link.
inline constexpr std::string_view kRaftMessage = "raft";

// Appends the message to `out`.
void encode_message(ShardId shard, const consensus::Message& message, resp::OutputBuffer& out);

// Reads the words of such an array into `decoded`, whose vector of entries is used again. Entries point into the words'
// bytes and live as long as those.
// kInvalid: malformed, the sender is no node of ours; kNotFound: well-formed, of a kind that only newer versions know,
// to be ignored. `decoded` is then undefined.
Result<> decode_message(std::span<const std::string_view> words, ShardMessage& decoded);

}  // namespace capstan::cluster
