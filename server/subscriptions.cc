#include "server/subscriptions.h"

#include <algorithm>

namespace capstan {

bool Subscriber::idle() const {
  return std::all_of(topics_.begin(), topics_.end(), [](const auto& topics) { return topics.empty(); });
}

bool Subscriptions::add(Subscriber& subscriber, TopicKind kind, std::string_view name) {
  auto found = table(kind).find(name);
  if (found == table(kind).end()) {
    auto topic = std::make_unique<Topic>();
    topic->name = name;
    const std::string_view key = topic->name;
    found = table(kind).emplace(key, std::move(topic)).first;
  }
  Topic& topic = *found->second;
  if (!topic.subscribers.insert(&subscriber).second) return false;
  subscriber.topics_[static_cast<size_t>(kind)].insert(&topic);
  return true;
}

bool Subscriptions::remove(Subscriber& subscriber, TopicKind kind, std::string_view name) {
  const auto found = table(kind).find(name);
  if (found == table(kind).end() || !found->second->subscribers.contains(&subscriber)) return false;
  leave(subscriber, kind, *found->second);
  return true;
}

void Subscriptions::leave(Subscriber& subscriber, TopicKind kind, Topic& topic) {
  subscriber.topics_[static_cast<size_t>(kind)].erase(&topic);
  topic.subscribers.erase(&subscriber);
  if (!topic.subscribers.empty()) return;
  // By iterator: the key that is compared goes with the topic.
  table(kind).erase(table(kind).find(topic.name));
}

std::vector<std::string> Subscriptions::remove_all(Subscriber& subscriber, TopicKind kind) {
  const auto& own = subscriber.topics_[static_cast<size_t>(kind)];
  std::vector<std::string> names;
  names.reserve(own.size());
  for (Topic* const topic : std::vector<Topic*>(own.begin(), own.end())) {
    names.push_back(topic->name);
    leave(subscriber, kind, *topic);
  }
  return names;
}

void Subscriptions::remove_all(Subscriber& subscriber) {
  for (size_t kind = 0; kind < kTopicKinds; ++kind) remove_all(subscriber, static_cast<TopicKind>(kind));
}

const Topic* Subscriptions::find(TopicKind kind, std::string_view name) const {
  const auto found = table(kind).find(name);
  return found == table(kind).end() ? nullptr : found->second.get();
}

}  // namespace capstan
