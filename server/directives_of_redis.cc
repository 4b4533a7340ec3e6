// Directives of Redis 7.0 that have no meaning here: there is nothing that they could tune. They are accepted with the
// types, limits and defaults that Redis gives them, so that its configuration files can be used as they are.
#include "resp/number.h"
#include "server/directive_rows.h"
#include "server/value_text.h"

namespace capstan {
namespace {

Error wrong(std::string message) { return {ErrorCode::kInvalid, std::move(message)}; }

// What is not there yet is refused rather than ignored where ignoring it would leave the server open, or alone.
Result<std::string> only_nothing(std::span<const std::string_view> words, const std::string&) {
  for (const std::string_view word : words) {
    if (!word.empty() && word != "0" && word != "no") return wrong("not supported");
  }
  return words.empty() ? std::string() : std::string(words[0]);
}

Result<std::string> nothing_at_all(std::span<const std::string_view>, const std::string&) {
  return wrong("not supported");
}

// Pairs of numbers: seconds, changes.
Result<std::string> save_points(std::span<const std::string_view> words, const std::string& old) {
  if (words.size() % 2 != 0) return wrong("Invalid save parameters");
  for (size_t i = 0; i < words.size(); ++i) {
    const std::optional<int64_t> number = resp::parse_integer(words[i]);
    if (!number || *number < (i % 2 == 0 ? 1 : 0)) return wrong("Invalid save parameters");
  }
  if (words.empty()) return std::string();
  return old.empty() ? join_words(words) : old + " " + join_words(words);
}

Result<std::string> any_words(std::span<const std::string_view> words, const std::string&) { return join_words(words); }

// The journal is always written: what `appendonly no` asks for is not to be had.
Result<std::string> append_only(std::span<const std::string_view> words, const std::string& old) {
  if (words.size() != 1) return wrong("wrong number of arguments");
  if (words[0] != "yes" && words[0] != "no") return wrong("argument must be 'yes' or 'no'");
  if (words[0] == "no" && old.empty()) {
    return wrong("the journal is always written; appendfsync says when it is synced");
  }
  return std::string("yes");
}

constexpr Directive kDirectives[] = {
    choice("acl-pubsub-default", "resetchannels", "allchannels resetchannels"),
    integer("acllog-max-len", "128", 0, kMaxLong),
    integer("active-defrag-cycle-max", "25", 1, 99),
    integer("active-defrag-cycle-min", "1", 1, 99),
    memory("active-defrag-ignore-bytes", "104857600", 1, kMaxLong),
    integer("active-defrag-max-scan-fields", "1000", 1, kMaxLong),
    integer("active-defrag-threshold-lower", "10", 0, 1000),
    integer("active-defrag-threshold-upper", "100", 0, 1000),
    integer("active-expire-effort", "1", 1, 10),
    yes_no("activedefrag", "no"),
    yes_no("activerehashing", "yes"),
    with(yes_no("always-show-logo", "no"), kAtStartOnly),
    yes_no("aof-disable-auto-gc", "no"),
    yes_no("aof-load-truncated", "yes"),
    yes_no("aof-rewrite-incremental-fsync", "yes"),
    yes_no("aof-timestamp-enabled", "no"),
    yes_no("aof-use-rdb-preamble", "yes"),
    with(text("aof_rewrite_cpulist", ""), kAtStartOnly),
    with(text("appenddirname", "appendonlydir"), kAtStartOnly),
    with(text("appendfilename", "appendonly.aof"), kAtStartOnly),
    memory("auto-aof-rewrite-min-size", "67108864", 0, kMaxLong),
    integer("auto-aof-rewrite-percentage", "100", 0, kMaxInt),
    with(text("bgsave_cpulist", ""), kAtStartOnly),
    text("bind-source-addr", ""),
    with(text("bio_cpulist", ""), kAtStartOnly),
    also_named(integer("busy-reply-threshold", "5000", 0, kMaxLong), "lua-time-limit"),
    yes_no("cluster-allow-pubsubshard-when-down", "yes"),
    yes_no("cluster-allow-reads-when-down", "no"),
    yes_no("cluster-allow-replica-migration", "yes"),
    integer("cluster-announce-bus-port", "0", 0, 65535),
    text("cluster-announce-hostname", ""),
    text("cluster-announce-ip", ""),
    integer("cluster-announce-port", "0", 0, 65535),
    integer("cluster-announce-tls-port", "0", 0, 65535),
    with(text("cluster-config-file", "nodes.conf"), kAtStartOnly),
    memory("cluster-link-sendbuf-limit", "0", 0, UINT64_MAX),
    integer("cluster-migration-barrier", "1", 0, kMaxInt),
    integer("cluster-node-timeout", "15000", 0, kMaxLong),
    with(integer("cluster-port", "0", 0, 65535), kAtStartOnly),
    choice("cluster-preferred-endpoint-type", "ip", "ip hostname unknown-endpoint"),
    also_named(yes_no("cluster-replica-no-failover", "no"), "cluster-slave-no-failover"),
    also_named(integer("cluster-replica-validity-factor", "10", 0, kMaxInt), "cluster-slave-validity-factor"),
    yes_no("cluster-require-full-coverage", "yes"),
    yes_no("crash-log-enabled", "yes"),
    yes_no("crash-memcheck-enabled", "yes"),
    with(text("dbfilename", "dump.rdb"), kProtected),
    with(yes_no("disable-thp", "yes"), kAtStartOnly),
    yes_no("dynamic-hz", "yes"),
    with(choice("enable-module-command", "no", "no yes local"), kAtStartOnly),
    with(choice("enable-protected-configs", "no", "no yes local"), kAtStartOnly),
    also_named(integer("hash-max-listpack-entries", "512", 0, kMaxLong), "hash-max-ziplist-entries"),
    also_named(memory("hash-max-listpack-value", "64", 0, kMaxLong), "hash-max-ziplist-value"),
    memory("hll-sparse-max-bytes", "3000", 0, kMaxLong),
    integer("hz", "10", 0, kMaxInt),
    text("ignore-warnings", ""),
    with(yes_no("io-threads-do-reads", "no"), kAtStartOnly),
    yes_no("jemalloc-bg-thread", "yes"),
    yes_no("latency-tracking", "yes"),
    yes_no("lazyfree-lazy-eviction", "no"),
    yes_no("lazyfree-lazy-expire", "no"),
    yes_no("lazyfree-lazy-server-del", "no"),
    yes_no("lazyfree-lazy-user-del", "no"),
    yes_no("lazyfree-lazy-user-flush", "no"),
    integer("lfu-decay-time", "1", 0, kMaxInt),
    integer("lfu-log-factor", "10", 0, kMaxInt),
    integer("list-compress-depth", "0", 0, kMaxInt),
    also_named(integer("list-max-listpack-size", "-2", kMinInt, kMaxInt), "list-max-ziplist-size"),
    with(text("masterauth", ""), kSecret),
    text("masteruser", ""),
    memory("maxmemory", "0", 0, UINT64_MAX),
    text("maxmemory-clients", "0"),
    integer("maxmemory-eviction-tenacity", "10", 0, 100),
    choice("maxmemory-policy", "noeviction",
           "volatile-lru volatile-lfu volatile-random volatile-ttl allkeys-lru allkeys-lfu allkeys-random noeviction"),
    integer("maxmemory-samples", "5", 1, kMaxInt),
    also_named(integer("min-replicas-max-lag", "10", 0, kMaxInt), "min-slaves-max-lag"),
    also_named(integer("min-replicas-to-write", "0", 0, kMaxInt), "min-slaves-to-write"),
    yes_no("no-appendfsync-on-rewrite", "no"),
    text("notify-keyspace-events", ""),
    choice("oom-score-adj", "no", "no yes relative absolute"),
    text("proc-title-template", "{title} {listen-addr} {server-mode}"),
    choice("propagation-error-behavior", "ignore", "ignore panic panic-on-replicas"),
    yes_no("rdb-del-sync-files", "no"),
    yes_no("rdb-save-incremental-fsync", "yes"),
    with(yes_no("rdbchecksum", "yes"), kAtStartOnly),
    yes_no("rdbcompression", "yes"),
    memory("repl-backlog-size", "1048576", 1, kMaxLong),
    integer("repl-backlog-ttl", "3600", 0, kMaxLong),
    yes_no("repl-disable-tcp-nodelay", "no"),
    choice("repl-diskless-load", "disabled", "disabled on-empty-db swapdb"),
    yes_no("repl-diskless-sync", "yes"),
    integer("repl-diskless-sync-delay", "5", 0, kMaxInt),
    integer("repl-diskless-sync-max-replicas", "0", 0, kMaxInt),
    also_named(integer("repl-ping-replica-period", "10", 1, kMaxInt), "repl-ping-slave-period"),
    integer("repl-timeout", "60", 1, kMaxInt),
    also_named(text("replica-announce-ip", ""), "slave-announce-ip"),
    also_named(integer("replica-announce-port", "0", 0, 65535), "slave-announce-port"),
    yes_no("replica-announced", "yes"),
    yes_no("replica-ignore-disk-write-errors", "no"),
    also_named(yes_no("replica-ignore-maxmemory", "yes"), "slave-ignore-maxmemory"),
    also_named(yes_no("replica-lazy-flush", "no"), "slave-lazy-flush"),
    also_named(integer("replica-priority", "100", 0, kMaxInt), "slave-priority"),
    also_named(yes_no("replica-read-only", "yes"), "slave-read-only"),
    also_named(yes_no("replica-serve-stale-data", "yes"), "slave-serve-stale-data"),
    choice("sanitize-dump-payload", "no", "no yes clients"),
    with(text("server_cpulist", ""), kAtStartOnly),
    integer("set-max-intset-entries", "512", 0, kMaxLong),
    with(yes_no("set-proc-title", "yes"), kAtStartOnly),
    choice("shutdown-on-sigint", "default", "default save nosave now force"),
    choice("shutdown-on-sigterm", "default", "default save nosave now force"),
    integer("shutdown-timeout", "10", 0, kMaxInt),
    with(integer("socket-mark-id", "0", 0, 4294967295), kAtStartOnly),
    yes_no("stop-writes-on-bgsave-error", "yes"),
    memory("stream-node-max-bytes", "4096", 0, kMaxLong),
    integer("stream-node-max-entries", "100", 0, kMaxLong),
    with(yes_no("syslog-enabled", "no"), kAtStartOnly),
    with(choice("syslog-facility", "local0", "user local0 local1 local2 local3 local4 local5 local6 local7"),
         kAtStartOnly),
    with(text("syslog-ident", "redis"), kAtStartOnly),
    choice("tls-auth-clients", "yes", "no yes optional"),
    text("tls-ca-cert-dir", ""),
    text("tls-ciphers", ""),
    text("tls-ciphersuites", ""),
    text("tls-client-cert-file", ""),
    text("tls-client-key-file", ""),
    with(text("tls-client-key-file-pass", ""), kSecret),
    text("tls-dh-params-file", ""),
    yes_no("tls-prefer-server-ciphers", "no"),
    text("tls-protocols", ""),
    yes_no("tls-replication", "no"),
    integer("tls-session-cache-size", "20480", 0, kMaxInt),
    integer("tls-session-cache-timeout", "300", 0, kMaxInt),
    yes_no("tls-session-caching", "yes"),
    integer("tracking-table-max-keys", "1000000", 0, kMaxLong),
    also_named(integer("zset-max-listpack-entries", "128", 0, kMaxLong), "zset-max-ziplist-entries"),
    also_named(memory("zset-max-listpack-value", "64", 0, kMaxLong), "zset-max-ziplist-value"),
    with(own("aclfile", "", only_nothing), kAtStartOnly),
    with(own("appendonly", "yes", append_only), kRepeated),
    with(own("cluster-enabled", "no", only_nothing), kAtStartOnly),
    with(integer("databases", "16", 1, kUserDatabases), kAtStartOnly),
    with(own("latency-tracking-info-percentiles", "50 99 99.9", any_words), kListed),
    with(own("loadmodule", "", nothing_at_all), kAtStartOnly | kHidden),
    with(own("oom-score-adj-values", "0 200 800", any_words), kListed),
    with(also_named(own("replicaof", "", only_nothing), "slaveof"), kAtStartOnly),
    with(own("save", "", save_points), kListed | kRepeated),
    with(own("tls-port", "0", only_nothing), kAtStartOnly),
    with(own("user", "", nothing_at_all), kAtStartOnly | kHidden),
};

}  // namespace

std::span<const Directive> directives_of_redis() { return kDirectives; }

}  // namespace capstan
