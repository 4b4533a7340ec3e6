// CONSISTENCY STRONG ID <client> <serial>: a command takes effect at most once, and is answered with its first reply
// when it comes again (Raft thesis §6.3; model, "STRONG ID"). What it answered is an element of a reserved database of
// the shard, named by the client, and part of the command's own record: where that is lost, so is this.
//
// Of a client a shard remembers the latest serial number. Its numbers rise, and it sends the next one to a shard when
// the one before is answered, or given up for good: an older one is refused.
//
// Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "resp/writer.h"

namespace capstan {

struct RequestId {
  std::string client;
  uint64_t serial = 0;
};

// Longer replies are not kept: that the command took effect is.
inline constexpr size_t kMaxRememberedBytes = size_t{1} << 20;

struct Remembered {
  uint64_t serial = 0;
  resp::Protocol protocol = resp::Protocol::kResp2;  // of the reply
  bool kept = true;                                  // the reply is
  bool aborted = false;                              // of EXEC: a watched key had changed
  std::vector<size_t> reply_ends;                    // of EXEC: of its commands' replies, each where it ends
  std::string reply;

  std::string encode() const;
  // nullopt: malformed.
  static std::optional<Remembered> decode(std::string_view bytes);
};

// What to answer a request that is not to be executed, given what is remembered of its client: nothing if the reply is
// to be repeated, else the error that says why not. nullopt: the request is new.
std::optional<std::string> check_repetition(const Remembered& last, uint64_t serial, resp::Protocol protocol);

}  // namespace capstan
