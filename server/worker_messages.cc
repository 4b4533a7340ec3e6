// What a worker says to the others, and hears from them.
#include <algorithm>

#include "server/node.h"
#include "server/worker.h"

namespace capstan {

Batch& Worker::outgoing(unsigned worker) {
  std::unique_ptr<Batch>& batch = outgoing_[worker];
  if (!batch) batch = node_.worker(worker).queues_from_[index_]->fresh();
  return *batch;
}

bool Worker::batches_to_send() const {
  return std::any_of(outgoing_.begin(), outgoing_.end(), [](const auto& batch) { return batch && !batch->empty(); });
}

bool Worker::batches_waiting() const {
  return std::any_of(queues_from_.begin(), queues_from_.end(), [](const auto& queue) { return !queue->empty(); });
}

void Worker::receive_batches() {
  struct Receiver {
    Worker& worker;
    void command(const ForwardedCommand& command, std::span<const std::string_view> arguments) {
      worker.executor_.run_forwarded(command, arguments);
    }
    void reply(const ForwardedReply& reply, std::string_view bytes) { worker.deliver(reply.to, bytes, reply.weight); }
    void action(Action& action) { action(worker); }
  };
  for (const auto& queue : queues_from_) {
    while (std::unique_ptr<Batch> batch = queue->pop()) {
      batch->visit(Receiver{*this});
      queue->give_back(std::move(batch));
    }
  }
}

void Worker::post(unsigned worker, Action action) {
  if (worker == index_) {
    posted_.push_back(std::move(action));
  } else {
    outgoing(worker).add_action(std::move(action));
  }
}

void Worker::run_posted() {
  std::vector<Action> posted;
  posted.swap(posted_);
  for (Action& action : posted) action(*this);
}

void Worker::on_every_worker(const std::function<void(Worker&)>& fn, const std::function<void(Worker&)>& done) {
  // Touched on this worker's thread alone.
  auto left = std::make_shared<unsigned>(node_.workers());
  const unsigned self = index_;
  for (unsigned i = 0; i < node_.workers(); ++i) {
    post(i, [fn, done, left, self](Worker& worker) {
      fn(worker);
      worker.post(self, [done, left](Worker& caller) {
        if (--*left == 0) done(caller);
      });
    });
  }
}

void Worker::forward(unsigned worker, const ForwardedCommand& command, std::span<const std::string_view> arguments) {
  outgoing(worker).add_command(command, arguments);
}

void Worker::submit(unsigned worker, std::unique_ptr<Task> task) {
  if (worker == index_) return executor_.submit(std::move(task));
  outgoing(worker).add_action(
      [task = std::move(task)](Worker& owner) mutable { owner.executor_.submit(std::move(task)); });
}

void Worker::deliver(const ReplyAddress& to, std::string_view reply, uint64_t weight) {
  if (to.worker != index_) return outgoing(to.worker).add_reply(to, reply, weight);
  Connection* const connection = find_connection(to.client);
  if (connection != nullptr) connection->deliver(to.place, to.part, reply, weight);
}

void Worker::send_batches(bool durable) {
  for (unsigned worker = 0; worker < outgoing_.size(); ++worker) {
    std::unique_ptr<Batch>& batch = outgoing_[worker];
    if (!batch || batch->empty()) continue;
    if (durable && held_batches_.empty()) {
      push_batch(worker, batch);
    } else {
      held_batches_.push_back({journal_->written(), worker, std::move(batch)});
    }
  }
}

void Worker::push_batch(unsigned worker, std::unique_ptr<Batch>& batch) {
  Worker& receiver = node_.worker(worker);
  // Full: what it cannot take now stays in this worker's hands, and is tried again in the next turn.
  if (!receiver.queues_from_[index_]->push(batch)) {
    more_to_do_ = true;
    return;
  }
  if (receiver.asleep_.load(std::memory_order_seq_cst) && receiver.asleep_.exchange(false)) receiver.wake();
}

}  // namespace capstan
