#include "server/dispatcher.h"

#include <algorithm>
#include <cstring>

#include "server/arity.h"
#include "server/monitor.h"
#include "server/node.h"
#include "server/worker.h"

namespace capstan {
namespace {

// The arity fits, and there is no room for a trailing CONSISTENCY.
bool plainly_fits(const CommandSpec& spec, size_t words) {
  if (!arity_fits(spec, words)) return false;
  return (spec.flags & kTrailingLevel) == 0 || words <= words_needed(spec) + 1;
}

// A number below 1000 and its line end, taken off the front; 0 if that is not what is there.
size_t take_small_number(std::string_view& bytes) {
  size_t number = 0;
  size_t i = 0;
  while (i < bytes.size() && i < 3 && bytes[i] >= '0' && bytes[i] <= '9') number = number * 10 + (bytes[i++] - '0');
  if (i == 0 || bytes.substr(i, 2) != "\r\n") return 0;
  bytes.remove_prefix(i + 2);
  return number;
}

// The second word of the array of bulk strings at the front, where usually the key is; empty where it is not in sight.
// A guess that may be wrong.
std::string_view second_word(std::string_view bytes) {
  std::string_view word;
  if (!bytes.starts_with('*')) return {};
  bytes.remove_prefix(1);
  if (take_small_number(bytes) < 2) return {};
  for (int i = 0; i < 2; ++i) {
    if (!bytes.starts_with('$')) return {};
    bytes.remove_prefix(1);
    const size_t size = take_small_number(bytes);
    if (size == 0 || bytes.size() < size + 2) return {};
    word = bytes.substr(0, size);
    bytes.remove_prefix(size + 2);
  }
  return word;
}

}  // namespace

Dispatcher::Dispatcher(Worker& worker, uint32_t shards) : worker_(worker), shard_map_(shards) {}

unsigned Dispatcher::owner(ShardId shard) const { return shard % worker_.node().workers(); }

size_t Dispatcher::process(Connection& connection, std::string_view input) {
  size_t done = 0;
  watch_.lap_ns();
  while (connection.takes_commands() && take_batch(connection, input, done)) {
  }
  if (connection.has_output()) worker_.list_output(connection);
  return done;
}

// Parses some commands, then runs them. False: the input is used up, or the connection takes no more of it now.
bool Dispatcher::take_batch(Connection& connection, std::string_view input, size_t& done) {
  const bool ordinary = (connection.session.flags | worker_.flags()) == 0;
  resp::Parsed parsed{};
  size_t at = done;
  size_t count = 0;
  while (count < (ordinary ? kAhead : 1)) {
    parsed = connection.parser.next(input.substr(at), ahead_[count].words);
    at += parsed.consumed;
    if (parsed.outcome != resp::Outcome::kCommand) break;
    ahead_[count++].end = at;
    if (parsed.in_parser) break;
  }
  if (ordinary) look_ahead(count);
  for (size_t i = 0; i < count; ++i) {
    arguments_ = ahead_[i].words;
    if (ordinary && ahead_[i].fast && (connection.session.flags | worker_.flags()) == 0) {
      run_fast(connection, ahead_[i]);
    } else if (!connection.takes_commands() || !run_slowly(connection)) {
      connection.parser.restart();
      return false;
    }
    done = ahead_[i].end;
    if (connection.output_bytes() > worker_.hard_output_bytes(connection.session.has(kSubscribed))) [[unlikely]] {
      connection.check_output_limit(worker_.now_ms());
      return false;
    }
  }
  if (parsed.outcome == resp::Outcome::kError) {
    if (connection.takes_commands()) {
      reply_protocol_error(connection);
    } else {
      connection.parser.restart();
      return false;
    }
  }
  done = at;
  return parsed.outcome == resp::Outcome::kCommand;
}

void Dispatcher::prefetch(std::span<const Received> received) {
  Shard* const shard = worker_.executor().first_shard();
  if (shard == nullptr || shard_map_.shards() > 1) return;
  hashes_.clear();
  for (const Received& one : received) {
    const std::string_view key = second_word(one.bytes);
    if (!key.empty() && hashes_.size() < kMaxPrefetchedKeys) hashes_.push_back(hash64(key));
  }
  shard->keyspace().prefetch(hashes_);
}

// Finds out which commands can take the fast path, and has the memory that these will need on its way.
void Dispatcher::look_ahead(size_t commands) {
  hashes_.clear();
  Shard* const first = worker_.executor().first_shard();
  for (Parsed& parsed : std::span(ahead_).first(commands)) {
    parsed.shard = nullptr;
    parsed.spec = look_up(parsed.words[0]);
    parsed.fast = parsed.spec != nullptr && plainly_fits(*parsed.spec, parsed.words.size());
    if (!parsed.fast) continue;
    if (parsed.spec->scope == Scope::kConnection) {
      parsed.fast = (parsed.spec->flags & (kFast | kAfterOthers)) == kFast && parsed.spec->subcommands.empty();
      continue;
    }
    if (parsed.spec->scope == Scope::kShard || parsed.spec->scope == Scope::kSplit) {
      parsed.shard = local_shard(*parsed.spec, parsed.words);
    }
    parsed.fast = parsed.shard != nullptr;
    if (commands == 1 || parsed.shard == nullptr || parsed.shard != first) continue;
    for_each_key(*parsed.spec, parsed.words.size(), [&](size_t key) {
      if (hashes_.size() < kMaxPrefetchedKeys) hashes_.push_back(hash64(parsed.words[key]));
    });
  }
  if (hashes_.size() > 1) first->keyspace().prefetch(hashes_);
}

void Dispatcher::run_fast(Connection& connection, const Parsed& parsed) {
  connection.session.last_command = parsed.spec;
  if (parsed.shard == nullptr) return run_connection_command(connection, *parsed.spec, parsed.words);
  run_here(connection, *parsed.spec, parsed.words, *parsed.shard, worker_.settings().levels.fallback().level, -1);
}

const CommandSpec* Dispatcher::look_up(std::string_view name) {
  if (name.empty() || name.size() > CachedName::kMaxBytes) return find_command(name);
  const size_t hash = name.size() + static_cast<uint8_t>(name.front()) * 3u + static_cast<uint8_t>(name.back()) * 7u;
  CachedName& cached = cached_names_[hash % cached_names_.size()];
  if (cached.size == name.size() && std::memcmp(cached.name, name.data(), name.size()) == 0) return cached.spec;
  const CommandSpec* const spec = find_command(name);
  if (spec == nullptr) return nullptr;
  cached.size = static_cast<uint8_t>(name.size());
  std::memcpy(cached.name, name.data(), name.size());
  cached.spec = spec;
  return spec;
}

Shard* Dispatcher::local_shard(const CommandSpec& spec, std::span<const std::string_view> words) {
  if (shard_map_.shards() == 1) return worker_.executor().shard(0);
  const Placement placement = place(shard_map_, spec, words);
  return placement.several ? nullptr : worker_.executor().shard(placement.shard);
}

void Dispatcher::run_here(Connection& connection, const CommandSpec& spec, std::span<const std::string_view> words,
                          Shard& shard, Level level, int64_t timeout_ms) {
  Session& session = connection.session;
  std::unique_ptr<CommandState> state;
  Outcome outcome = Outcome::kAgain;
  if (!worker_.executor().waits(session.id, shard.id())) {
    resp::OutputBuffer& out = connection.begin_reply();
    resp::Writer writer(out, session.protocol);
    Call call = worker_.make_call(spec, words, session.database, writer, &state);
    const size_t before = out.size();
    outcome = worker_.executor().run(shard, spec, call, level);
    if (outcome == Outcome::kDone) [[likely]] {
      worker_.account(spec, words, watch_.lap_ns(), out.view().substr(before), session.id, worker_.index());
      return connection.end_reply(out);
    }
    if (outcome == Outcome::kHeld) {
      const std::string_view reply = out.view().substr(before);
      worker_.account(spec, words, watch_.lap_ns(), reply, session.id, worker_.index());
      // Places come later than this; nothing of them is in the buffer yet.
      worker_.executor().hold(shard, {worker_.index(), 0, session.id, connection.next_place()}, session.database,
                              session.protocol, reply);
      out.truncate(before);
      connection.end_reply(out);
      connection.open_place();
      return;
    }
  }
  Request request;
  request.spec = &spec;
  request.consistency.level = level;
  request.consistency.timeout_ms = timeout_ms;
  const ReplyAddress reply_to{worker_.index(), 0, session.id, connection.open_place()};
  std::unique_ptr<Task> task = make_task(session, request, shard.id(), words, reply_to);
  task->state = std::move(state);
  connection.add_outstanding_bytes(task->arguments.bytes());
  worker_.executor().park(std::move(task), outcome);
}

int64_t Dispatcher::timeout_of(const Consistency& consistency) const {
  return consistency.timeout_ms >= 0 ? consistency.timeout_ms : worker_.settings().strong_timeout_ms;
}

void Dispatcher::set_level(Task& task, const Consistency& consistency) const {
  task.level = consistency.level;
  task.after = consistency.after;
  task.max_age_ms = consistency.max_age_ms;
  task.session = consistency.session;
  if (consistency.has_id) {
    task.once = std::make_unique<RequestId>(RequestId{consistency.id_client, consistency.id_serial});
  }
  task.timeout_ms = timeout_of(consistency);
}

// More is asked than a message between workers, or a command that runs at once, can say.
bool Dispatcher::as_task(const Consistency& consistency) {
  return !consistency.after.empty() || consistency.max_age_ms >= 0 || consistency.session || consistency.has_id;
}

std::unique_ptr<Task> Dispatcher::make_task(const Session& session, const Request& request, ShardId shard,
                                            std::span<const std::string_view> words,
                                            const ReplyAddress& reply_to) const {
  auto task = std::make_unique<Task>();
  task->reply_to = reply_to;
  task->shard = shard;
  task->protocol = session.protocol;
  set_level(*task, request.consistency);
  task->spec = request.spec;
  task->database = session.database;
  task->arguments = OwnedArguments(words);
  return task;
}

bool Dispatcher::run_slowly(Connection& connection) {
  Session& session = connection.session;
  if ((worker_.flags() & kShuttingDown) != 0) {
    session.set(kPostponed);
    return false;
  }
  Request request;
  request.words = arguments_;
  if (session.has(kReplySkipNext)) {
    session.set(kReplySkipNext, false);
    session.set(kReplySkip);
  }
  const bool answered =
      strip_prefix(connection, request) == Next::kAnswered || resolve(connection, request) == Next::kAnswered ||
      strip_trailing(connection, request) == Next::kAnswered || check(connection, request) == Next::kAnswered;
  if (!answered) {
    if (postponed(connection, *request.spec)) {
      session.set(kPostponed);
      return false;
    }
    session.last_command = request.spec;
    if (queue(connection, request) == Next::kGoOn) {
      if ((request.spec->flags & kAfterOthers) != 0 && connection.outstanding() > 0) {
        session.set(kStalled);
        return false;
      }
      route(connection, request);
    }
  }
  session.set(kReplySkip, false);
  return true;
}

void Dispatcher::route(Connection& connection, const Request& given) {
  Request request = given;
  const CommandSpec& spec = *request.spec;
  choose_level(connection, request);
  if (check_replicas(connection, request) == Next::kAnswered) return;
  if (spec.scope == Scope::kConnection) {
    connection.session.effective = request.consistency;
    return run_connection_command(connection, spec, request.words);
  }
  feed_monitors(connection.session, spec, connection.session.database, arguments_);
  if (spec.scope == Scope::kEveryShard && shard_map_.shards() > 1) {
    std::vector<Part> parts;
    if (spec.join == Join::kCursor) {
      parts.push_back({shard_of_cursor(shard_map_, request.words[1]), {}, {}});
    } else {
      for (ShardId shard = 0; shard < shard_map_.shards(); ++shard) parts.push_back({shard, {}, {}});
    }
    for (Part& part : parts) part.arguments.assign(request.words.begin(), request.words.end());
    return scatter(connection, request, parts);
  }
  const Placement placement = place(shard_map_, spec, request.words);
  if (!placement.several) return send_to_shard(connection, request, placement.shard);
  if (spec.scope == Scope::kSplit) return scatter(connection, request, split(shard_map_, spec, request.words));
  reject(connection, "CROSSSLOT Keys in request don't hash to the same slot", &spec);
}

Dispatcher::Next Dispatcher::check_replicas(Connection& connection, const Request& request) {
  const Consistency& consistency = request.consistency;
  const uint32_t wanted = consistency.read.needed(kReplicas);
  if (wanted <= kReplicas || !involves(connection.session, *request.spec, kReadonly)) return Next::kGoOn;
  reject(connection,
         "NOREPLICAS " + std::to_string(kReplicas) + " of " + std::to_string(wanted) + " replicas can answer the read",
         request.spec);
  return Next::kAnswered;
}

void Dispatcher::run_connection_command(Connection& connection, const CommandSpec& spec,
                                        std::span<const std::string_view> words) {
  resp::OutputBuffer& out = connection.begin_reply();
  const size_t before = out.size();
  const uint64_t place = connection.next_place();
  const Outcome outcome = run_on_connection(connection, spec, words, out, place);
  if (outcome == Outcome::kLater) {
    CHECK(connection.open_place() == place);
    OwnedArguments arguments(words);
    connection.add_outstanding_bytes(arguments.bytes());
    connection.account_at(place, {&spec, std::move(arguments), watch_.lap_ns()});
    if ((spec.flags & kLetsOthersPass) == 0) connection.session.set(kStalled);
    // EXEC comes behind its commands.
    if (spec.name != "exec") feed_monitors(connection.session, spec, connection.session.database, arguments_);
    return;
  }
  feed_monitors(connection.session, spec, connection.session.database, arguments_);
  worker_.account(spec, words, watch_.lap_ns(), out.view().substr(before), connection.session.id, worker_.index());
  connection.end_reply(out);
}

Outcome Dispatcher::run_on_connection(Connection& connection, const CommandSpec& spec,
                                      std::span<const std::string_view> words, resp::OutputBuffer& out,
                                      uint64_t place) {
  Session& session = connection.session;
  session.reply_address = {worker_.index(), 0, session.id, place};
  resp::Writer writer(out, session.protocol);
  Call call = worker_.make_call(spec, words, session.database, writer, nullptr);
  call.session = &session;
  call.node = &worker_.node();
  const Outcome outcome = spec.run(call);
  CHECK(outcome == Outcome::kDone || outcome == Outcome::kLater);
  return outcome;
}

bool Dispatcher::involves(const Session& session, const CommandSpec& spec, uint32_t flags) {
  if ((spec.flags & flags) != 0) return true;
  return spec.name == "exec" && std::any_of(session.queue.begin(), session.queue.end(),
                                            [flags](const auto& queued) { return (queued.spec->flags & flags) != 0; });
}

std::string Dispatcher::refusal(const Consistency& consistency, bool writes) {
  const uint32_t wanted = consistency.write.needed(kReplicas);
  if (!writes || wanted <= kReplicas) return {};
  return "-NOREPLICAS " + std::to_string(kReplicas) + " of " + std::to_string(wanted) +
         " replicas acknowledged; the write is kept and will spread\r\n";
}

void Dispatcher::send_to_shard(Connection& connection, const Request& request, ShardId id) {
  Shard* const shard = worker_.executor().shard(id);
  std::string instead = refusal(request.consistency, (request.spec->flags & kWrite) != 0);
  if (shard != nullptr && !as_task(request.consistency) && instead.empty()) {
    return run_here(connection, *request.spec, request.words, *shard, request.consistency.level,
                    request.consistency.timeout_ms);
  }
  const uint64_t place = connection.open_place();
  connection.override_at(place, std::move(instead));
  send_part(connection, request, id, request.words, {worker_.index(), 0, connection.session.id, place});
}

void Dispatcher::scatter(Connection& connection, const Request& request, const std::vector<Part>& parts) {
  const uint64_t place = connection.open_place();
  auto gather = std::make_unique<Gather>(request.spec->join, parts.size(), worker_.random());
  for (uint32_t i = 0; i < parts.size(); ++i) gather->set_keys(i, parts[i].keys);
  if (request.spec->join == Join::kCursor) gather->set_cursor(shard_map_, parts[0].shard);
  connection.gather_at(place, std::move(gather));
  connection.override_at(place, refusal(request.consistency, (request.spec->flags & kWrite) != 0));
  for (uint32_t i = 0; i < parts.size(); ++i) {
    send_part(connection, request, parts[i].shard, parts[i].arguments,
              {worker_.index(), i, connection.session.id, place});
  }
}

// To a place that is open already. To other workers as a message in the batch, where that can say everything.
void Dispatcher::send_part(Connection& connection, const Request& request, ShardId shard,
                           std::span<const std::string_view> words, const ReplyAddress& reply_to) {
  if (worker_.executor().shard(shard) == nullptr && !as_task(request.consistency)) {
    return forward(connection, request, shard, words, reply_to);
  }
  worker_.submit(owner(shard), make_task(connection.session, request, shard, words, reply_to));
}

void Dispatcher::forward(Connection& connection, const Request& request, ShardId shard,
                         std::span<const std::string_view> words, const ReplyAddress& reply_to) {
  ForwardedCommand command;
  command.reply_to = reply_to;
  command.spec = request.spec;
  command.shard = shard;
  command.database = connection.session.database;
  command.level = request.consistency.level;
  command.protocol = connection.session.protocol;
  command.timeout_ms = timeout_of(request.consistency);
  worker_.forward(owner(shard), command, words);
  worker_.counters().forwarded_commands.add();
  size_t bytes = 0;
  for (const std::string_view word : words) bytes += word.size();
  connection.add_outstanding_bytes(bytes);
}

void Dispatcher::reply_protocol_error(Connection& connection) {
  resp::OutputBuffer& out = connection.begin_reply();
  const size_t before = out.size();
  resp::Writer(out, connection.session.protocol).error(connection.parser.error());
  worker_.count_error(out.view().substr(before));
  connection.end_reply(out);
  connection.close_after_output();
}

void Dispatcher::feed_monitors(const Session& session, const CommandSpec& spec, Database database,
                               std::span<const std::string_view> words) {
  if ((worker_.flags() & kMonitored) == 0 || (spec.flags & (kSkipMonitor | kAdmin)) != 0) return;
  const std::string address = session.unix_socket ? "unix:" + worker_.settings().unix_socket : session.peer_address;
  worker_.feed_monitors(monitor_line(wall_us(), database, address, redacted(spec, words)));
}

}  // namespace capstan
