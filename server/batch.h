// What workers say to each other. All that one worker has for another in a turn travels as one batch through a bounded
// queue, with at most one wake-up. Order is kept per pair of workers.
#pragma once

#include <absl/functional/any_invocable.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/task.h"

namespace capstan {

class Worker;

// Runs on the worker it was sent to.
using Action = absl::AnyInvocable<void(Worker&)>;

// A command for a shard of the receiver. Its arguments lie in the batch's bytes.
struct ForwardedCommand {
  ReplyAddress reply_to;
  const CommandSpec* spec = nullptr;
  ShardId shard = 0;
  uint32_t arguments = 0;
  Database database = 0;
  Level level = Level::kStrong;
  resp::Protocol protocol = resp::Protocol::kResp2;
  int64_t timeout_ms = 0;
};

struct ForwardedReply {
  ReplyAddress to;
  uint64_t weight = 0;
  size_t bytes = 0;
};

class Batch {
 public:
  bool empty() const { return kinds_.empty(); }
  void clear();

  void add_command(const ForwardedCommand& command, std::span<const std::string_view> arguments);
  void add_reply(const ReplyAddress& to, std::string_view bytes, uint64_t weight);
  void add_action(Action action);

  // Calls the receiver's methods in the order of the adds: command(const ForwardedCommand&, arguments), reply(const
  // ForwardedReply&, bytes), action(Action&).
  template <typename Receiver>
  void visit(Receiver&& receiver);

 private:
  enum class Kind : uint8_t { kCommand, kReply, kAction };

  std::vector<Kind> kinds_;
  std::vector<ForwardedCommand> commands_;
  std::vector<uint32_t> lengths_;  // of the commands' arguments
  std::vector<ForwardedReply> replies_;
  std::vector<Action> actions_;
  std::string bytes_;
  std::vector<std::string_view> scratch_;
};

// Single producer, single consumer. The consumer returns emptied batches through the same object, so that in the steady
// state nothing is allocated.
class BatchQueue {
 public:
  // False if the queue is full; the batch stays with the caller, who adds to it and tries again.
  bool push(std::unique_ptr<Batch>& batch) { return full_.push(batch); }
  std::unique_ptr<Batch> pop() { return full_.pop(); }
  bool empty() const { return full_.empty(); }
  // By the consumer.
  void give_back(std::unique_ptr<Batch> batch) {
    batch->clear();
    spare_.push(batch);
  }
  // By the producer: an empty batch.
  std::unique_ptr<Batch> fresh() {
    std::unique_ptr<Batch> batch = spare_.pop();
    return batch ? std::move(batch) : std::make_unique<Batch>();
  }

 private:
  static constexpr size_t kCapacity = 64;

  class Ring {
   public:
    bool push(std::unique_ptr<Batch>& batch) {
      const size_t tail = tail_.load(std::memory_order_relaxed);
      if (tail - head_.load(std::memory_order_acquire) == kCapacity) return false;
      slots_[tail % kCapacity] = std::move(batch);
      tail_.store(tail + 1, std::memory_order_seq_cst);  // see Worker::run
      return true;
    }
    bool empty() const { return head_.load(std::memory_order_relaxed) == tail_.load(std::memory_order_seq_cst); }
    std::unique_ptr<Batch> pop() {
      const size_t head = head_.load(std::memory_order_relaxed);
      if (head == tail_.load(std::memory_order_acquire)) return nullptr;
      std::unique_ptr<Batch> batch = std::move(slots_[head % kCapacity]);
      head_.store(head + 1, std::memory_order_release);
      return batch;
    }

   private:
    alignas(64) std::atomic<size_t> head_{0};
    alignas(64) std::atomic<size_t> tail_{0};
    std::array<std::unique_ptr<Batch>, kCapacity> slots_;
  };

  Ring full_;
  Ring spare_;
};

template <typename Receiver>
void Batch::visit(Receiver&& receiver) {
  size_t command = 0, reply = 0, action = 0, length = 0, at = 0;
  const std::string_view bytes = bytes_;
  for (const Kind kind : kinds_) {
    switch (kind) {
      case Kind::kCommand: {
        scratch_.clear();
        for (uint32_t i = 0; i < commands_[command].arguments; ++i) {
          scratch_.push_back(bytes.substr(at, lengths_[length]));
          at += lengths_[length++];
        }
        receiver.command(commands_[command++], std::span<const std::string_view>(scratch_));
        break;
      }
      case Kind::kReply:
        receiver.reply(replies_[reply], bytes.substr(at, replies_[reply].bytes));
        at += replies_[reply++].bytes;
        break;
      case Kind::kAction:
        receiver.action(actions_[action++]);
        break;
    }
  }
}

}  // namespace capstan
