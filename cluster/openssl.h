// OpenSSL's objects as owned pointers, and its errors in words. For channel.cc, tls_context.cc and their tests.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cstring>
#include <memory>
#include <string>

namespace capstan::cluster {

template <auto Free>
struct Freed {
  template <typename Object>
  void operator()(Object* object) const {
    Free(object);
  }
};

template <typename Object, auto Free>
using Owned = std::unique_ptr<Object, Freed<Free>>;

using OwnedBio = Owned<BIO, BIO_free>;
using OwnedCertificate = Owned<X509, X509_free>;
using OwnedKey = Owned<EVP_PKEY, EVP_PKEY_free>;
using OwnedTls = Owned<SSL, SSL_free>;
using OwnedTlsContext = Owned<SSL_CTX, SSL_CTX_free>;

inline std::string openssl_reason(unsigned long error) {
  if (ERR_SYSTEM_ERROR(error)) return std::strerror(ERR_GET_REASON(error));
  const char* const reason = ERR_reason_error_string(error);
  return reason != nullptr ? reason : "error " + std::to_string(error) + " of OpenSSL";
}

// The first error that this thread's queue holds, from which the others followed; empties the queue.
inline std::string take_openssl_error() {
  const unsigned long error = ERR_get_error();
  ERR_clear_error();
  return openssl_reason(error);
}

}  // namespace capstan::cluster
