#include "cluster/links.h"

#include <openssl/rand.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "base/check.h"
#include "base/clock.h"

namespace capstan::cluster {
namespace {

constexpr size_t kReceiveBytes = 256 << 10;
// Per readiness of the listener; others get their turn in between.
constexpr int kMaxAccepts = 64;
// While the process has no descriptors or memory left.
constexpr int64_t kAcceptPauseMs = 100;
constexpr int64_t kLookupPollMs = 20;
// Anybody can make connections that fail, and shall not fill the log with them.
constexpr int64_t kStrangerReportMs = 1000;
constexpr int64_t kSameStrangerReportMs = 60'000;

timeval to_timeval(int64_t ms) { return {ms / 1000, ms % 1000 * 1000}; }

void fill_random(void* to, size_t bytes) {
  CHECK(RAND_bytes(static_cast<unsigned char*>(to), static_cast<int>(bytes)) == 1, "no randomness");
}

uint64_t new_process() {
  uint64_t process = 0;
  while (process == 0) fill_random(&process, sizeof process);
  return process;
}

}  // namespace

Links::Links(Nodes nodes, LinksOptions options, Callbacks callbacks, uint64_t seed)
    : nodes_(std::move(nodes)),
      options_(std::move(options)),
      callbacks_(std::move(callbacks)),
      random_(seed),
      process_(new_process()),
      receive_buffer_(kReceiveBytes) {
  CHECK(nodes_.find(nodes_.me) != nullptr);
  CHECK(options_.max_unproven > 0 && options_.reconnect_min_ms > 0);
  for (const Node& node : nodes_.all) {
    if (node.name == nodes_.me) continue;
    Peer& peer = *peers_.emplace_back(std::make_unique<Peer>());
    peer.links = this;
    peer.node = &node;
    peer.retry_ms = options_.reconnect_min_ms;
    by_name_[node.name] = &peer;
  }
}

Links::~Links() {
  for (const auto& peer : peers_) {
    if (peer->retry != nullptr) event_free(peer->retry);
  }
  if (accept_event_ == nullptr) return;
  ::close(event_get_fd(accept_event_));
  event_free(accept_event_);
  event_free(accept_again_);
}

Result<> Links::start(event_base* base) {
  CHECK(base_ == nullptr);
  const Node& self = nodes_.self();
  const std::string& host = options_.listen_host.empty() ? self.host : options_.listen_host;
  const Result<std::vector<SocketAddress>> addresses = resolve(host, self.cluster_port);
  if (!addresses) return addresses.error();
  const Result<int> listener = listen_at(addresses->front());
  if (!listener) {
    return Error{listener.error().code,
                 "cluster port " + host_and_port(host, self.cluster_port) + ": " + listener.error().message};
  }
  base_ = base;
  accept_event_ = event_new(base, *listener, EV_READ | EV_PERSIST, &Links::on_accept, this);
  accept_again_ = event_new(base, -1, 0, &Links::on_accept_again, this);
  CHECK(accept_event_ != nullptr && accept_again_ != nullptr && event_add(accept_event_, nullptr) == 0);
  for (const auto& peer : peers_) {
    if (peer->node->name < nodes_.me) continue;
    peer->retry = event_new(base, -1, 0, &Links::on_retry, peer.get());
    CHECK(peer->retry != nullptr);
    dial(*peer);
  }
  return {};
}

// ---- what callers do with the links

Links::Peer* Links::find(std::string_view node) const {
  const auto found = by_name_.find(node);
  return found == by_name_.end() ? nullptr : found->second;
}

bool Links::connected(std::string_view node) const {
  const Peer* const peer = find(node);
  return peer != nullptr && peer->link != nullptr;
}

resp::OutputBuffer* Links::begin(std::string_view node, Link::Lane lane) {
  Peer* const peer = find(node);
  return peer == nullptr || peer->link == nullptr ? nullptr : peer->link->begin(lane);
}

size_t Links::backlog(std::string_view node) const { return connected(node) ? find(node)->link->backlog() : 0; }

uint64_t Links::process_of(std::string_view node) const {
  return connected(node) ? find(node)->link->peer_process() : 0;
}

void Links::reset(std::string_view node, const std::string& why) {
  if (connected(node)) find(node)->link->close(Error{ErrorCode::kInvalid, why});
}

void Links::flush() {
  CHECK(calls_ == 0, "flush() from a callback");
  // What down() makes callers append, for links that had their turn already, leaves in the next round.
  do {
    broken_ = false;
    for (const auto& peer : peers_) {
      if (peer->link != nullptr) peer->link->send();
      if (peer->dialing != nullptr) peer->dialing->send();
    }
    for (const auto& stranger : strangers_) stranger->send();
  } while (broken_);
  bury_dead_strangers();
  dead_.clear();
}

// ---- accepting

void Links::on_accept(evutil_socket_t, short, void* self) { static_cast<Links*>(self)->accept_strangers(); }

void Links::on_accept_again(evutil_socket_t, short, void* self) {
  CHECK(event_add(static_cast<Links*>(self)->accept_event_, nullptr) == 0);
}

void Links::accept_strangers() {
  for (int i = 0; i < kMaxAccepts; ++i) {
    SocketAddress from;
    const int descriptor = accept4(event_get_fd(accept_event_), from.get(), &from.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor >= 0) {
      admit(descriptor, from);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      return pause_accepting();
    } else if (errno != ECONNABORTED && errno != EINTR) {
      return;
    }
  }
}

// The listener stays readable: without a pause the loop would turn for nothing.
void Links::pause_accepting() {
  report_stranger(system_error(errno, "cannot accept connections of other nodes").message);
  const timeval pause = to_timeval(kAcceptPauseMs);
  CHECK(event_del(accept_event_) == 0 && event_add(accept_again_, &pause) == 0);
}

void Links::admit(int descriptor, const SocketAddress& from) {
  bury_dead_strangers();
  if (strangers_.size() >= options_.max_unproven) {
    strangers_.front()->close(Error{ErrorCode::kFull, "there are too many connections that prove nothing"});
    bury_dead_strangers();
  }
  prepare_socket(descriptor);
  strangers_.push_back(std::make_unique<Link>(
      base_, owner(), options_.link, Channel(descriptor, options_.tls.get(), Channel::Side::kAccepting),
      Link::State::kConnected, from.host(), new_handshake(Handshake::Role::kAccepting, "")));
}

Handshake Links::new_handshake(Handshake::Role role, const std::string& expected) const {
  Nonce nonce;
  fill_random(nonce.data(), nonce.size());
  return Handshake(role, nodes_, expected, nonce, process_);
}

// ---- connecting

void Links::on_retry(evutil_socket_t, short, void* peer) {
  auto* const to = static_cast<Peer*>(peer);
  to->links->dial(*to);
}

void Links::dial(Peer& peer) {
  CHECK(peer.link == nullptr && peer.dialing == nullptr);
  if (peer.lookup == nullptr) peer.lookup = std::make_unique<Lookup>(peer.node->host, peer.node->cluster_port);
  if (!peer.lookup->done()) return retry_in(peer, kLookupPollMs);
  const std::unique_ptr<Lookup> lookup = std::move(peer.lookup);
  const Result<std::vector<SocketAddress>>& addresses = lookup->addresses();
  if (!addresses) return retry_later(peer, addresses.error());
  // A name may have several, of which not all need work.
  dial_at(peer, addresses.value()[peer.attempts++ % addresses->size()]);
}

void Links::dial_at(Peer& peer, const SocketAddress& address) {
  const Result<int> descriptor = connect_to(address);
  if (!descriptor) return retry_later(peer, descriptor.error());
  peer.dialing = std::make_unique<Link>(
      base_, owner(), options_.link, Channel(*descriptor, options_.tls.get(), Channel::Side::kConnecting),
      Link::State::kConnecting, host_and_port(address.host(), peer.node->cluster_port),
      new_handshake(Handshake::Role::kConnecting, peer.node->name));
}

void Links::retry_in(Peer& peer, int64_t ms) {
  const timeval delay = to_timeval(ms);
  CHECK(event_add(peer.retry, &delay) == 0);
}

// Jitter, so that nodes that lost the same peer do not all come back to it at the same moments.
void Links::retry_later(Peer& peer, const Error& why) {
  report_trouble(peer, why.message);
  retry_in(peer, random_.between((peer.retry_ms + 1) / 2, peer.retry_ms));
  peer.retry_ms = std::min(2 * peer.retry_ms, std::max(options_.reconnect_min_ms, options_.reconnect_max_ms));
}

// ---- what becomes of links

void Links::on_proven(Link& link) {
  Peer* const peer = find(link.peer());
  CHECK(peer != nullptr);
  std::unique_ptr<Link> proven;
  if (peer->dialing.get() == &link) {
    proven = std::move(peer->dialing);
  } else {
    const auto place = std::find_if(strangers_.begin(), strangers_.end(),
                                    [&link](const auto& stranger) { return stranger.get() == &link; });
    CHECK(place != strangers_.end());
    proven = std::move(*place);
    strangers_.erase(place);
  }
  // The other side made it because the old one is no more, whether this side has noticed or not.
  if (peer->link != nullptr) peer->link->close(Error{ErrorCode::kExists, "a newer connection took its place"});
  peer->link = std::move(proven);
  peer->up_since_ms = monotonic_ms();
  peer->reported.clear();
  call(callbacks_.up, peer->node->name);
}

void Links::on_message(Link& link, std::span<const std::string_view> words) {
  call(callbacks_.message, link.peer(), words);
}

void Links::on_broken(Link& link, const Error& why) {
  broken_ = true;
  const auto place = std::find_if(peers_.begin(), peers_.end(), [&link](const auto& peer) {
    return peer->link.get() == &link || peer->dialing.get() == &link;
  });
  if (place == peers_.end()) {
    // Who connects and goes without a word only looks whether somebody listens.
    if (link.heard()) report_stranger("a connection from " + link.where() + " was closed: " + why.message);
    return;
  }
  Peer& peer = **place;
  const bool was_up = peer.link.get() == &link;
  bury(was_up ? peer.link : peer.dialing);
  // A link that breaks again and again (two processes with one name, say) is not made again at full speed.
  if (was_up && monotonic_ms() - peer.up_since_ms >= options_.reconnect_max_ms) {
    peer.retry_ms = options_.reconnect_min_ms;
  }
  if (peer.retry != nullptr) {
    retry_later(peer, why);
  } else {
    report_trouble(peer, why.message);
  }
  if (was_up) call(callbacks_.down, peer.node->name);
}

void Links::bury(std::unique_ptr<Link>& link) { dead_.push_back(std::move(link)); }

// Not in a call of theirs.
void Links::bury_dead_strangers() {
  std::erase_if(strangers_, [](const auto& stranger) { return stranger->dead(); });
}

// ---- reports

void Links::report_trouble(Peer& peer, const std::string& what) {
  if (peer.reported == what) return;
  peer.reported = what;
  call(callbacks_.report,
       "node " + peer.node->name + " at " + host_and_port(peer.node->host, peer.node->cluster_port) + ": " + what);
}

void Links::report_stranger(const std::string& what) {
  const int64_t now_ms = monotonic_ms();
  const int64_t pause_ms = what == last_stranger_ ? kSameStrangerReportMs : kStrangerReportMs;
  if (!last_stranger_.empty() && now_ms - last_stranger_ms_ < pause_ms) {
    ++strangers_unreported_;
    return;
  }
  last_stranger_ = what;
  last_stranger_ms_ = now_ms;
  const std::string more = " (and " + std::to_string(strangers_unreported_) + " more that were not reported)";
  call(callbacks_.report, strangers_unreported_ == 0 ? what : what + more);
  strangers_unreported_ = 0;
}

}  // namespace capstan::cluster
