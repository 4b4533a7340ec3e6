// One worker: a thread with one event loop, its connections, its shards and their journal. Workers share nothing; they
// send each other batches (batch.h).
//
// A turn of the loop: drain the sockets that are ready and evaluate every command at once; then go on with what waited;
// write the journal once; sync it as appendfsync says; only then hand out the replies, one send per connection and one
// batch per worker; then slices of background work.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <event2/event.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "cluster/link.h"
#include "lmdb-store/journal.h"
#include "lmdb-store/read_pool.h"
#include "server/batch.h"
#include "server/connection.h"
#include "server/counters.h"
#include "server/dispatcher.h"
#include "server/executor.h"
#include "server/latency_monitor.h"
#include "server/rate_meter.h"
#include "server/settings.h"
#include "server/slow_log.h"
#include "server/subscriptions.h"

namespace capstan {

class Node;

// How often each code of an error reply was sent ("ERR", "WRONGTYPE", …).
using ErrorCounts = std::map<std::string, uint64_t, std::less<>>;

// Why commands of this worker cannot take the fast path; zero in the ordinary state.
enum WorkerFlag : uint32_t {
  kMonitored = 1u << 0,     // some connection of the node runs MONITOR
  kPausedWrites = 1u << 1,  // CLIENT PAUSE … WRITE
  kPausedAll = 1u << 2,     // CLIENT PAUSE
  kLevelRules = 1u << 3,    // levels by key pattern, or a default with options
  kShuttingDown = 1u << 4,
};

class Worker {
 public:
  static constexpr int64_t kTickMs = 100;

  Worker(Node& node, unsigned index, SettingsSnapshot settings);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // --- before the thread starts
  // The journal's options.on_event: wakes the loop. Any thread.
  void wake();
  // Once all workers exist.
  void connect_to_peers();
  void take_journal(std::unique_ptr<lmdb_store::Journal> journal);
  void listen_on(int descriptor);
  // The thread's function: returns after finish(), its shards flushed and its journal synced.
  void run();

  // --- for everybody on this worker's thread
  unsigned index() const { return index_; }
  Node& node() { return node_; }
  const Settings& settings() const { return *settings_; }
  const resp::Limits& limits() const { return limits_; }
  // client-output-buffer-limit of ordinary clients, or of those that are subscribed; SIZE_MAX: none.
  size_t hard_output_bytes(bool subscribed) const { return hard_output_bytes_[subscribed]; }
  event_base* base() { return base_; }
  WorkerCounters& counters() { return counters_; }
  const WorkerCounters& counters() const { return counters_; }  // any thread
  Executor& executor() { return executor_; }
  Dispatcher& dispatcher() { return dispatcher_; }
  lmdb_store::Journal& journal() { return *journal_; }
  lmdb_store::Completions& completions() { return completions_; }
  uint32_t flags() const { return flags_; }
  void set_flag(WorkerFlag flag, bool on);
  // Wall clock at the start of the turn.
  int64_t now_ms() {
    if (!in_turn_) begin_turn();
    return now_ms_;
  }

  // A call of a command; what it is evaluated on is set by whoever runs it. state: nullptr if it must finish in one go.
  Call make_call(const CommandSpec& spec, std::span<const std::string_view> words, Database database,
                 resp::Writer& writer, std::unique_ptr<CommandState>* state) {
    Call call;
    call.spec = &spec;
    call.args = words;
    call.database = database;
    call.now_ms = now_ms();
    call.writer = &writer;
    call.max_string_bytes = limits_.max_bulk_bytes;
    call.state = state;
    return call;
  }

  // --- connections
  Connection* find_connection(uint64_t client);
  size_t connections() const { return connections_.size(); }
  template <typename F>
  void for_each_connection(F f) {
    for (auto& [id, connection] : connections_) {
      if (!connection->dead()) f(*connection);
    }
  }
  // Has new output: send at the end of the turn.
  void list_output(Connection& connection) {
    if (connection.listed) return;
    connection.listed = true;
    with_output_.push_back(&connection);
  }
  // May take commands again: from the next turn on.
  void resume_later(Connection& connection);
  // Is dead: freed at the end of the turn.
  void retire(Connection& connection);
  // A command has run, wherever it came from: statistics, SLOWLOG, LATENCY. client and its worker: who asked.
  void account(const CommandSpec& spec, std::span<const std::string_view> words, int64_t elapsed_ns,
               std::string_view reply, uint64_t client, unsigned client_worker) {
    CommandCounters& counters = counters_.by_command[command_number(spec)];
    counters.calls.add();
    counters.nanoseconds.add(static_cast<uint64_t>(elapsed_ns));
    counters.latencies[latency_bucket(static_cast<uint64_t>(elapsed_ns))].add();
    counters_.commands.add();
    if (reply.starts_with('-')) [[unlikely]] {
      counters.failed.add();
      count_error(reply);
    }
    if (elapsed_ns >= slow_ns_) [[unlikely]]
      account_slow(spec, words, elapsed_ns, client, client_worker);
  }
  // An error reply, for errorstats.
  void count_error(std::string_view reply);
  const ErrorCounts& errors() const { return errors_; }
  SlowLog& slow_log() { return slow_log_; }
  LatencyMonitor& latency_monitor() { return latency_monitor_; }
  Rates rates() const { return rates_.rates(); }
  // CONFIG RESETSTAT.
  void reset_statistics();
  uint64_t random() { return random_.next(); }

