#include "server/worker.h"

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "server/log.h"
#include "server/monitor.h"
#include "server/node.h"

namespace capstan {
namespace {

constexpr size_t kReceiveBytes = 256 << 10;
constexpr size_t kReceiveRoom = 64 << 10;  // for one recv
// fdatasync is called by the worker itself while the last one took less.
constexpr int64_t kQuickSyncNs = 1'000'000;
// Codes come from replies, which may repeat what a client sent.
constexpr size_t kMaxErrorCodes = 128;
// New connections per readiness of a listener; others get their turn in between.
constexpr int kMaxAccepts = 64;

}  // namespace

Worker::Worker(Node& node, unsigned index, SettingsSnapshot settings)
    : node_(node),
      index_(index),
      random_(static_cast<uint64_t>(monotonic_ns()) + index),
      completions_([this] { wake(); }),
      executor_(*this),
      dispatcher_(*this, settings->shards),
      receive_buffer_(kReceiveBytes) {
  counters_.by_command = std::vector<CommandCounters>(command_count());
  event_config* const config = event_config_new();
  event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
  base_ = event_base_new_with_config(config);
  event_config_free(config);
  CHECK(base_ != nullptr);
  wake_descriptor_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  CHECK(wake_descriptor_ >= 0);
  wake_event_ = event_new(base_, wake_descriptor_, EV_READ | EV_PERSIST, &Worker::on_wake, this);
  tick_event_ = event_new(base_, -1, EV_PERSIST, &Worker::on_tick, this);
  group_timer_ = evtimer_new(base_, &Worker::on_group_timer, this);
  const timeval interval{0, kTickMs * 1000};
  CHECK(event_add(wake_event_, nullptr) == 0 && event_add(tick_event_, &interval) == 0);
  adopt_settings(std::move(settings));
}

Worker::~Worker() {
  journal_.reset();  // its threads wake this one
  connections_.clear();
  for (event* const accept_event : accept_events_) {
    close(event_get_fd(accept_event));
    event_free(accept_event);
  }
  event_free(wake_event_);
  event_free(tick_event_);
  event_free(group_timer_);
  event_base_free(base_);
  close(wake_descriptor_);
}

void Worker::connect_to_peers() {
  outgoing_.resize(node_.workers());
  queues_from_.resize(node_.workers());
  monitors_.resize(node_.workers(), 0);
  const size_t nodes = settings_->cluster ? settings_->cluster->all.size() : 0;
  for (auto& lane : to_peers_) lane.resize(nodes);
  lives_.resize(nodes, consensus::kNoPeer);
  connected_since_ms_.resize(nodes);
  for (auto& queue : queues_from_) queue = std::make_unique<BatchQueue>();
}

void Worker::take_journal(std::unique_ptr<lmdb_store::Journal> journal) { journal_ = std::move(journal); }

void Worker::listen_on(int descriptor) {
  event* const accept_event = event_new(base_, descriptor, EV_READ | EV_PERSIST, &Worker::on_accept, this);
  CHECK(accept_event != nullptr && event_add(accept_event, nullptr) == 0);
  accept_events_.push_back(accept_event);
}

// ---- the loop

void Worker::run() {
  while (!finishing_) {
    bool wait = !more_to_do_;
    if (wait) {
      // Sequentially consistent with the other side's push and look at asleep_ (push_batch): either it sees that this
      // worker sleeps, or this worker sees its batch.
      asleep_.store(true, std::memory_order_seq_cst);
      wait = !batches_waiting();
    }
    event_base_loop(base_, wait ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK);
    asleep_.store(false, std::memory_order_relaxed);
    if (!in_turn_) begin_turn();
    end_turn();
  }
  close_shards();
  release_held();
}

void Worker::begin_turn() {
  in_turn_ = true;
  now_ms_ = wall_ms();
}

void Worker::end_turn() {
  counters_.turns.add();
  process_received();
  receive_batches();
  completions_.drain();
  resume_connections();
  more_to_do_ = executor_.run_ready();
  run_posted();
  end_group_turns();
  const bool durable = make_durable();
  groups_written();
  serve_sync_waiters();
  release_held();
  send_replies(durable);
  send_batches(durable);
  more_to_do_ |= executor_.turn(now_ms_);
  more_to_do_ |= !posted_.empty() || !resumable_.empty() || !with_output_.empty() || batches_to_send();
  // What background work has to say to other workers leaves in the next turn.
  more_to_do_ |= std::any_of(outgoing_.begin(), outgoing_.end(), [](const auto& b) { return b && !b->empty(); });
  free_retired();
  in_turn_ = false;
}

void Worker::wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_descriptor_, &one, sizeof one);  // full: awake anyway
}

