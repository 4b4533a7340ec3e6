// From words to effects: finds the command, checks what must be checked, and sends it where it runs. In the ordinary
// state (no flag set, shard on this worker) that is one look-up and Shard::run with the reply written in place.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "resp/parser.h"
#include "server/connection.h"
#include "server/gather.h"
#include "server/level.h"
#include "server/shard.h"
#include "server/stopwatch.h"

namespace capstan {

class Worker;

// What came from one connection in this turn.
struct Received {
  Connection* connection;
  std::string_view bytes;
};

class Dispatcher {
 public:
  // Home replicas of a shard: this node.
  static constexpr uint32_t kReplicas = 1;

  Dispatcher(Worker& worker, uint32_t shards);

  // Takes commands off the front of `input` as long as the connection takes any; returns how many bytes are done with.
  size_t process(Connection& connection, std::string_view input);

  // Has the memory on its way that the first command of each will need: connections that send one command at a time
  // then wait for memory together, too.
  void prefetch(std::span<const Received> received);

  const ShardMap& shard_map() const { return shard_map_; }
  // The worker that owns a shard.
  unsigned owner(ShardId shard) const;

  // Shows a command that has run, or is on its way to its shard, to those who MONITOR.
  void feed_monitors(const Session& session, const CommandSpec& spec, Database database,
                     std::span<const std::string_view> words);

  // Replied instead of what a write replied where fewer replicas have it than it asks for; empty where enough have.
  static std::string refusal(const Consistency& consistency, bool writes);

  // How long a command with these options waits for its shard's leader, and for that one's answer, in ms.
  int64_t timeout_of(const Consistency& consistency) const;
  // Gives the task its level with all options.
  void set_level(Task& task, const Consistency& consistency) const;

  // Runs a command of scope kConnection; its reply to `out`, or on kLater later to the place.
  Outcome run_on_connection(Connection& connection, const CommandSpec& spec, std::span<const std::string_view> words,
                            resp::OutputBuffer& out, uint64_t place);

 private:
  // A command between parsing and running.
  struct Request {
    std::span<const std::string_view> words;
    const CommandSpec* spec = nullptr;
    bool own_level = false;  // the command names its level itself
    Consistency consistency;
  };
  // Whether an earlier stage has answered already.
  enum class Next : bool { kGoOn, kAnswered };

  // A command that has been parsed, with what was found out about it ahead of its turn.
  struct Parsed {
    resp::Arguments words;
    size_t end = 0;  // of its bytes in the input
    const CommandSpec* spec = nullptr;
    bool fast = false;       // it needs none of run_slowly()'s looks
    Shard* shard = nullptr;  // where it runs if it is fast; nullptr: on the connection
  };
  // Commands parsed ahead: enough to wait for memory once for all their keys.
  static constexpr size_t kAhead = 16;
  static constexpr size_t kMaxPrefetchedKeys = 64;

  bool take_batch(Connection& connection, std::string_view input, size_t& done);
  void look_ahead(size_t commands);
  void run_fast(Connection& connection, const Parsed& parsed);
  // False: the command is postponed, nothing has happened.
  bool run_slowly(Connection& connection);

  Next strip_prefix(Connection& connection, Request& request);
  Next strip_trailing(Connection& connection, Request& request);
  Next resolve(Connection& connection, Request& request);
  Next check(Connection& connection, Request& request);
  Next queue(Connection& connection, const Request& request);
  // The command has one of the flags, or is EXEC and one that waits for it has.
  static bool involves(const Session& session, const CommandSpec& spec, uint32_t flags);
  bool postponed(const Connection& connection, const CommandSpec& spec) const;
  void choose_level(Connection& connection, Request& request) const;
  void route(Connection& connection, const Request& request);
  Next check_replicas(Connection& connection, const Request& request);
  void run_connection_command(Connection& connection, const CommandSpec& spec, std::span<const std::string_view> words);
  void send_to_shard(Connection& connection, const Request& request, ShardId shard);
  void scatter(Connection& connection, const Request& request, const std::vector<Part>& parts);
  void run_here(Connection& connection, const CommandSpec& spec, std::span<const std::string_view> words, Shard& shard,
                Level level, int64_t timeout_ms);
  void send_part(Connection& connection, const Request& request, ShardId shard, std::span<const std::string_view> words,
                 const ReplyAddress& reply_to);
  static bool as_task(const Consistency& consistency);
  std::unique_ptr<Task> make_task(const Session& session, const Request& request, ShardId shard,
                                  std::span<const std::string_view> words, const ReplyAddress& reply_to) const;
  void forward(Connection& connection, const Request& request, ShardId shard, std::span<const std::string_view> words,
               const ReplyAddress& reply_to);
  void reject(Connection& connection, std::string_view message, const CommandSpec* spec = nullptr);
  void reply_protocol_error(Connection& connection);
  Shard* local_shard(const CommandSpec& spec, std::span<const std::string_view> words);
  const CommandSpec* look_up(std::string_view name);
  // Commands by the exact bytes of their name, as clients write it over and over.
  struct CachedName {
    static constexpr size_t kMaxBytes = 15;
    uint8_t size = 0;
    char name[kMaxBytes];
    const CommandSpec* spec = nullptr;
  };

  Worker& worker_;
  const ShardMap shard_map_;
  std::array<Parsed, kAhead> ahead_;
  std::vector<uint64_t> hashes_;                 // of the keys of ahead_
  std::span<const std::string_view> arguments_;  // of the command that is being run
  Stopwatch watch_;
  std::array<CachedName, 64> cached_names_;
};

}  // namespace capstan
