// What the server can be told: one immutable snapshot of all directives the runtime reads. Names and defaults are
// redis.conf's (7.0) where Redis has the directive. A change at run time makes a new snapshot (Node::publish); every
// worker goes on with its old one until it takes the new one over between two commands.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cluster/nodes.h"
#include "cluster/tls_context.h"
#include "lmdb-store/journal_recovery.h"
#include "quorum/resolve.h"
#include "server/level.h"

namespace capstan {

enum class Fsync : uint8_t { kAlways, kEverySecond, kNo };
// Who may use a command that does harm in wrong hands; kLocal: clients of this machine.
enum class Access : uint8_t { kNo, kYes, kLocal };
enum class LogLevel : uint8_t { kDebug, kVerbose, kNotice, kWarning };

// client-output-buffer-limit of one class of clients; 0: no limit.
struct OutputLimit {
  uint64_t hard_bytes = 0;
  uint64_t soft_bytes = 0;
  int64_t soft_seconds = 0;
};

struct Settings {
  // --- fixed at start
  std::vector<std::string> bind = {"*", "-::*"};  // "-": not being able to bind it is no error; "*", "::*": any
  uint16_t port = 6379;                           // 0: no TCP
  int tcp_backlog = 511;
  std::string unix_socket;  // empty: none
  mode_t unix_socket_mode = 0;
  std::string directory = "data";
  unsigned io_threads = 1;
  uint32_t shards = 1;
  uint64_t journal_limit = 4ull << 30;
  lmdb_store::JournalDamage journal_damage = lmdb_store::JournalDamage::kStop;
  unsigned read_threads = 2;
  bool daemonize = false;
  bool supervised = false;                                            // by systemd: it is told when the server is ready
  std::string pid_file;                                               // empty: none
  std::string log_file;                                               // empty: standard output
  Access debug_access = Access::kNo;                                  // enable-debug-command
  std::vector<std::pair<std::string, std::string>> renamed_commands;  // to "": the command is taken away
  std::string config_file;                                            // absolute; empty: none
  std::vector<std::pair<std::string, Policy>> resolutions;            // `resolve …` directives, first match wins
  std::vector<std::string> cluster_lines;                             // the words of the `cluster …` directives
  std::optional<cluster::Nodes> cluster;                              // what they say; nullopt: a single node
  bool tls_cluster = false;                                           // the nodes talk to each other over TLS
  cluster::TlsOptions tls;                                            // with these files
  int64_t heartbeat_ms = 20;
  int64_t election_timeout_ms = 150;  // the shorter; the longer is twice as long
  int64_t lease_ms = 75;
  bool lease_reads = true;

  // --- may change at run time
  Fsync append_fsync = Fsync::kEverySecond;
  uint64_t cache_memory = 0;    // bytes of rows in memory, of all shards together; 0: the keyspace's own default
  uint64_t dirty_memory = 0;    // of these, bytes of changed rows from which a flush starts; 0: the same
  uint64_t machine_memory = 0;  // bytes that the process may use; 0: not known
  LogLevel log_level = LogLevel::kNotice;
  uint32_t max_clients = 10000;
  int64_t timeout_s = 0;  // of idle clients; 0: never
  int tcp_keepalive_s = 300;
  bool protected_mode = true;
  std::string require_pass;
  uint64_t proto_max_bulk_bytes = 64ull << 20;
  uint64_t proto_inline_max_bytes = 64 << 10;
  uint64_t query_buffer_limit = 1ull << 30;
  OutputLimit output_limit_normal;
  OutputLimit output_limit_pubsub = {32 << 20, 8 << 20, 60};
  int64_t slowlog_slower_than_us = 10000;  // negative: no slow log
  uint64_t slowlog_max_len = 128;
  int64_t latency_threshold_ms = 0;  // 0: no latency monitor
  int64_t max_clock_skew_ms = 500;
  int64_t strong_timeout_ms = 5000;     // how long a STRONG command waits for a leader, and for its answer
  int64_t overload_timeout_ms = 10000;  // after which a parked write is answered -OVERLOADED
  LevelPolicy levels;                   // `consistency …` directives

  // What CONFIG GET shows, by directive_number(); empty in settings that no configuration made.
  std::vector<std::string> values;
};

using SettingsSnapshot = std::shared_ptr<const Settings>;

}  // namespace capstan