void Worker::on_wake(evutil_socket_t descriptor, short, void*) {
  uint64_t count;
  [[maybe_unused]] const ssize_t bytes = read(descriptor, &count, sizeof count);
}

void Worker::on_tick(evutil_socket_t, short, void* self) { static_cast<Worker*>(self)->tick(); }

void Worker::tick() {
  const int64_t now = now_ms();
  if (paused_until_ms_ != 0 && now >= paused_until_ms_) pause(0, false);
  if (settings_->append_fsync == Fsync::kEverySecond && now - last_sync_request_ms_ >= 1000 &&
      journal_->synced() < journal_->written()) {
    last_sync_request_ms_ = now;
    journal_->request_sync();
  }
  if (node_.peers() != nullptr) {
    executor_.check_deadlines(now);
    mend_groups();
  }
  rates_.sample(now, counters_.commands.get(), counters_.net_input_bytes.get(), counters_.net_output_bytes.get());
  if (now - last_check_ms_ < 1000) return;
  last_check_ms_ = now;
  for_each_connection([now](Connection& connection) { connection.check_limits(now); });
}

std::span<char> Worker::receive_room() {
  if (receive_buffer_.size() - received_bytes_ < kReceiveRoom) process_received();
  return std::span(receive_buffer_).subspan(received_bytes_, kReceiveRoom);
}

void Worker::add_received(Connection& connection, size_t bytes) {
  received_.push_back({&connection, {receive_buffer_.data() + received_bytes_, bytes}});
  received_bytes_ += bytes;
}

void Worker::process_received() {
  if (received_.size() > 1) dispatcher_.prefetch(received_);
  for (const Received& received : received_) received.connection->process(received.bytes);
  received_.clear();
  received_bytes_ = 0;
}

// ---- durability

bool Worker::make_durable() {
  const lmdb_store::Position before = journal_->written();
  const Result<lmdb_store::Position> written = journal_->write();
  if (!written) fail_stop(written.error());
  if (journal_->failed()) fail_stop(journal_->failure());
  if (journal_->synced() >= *written) return true;
  // In a cluster it is the groups that know what replies wait for.
  if (node_.peers() != nullptr) {
    // A leader's commits mostly do not wait for its own disk, so it goes on meanwhile; its followers' do for theirs.
    if (executor_.awaits_sync(Executor::Of::kFollowers)) {
      sync_now_or_soon(before);
    } else if (executor_.awaits_sync(Executor::Of::kAll)) {
      sync_soon();
    }
    return true;
  }
  return settings_->append_fsync != Fsync::kAlways || sync_now_or_soon(before);
}

// By this thread while the disk is quick and nothing is under way, else by the journal's own. True: it is done.
bool Worker::sync_now_or_soon(lmdb_store::Position before) {
  if (journal_->synced() >= before && journal_->last_sync_ns() < kQuickSyncNs) {
    const Result<> synced = journal_->sync();
    if (!synced) fail_stop(synced.error());
    return true;
  }
  sync_soon();
  return false;
}

void Worker::sync_soon() {
  if (journal_->written() > sync_requested_) journal_->request_sync();
  sync_requested_ = journal_->written();
}

void Worker::send_replies(bool durable) {
  // send() may list connections again (never for this turn's replies): by index.
  for (size_t i = 0; i < with_output_.size(); ++i) {
    Connection& connection = *with_output_[i];
    connection.listed = false;
    if (!durable) {
      if (!connection.holding()) holding_.push_back(&connection);
      connection.hold(journal_->written());
    }
    connection.send();
  }
  with_output_.clear();
}

void Worker::release_held() {
  const lmdb_store::Position synced = journal_->synced();
  std::erase_if(holding_, [synced](Connection* connection) { return connection->release(synced); });
  while (!held_batches_.empty() && held_batches_.front().position <= synced) {
    HeldBatch& held = held_batches_.front();
    push_batch(held.worker, held.batch);
    if (held.batch) return;
    held_batches_.pop_front();
  }
}

void Worker::when_synced(Action done) { sync_waiters_.push_back({0, false, std::move(done)}); }

