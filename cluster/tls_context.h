// What all of this node's TLS connections to other nodes have in common: its certificate and key, and the authority
// (CA) that it trusts. TLS 1.3 alone, and both ends have to show a certificate that the authority has signed. Which
// name stands in it is not looked at: the addresses of nodes change, and a node proves its name by the cluster's secret
// inside (handshake.h). So whoever has a certificate of the authority may say hello: it should be the cluster's own.
//
// Read once, at the start, and constant from then on. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX

namespace capstan::cluster {

// The files are PEM; each has the name of its directive.
struct TlsOptions {
  std::string cert_file;     // this node's certificate, then those between it and the authority's
  std::string key_file;      // of that certificate
  std::string key_password;  // empty: the key is not encrypted
  std::string ca_cert_file;  // the authority's certificate, or several: a node is taken that any of them vouches for
  // After so many records a side that sends takes a new key: RFC 8446 (5.5) allows AES-GCM 2^24.5 of them, which a node
  // that sends a record per turn has sent within hours.
  uint64_t records_per_key = uint64_t{1} << 22;
};

class TlsContext {
 public:
  // Errors name the directive and its file: one cannot be read, the key is not the certificate's, or the authority has
  // not signed the certificate, so that no other node would take it. A certificate that is not valid yet or any more is
  // no error here: the other nodes refuse it, and a start without them is better than none.
  static Result<std::shared_ptr<const TlsContext>> open(const TlsOptions& options);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  ssl_ctx_st* get() const { return context_; }
  uint64_t records_per_key() const { return records_per_key_; }

 private:
  explicit TlsContext(const TlsOptions& options);

  ssl_ctx_st* const context_;
  const uint64_t records_per_key_;
};

}  // namespace capstan::cluster
