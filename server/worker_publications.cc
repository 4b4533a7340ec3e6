// How publications reach subscribers, on this worker and on the others.
#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "server/node.h"
#include "server/words.h"
#include "server/worker.h"

namespace capstan {
namespace {

// The message that a publication is to those who listen by name, or by one pattern: written once for each protocol that
// one of them speaks.
class EncodedMessage {
 public:
  EncodedMessage(const Publication& publication, const Topic* pattern) : publication_(publication), pattern_(pattern) {}

  const Topic* pattern() const { return pattern_; }
  std::string_view in(resp::Protocol protocol) {
    resp::OutputBuffer& bytes = forms_[protocol == resp::Protocol::kResp3];
    if (bytes.empty()) write(resp::Writer(bytes, protocol));
    return bytes.view();
  }

 private:
  void write(resp::Writer writer) const {
    writer.push(pattern_ != nullptr ? 4 : 3);
    writer.bulk(pattern_ != nullptr ? "pmessage" : publication_.sharded ? "smessage" : "message");
    if (pattern_ != nullptr) writer.bulk(pattern_->name);
    writer.bulk(publication_.channel);
    writer.bulk(publication_.message);
  }

  const Publication& publication_;
  const Topic* pattern_;
  std::array<resp::OutputBuffer, 2> forms_;
};

// On its way to other workers, who only read it.
struct OwnedPublication {
  std::string channel;
  std::string message;
  bool sharded;
  explicit OwnedPublication(const Publication& publication)
      : channel(publication.channel), message(publication.message), sharded(publication.sharded) {}
  Publication view() const { return {channel, message, sharded}; }
};

// Touched on the publisher's worker alone.
struct Tally {
  unsigned left = 0;  // workers that have not answered
  size_t messages = 0;
  absl::AnyInvocable<void(size_t)> done;
  void add(size_t more) {
    messages += more;
    if (--left == 0) done(messages);
  }
};

}  // namespace

// ---- subscriptions

bool Worker::subscribe(Connection& connection, TopicKind kind, std::string_view name) {
  Session& session = connection.session;
  if (!session.subscriber) session.subscriber = std::make_unique<Subscriber>(&connection);
  const bool added = subscriptions_.add(*session.subscriber, kind, name);
  note_subscriptions(session);
  return added;
}

bool Worker::unsubscribe(Connection& connection, TopicKind kind, std::string_view name) {
  Session& session = connection.session;
  const bool removed = session.subscriber && subscriptions_.remove(*session.subscriber, kind, name);
  note_subscriptions(session);
  return removed;
}

std::vector<std::string> Worker::unsubscribe_all(Connection& connection, TopicKind kind) {
  Session& session = connection.session;
  if (!session.subscriber) return {};
  std::vector<std::string> names = subscriptions_.remove_all(*session.subscriber, kind);
  note_subscriptions(session);
  return names;
}

void Worker::unsubscribe_all(Connection& connection) {
  Session& session = connection.session;
  if (!session.subscriber) return;
  subscriptions_.remove_all(*session.subscriber);
  note_subscriptions(session);
}

void Worker::note_subscriptions(Session& session) {
  const bool listens = session.subscriber && !session.subscriber->idle();
  if (!listens) session.subscriber.reset();
  session.set(kSubscribed, listens);
  const bool any = !subscriptions_.empty();
  if (any == has_subscribers()) return;
  has_subscribers_.store(any, std::memory_order_release);
  node_.count_subscribed_worker(any);
}

// ---- publications

bool Worker::others_subscribe() const { return node_.subscribed_workers() > (has_subscribers() ? 1u : 0u); }

size_t Worker::publish_here(const Publication& publication) {
  size_t messages = 0;
  std::optional<EncodedMessage> encoded;
  const auto give = [&](Subscriber& subscriber, const Topic* pattern) {
    Connection& connection = *subscriber.connection;
    if (connection.dead()) return;
    if (!encoded || encoded->pattern() != pattern) encoded.emplace(publication, pattern);
    connection.push(encoded->in(connection.session.protocol));
    ++messages;
  };
  subscriptions_.for_each_receiver(publication.channel, publication.sharded, give);
  return messages;
}

void Worker::publish(const Publication& publication, absl::AnyInvocable<void(size_t)> done) {
  auto tally = std::make_shared<Tally>();
  tally->done = std::move(done);
  tally->messages = publish_here(publication);
  const auto owned = std::make_shared<const OwnedPublication>(publication);
  for (unsigned i = 0; i < node_.workers(); ++i) {
    if (i == index_ || !node_.worker(i).has_subscribers()) continue;
    ++tally->left;
    post(i, [owned, tally, self = index_](Worker& worker) {
      const size_t messages = worker.publish_here(owned->view());
      worker.post(self, [tally, messages](Worker&) { tally->add(messages); });
    });
  }
  if (tally->left > 0) return;
  ++tally->left;
  post(index_, [tally](Worker&) { tally->add(0); });
}

void Worker::publish_elsewhere(const Publication& publication) {
  const Peers* const peers = node_.peers();
  if (peers == nullptr) return;
  for (unsigned node = 0; node < peers->names().size(); ++node) {
    if (!peers->connected(node)) continue;
    MessageWriter message(to_peer(node));
    message.word(kPublishMessage);
    message.word("1");
    message.number(publication.sharded ? 1 : 0);
    message.word(publication.channel);
    message.word(publication.message);
  }
}

void Worker::deliver_publication(std::string_view channel, std::string_view message, bool sharded) {
  const Publication publication{channel, message, sharded};
  publish_here(publication);
  if (!others_subscribe()) return;
  const auto owned = std::make_shared<const OwnedPublication>(publication);
  for (unsigned i = 0; i < node_.workers(); ++i) {
    if (i == index_ || !node_.worker(i).has_subscribers()) continue;
    post(i, [owned](Worker& worker) { worker.publish_here(owned->view()); });
  }
}

}  // namespace capstan