// After the turn's write: what was evaluated when a waiter came lies below the journal's end now.
void Worker::serve_sync_waiters() {
  for (SyncWaiter& waiter : sync_waiters_) {
    if (waiter.asked) continue;
    waiter.asked = true;
    waiter.position = journal_->written();
    if (journal_->synced() < waiter.position) journal_->request_sync();
  }
  while (!sync_waiters_.empty() && sync_waiters_.front().position <= journal_->synced()) {
    Action done = std::move(sync_waiters_.front().done);
    sync_waiters_.pop_front();
    done(*this);
  }
}

void Worker::fail_stop(const Error& error) {
  // Never retried: after a failed write or fdatasync nobody knows what the disk holds (model, Journal).
  check_failed(__FILE__, __LINE__, "the journal can be written", error.message);
}

// ---- connections

void Worker::on_accept(evutil_socket_t listener, short, void* self) {
  static_cast<Worker*>(self)->accept_all(listener);
}

void Worker::accept_all(int listener) {
  for (int i = 0; i < kMaxAccepts; ++i) {
    const int descriptor = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor < 0) return;
    accept_one(descriptor);
  }
}

void Worker::accept_one(int descriptor) {
  if (!node_.admit_client(settings_->max_clients)) {
    counters_.connections_rejected.add();
    constexpr std::string_view kRefusal = "-ERR max number of clients reached\r\n";
    [[maybe_unused]] const ssize_t sent = send(descriptor, kRefusal.data(), kRefusal.size(), MSG_NOSIGNAL);
    close(descriptor);
    return;
  }
  counters_.connections_received.add();
  const uint64_t id = node_.next_client_id();
  auto& connection = connections_[id];
  connection = std::make_unique<Connection>(*this, descriptor, id);
  connection->open();
}

Connection* Worker::find_connection(uint64_t client) {
  const auto found = connections_.find(client);
  return found == connections_.end() || found->second->dead() ? nullptr : found->second.get();
}

void Worker::resume_later(Connection& connection) { resumable_.push_back(connection.session.id); }

void Worker::resume_connections() {
  std::vector<uint64_t> resumable;
  resumable.swap(resumable_);
  for (const uint64_t id : resumable) {
    Connection* const connection = find_connection(id);
    if (connection != nullptr) connection->resume();
  }
}

void Worker::retire(Connection& connection) {
  stop_monitoring(connection);
  // At once: clients that come in this turn may have its place.
  node_.dismiss_client();
  retired_.push_back(connection.session.id);
}

void Worker::free_retired() {
  if (retired_.empty()) return;
  const auto dead = [](const Connection* connection) { return connection->dead(); };
  std::erase_if(with_output_, dead);
  std::erase_if(holding_, dead);
  for (const uint64_t id : retired_) {
    const auto connection = connections_.find(id);
    unsubscribe_all(*connection->second);
    connections_.erase(connection);
  }
  retired_.clear();
}

// ---- node-wide states

void Worker::set_flag(WorkerFlag flag, bool on) { flags_ = on ? flags_ | flag : flags_ & ~flag; }

void Worker::adopt_settings(SettingsSnapshot settings) {
  settings_ = std::move(settings);
  limits_.max_bulk_bytes = settings_->proto_max_bulk_bytes;
  limits_.max_inline_bytes = settings_->proto_inline_max_bytes;
  const auto bound = [](const OutputLimit& limit) { return limit.hard_bytes == 0 ? SIZE_MAX : limit.hard_bytes; };
  hard_output_bytes_ = {bound(settings_->output_limit_normal), bound(settings_->output_limit_pubsub)};
  set_flag(kLevelRules, settings_->levels.has_patterns() || !settings_->levels.fallback().plain());
  slow_log_.trim(settings_->slowlog_max_len);
  constexpr int64_t kMaxMicroseconds = INT64_MAX / 1000;
  const int64_t slow_us = settings_->slowlog_slower_than_us;
  slow_log_ns_ = slow_us < 0 || slow_us > kMaxMicroseconds ? INT64_MAX : slow_us * 1000;
  const int64_t latency_ms = std::min(settings_->latency_threshold_ms, kMaxMicroseconds / 1000);
  latency_ns_ = latency_ms == 0 ? INT64_MAX : latency_ms * 1'000'000;
  slow_ns_ = std::min(slow_log_ns_, latency_ns_);
  for (const auto& shard : executor_.shards()) {
    shard->set_tail_may_be_lost(settings_->append_fsync != Fsync::kAlways);
    if (settings_->cache_memory == 0) continue;
    shard->keyspace().set_limits(settings_->cache_memory / settings_->shards,
                                 settings_->dirty_memory / settings_->shards);
  }
}

