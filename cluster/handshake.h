// How two nodes that have just been connected find out who the other is, before they take anything from it. Each says
// hello, then each proves that it knows the cluster's secret, the side that made the connection first, so that a
// stranger who connects gets no proof of ours to try secrets on:
//
//   connecting → hello 1 <cluster> <node> <nonce: 16 bytes> <process: 8 bytes>
//   accepting  → hello 1 <cluster> <node> <nonce> <process>
//   connecting → proof <32 bytes>
//   accepting  → proof <32 bytes>
//
// Each is a RESP array of bulk strings; "1" is the version of the protocol. A proof is HMAC-SHA256, keyed with the
// secret, of who makes it (the connecting or the accepting side), of both hellos and, over TLS, of the very connection,
// so that nobody in between can pass proofs on; further words of a hello or proof are skipped. The process is an
// identity that changes with each start of a node. Who has a wrong version, cluster or name is refused only where a
// wrong proof would be, so a stranger does not learn which half was wrong.
//
// It authenticates, it does not encrypt: where others can read or change what goes over the wire, use TLS below it
// (channel.h).
//
// A pure state machine: no sockets, no clock, no randomness of its own. Any thread, one per connection.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cluster/nodes.h"
#include "resp/output_buffer.h"

namespace capstan::cluster {

inline constexpr std::string_view kProtocolVersion = "1";

// What the other side may send before it has proved who it is; more closes the connection (link.h).
inline constexpr size_t kMaxHandshakeBytes = 4096;

// Fresh for each connection, and nobody can foresee them: else an old proof could be used again.
using Nonce = std::array<char, 16>;

class Handshake {
 public:
  enum class Role : uint8_t { kConnecting, kAccepting };

  // `nodes` has to outlive it. `expected`: the name of the node that a connecting side means to reach; an accepting one
  // takes any node of the list whose name is lower than its own (links.h) and is given none.
  Handshake(Role role, const Nodes& nodes, std::string expected, const Nonce& nonce, uint64_t process);

  // Of the connecting side, once the connection is there: appends its hello.
  void begin(resp::OutputBuffer& out);
  // Before receive(), the same each time: what only the two ends of this connection know (Channel::binding()); empty:
  // nothing.
  void bind(std::string connection) { binding_ = std::move(connection); }
  // Takes a message of the other side and appends what is to be answered. After an error, which says for the log what
  // is wrong, the connection is to be closed without another word. Precondition: neither done nor failed.
  Result<> receive(std::span<const std::string_view> words, resp::OutputBuffer& out);
  // The other side is who it says it is, and what it sends from now on may be taken. What receive() appended has to be
  // sent nevertheless.
  bool done() const { return state_ == State::kDone; }

  // Once done: the other node's name, and the identity of its process.
  const std::string& peer() const { return peer_.node; }
  uint64_t peer_process() const { return peer_.process; }

  // Why it came to nothing, for the log, if the other side closes the connection or says no more.
  Error unfinished() const;

 private:
  enum class State : uint8_t { kHello, kProof, kDone, kFailed };
  struct Hello {
    std::string version;
    std::string cluster;
    std::string node;
    Nonce nonce{};
    uint64_t process = 0;
  };
  using Proof = std::array<char, 32>;

  Result<> receive_hello(std::span<const std::string_view> words, resp::OutputBuffer& out);
  Result<> receive_proof(std::span<const std::string_view> words, resp::OutputBuffer& out);
  std::optional<Error> judge() const;
  Result<> fail(Error error);
  void write_hello(resp::OutputBuffer& out) const;
  void write_proof(resp::OutputBuffer& out) const;
  Proof proof_of(Role role) const;

  const Role role_;
  State state_ = State::kHello;
  const Nodes& nodes_;
  const std::string expected_;
  std::string binding_;
  Hello own_;
  Hello peer_;
  std::optional<Error> judgement_;  // what is wrong with the other's hello
};

}  // namespace capstan::cluster
