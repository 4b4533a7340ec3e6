#include "server/batch.h"

namespace capstan {
namespace {
// A batch that carried huge values gives their memory back.
constexpr size_t kKeptBytes = 1 << 20;
}  // namespace

void Batch::clear() {
  kinds_.clear();
  commands_.clear();
  lengths_.clear();
  replies_.clear();
  actions_.clear();
  bytes_.clear();
  if (bytes_.capacity() > kKeptBytes) bytes_.shrink_to_fit();
}

void Batch::add_command(const ForwardedCommand& command, std::span<const std::string_view> arguments) {
  kinds_.push_back(Kind::kCommand);
  commands_.push_back(command);
  commands_.back().arguments = static_cast<uint32_t>(arguments.size());
  for (const std::string_view argument : arguments) {
    lengths_.push_back(static_cast<uint32_t>(argument.size()));
    bytes_.append(argument);
  }
}

void Batch::add_reply(const ReplyAddress& to, std::string_view bytes, uint64_t weight) {
  kinds_.push_back(Kind::kReply);
  replies_.push_back({to, weight, bytes.size()});
  bytes_.append(bytes);
}

void Batch::add_action(Action action) {
  kinds_.push_back(Kind::kAction);
  actions_.push_back(std::move(action));
}

}  // namespace capstan