void Worker::pause(int64_t until_ms, bool all) {
  // The longer of two stays, as in redis-server 7.0.15.
  if (until_ms != 0) until_ms = std::max(until_ms, paused_until_ms_);
  paused_until_ms_ = until_ms;
  set_flag(kPausedAll, until_ms != 0 && all);
  set_flag(kPausedWrites, until_ms != 0 && !all);
  if (until_ms != 0) return;
  for_each_connection([this](Connection& connection) {
    if (!connection.session.has(kPostponed)) return;
    connection.session.set(kPostponed, false);
    resume_later(connection);
  });
}

void Worker::start_monitoring(Connection& connection) {
  if (connection.session.has(kMonitoring)) return;
  connection.session.set(kMonitoring);
  change_monitors(1);
}

void Worker::stop_monitoring(Connection& connection) {
  if (!connection.session.has(kMonitoring)) return;
  connection.session.set(kMonitoring, false);
  change_monitors(-1);
}

// Here at once, so that a connection sees its own next command.
void Worker::change_monitors(int change) {
  count_monitor(index_, change);
  for (unsigned i = 0; i < node_.workers(); ++i) {
    if (i != index_) post(i, [self = index_, change](Worker& worker) { worker.count_monitor(self, change); });
  }
}

void Worker::count_monitor(unsigned worker, int change) {
  monitors_[worker] += change;
  set_flag(kMonitored, std::any_of(monitors_.begin(), monitors_.end(), [](int count) { return count > 0; }));
}

void Worker::feed_monitors(const std::string& line) {
  const auto feed = [line](Worker& worker) {
    worker.for_each_connection([&line](Connection& connection) {
      if (connection.session.has(kMonitoring)) connection.push(line);
    });
  };
  for (unsigned i = 0; i < node_.workers(); ++i) {
    if (monitors_[i] == 0) continue;
    if (i == index_) {
      feed(*this);
    } else {
      post(i, feed);
    }
  }
}

void Worker::count_error(std::string_view reply) {
  counters_.error_replies.add();
  const std::string_view code = reply.substr(1, std::min(reply.find_first_of(" \r"), reply.size()) - 1);
  const auto known = errors_.find(code);
  if (known != errors_.end()) {
    ++known->second;
  } else if (errors_.size() < kMaxErrorCodes) {
    errors_.emplace(code, 1);
  }
}

void Worker::account_slow(const CommandSpec& spec, std::span<const std::string_view> words, int64_t elapsed_ns,
                          uint64_t client, unsigned client_worker) {
  if (elapsed_ns >= latency_ns_) {
    latency_monitor_.add((spec.flags & kFast) != 0 ? "fast-command" : "command", now_ms() / 1000,
                         elapsed_ns / 1'000'000);
  }
  if (elapsed_ns < slow_log_ns_ || (spec.flags & kSkipSlowlog) != 0 || settings_->slowlog_max_len == 0) return;
  SlowLogEntry entry;
  entry.id = node_.next_slow_log_id();
  entry.time_s = now_ms() / 1000;
  entry.elapsed_us = elapsed_ns / 1000;
  entry.words = slow_log_words(redacted(spec, words));
  // The client's name and address are its own worker's to tell.
  post(client_worker, [entry = std::move(entry), client](Worker& worker) mutable {
    Connection* const connection = worker.find_connection(client);
    if (connection != nullptr) {
      entry.peer_address = connection->session.peer_address;
      entry.client_name = connection->session.name;
    }
    worker.slow_log_.add(std::move(entry), worker.settings_->slowlog_max_len);
  });
}

void Worker::reset_statistics() {
  counters_.reset();
  errors_.clear();
  rates_ = RateMeter();
  for (const auto& shard : executor_.shards()) shard->reset_stats();
}

void Worker::stop_accepting() {
  for (event* const accept_event : accept_events_) event_del(accept_event);
  set_flag(kShuttingDown, true);
}

// What was taken has been finished as far as one turn goes; the journal gets everything before the process ends.
void Worker::finish() {
  finishing_ = true;
  more_to_do_ = true;
}

void Worker::close_shards() {
  const Result<lmdb_store::Position> written = journal_->write();
  if (!written) fail_stop(written.error());
  for (const auto& shard : executor_.shards()) {
    const Result<> closed = shard->close(node_.flush_at_end());
    if (!closed) log_warning("a shard could not be flushed, the journal has its data: " + closed.error().message);
  }
  const Result<> synced = journal_->sync();
  if (!synced) fail_stop(synced.error());
}

}  // namespace capstan
