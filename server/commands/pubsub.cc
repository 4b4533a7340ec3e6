// Publish/subscribe. What a connection listens to is its worker's matter (Worker::subscribe); PUBLISH reaches the
// subscribers of all workers, and PUBSUB asks all of them.
#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "server/commands/help.h"
#include "server/connection.h"
#include "server/node.h"
#include "server/worker.h"

namespace capstan {
namespace {

constexpr uint32_t kFlags = kPubsub | kNoscript | kLoading | kStale | kWhileSubscribed;
constexpr uint32_t kPublishFlags = kPubsub | kLoading | kStale | kFast | kMayReplicate | kLetsOthersPass;
constexpr uint32_t kPubsubFlags = kPubsub | kLoading | kStale;

// ---- SUBSCRIBE, UNSUBSCRIBE and those like them

struct Kind {
  TopicKind topics;
  std::string_view subscribed;
  std::string_view unsubscribed;
};
constexpr Kind kChannels{TopicKind::kChannel, "subscribe", "unsubscribe"};
constexpr Kind kPatterns{TopicKind::kPattern, "psubscribe", "punsubscribe"};
constexpr Kind kShardChannels{TopicKind::kShardChannel, "ssubscribe", "sunsubscribe"};

// The confirmations that one command is answered with, one for each name.
class Confirmations {
 public:
  Confirmations(Call& call, const Kind& kind) : call_(call), kind_(kind), writer_(bytes_, call.session->protocol) {}

  // name: nullopt if there was nothing to unsubscribe from. topics: how many of the kind are left.
  void add(std::string_view what, std::optional<std::string_view> name, size_t topics) {
    writer_.push(3);
    writer_.bulk(what);
    if (name) {
      writer_.bulk(*name);
    } else {
      writer_.null();
    }
    writer_.integer(static_cast<int64_t>(topics + others()));
  }

  // To Redis they are messages: CLIENT REPLY OFF and SKIP hold them back as little as any other.
  Outcome send() {
    Session& session = *call_.session;
    if (session.has(kReplyOff) || session.has(kReplySkip)) {
      session.connection.push(bytes_.view());
    } else {
      call_.reply().raw(bytes_.view());
    }
    return Outcome::kDone;
  }

 private:
  // Channels and patterns are counted together.
  size_t others() const {
    const Session& session = *call_.session;
    if (kind_.topics == TopicKind::kChannel) return session.subscriptions(TopicKind::kPattern);
    if (kind_.topics == TopicKind::kPattern) return session.subscriptions(TopicKind::kChannel);
    return 0;
  }