  // Room in the receive buffer that all connections of the worker share; what was received there is processed together
  // with what other connections receive in this turn.
  std::span<char> receive_room();
  void add_received(Connection& connection, size_t bytes);
  // For one reply at a time that cannot be written in place.
  resp::OutputBuffer& reply_scratch() { return reply_scratch_; }

  // --- messages. Always in order per pair of workers, and never before this returns; to oneself too.
  void post(unsigned worker, Action action);
  // Runs fn on every worker, then done on this one.
  void on_every_worker(const std::function<void(Worker&)>& fn, const std::function<void(Worker&)>& done);
  void forward(unsigned worker, const ForwardedCommand& command, std::span<const std::string_view> arguments);
  // Hands a task to the worker that owns its shard; it may run before this returns if that is this one.
  void submit(unsigned worker, std::unique_ptr<Task> task);
  // A reply for a connection of any worker.
  void deliver(const ReplyAddress& to, std::string_view reply, uint64_t weight);

  // --- other nodes (worker_cluster.cc)
  // Messages for a node, which leave at the end of the turn.
  resp::OutputBuffer& to_peer(unsigned node, cluster::Link::Lane lane = cluster::Link::Lane::kOrdered) {
    return to_peers_[static_cast<size_t>(lane)][node];
  }
  void send_raft(ShardId shard, const consensus::Message& message);
  void receive_raft(unsigned node, ShardId shard, const consensus::Message& message);
  Result<> receive_rebuild(unsigned node, ShardId shard, std::span<const std::string_view> words);
  // nullptr: it is not connected.
  resp::OutputBuffer* to_node(std::string_view name);
  // What a connected node said of its disk; kNoPeer: it is not connected.
  void set_life(unsigned node, consensus::PeerId life);
  void peer_connected(unsigned node);
  void peer_lost(unsigned node);
  // Has the shard's leader hand it over to that node; whoever leads is asked. Errors are ready to be replied.
  Result<> transfer(ShardId shard, std::string_view to);
  // Hands over what its shards lead, as far as others can take it, then calls done.
  void retire_groups(Action done);

  // --- publish/subscribe (worker_publications.cc). A subscription belongs to the worker of its connection, a
  // publication goes to every worker that has subscribers. Messages of one publisher stay in order.
  const Subscriptions& subscriptions() const { return subscriptions_; }
  // False: it listened to that already.
  bool subscribe(Connection& connection, TopicKind kind, std::string_view name);
  // False: it did not.
  bool unsubscribe(Connection& connection, TopicKind kind, std::string_view name);
  // The names that it listened to, in no order.
  std::vector<std::string> unsubscribe_all(Connection& connection, TopicKind kind);
  void unsubscribe_all(Connection& connection);
  // Other workers of the node have subscribers.
  bool others_subscribe() const;
  // To this worker's subscribers, at once. How many messages that were.
  size_t publish_here(const Publication& publication);
  // To all subscribers of the node. done gets the number of messages, on this worker and not before this returns.
  void publish(const Publication& publication, absl::AnyInvocable<void(size_t)> done);
  // To the other nodes that are connected, if there are any.
  void publish_elsewhere(const Publication& publication);
  // What was published on another node: to all subscribers of this one. Called on one of its workers, for all
  // publications of a publisher on the same one.
  void deliver_publication(std::string_view channel, std::string_view message, bool sharded);

  // Calls done, on this worker, when all that it has evaluated so far is durable.
  void when_synced(Action done);

  // --- node-wide states, set on every worker through on_every_worker
  void adopt_settings(SettingsSnapshot settings);
  // CLIENT PAUSE; until_ms 0 ends it.
  void pause(int64_t until_ms, bool all);
  int64_t paused_until_ms() const { return paused_until_ms_; }
  void start_monitoring(Connection& connection);
  void stop_monitoring(Connection& connection);
  // Sends MONITOR's line to every connection of the node that asked for it.
  void feed_monitors(const std::string& line);
  // Shutdown, in two steps: no new connections and commands; then the loop ends.
  void stop_accepting();
  void finish();

 private:
  struct HeldBatch {
    lmdb_store::Position position;
    unsigned worker;
    std::unique_ptr<Batch> batch;
  };

