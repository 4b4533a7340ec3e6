// How a task travels to the node that leads its shard (of a LOCAL read: that holds it), and its outcome back, over the
// links between nodes (cluster/links.h). RESP arrays of bulk strings; numbers are decimal:
//
//   call 1 <id> <client> <shard> <level> <protocol> <timeout ms> [once <client's own id> <serial>]
//                                                [after <token>] [maxage <ms>] [session <seen>] then one of
//                                                command <database> <name> <word>…
//                                                exec <n> (<database> <key> <digest>)ⁿ (<database> <name> <m> <word>ᵐ)…
//                                                watch (<database> <key>)…
//                                                holders <index>
//   answer 1 <id> done <weight> <seen> <reply>                     of a command
//   answer 1 <id> done <weight> <seen> <replies> aborted|refused   of EXEC; or <end of the command's reply>…
//   answer 1 <id> done <weight> <seen> <reply> <digest>…           of WATCH
//   answer 1 <id> done <weight> <seen> <reply> <index> <holders>   of WAIT
//   answer 1 <id> refused                                          does not lead; the task was not accepted
//
// The name is the command's own, whatever a node's rename-command makes of it; the words are the client's. `client`
// tells the calling node's clients apart: what one of them sends takes effect in its order.
//
// Any thread; no state.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"
#include "resp/output_buffer.h"
#include "server/task.h"

namespace capstan {

inline constexpr std::string_view kCallMessage = "call";
inline constexpr std::string_view kAnswerMessage = "answer";

void encode_call(uint64_t id, const Task& task, resp::OutputBuffer& out);
// The task without its on_done; reply_to.client is the caller's client, reply_to.place the id. kInvalid: malformed.
// kNotFound: a command that this node does not know.
Result<std::unique_ptr<Task>> decode_call(std::span<const std::string_view> words);

// Of a task that decode_call() made and that has run.
// seen: the number of log R up to which the reply can show it.
void encode_answer(const Task& task, std::string_view reply, uint64_t weight, uint64_t seen, resp::OutputBuffer& out);
void encode_refusal(const Task& task, resp::OutputBuffer& out);

struct Answer {
  uint64_t id = 0;
  bool refused = false;
  uint64_t weight = 0;
  uint64_t seen = 0;
  std::string_view reply;
  std::span<const std::string_view> more;
};
// Views into the words.
Result<Answer> decode_answer(std::span<const std::string_view> words);
// Puts what an answer says besides the reply into the task it answers. False: it does not fit the task.
[[nodiscard]] bool take_answer(const Answer& answer, Task& task);

}  // namespace capstan
