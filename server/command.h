// The command table's row and what a command function is handed. One file per family (server/commands/*.cc) holds the
// rows and the functions; everything else that depends on commands (COMMAND, arity and key checks, routing, levels, ACL
// categories, docs/compatibility.md) reads the table. Adding a command touches its family's file and its test.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "resp/writer.h"
#include "server/evaluation.h"

namespace capstan {

class Session;
class Node;
struct RequestId;

// Where a command runs.
enum class Scope : uint8_t {
  kConnection,  // on the connection's worker; needs no shard
  kShard,       // on the worker of its keys' shard; all keys in one shard, else CROSSSLOT
  kSplit,       // like kShard, but keys may lie in several shards: the router splits it and joins the replies
  kEveryShard,  // on every shard (DBSIZE, FLUSHALL, SCAN, …): the router asks all and joins the replies
};

// How the router joins the replies of a command that ran on several shards (scopes kSplit and kEveryShard).
enum class Join : uint8_t {
  kNone,
  kSum,     // integers: their sum
  kOk,      // +OK from all
  kArray,   // kSplit: one element per key; put back into the keys' order
  kConcat,  // kEveryShard: arrays, one behind the other
  kPick,    // kEveryShard: one of the replies that are not null, weighted by the shards' key counts (RANDOMKEY)
  kCursor,  // kEveryShard: args[1] is a cursor; runs on one shard after the other (SCAN)
};

// Redis' command flags (COMMAND INFO), plus ours at the end.
enum CommandFlag : uint32_t {
  kWrite = 1u << 0,
  kReadonly = 1u << 1,
  kDenyOom = 1u << 2,
  kAdmin = 1u << 3,
  kPubsub = 1u << 4,
  kNoscript = 1u << 5,
  kBlocking = 1u << 6,
  kLoading = 1u << 7,
  kStale = 1u << 8,
  kSkipMonitor = 1u << 9,
  kSkipSlowlog = 1u << 10,
  kAsking = 1u << 11,
  kFast = 1u << 12,
  kNoAuth = 1u << 13,
  kMayReplicate = 1u << 14,  // no write, but CLIENT PAUSE WRITE holds it back; Redis does not show this one
  kNoMulti = 1u << 15,
  kMovableKeys = 1u << 16,
  kAllowBusy = 1u << 17,
  kNoMandatoryKeys = 1u << 18,
  kNoAsyncLoading = 1u << 19,
  // Speaks of what the connection's earlier commands did: runs when they have all been answered.
  kAfterOthers = 1u << 24,
  // Passwords are among its arguments: all of them are, or those that monitor.h tells by what stands before them.
  kAllSecret = 1u << 27,
  kSomeSecret = 1u << 28,
  // Never waits in MULTI's queue (EXEC, DISCARD, WATCH, MULTI, QUIT, RESET).
  kNotQueued = 1u << 25,
  // Takes trailing `CONSISTENCY …` words (fixed arity, so Redis would have refused them).
  kTrailingLevel = 1u << 26,
  // A subscriber may send it in RESP2 as well, where a message and a reply look the same.
  kWhileSubscribed = 1u << 29,
  // Commands behind it do not wait for its reply if that comes later.
  kLetsOthersPass = 1u << 30,
};

// Positions of keys as Redis' COMMAND reports them: first, last (negative: from the end), step; first 0: no keys.
struct KeyPositions {
  int first = 0;
  int last = 0;
  int step = 0;
};

enum class Outcome : uint8_t {
  kDone,   // replied (exactly one reply was written)
  kFetch,  // nothing replied, no effect: rows are missing (Evaluation::missing_rows); run again when they are in memory
  kAgain,  // nothing replied yet: more work, in the next turn (Call::state keeps what is needed)
  kLater,  // nothing replied: somebody else will (LaterReply)
  kHeld,   // of a shard, not of commands: replied, but the reply may not leave yet (Shard::reply_gate)
  kWait,   // of an executor, not of commands: nothing replied, no leader; run again when the shard has one
};

// What a command that goes on over several turns keeps between them.
struct CommandState {
  virtual ~CommandState() = default;
};

struct CommandSpec;

// CommandSpec::key_use of shard channels: COMMAND reports their positions, but they are no keys.
inline constexpr std::string_view kNotKey = "not_key";

struct Call {
  const CommandSpec* spec = nullptr;
  // args[0] is the command's name as the client wrote it.
  std::span<const std::string_view> args;
  Database database = 0;
  int64_t now_ms = 0;  // the node's wall clock at the start of the turn
  // Scopes kShard, kSplit, kEveryShard; nullptr for kConnection.
  Evaluation* evaluation = nullptr;
  // Scope kConnection; nullptr for the others.
  Session* session = nullptr;
  Node* node = nullptr;
  resp::Writer* writer = nullptr;
  // proto-max-bulk-len: no command makes a longer string.
  uint64_t max_string_bytes = uint64_t{64} << 20;
  // nullptr: the command must finish in this turn (it is part of a transaction).
  std::unique_ptr<CommandState>* state = nullptr;
  // CONSISTENCY STRONG ID: the shard's matter (once.h).
  const RequestId* once = nullptr;

