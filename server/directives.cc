// Directives that mean something here.
#include "server/directives.h"

#include "base/slot.h"
#include "quorum/record.h"
#include "resp/number.h"
#include "server/directive_rows.h"
#include "server/text.h"
#include "server/value_text.h"

namespace capstan {
namespace {

using Words = std::span<const std::string_view>;

constexpr std::string_view kWrongCount = "wrong number of arguments";

Error wrong(std::string_view message) { return {ErrorCode::kInvalid, std::string(message)}; }

std::vector<std::string> split(std::string_view value) {
  return split_words(value).value_or(std::vector<std::string>());
}

// ---- bind

Result<std::string> parse_bind(Words words, const std::string&) {
  if (words.empty()) return wrong(kWrongCount);
  return join_words(words);
}

void store_bind(Settings& settings, std::string_view value) { settings.bind = split(value); }

// ---- client-output-buffer-limit: classes that are not named keep their limits

constexpr std::string_view kLimitClasses[] = {"normal", "slave", "pubsub"};

std::optional<size_t> limit_class(std::string_view word) {
  if (same_word(word, "replica")) word = "slave";
  for (size_t i = 0; i < std::size(kLimitClasses); ++i) {
    if (same_word(word, kLimitClasses[i])) return i;
  }
  return std::nullopt;
}

Result<std::string> parse_output_limits(Words words, const std::string& old) {
  if (words.empty() || words.size() % 4 != 0) {
    return wrong("Wrong number of arguments in buffer limit configuration.");
  }
  std::vector<std::string> limits = split(old);
  for (size_t i = 0; i < words.size(); i += 4) {
    const std::optional<size_t> of = limit_class(words[i]);
    if (!of) return wrong("Invalid client class specified in buffer limit configuration.");
    const std::optional<uint64_t> hard = parse_memory(words[i + 1]);
    const std::optional<uint64_t> soft = parse_memory(words[i + 2]);
    const std::optional<int64_t> seconds = resp::parse_integer(words[i + 3]);
    if (!hard || !soft || !seconds || *seconds < 0) {
      return wrong("Error in hard, soft or soft_seconds setting in buffer limit configuration.");
    }
    limits[*of * 4 + 1] = std::to_string(*hard);
    limits[*of * 4 + 2] = std::to_string(*soft);
    limits[*of * 4 + 3] = std::to_string(*seconds);
  }
  return join_words(views_of(limits));
}

void store_output_limits(Settings& settings, std::string_view value) {
  const std::vector<std::string> limits = split(value);
  const auto limit = [&limits](size_t of) {
    return OutputLimit{number_of<uint64_t>(limits[of * 4 + 1]), number_of<uint64_t>(limits[of * 4 + 2]),
                       number_of<int64_t>(limits[of * 4 + 3])};
  };
  settings.output_limit_normal = limit(0);
  settings.output_limit_pubsub = limit(2);
}

// ---- lists of rules: consistency, resolve, rename-command. In the text of a value a word ";" stands between two.

std::vector<std::vector<std::string>> rules_of(std::string_view value) {
  std::vector<std::vector<std::string>> rules;
  bool begins = true;
  for (std::string& word : split(value)) {
    if (word == ";") {
      begins = true;
      continue;
    }
    if (begins) rules.emplace_back();
    begins = false;
    rules.back().push_back(std::move(word));
  }
  return rules;
}

// `check` sees the words of one rule.
template <typename Check>
Result<std::string> parse_rules(Words words, const std::string& old, Check check) {
  const std::string added = join_words(words);
  const std::vector<std::vector<std::string>> rules = rules_of(added);
  if (rules.empty()) return wrong(kWrongCount);
  for (const std::vector<std::string>& rule : rules) {
    const Result<> checked = check(Words(views_of(rule)));
    if (!checked) return checked.error();
  }
  return old.empty() ? added : old + " ; " + added;
}

Result<std::string> parse_consistency_rules(Words words, const std::string& old) {
  return parse_rules(words, old, [](Words rule) -> Result<> {
    LevelPolicy policy;
    Result<> added = policy.add(rule);
    if (added) return added;
    const std::string& message = added.error().message;  // ready to be replied; here it follows another text
    return wrong(message.starts_with("ERR ") ? message.substr(4) : message);
  });
}

void store_consistency_rules(Settings& settings, std::string_view value) {
  settings.levels = LevelPolicy();
  for (const std::vector<std::string>& rule : rules_of(value)) {
    CHECK(settings.levels.add(views_of(rule)).ok());
  }
}

// The lines are read together (make_settings).
Result<std::string> parse_cluster(Words words, const std::string& old) {
  return parse_rules(words, old, [](Words) -> Result<> { return {}; });
}

void store_cluster(Settings& settings, std::string_view value) {
  settings.cluster_lines.clear();
  for (const std::vector<std::string>& rule : rules_of(value)) {
    settings.cluster_lines.push_back(join_words(views_of(rule)));
  }
}

Result<std::string> parse_resolutions(Words words, const std::string& old) {
  if (words.empty()) return std::string();
  return parse_rules(words, old, [](Words rule) -> Result<> {
    if (rule.size() != 2) return wrong("a pattern and a policy are needed");
    const std::optional<Policy> policy = parse_policy(rule[1]);
    if (!policy) return wrong("the policy must be one of the following: lww, max, min, union, concat");
    if (*policy == Policy::kLua) return wrong("scripts are not supported");
    return {};
  });
}

void store_resolutions(Settings& settings, std::string_view value) {
  settings.resolutions.clear();
  for (const std::vector<std::string>& rule : rules_of(value)) {
    settings.resolutions.emplace_back(rule[0], parse_policy(rule[1]).value());
  }
}

Result<std::string> parse_renaming(Words words, const std::string& old) {
  return parse_rules(words, old, [](Words rule) -> Result<> {
    if (rule.size() != 2) return wrong(kWrongCount);
    return {};
  });
}

void store_renamings(Settings& settings, std::string_view value) {
  settings.renamed_commands.clear();
  for (const std::vector<std::string>& rule : rules_of(value)) {
    settings.renamed_commands.emplace_back(rule[0], rule[1]);
  }
}

// ---- the rest

Fsync fsync_of(std::string_view value) {
  return value == "always" ? Fsync::kAlways : value == "no" ? Fsync::kNo : Fsync::kEverySecond;
}

LogLevel log_level_of(std::string_view value) {
  if (value == "debug") return LogLevel::kDebug;
  if (value == "verbose") return LogLevel::kVerbose;
  return value == "warning" ? LogLevel::kWarning : LogLevel::kNotice;
}

using S = Settings;
using V = std::string_view;
constexpr uint32_t kFixed = kAtStartOnly;

constexpr Directive kDirectives[] = {
    choice("appendfsync", "everysec", "everysec always no", [](S& s, V v) { s.append_fsync = fsync_of(v); }),
    with(own("bind", "* -::*", parse_bind, store_bind), kListed | kFixedValue),
    {.name = "cache-memory",
     .kind = ValueKind::kAutoMemory,
     .initial = "auto",
     .low = 1 << 20,
     .high = kMaxLong,
     .store = [](S& s, V v) { s.cache_memory = number_of<uint64_t>(v); }},
    with(own("client-output-buffer-limit", "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
             parse_output_limits, store_output_limits),
         kListed),
    memory("client-query-buffer-limit", "1073741824", 1 << 20, kMaxLong,
           [](S& s, V v) { s.query_buffer_limit = number_of<uint64_t>(v); }),
    with(own("cluster", "", parse_cluster, store_cluster), kFixed | kHidden | kListed | kRepeated),
    with(own("consistency", "strong", parse_consistency_rules, store_consistency_rules), kListed | kRepeated),
    with(yes_no("daemonize", "no", [](S& s, V v) { s.daemonize = v == "yes"; }), kFixed),
    with(text("dir", "data", [](S& s, V v) { s.directory = v; }), kProtected),
    {.name = "dirty-memory",
     .kind = ValueKind::kAutoMemory,
     .initial = "auto",
     .low = 1 << 16,
     .high = kMaxLong,
     .store = [](S& s, V v) { s.dirty_memory = number_of<uint64_t>(v); }},
    with(choice("enable-debug-command", "no", "no yes local",
                [](S& s, V v) {
                  s.debug_access = v == "yes" ? Access::kYes : v == "local" ? Access::kLocal : Access::kNo;
                }),
         kFixed),
    with(integer("election-timeout", "150", 20, 60'000,
                 [](S& s, V v) { s.election_timeout_ms = number_of<int64_t>(v); }),
         kFixed),
    with(integer("heartbeat", "20", 1, 10'000, [](S& s, V v) { s.heartbeat_ms = number_of<int64_t>(v); }), kFixed),
    with(integer("io-threads", "", 1, 128, [](S& s, V v) { s.io_threads = number_of<unsigned>(v); }), kFixed),
    with(choice("journal-damage", "stop", "stop truncate",
                [](S& s, V v) {
                  s.journal_damage =
                      v == "truncate" ? lmdb_store::JournalDamage::kTruncate : lmdb_store::JournalDamage::kStop;
                }),
         kFixed),
    with(memory("journal-limit", "4294967296", 1 << 20, kMaxLong,
                [](S& s, V v) { s.journal_limit = number_of<uint64_t>(v); }),
         kFixed),
    integer("latency-monitor-threshold", "0", 0, kMaxLong,
            [](S& s, V v) { s.latency_threshold_ms = number_of<int64_t>(v); }),
    with(integer("lease-duration", "75", 1, 200, [](S& s, V v) { s.lease_ms = number_of<int64_t>(v); }), kFixed),
    with(yes_no("lease-reads", "yes", [](S& s, V v) { s.lease_reads = v == "yes"; }), kFixed),
    with(text("logfile", "", [](S& s, V v) { s.log_file = v; }), kFixed),
    choice("loglevel", "notice", "debug verbose notice warning", [](S& s, V v) { s.log_level = log_level_of(v); }),
    integer("max-clock-skew", "500", 0, kMaxInt, [](S& s, V v) { s.max_clock_skew_ms = number_of<int64_t>(v); }),
    integer("maxclients", "10000", 1, UINT32_MAX, [](S& s, V v) { s.max_clients = number_of<uint32_t>(v); }),
    integer("overload-timeout", "10000", 0, kMaxInt, [](S& s, V v) { s.overload_timeout_ms = number_of<int64_t>(v); }),
    with(text("pidfile", "", [](S& s, V v) { s.pid_file = v; }), kFixed),
    with(integer("port", "6379", 0, 65535, [](S& s, V v) { s.port = number_of<uint16_t>(v); }), kFixedValue),
    yes_no("protected-mode", "yes", [](S& s, V v) { s.protected_mode = v == "yes"; }),
    memory("proto-inline-max-size", "65536", 1024, 1 << 30,
           [](S& s, V v) { s.proto_inline_max_bytes = number_of<uint64_t>(v); }),
    memory("proto-max-bulk-len", "67108864", 1 << 20, static_cast<int64_t>(kMaxValueBytes),
           [](S& s, V v) { s.proto_max_bulk_bytes = number_of<uint64_t>(v); }),
    with(integer("read-threads", "2", 1, 64, [](S& s, V v) { s.read_threads = number_of<unsigned>(v); }), kFixed),
    with(own("rename-command", "", parse_renaming, store_renamings), kFixed | kHidden | kRepeated),
    with(text("requirepass", "", [](S& s, V v) { s.require_pass = v; }), kSecret),
    with(own("resolve", "", parse_resolutions, store_resolutions), kListed | kRepeated),
    with(integer("shards", "1", 1, kSlots, [](S& s, V v) { s.shards = number_of<uint32_t>(v); }), kFixed),
    integer("slowlog-log-slower-than", "10000", -1, kMaxLong,
            [](S& s, V v) { s.slowlog_slower_than_us = number_of<int64_t>(v); }),
    integer("slowlog-max-len", "128", 0, kMaxLong, [](S& s, V v) { s.slowlog_max_len = number_of<uint64_t>(v); }),
    integer("strong-timeout", "5000", 0, kMaxInt, [](S& s, V v) { s.strong_timeout_ms = number_of<int64_t>(v); }),
    with(choice("supervised", "no", "upstart systemd auto no",
                [](S& s, V v) { s.supervised = v == "systemd" || v == "auto"; }),
         kFixed),
    with(integer("tcp-backlog", "511", 0, kMaxInt, [](S& s, V v) { s.tcp_backlog = number_of<int>(v); }), kFixed),
    integer("tcp-keepalive", "300", 0, kMaxInt, [](S& s, V v) { s.tcp_keepalive_s = number_of<int>(v); }),
    integer("timeout", "0", 0, kMaxInt, [](S& s, V v) { s.timeout_s = number_of<int64_t>(v); }),
    with(text("tls-ca-cert-file", "", [](S& s, V v) { s.tls.ca_cert_file = v; }), kFixed),
    with(text("tls-cert-file", "", [](S& s, V v) { s.tls.cert_file = v; }), kFixed),
    with(yes_no("tls-cluster", "no", [](S& s, V v) { s.tls_cluster = v == "yes"; }), kFixed),
    with(text("tls-key-file", "", [](S& s, V v) { s.tls.key_file = v; }), kFixed),
    with(text("tls-key-file-pass", "", [](S& s, V v) { s.tls.key_password = v; }), kFixed | kSecret),
    with(text("unixsocket", "", [](S& s, V v) { s.unix_socket = v; }), kFixed),
    with({.name = "unixsocketperm",
          .kind = ValueKind::kOctal,
          .initial = "0",
          .high = 0777,
          .store = [](S& s, V v) { s.unix_socket_mode = number_of<mode_t>(v, 8); }},
         kFixed),
};

}  // namespace

std::span<const Directive> own_directives() { return kDirectives; }

}  // namespace capstan
