#include "cluster/handshake.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "resp/writer.h"

namespace capstan::cluster {
namespace {

constexpr std::string_view kHello = "hello";
constexpr std::string_view kProof = "proof";
constexpr size_t kHelloWords = 6;
constexpr size_t kProofWords = 2;
constexpr size_t kProcessBytes = 8;
// So that the secret proves nothing here that it may be used for elsewhere.
constexpr std::string_view kPurpose = "capstan link";

Error refusal(std::string why) { return Error{ErrorCode::kInvalid, std::move(why)}; }

// What a stranger calls things goes to the log only if it is a name.
std::string shown(const std::string& name) { return is_name(name) ? name : "(not a name)"; }

}  // namespace

Handshake::Handshake(Role role, const Nodes& nodes, std::string expected, const Nonce& nonce, uint64_t process)
    : role_(role),
      nodes_(nodes),
      expected_(std::move(expected)),
      own_{std::string(kProtocolVersion), nodes.cluster_name, nodes.me, nonce, process} {
  CHECK((role == Role::kConnecting) == !expected_.empty());
}

void Handshake::begin(resp::OutputBuffer& out) {
  CHECK(role_ == Role::kConnecting && state_ == State::kHello);
  write_hello(out);
}

Result<> Handshake::receive(std::span<const std::string_view> words, resp::OutputBuffer& out) {
  CHECK(state_ == State::kHello || state_ == State::kProof);
  return state_ == State::kHello ? receive_hello(words, out) : receive_proof(words, out);
}

Result<> Handshake::receive_hello(std::span<const std::string_view> words, resp::OutputBuffer& out) {
  if (words.size() < kHelloWords || words[0] != kHello || words[4].size() != peer_.nonce.size() ||
      words[5].size() != kProcessBytes) {
    return fail(refusal("it does not say hello as a node of Capstan does"));
  }
  peer_.version = words[1];
  peer_.cluster = words[2];
  peer_.node = words[3];
  std::copy(words[4].begin(), words[4].end(), peer_.nonce.begin());
  peer_.process = load_le<uint64_t>(words[5].data());
  judgement_ = judge();
  state_ = State::kProof;
  if (role_ == Role::kConnecting) {
    write_proof(out);
  } else {
    write_hello(out);
  }
  return {};
}

std::optional<Error> Handshake::judge() const {
  if (peer_.version != own_.version) {
    return refusal("it speaks version " + shown(peer_.version) + " of the protocol, this node version " + own_.version);
  }
  if (peer_.cluster != own_.cluster) {
    return refusal("it belongs to the cluster " + shown(peer_.cluster) + ", this node to " + own_.cluster);
  }
  if (peer_.node == own_.node) {
    return refusal("it calls itself " + own_.node + ", as this node does; is an address in the list of nodes wrong?");
  }
  if (nodes_.find(peer_.node) == nullptr) {
    return refusal("it calls itself " + shown(peer_.node) + ", which is not in this node's list of nodes");
  }
  if (role_ == Role::kConnecting && peer_.node != expected_) {
    return refusal("it is " + peer_.node + " and not " + expected_ + "; is an address in the list of nodes wrong?");
  }
  if (role_ == Role::kAccepting && peer_.node > own_.node) {
    return refusal("it is " + peer_.node + ", to which this node connects, and not the other way round");
  }
  return std::nullopt;
}

Result<> Handshake::receive_proof(std::span<const std::string_view> words, resp::OutputBuffer& out) {
  const Proof expected = proof_of(role_ == Role::kConnecting ? Role::kAccepting : Role::kConnecting);
  const bool well_formed = words.size() >= kProofWords && words[0] == kProof && words[1].size() == expected.size();
  const bool right = well_formed && CRYPTO_memcmp(words[1].data(), expected.data(), expected.size()) == 0;
  // Only now, after the same work as for everybody else.
  if (judgement_) return fail(*judgement_);
  if (!well_formed) return fail(refusal("it says hello, but proves nothing"));
  if (!right) return fail(refusal("it calls itself " + peer_.node + ", but does not know the cluster's secret"));
  if (role_ == Role::kAccepting) write_proof(out);
  state_ = State::kDone;
  return {};
}

Result<> Handshake::fail(Error error) {
  state_ = State::kFailed;
  return error;
}

Error Handshake::unfinished() const {
  if (judgement_) return *judgement_;
  if (state_ == State::kHello) return refusal("it said no hello");
  return refusal("it said hello, but proved nothing; is the secret the same on both nodes, and the list of nodes?");
}

void Handshake::write_hello(resp::OutputBuffer& out) const {
  char process[kProcessBytes];
  store_le(process, own_.process);
  resp::Writer writer(out, resp::Protocol::kResp2);
  writer.array(kHelloWords);
  writer.bulk(kHello);
  writer.bulk(own_.version);
  writer.bulk(own_.cluster);
  writer.bulk(own_.node);
  writer.bulk({own_.nonce.data(), own_.nonce.size()});
  writer.bulk({process, sizeof process});
}

void Handshake::write_proof(resp::OutputBuffer& out) const {
  const Proof proof = proof_of(role_);
  resp::Writer writer(out, resp::Protocol::kResp2);
  writer.array(kProofWords);
  writer.bulk(kProof);
  writer.bulk({proof.data(), proof.size()});
}

// Of the same bytes on both sides, whoever computes it: each field with its length, the connecting side's hello first.
Handshake::Proof Handshake::proof_of(Role role) const {
  const bool connecting = role_ == Role::kConnecting;
  std::string bytes;
  Encoder encoder(bytes);
  encoder.bytes(kPurpose);
  encoder.u8(static_cast<uint8_t>(role));
  for (const Hello* const hello : {connecting ? &own_ : &peer_, connecting ? &peer_ : &own_}) {
    encoder.bytes(hello->version);
    encoder.bytes(hello->cluster);
    encoder.bytes(hello->node);
    encoder.bytes({hello->nonce.data(), hello->nonce.size()});
    encoder.u64(hello->process);
  }
  if (!binding_.empty()) encoder.bytes(binding_);
  Proof proof;
  unsigned size = 0;
  const auto* const made = HMAC(EVP_sha256(), nodes_.secret.data(), static_cast<int>(nodes_.secret.size()),
                                reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
                                reinterpret_cast<unsigned char*>(proof.data()), &size);
  CHECK(made != nullptr && size == proof.size());
  return proof;
}

}  // namespace capstan::cluster