  resp::Writer& reply() { return *writer; }
  Evaluation& eval() { return *evaluation; }
  KeyRef key(size_t index) const { return KeyRef(database, args[index]); }
};

using CommandFunction = Outcome (*)(Call&);

struct CommandSpec {
  std::string_view name;  // lower case; of a subcommand only its own word
  int arity = 0;          // as Redis: negative means "at least"; counts the name (and for subcommands both words)
  uint32_t flags = 0;
  KeyPositions keys;
  Scope scope = Scope::kConnection;
  CommandFunction run = nullptr;  // nullptr for a container of subcommands
  // Redis' ACL categories besides those that follow from the flags, space separated: "string", "keyspace dangerous".
  std::string_view categories;
  // How the keys are used, as COMMAND INFO's key specifications say it: "RO ACCESS", "OW UPDATE", "RW ACCESS UPDATE", …
  // Several specifications, separated by "; ", name one key each from keys.first on, and the last one all the rest.
  std::string_view key_use;
  std::string_view group;       // string, generic, transactions, connection, server, …
  std::string_view since;       // Redis version that brought it, or "capstan"
  std::string_view complexity;  // "O(1)"
  std::string_view summary;     // our own words, one line
  // Arguments in a small grammar, read by COMMAND DOCS: words are tokens, <name:type> arguments, [ ] optional,
  // ( ) groups, | alternatives, … repetition of what stands before it (syntax.h).
  // E.g. "<key:key> <value:string> [NX|XX] [GET] [EX <seconds:integer>|KEEPTTL]".
  std::string_view syntax;
  std::span<const CommandSpec> subcommands = {};
  Join join = Join::kNone;
  // Redis' command tips, space separated: "nondeterministic_output request_policy:all_shards".
  std::string_view tips = {};
};

// The whole table, sorted by name; built once from the families. It holds copies of their rows: what it returns, and
// the subcommands in it, are one object per command for the life of the process.
std::span<const CommandSpec* const> all_commands();
// Commands and subcommands are numbered from 0, below command_count(), for tables of counters. Precondition: spec is
// the table's own.
size_t command_number(const CommandSpec& spec);
size_t command_count();
const CommandSpec& command_by_number(size_t number);
// As Redis names it in INFO and errors: "get", "client|list".
std::string command_full_name(const CommandSpec& spec);
// By that name, whether or not clients can still call it so (rename_command). Precondition: there is one.
const CommandSpec& command_by_full_name(std::string_view name);
// nullptr: there is none.
const CommandSpec* find_by_full_name(std::string_view name);
// By name in any case; nullptr if unknown.
const CommandSpec* find_command(std::string_view name);
// rename-command: from now on the command has this name instead, or none if it is empty. Before the server runs.
// False: there is no such command, or the name is taken.
bool rename_command(std::string_view name, std::string_view new_name);
const CommandSpec* find_subcommand(const CommandSpec& container, std::string_view name);

// The families, each defined in server/commands/<family>.cc.
std::span<const CommandSpec> string_commands();     // strings as a whole
std::span<const CommandSpec> substring_commands();  // parts of strings
std::span<const CommandSpec> increment_commands();  // strings that are numbers
std::span<const CommandSpec> bitmap_commands();
std::span<const CommandSpec> bitfield_commands();
std::span<const CommandSpec> hyperloglog_commands();
std::span<const CommandSpec> set_commands();
std::span<const CommandSpec> key_commands();       // keys by name
std::span<const CommandSpec> expiry_commands();    // their TTLs
std::span<const CommandSpec> object_commands();    // OBJECT
std::span<const CommandSpec> keyspace_commands();  // databases as a whole: SCAN, DBSIZE, FLUSHALL, …
std::span<const CommandSpec> transaction_commands();
std::span<const CommandSpec> connection_commands();
std::span<const CommandSpec> client_commands();   // CLIENT
std::span<const CommandSpec> command_commands();  // COMMAND
std::span<const CommandSpec> config_commands();   // CONFIG
std::span<const CommandSpec> info_commands();     // INFO
std::span<const CommandSpec> saving_commands();   // SAVE, …
std::span<const CommandSpec> waiting_commands();  // WAIT, …
std::span<const CommandSpec> slowlog_commands();
std::span<const CommandSpec> latency_commands();
std::span<const CommandSpec> memory_commands();
std::span<const CommandSpec> debug_commands();
std::span<const CommandSpec> server_commands();
std::span<const CommandSpec> pubsub_commands();
std::span<const CommandSpec> consistency_commands();
std::span<const CommandSpec> cluster_commands();  // CLUSTER
std::span<const CommandSpec> capstan_commands();  // CAPSTAN

// Each writes the error and returns Outcome::kDone. The message begins with its code ("ERR …").
Outcome reply_error(Call& call, std::string_view message);
// -ERR wrong number of arguments for '<full name>' command
Outcome reply_wrong_arity(Call& call, const CommandSpec& spec);
Outcome reply_wrong_type(Call& call);
Outcome reply_syntax_error(Call& call);
Outcome reply_not_integer(Call& call);
// For a read that did not find a usable value: WRONGTYPE, or kFetch. Precondition: kWrongType or kNotResident.
Outcome refuse(Call& call, Lookup lookup);

}  // namespace capstan
