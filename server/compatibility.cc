#include "server/compatibility.h"

#include <algorithm>
#include <vector>

#include "server/command_info.h"
#include "server/directives.h"
#include "server/redis_commands.h"
#include "server/version.h"

namespace capstan {
namespace {

struct Difference {
  std::string_view what;
  std::string_view redis;
  std::string_view here;
  std::string_view why;
};

constexpr Difference kDifferences[] = {
    {"the size of a value", "512 MiB unless `proto-max-bulk-len` says otherwise",
     "64 MiB unless `proto-max-bulk-len` says otherwise, and never more than 512 MiB",
     "a value passes through the journal and, later, between nodes; one that is larger is seldom meant"},
    {"the number of arguments", "2,147,483,647", "1,048,576", "every limit that a client can reach is bounded"},
    {"inline commands with a NUL byte", "the line ends there", "the byte is part of the word",
     "words are bytes everywhere else"},
    {"`SWAPDB`", "exchanges two databases", "an error", "the database is part of the key order on disk"},
    {"`SELECT`", "`databases` of them", "always 16", "`databases` may name fewer, but not more"},
    {"`SAVE`, `BGSAVE`, `LASTSAVE`", "write an RDB file", "flush all changes to LMDB",
     "data are durable by the journal already; a flush only shortens the next start"},
    {"`save`", "when to write an RDB file", "accepted, shown, no meaning", "the same"},
    {"`appendonly`", "`no` by default", "always `yes`",
     "the journal is always written; `appendfsync` says when it is synced"},
    {"`appendfsync always`", "synced once per turn of the event loop", "the same",
     "an acknowledgement waits for it, also of commands of other connections in that turn"},
    {"`maxmemory`, `maxmemory-policy`", "bound the data, and what is thrown away", "accepted, shown, no meaning",
     "`cache-memory` bounds the memory; what leaves it stays on disk"},
    {"`INFO` `evicted_keys`", "counts keys that are lost", "always 0", "the same"},
    {"`OBJECT FREQ`", "with an LFU policy a number", "always an error", "rows are evicted by recency alone"},
    {"`OBJECT ENCODING`", "how the value is stored", "how Redis would store it as it is",
     "what changed in place is not stored otherwise here"},
    {"`OBJECT REFCOUNT`", "references to the object", "2147483647 for small integers, else 1",
     "nothing is shared here"},
    {"`DEBUG`", "many subcommands", "`SLEEP`, `OBJECT`, `SET-ACTIVE-EXPIRE`, `HELP`",
     "the rest speaks of Redis' inside; `SLEEP` stops one worker"},
    {"`DEBUG OBJECT`", "address and serialized length", "address 0; the length is that in memory",
     "there is no RDB form"},
    {"`WAIT`", "waits for replicas that have the writes",
     "waits for nodes that have them on their disks; those of a majority have when a reply comes; one node has no "
     "others",
     "a STRONG write is agreed by a majority"},
    {"`WAITAOF`", "of Redis 7.2", "there already; the local count is 1 when the journals are synced",
     "it is what a client needs to know with `appendfsync everysec`"},
    {"`CLIENT SETINFO`", "of Redis 7.2", "there already", "today's client libraries send it when they connect"},
    {"`SET … IFEQ`", "of Redis 8.4", "there already", "a conditional write"},
    {"`READONLY`, `READWRITE`", "an error without a cluster", "OK; reads are LOCAL", "they choose a level here"},
    {"`CLUSTER MEET`, `ADDSLOTS`, `SETSLOT`, `FAILOVER`, `RESET`, …", "change the topology", "unknown subcommands",
     "the configuration says which nodes there are, elections which of them leads"},
    {"`CLUSTER NODES`, `SHARDS`, `ROLE`, `INFO replication`", "a node is a master or a replica",
     "a node that leads any shard is a master, one that leads none a replica; offsets are indices of the shards' logs",
     "a node leads some shards and follows in others"},
    {"`CLUSTER INFO`", "counts the messages of its gossip", "these fields are left out", "there is none"},
    {"`SELECT` in a cluster", "an error", "the 16 databases", "they are part of every shard"},
    {"`HELLO` in a cluster", "`role` may be `replica`", "always `master`", "every node takes every command"},
    {"`io-threads`", "threads that only read and write sockets", "workers that do everything",
     "the default is half of the cores, at most 8"},
    {"`CONFIG SET port`, `bind`", "possible", "an error unless the value stays", "the sockets are opened at the start"},
    {"`tls-cluster`", "TLS between nodes, of the versions that `tls-protocols` names",
     "TLS 1.3; certificates are looked at by both sides", "the other `tls-…` directives tune what is fixed here"},
    {"`CONFIG SET tls-cluster`, `tls-cert-file`, `tls-key-file`, `tls-key-file-pass`, `tls-ca-cert-file`", "possible",
     "an error", "the files are read at the start"},
    {"`CONFIG SET consistency`", "-", "replaces all rules; a word `;` stands between two", "ours"},
    {"`user`, `aclfile`, `tls-port`, `cluster-enabled`, `replicaof`, `loadmodule`", "possible",
     "an error at the start, unless they say that there is none",
     "not there yet, and ignoring them would leave a server open, or alone"},
    {"`INFO latencystats`, `LATENCY HISTOGRAM`", "exact to two digits", "powers of two",
     "a counter per power is enough"},
    {"`SHUTDOWN NOSAVE`", "loses what was not saved", "leaves out the flush; nothing is lost", "the journal has it"},
    {"`PUBLISH` in `EXEC` of a client that listens to the channel itself", "the message is within the reply of `EXEC`",
     "it comes behind the reply, as in Redis 7.2", "as an element too many it breaks the protocol"},
    {"texts of `HELP`, `COMMAND DOCS`, `LATENCY DOCTOR`, `MEMORY DOCTOR`", "Redis'", "our own words",
     "they are for people"},
};

void line(std::string& page, std::string_view text) { page.append(text).append("\n"); }

// A '|' would end the cell.
std::string cell(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string upper(std::string_view name) {
  std::string text(name);
  for (char& c : text) c = c == '|' ? ' ' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 0x20) : c;
  return text;
}

// Rows that run: commands without subcommands, and subcommands; HELP is left out.
std::vector<const CommandSpec*> runnable(std::string_view group) {
  std::vector<const CommandSpec*> specs;
  for (const CommandSpec* const spec : all_commands()) {
    if (spec->group != group) continue;
    if (spec->run != nullptr) specs.push_back(spec);
    for (const CommandSpec& subcommand : spec->subcommands) {
      if (subcommand.name != "help") specs.push_back(&subcommand);
    }
  }
  return specs;
}

std::string missing_names(const RedisGroup& group) {
  std::string names;
  for (const std::string_view name : split_at(group.commands, " ")) {
    if (find_full_name(name) != nullptr) continue;
    // A whole command that is missing is named without its subcommands.
    const size_t bar = name.find('|');
    if (bar != name.npos && find_full_name(name.substr(0, bar)) == nullptr) continue;
    names.append(names.empty() ? "" : ", ").append(upper(name));
  }
  return names;
}

size_t count_redis_commands(bool only_present) {
  size_t count = 0;
  for (const RedisGroup& group : kRedisGroups) {
    for (const std::string_view name : split_at(group.commands, " ")) {
      if (name.find('|') != name.npos) continue;
      count += !only_present || find_full_name(name) != nullptr;
    }
  }
  return count;
}

void write_group(std::string& page, const RedisGroup& group) {
  line(page, "\n### " + std::string(group.name) + "\n");
  const std::vector<const CommandSpec*> specs = runnable(group.name);
  if (!specs.empty()) {
    line(page, "| command | arguments | what it does | since |");
    line(page, "|---|---|---|---|");
  }
  for (const CommandSpec* const spec : specs) {
    const std::string arguments = spec->syntax.empty() ? "" : "`` " + cell(spec->syntax) + " ``";
    line(page, "| " + upper(command_full_name(*spec)) + " | " + arguments + " | " + cell(spec->summary) + " | " +
                   std::string(spec->since) + " |");
  }
  const std::string missing = missing_names(group);
  if (missing.empty()) return;
  if (!specs.empty()) line(page, "");
  line(page, "Not there yet: " + missing + ".");
}

void write_commands(std::string& page) {
  line(page, "## Commands\n");
  line(page, "Of the " + std::to_string(count_redis_commands(false)) + " commands of Redis " +
                 std::string(kRedisVersion) + ", " + std::to_string(count_redis_commands(true)) +
                 " are there, with all options and at every consistency level. The others answer `ERR unknown "
                 "command`. `since` is the version of Redis that brought the command, or `capstan` for ours. The "
                 "arguments are written in the grammar of `server/syntax.h`.");
  for (const RedisGroup& group : kRedisGroups) write_group(page, group);
}

void write_differences(std::string& page) {
  line(page, "\n## Differences\n");
  line(page, "A command line that is valid in Redis 7.0 means the same here and gets the same reply, but for these:\n");
  line(page, "| what | in Redis | here | why |");
  line(page, "|---|---|---|---|");
  for (const Difference& row : kDifferences) {
    line(page, "| " + cell(row.what) + " | " + cell(row.redis) + " | " + cell(row.here) + " | " + cell(row.why) + " |");
  }
}

void write_directives(std::string& page) {
  line(page, "\n## Directives\n");
  std::string meaning;
  std::string nothing;
  for (const Directive& directive : all_directives()) {
    if (directive.has(kHidden)) continue;
    std::string& list = directive.means_nothing() ? nothing : meaning;
    list.append(list.empty() ? "" : ", ").append("`").append(directive.name).append("`");
  }
  line(page, "`conf/capstan.conf` explains those that mean something here: " + meaning +
                 ", and `include`, "
                 "`rename-command`.\n");
  line(page,
       "Redis has these, too; they are accepted and shown by CONFIG GET, and the server says at its start which of "
       "them it was given, but there is nothing here that they could tune: " +
           nothing + ".");
}

}  // namespace

std::string compatibility_page() {
  std::string page;
  line(page, "# Compatibility with Redis\n");
  line(page, "<!-- Written by `capstan-server --print-compatibility`; a test compares. -->\n");
  write_commands(page);
  write_differences(page);
  write_directives(page);
  return page;
}

}  // namespace capstan
