// Who of a worker's connections listens to what: channels and shard channels by their names, and patterns of channels.
// Knows neither sockets nor other workers. Belongs to the worker.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "resp/glob.h"

namespace capstan {

class Connection;
class Subscriber;

// Three worlds of names: a channel and a shard channel of one name have nothing to do with each other.
enum class TopicKind : uint8_t { kChannel, kPattern, kShardChannel };
inline constexpr size_t kTopicKinds = 3;

// Whether a pattern means a channel. KEYS and SCAN know "*" before they match; here it does not mean the empty name.
inline bool means_channel(std::string_view pattern, std::string_view channel) {
  return channel.empty() ? pattern.empty() : resp::glob_match(pattern, channel);
}

struct Publication {
  std::string_view channel;
  std::string_view message;
  bool sharded = false;  // SPUBLISH: to a shard channel
};

// What somebody listens to: it is there as long as it has a subscriber.
struct Topic {
  std::string name;
  absl::flat_hash_set<Subscriber*> subscribers;
};

// A connection that listens; its session owns it. Before it goes, it is taken out by Subscriptions::remove_all().
class Subscriber {
 public:
  explicit Subscriber(Connection* its_connection) : connection(its_connection) {}
  Subscriber(const Subscriber&) = delete;
  Subscriber& operator=(const Subscriber&) = delete;

  Connection* const connection;
  size_t count(TopicKind kind) const { return topics_[static_cast<size_t>(kind)].size(); }
  bool idle() const;

 private:
  friend class Subscriptions;
  std::array<absl::flat_hash_set<Topic*>, kTopicKinds> topics_;
};

class Subscriptions {
 public:
  // False: it listened to that already.
  bool add(Subscriber& subscriber, TopicKind kind, std::string_view name);
  // False: it did not.
  bool remove(Subscriber& subscriber, TopicKind kind, std::string_view name);
  // The names that it listened to, in no order.
  std::vector<std::string> remove_all(Subscriber& subscriber, TopicKind kind);
  void remove_all(Subscriber& subscriber);

  bool empty() const { return topics_[0].empty() && topics_[1].empty() && topics_[2].empty(); }
  size_t count(TopicKind kind) const { return table(kind).size(); }
  // nullptr: nobody listens to it.
  const Topic* find(TopicKind kind, std::string_view name) const;

  template <typename F>
  void for_each_topic(TopicKind kind, F f) const {
    for (const auto& [name, topic] : table(kind)) f(*topic);
  }

  // Calls f(Subscriber&, const Topic* pattern) for everyone who gets a message that is published to a channel: first
  // with nullptr for those who listen to it by name, then for each pattern that matches it. A subscriber comes once for
  // each reason. f must not change what anybody listens to.
  template <typename F>
  void for_each_receiver(std::string_view channel, bool sharded, F f) const {
    if (const Topic* const topic = find(sharded ? TopicKind::kShardChannel : TopicKind::kChannel, channel)) {
      for (Subscriber* const subscriber : topic->subscribers) f(*subscriber, nullptr);
    }
    if (sharded) return;
    for (const auto& [name, pattern] : table(TopicKind::kPattern)) {
      if (!means_channel(name, channel)) continue;
      for (Subscriber* const subscriber : pattern->subscribers) f(*subscriber, pattern.get());
    }
  }

 private:
  // The keys are views of the topics' names.
  using Table = absl::flat_hash_map<std::string_view, std::unique_ptr<Topic>>;

  Table& table(TopicKind kind) { return topics_[static_cast<size_t>(kind)]; }
  const Table& table(TopicKind kind) const { return topics_[static_cast<size_t>(kind)]; }
  void leave(Subscriber& subscriber, TopicKind kind, Topic& topic);

  std::array<Table, kTopicKinds> topics_;
};

}  // namespace capstan