  Call& call_;
  const Kind& kind_;
  resp::OutputBuffer bytes_;
  resp::Writer writer_;
};

Outcome subscribe_to(Call& call, const Kind& kind) {
  Session& session = *call.session;
  Confirmations confirmations(call, kind);
  for (const std::string_view name : call.args.subspan(1)) {
    session.worker.subscribe(session.connection, kind.topics, name);
    confirmations.add(kind.subscribed, name, session.subscriptions(kind.topics));
  }
  return confirmations.send();
}

Outcome unsubscribe_from(Call& call, const Kind& kind) {
  Session& session = *call.session;
  Confirmations confirmations(call, kind);
  for (const std::string_view name : call.args.subspan(1)) {
    session.worker.unsubscribe(session.connection, kind.topics, name);
    confirmations.add(kind.unsubscribed, name, session.subscriptions(kind.topics));
  }
  if (call.args.size() > 1) return confirmations.send();
  const std::vector<std::string> names = session.worker.unsubscribe_all(session.connection, kind.topics);
  for (size_t i = 0; i < names.size(); ++i) confirmations.add(kind.unsubscribed, names[i], names.size() - 1 - i);
  if (names.empty()) confirmations.add(kind.unsubscribed, std::nullopt, 0);
  return confirmations.send();
}

Outcome subscribe(Call& call) { return subscribe_to(call, kChannels); }
Outcome psubscribe(Call& call) { return subscribe_to(call, kPatterns); }
Outcome unsubscribe(Call& call) { return unsubscribe_from(call, kChannels); }
Outcome punsubscribe(Call& call) { return unsubscribe_from(call, kPatterns); }
Outcome sunsubscribe(Call& call) { return unsubscribe_from(call, kShardChannels); }

// Within EXEC, Redis refuses this one alone: the others were there before it had thought of that.
Outcome ssubscribe(Call& call) {
  if (call.session->exec_commands > 0) {
    return reply_error(call, "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client");
  }
  return subscribe_to(call, kShardChannels);
}

// ---- PUBLISH, SPUBLISH

Outcome publish_message(Call& call, bool sharded) {
  Worker& worker = call.session->worker;
  const Publication publication{call.args[1], call.args[2], sharded};
  worker.publish_elsewhere(publication);
  // The reply is about this node's subscribers alone.
  if (!worker.others_subscribe()) {
    call.reply().integer(static_cast<int64_t>(worker.publish_here(publication)));
    return Outcome::kDone;
  }
  worker.publish(publication, [later = LaterReply(*call.session)](size_t messages) {
    resp::OutputBuffer out;
    resp::Writer(out, later.protocol()).integer(static_cast<int64_t>(messages));
    later.send(out.view());
  });
  return Outcome::kLater;
}

Outcome publish(Call& call) { return publish_message(call, false); }
Outcome spublish(Call& call) { return publish_message(call, true); }

// ---- PUBSUB

using Names = std::set<std::string>;

// What any connection of the node listens to and, if there is a pattern, that means; each name once.
Outcome reply_names(Call& call, TopicKind kind, const std::optional<std::string>& pattern,
                    void (*write)(resp::Writer&, const Names&)) {
  auto parts = std::make_shared<std::vector<std::vector<std::string>>>(call.node->workers());
  const LaterReply later(*call.session);
  call.session->worker.on_every_worker(
      [parts, kind, pattern](Worker& worker) {
        worker.subscriptions().for_each_topic(kind, [&](const Topic& topic) {
          if (!pattern || means_channel(*pattern, topic.name)) (*parts)[worker.index()].push_back(topic.name);
        });
      },
      [parts, later, write](Worker&) {
        Names names;
        for (const std::vector<std::string>& part : *parts) names.insert(part.begin(), part.end());
        resp::OutputBuffer out;
        resp::Writer writer(out, later.protocol());
        write(writer, names);
        later.send(out.view());
      });
  return Outcome::kLater;
}

Outcome reply_channels(Call& call, TopicKind kind) {
  if (call.args.size() > 3) return reply_wrong_subcommand(call, "PUBSUB");
  std::optional<std::string> pattern;
  if (call.args.size() == 3) pattern = call.args[2];
  return reply_names(call, kind, pattern, [](resp::Writer& writer, const Names& names) {
    writer.array(names.size());
    for (const std::string& name : names) writer.bulk(name);
  });
}

Outcome reply_subscribers(Call& call, TopicKind kind) {
  const auto words = call.args.subspan(2);
  const auto names = std::make_shared<const std::vector<std::string>>(words.begin(), words.end());
  auto counts = std::make_shared<std::vector<std::vector<size_t>>>(call.node->workers());
  const LaterReply later(*call.session);
  call.session->worker.on_every_worker(
      [names, counts, kind](Worker& worker) {
        for (const std::string& name : *names) {
          const Topic* const topic = worker.subscriptions().find(kind, name);
          (*counts)[worker.index()].push_back(topic == nullptr ? 0 : topic->subscribers.size());
        }
      },
      [names, counts, later](Worker&) {
        resp::OutputBuffer out;
        resp::Writer writer(out, later.protocol());
        writer.array(2 * names->size());
        for (size_t i = 0; i < names->size(); ++i) {
          size_t sum = 0;
          for (const std::vector<size_t>& part : *counts) sum += part[i];
          writer.bulk((*names)[i]);
          writer.integer(static_cast<int64_t>(sum));
        }
        later.send(out.view());
      });
  return Outcome::kLater;
}

Outcome channels(Call& call) { return reply_channels(call, TopicKind::kChannel); }
Outcome shardchannels(Call& call) { return reply_channels(call, TopicKind::kShardChannel); }
Outcome numsub(Call& call) { return reply_subscribers(call, TopicKind::kChannel); }
Outcome shardnumsub(Call& call) { return reply_subscribers(call, TopicKind::kShardChannel); }

Outcome numpat(Call& call) {
  return reply_names(call, TopicKind::kPattern, std::nullopt, [](resp::Writer& writer, const Names& names) {
    writer.integer(static_cast<int64_t>(names.size()));
  });
}

Outcome help(Call& call) {
  return reply_help(call, "PUBSUB",
                    {
                        "CHANNELS [<pattern>]",
                        "    The channels that somebody listens to by name; those that match, if a pattern is given.",
                        "NUMPAT",
                        "    How many different patterns there are subscriptions to.",
                        "NUMSUB [<channel> ...]",
                        "    Of each channel its name and how many clients listen to it by name.",
                        "SHARDCHANNELS [<pattern>]",
                        "    As CHANNELS, of shard channels.",
                        "SHARDNUMSUB [<shardchannel> ...]",
                        "    As NUMSUB, of shard channels.",
                    });
}

constexpr CommandSpec kSubcommands[] = {
    {.name = "channels",
     .arity = -2,
     .flags = kPubsubFlags,
     .run = channels,
     .group = "pubsub",
     .since = "2.8.0",
     .complexity = "O(N) for N channels with subscribers",
     .summary = "Replies the channels that somebody listens to",
     .syntax = "[<pattern:pattern>]"},
    {.name = "help",
     .arity = 2,
     .flags = kLoading | kStale,
     .run = help,
     .group = "pubsub",
     .since = "6.2.0",
     .complexity = "O(1)",
     .summary = "Lists the subcommands"},
    {.name = "numpat",
     .arity = 2,
     .flags = kPubsubFlags,
     .run = numpat,
     .group = "pubsub",
     .since = "2.8.0",
     .complexity = "O(N) for N patterns",
     .summary = "Replies how many different patterns somebody listens to"},
    {.name = "numsub",
     .arity = -2,
     .flags = kPubsubFlags,
     .run = numsub,
     .group = "pubsub",
     .since = "2.8.0",
     .complexity = "O(N) for N channels that are asked for",
     .summary = "Replies how many clients listen to each channel",
     .syntax = "[<channel:string> …]"},
    {.name = "shardchannels",
     .arity = -2,
     .flags = kPubsubFlags,
     .run = shardchannels,
     .group = "pubsub",
     .since = "7.0.0",
     .complexity = "O(N) for N shard channels with subscribers",
     .summary = "Replies the shard channels that somebody listens to",
     .syntax = "[<pattern:pattern>]"},
    {.name = "shardnumsub",
     .arity = -2,
     .flags = kPubsubFlags,
     .run = shardnumsub,
     .group = "pubsub",
     .since = "7.0.0",
     .complexity = "O(N) for N shard channels that are asked for",
     .summary = "Replies how many clients listen to each shard channel",
     .syntax = "[<shardchannel:string> …]"},
};

constexpr CommandSpec kCommands[] = {
    {.name = "psubscribe",
     .arity = -2,
     .flags = kFlags,
     .run = psubscribe,
     .group = "pubsub",
     .since = "2.0.0",
     .complexity = "O(N) for N patterns",
     .summary = "Listens to all channels that match a pattern",
     .syntax = "<pattern:pattern> …"},
    {.name = "publish",
     .arity = 3,
     .flags = kPublishFlags,
     .run = publish,
     .group = "pubsub",
     .since = "2.0.0",
     .complexity = "O(N+M) for N clients that get the message and M patterns",
     .summary = "Sends a message to all who listen to a channel",
     .syntax = "<channel:string> <message:string>"},
    {.name = "pubsub",
     .arity = -2,
     .group = "pubsub",
     .since = "2.8.0",
     .complexity = "that of the subcommand",
     .summary = "Commands about channels and who listens to them",
     .subcommands = kSubcommands},
    {.name = "punsubscribe",
     .arity = -1,
     .flags = kFlags,
     .run = punsubscribe,
     .group = "pubsub",
     .since = "2.0.0",
     .complexity = "O(N) for N patterns",
     .summary = "Listens no longer to these patterns, or to any",
     .syntax = "[<pattern:pattern> …]"},
    {.name = "spublish",
     .arity = 3,
     .flags = kPublishFlags,
     .keys = {1, 1, 1},
     .run = spublish,
     .key_use = kNotKey,
     .group = "pubsub",
     .since = "7.0.0",
     .complexity = "O(N) for N clients that get the message",
     .summary = "Sends a message to all who listen to a shard channel",
     .syntax = "<shardchannel:string> <message:string>"},
    {.name = "ssubscribe",
     .arity = -2,
     .flags = kFlags,
     .keys = {1, -1, 1},
     .run = ssubscribe,
     .key_use = kNotKey,
     .group = "pubsub",
     .since = "7.0.0",
     .complexity = "O(N) for N shard channels",
     .summary = "Listens to shard channels",
     .syntax = "<shardchannel:string> …"},
    {.name = "subscribe",
     .arity = -2,
     .flags = kFlags,
     .run = subscribe,
     .group = "pubsub",
     .since = "2.0.0",
     .complexity = "O(N) for N channels",
     .summary = "Listens to channels",
     .syntax = "<channel:string> …"},
    {.name = "sunsubscribe",
     .arity = -1,
     .flags = kFlags,
     .keys = {1, -1, 1},
     .run = sunsubscribe,
     .key_use = kNotKey,
     .group = "pubsub",
     .since = "7.0.0",
     .complexity = "O(N) for N shard channels",
     .summary = "Listens no longer to these shard channels, or to any",
     .syntax = "[<shardchannel:string> …]"},
    {.name = "unsubscribe",
     .arity = -1,
     .flags = kFlags,
     .run = unsubscribe,
     .group = "pubsub",
     .since = "2.0.0",
     .complexity = "O(N) for N channels",
     .summary = "Listens no longer to these channels, or to any",
     .syntax = "[<channel:string> …]"},
};

}  // namespace

std::span<const CommandSpec> pubsub_commands() { return kCommands; }

}  // namespace capstan