  struct SyncWaiter {
    lmdb_store::Position position;
    bool asked;  // position is known, and the sync asked for
    Action done;
  };

  static void on_accept(evutil_socket_t listener, short, void* self);
  static void on_wake(evutil_socket_t, short, void* self);
  static void on_tick(evutil_socket_t, short, void* self);
  static void on_group_timer(evutil_socket_t, short, void*) {}  // it only turns the loop
  void accept_all(int listener);
  void accept_one(int descriptor);
  void tick();
  void begin_turn();
  void process_received();
  void end_turn();
  Batch& outgoing(unsigned worker);
  bool batches_waiting() const;
  bool batches_to_send() const;
  void receive_batches();
  void resume_connections();
  void run_posted();
  // Writes and, if need be, syncs the journal. False: replies of this turn have to wait for a sync.
  bool make_durable();
  bool sync_now_or_soon(lmdb_store::Position before);
  void sync_soon();
  // Of a turn: before and after the journal is written.
  void end_group_turns();
  void groups_written();
  void arm_group_timer();
  void mend_groups();
  bool settled(unsigned node) const;
  const std::string& node_name(unsigned node) const;
  void flush_to_peers();
  void flush_to_peer(unsigned node, cluster::Link::Lane lane);
  void send_replies(bool durable);
  void send_batches(bool durable);
  void release_held();
  void serve_sync_waiters();
  void push_batch(unsigned worker, std::unique_ptr<Batch>& batch);
  void free_retired();
  bool has_subscribers() const { return has_subscribers_.load(std::memory_order_acquire); }  // any thread
  void note_subscriptions(Session& session);
  void change_monitors(int change);
  void count_monitor(unsigned worker, int change);
  void close_shards();
  void account_slow(const CommandSpec& spec, std::span<const std::string_view> words, int64_t elapsed_ns,
                    uint64_t client, unsigned client_worker);
  [[noreturn]] void fail_stop(const Error& error);

  Node& node_;
  const unsigned index_;
  SettingsSnapshot settings_;
  resp::Limits limits_;
  std::array<size_t, 2> hard_output_bytes_ = {SIZE_MAX, SIZE_MAX};  // by "is subscribed"
  WorkerCounters counters_;
  ErrorCounts errors_;
  SlowLog slow_log_;
  LatencyMonitor latency_monitor_;
  RateMeter rates_;
  int64_t slow_ns_ = 0;  // what is slower goes through account_slow
  int64_t slow_log_ns_ = 0;
  int64_t latency_ns_ = 0;
  Random random_;
  uint32_t flags_ = 0;
  event_base* base_ = nullptr;
  event* wake_event_ = nullptr;
  event* tick_event_ = nullptr;
  event* group_timer_ = nullptr;
  std::vector<event*> accept_events_;
  int wake_descriptor_ = -1;
  alignas(64) std::atomic<bool> asleep_{false};
  alignas(64) std::atomic<bool> has_subscribers_{false};
  Subscriptions subscriptions_;

  std::unique_ptr<lmdb_store::Journal> journal_;
  lmdb_store::Completions completions_;
  Executor executor_;
  Dispatcher dispatcher_;

  std::vector<char> receive_buffer_;
  size_t received_bytes_ = 0;  // of it in use
  std::vector<Received> received_;
  resp::OutputBuffer reply_scratch_;
  absl::flat_hash_map<uint64_t, std::unique_ptr<Connection>> connections_;
  std::vector<Connection*> with_output_;
  std::vector<uint64_t> resumable_;
  std::vector<uint64_t> retired_;
  std::vector<Connection*> holding_;  // have output that waits for a sync

  std::vector<Action> posted_;                            // to itself
  std::vector<std::unique_ptr<Batch>> outgoing_;          // by worker
  std::vector<std::unique_ptr<BatchQueue>> queues_from_;  // by worker
  std::deque<HeldBatch> held_batches_;
  std::deque<SyncWaiter> sync_waiters_;
  std::array<std::vector<resp::OutputBuffer>, 2> to_peers_;  // by lane, by node; its own stay empty
  std::vector<consensus::PeerId> lives_;                     // by node
  std::vector<int64_t> connected_since_ms_;                  // by node
  bool votes_ = false;                                       // in all its shards' groups
  Action retired_groups_;
  int64_t retire_until_ms_ = 0;

  int64_t now_ms_ = 0;
  bool in_turn_ = false;
  bool more_to_do_ = false;
  bool finishing_ = false;
  int64_t last_sync_request_ms_ = 0;
  lmdb_store::Position sync_requested_ = 0;  // what appendfsync always has asked the journal's thread for
  int64_t last_check_ms_ = 0;
  int64_t paused_until_ms_ = 0;
  std::vector<int> monitors_;  // by worker
};

}  // namespace capstan
