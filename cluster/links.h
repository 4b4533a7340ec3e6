// All connections of this node to the other nodes of the cluster: one per pair, made by the node with the lower name,
// made again whenever it breaks. Carries messages, RESP arrays of any words, in order (but for urgent ones, link.h) and
// each at most once; what was on its way when a connection broke is lost, and both sides are told.
//
// Thread: the one that turns the event base; callbacks come from its loop and from flush(), reset() and the like. From
// a callback everything but flush() and the destructor may be called.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <event2/event.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "cluster/address.h"
#include "cluster/link.h"
#include "cluster/nodes.h"
#include "cluster/tls_context.h"
#include "resp/output_buffer.h"

namespace capstan::cluster {

struct LinksOptions {
  LinkLimits link;
  // nullptr: plain connections. One that is of the other kind than the peer's is refused.
  std::shared_ptr<const TlsContext> tls;
  // Where to listen; empty: at this node's own host of the list.
  std::string listen_host;
  // Connections that were accepted and have not proved who they are. One more costs the oldest of them its place: who
  // holds them cannot keep a node out, which needs only a moment.
  size_t max_unproven = 64;
  // Between attempts to connect; doubled from one to the next, with jitter, until a link has lived for the longer one.
  int64_t reconnect_min_ms = 20;
  int64_t reconnect_max_ms = 250;
};

class Links : private Link::Owner {
 public:
  struct Callbacks {
    // A connection is there: messages may be sent and will come. Alternates with `down`, per node.
    std::function<void(const std::string& node)> up;
    // It broke, or a newer one took its place: told at once. Not told by the destructor.
    std::function<void(const std::string& node)> down;
    // The words live during the call.
    std::function<void(const std::string& node, std::span<const std::string_view> words)> message;
    // One line for the log, of what an operator may want to know. Not repeated while nothing changes. May be empty.
    std::function<void(const std::string& what)> report;
  };

  // The seed is for jitter alone. Precondition: nodes.me is in the list.
  Links(Nodes nodes, LinksOptions options, Callbacks callbacks, uint64_t seed);
  ~Links() override;
  Links(const Links&) = delete;
  Links& operator=(const Links&) = delete;

  // Listens on the cluster port and begins to connect. The base has to outlive this. Resolves the own host and may wait
  // for that. kExists: the port is in use; kNotFound, kIo: no such address here.
  Result<> start(event_base* base);

  bool connected(std::string_view node) const;
  // Where a message for the node is to be appended, whole, before the next call of begin() or flush(). nullptr: not
  // connected, or more waits than may (the next flush() breaks that connection). Urgent ones may overtake others
  // (link.h).
  resp::OutputBuffer* begin(std::string_view node, Link::Lane lane = Link::Lane::kOrdered);
  // Sends what was appended: once per turn of the loop, after every turn, also for what links do by themselves.
  void flush();
  // Bytes that wait to be sent; 0 if not connected. Who has much to send holds back while it is high.
  size_t backlog(std::string_view node) const;
  // Breaks the connection to a node whose messages make no sense; it is made anew.
  void reset(std::string_view node, const std::string& why);

  // An identity that changes with each start of a node's process: the own one, and that of a connected node (0: none).
  uint64_t own_process() const { return process_; }
  uint64_t process_of(std::string_view node) const;
  // Accepted connections that have not proved who they are.
  size_t unproven() const { return strangers_.size(); }

 private:
  struct Peer {
    Links* links = nullptr;
    const Node* node = nullptr;
    std::unique_ptr<Link> link;  // proven
    int64_t up_since_ms = 0;
    // Of a node that this one connects to:
    std::unique_ptr<Link> dialing;
    std::unique_ptr<Lookup> lookup;
    event* retry = nullptr;
    int64_t retry_ms = 0;
    uint64_t attempts = 0;
    std::string reported;
  };

  std::span<char> receive_room() override { return receive_buffer_; }
  void on_proven(Link& link) override;
  void on_message(Link& link, std::span<const std::string_view> words) override;
  void on_broken(Link& link, const Error& why) override;

  static void on_accept(evutil_socket_t, short, void* self);
  static void on_accept_again(evutil_socket_t, short, void* self);
  static void on_retry(evutil_socket_t, short, void* peer);
  void accept_strangers();
  void admit(int descriptor, const SocketAddress& from);
  void pause_accepting();
  void dial(Peer& peer);
  void dial_at(Peer& peer, const SocketAddress& address);
  void retry_in(Peer& peer, int64_t ms);
  void retry_later(Peer& peer, const Error& why);
  Handshake new_handshake(Handshake::Role role, const std::string& expected) const;
  void bury(std::unique_ptr<Link>& link);
  void bury_dead_strangers();
  void report_trouble(Peer& peer, const std::string& what);
  void report_stranger(const std::string& what);
  Peer* find(std::string_view node) const;
  Link::Owner& owner() { return *this; }
  template <typename Callback, typename... Arguments>
  void call(const Callback& callback, const Arguments&... arguments) {
    if (!callback) return;
    ++calls_;
    callback(arguments...);
    --calls_;
  }

  const Nodes nodes_;
  const LinksOptions options_;
  const Callbacks callbacks_;
  Random random_;
  const uint64_t process_;
  event_base* base_ = nullptr;
  event* accept_event_ = nullptr;
  event* accept_again_ = nullptr;
  std::vector<char> receive_buffer_;

  std::vector<std::unique_ptr<Peer>> peers_;  // in order of their names
  absl::flat_hash_map<std::string_view, Peer*> by_name_;
  std::vector<std::unique_ptr<Link>> strangers_;  // accepted, not proven; the oldest first
  std::vector<std::unique_ptr<Link>> dead_;       // freed where nobody is in a call of theirs
  bool broken_ = false;                           // a link, since it was last looked at
  int calls_ = 0;                                 // of callbacks that have not returned

  std::string last_stranger_;  // what was reported of them last
  int64_t last_stranger_ms_ = 0;
  uint64_t strangers_unreported_ = 0;
};

}  // namespace capstan::cluster
