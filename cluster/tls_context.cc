#include "cluster/tls_context.h"

#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "base/check.h"
#include "cluster/openssl.h"

namespace capstan::cluster {
namespace {

// What is received at once: some records. OpenSSL's own buffer holds one.
constexpr size_t kReadBytes = 64 << 10;

Error wrong(std::string_view directive, const std::string& file, const std::string& why) {
  ERR_clear_error();
  return Error{ErrorCode::kInvalid, std::string(directive) + " " + file + ": " + why};
}

struct Password {
  const std::string& text;
  bool asked = false;
};

// Without it, OpenSSL would ask for a password at the terminal.
int give_password(char* to, int size, int, void* from) {
  auto* const password = static_cast<Password*>(from);
  if (password == nullptr) return -1;
  password->asked = true;
  const size_t bytes = password->text.size();
  if (bytes == 0 || bytes > static_cast<size_t>(size)) return -1;
  password->text.copy(to, bytes);
  return static_cast<int>(bytes);
}

OwnedTlsContext make_context() {
  OwnedTlsContext made(SSL_CTX_new(TLS_method()));
  SSL_CTX* const context = made.get();
  CHECK(context != nullptr && SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
        SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  // Connections are few and live long; and who resumed an old one would show no certificate.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  CHECK(SSL_CTX_set_num_tickets(context, 0) == 1);
  // Else two calls of recv() per record.
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_default_read_buffer_len(context, kReadBytes);
  return made;
}

Result<> load_certificate(SSL_CTX* context, const TlsOptions& options) {
  SSL_CTX_set_default_passwd_cb(context, &give_password);
  if (SSL_CTX_use_certificate_chain_file(context, options.cert_file.c_str()) == 1) return {};
  return wrong("tls-cert-file", options.cert_file, "no certificate can be read: " + take_openssl_error());
}

Result<> load_key(SSL_CTX* context, const TlsOptions& options) {
  Password password{options.key_password};
  const OwnedBio file(BIO_new_file(options.key_file.c_str(), "r"));
  const OwnedKey key(file ? PEM_read_bio_PrivateKey(file.get(), nullptr, &give_password, &password) : nullptr);
  if (!key) {
    const std::string hint = password.asked ? " (is tls-key-file-pass right?)" : "";
    return wrong("tls-key-file", options.key_file, "no key can be read: " + take_openssl_error() + hint);
  }
  if (X509_check_private_key(SSL_CTX_get0_certificate(context), key.get()) != 1) {
    return wrong("tls-key-file", options.key_file, "it is not the key of tls-cert-file " + options.cert_file);
  }
  if (SSL_CTX_use_PrivateKey(context, key.get()) == 1) return {};
  return wrong("tls-key-file", options.key_file, "the key cannot be used: " + take_openssl_error());
}

Result<> load_authority(SSL_CTX* context, const TlsOptions& options) {
  if (SSL_CTX_load_verify_file(context, options.ca_cert_file.c_str()) == 1) return {};
  return wrong("tls-ca-cert-file", options.ca_cert_file, "no certificate can be read: " + take_openssl_error());
}

// As the other nodes will do, to whom this one is a server and a client.
Result<> check_certificate(SSL_CTX* context, const TlsOptions& options) {
  STACK_OF(X509)* chain = nullptr;
  CHECK(SSL_CTX_get0_chain_certs(context, &chain) == 1);
  for (const int purpose : {X509_PURPOSE_SSL_SERVER, X509_PURPOSE_SSL_CLIENT}) {
    const Owned<X509_STORE_CTX, X509_STORE_CTX_free> check(X509_STORE_CTX_new());
    CHECK(check != nullptr && X509_STORE_CTX_init(check.get(), SSL_CTX_get_cert_store(context),
                                                  SSL_CTX_get0_certificate(context), chain) == 1);
    X509_STORE_CTX_set_flags(check.get(), X509_V_FLAG_NO_CHECK_TIME);
    CHECK(X509_STORE_CTX_set_purpose(check.get(), purpose) == 1);
    if (X509_verify_cert(check.get()) == 1) continue;
    const char* const why = X509_verify_cert_error_string(X509_STORE_CTX_get_error(check.get()));
    return wrong("tls-cert-file", options.cert_file,
                 std::string("no other node will take it, if it trusts tls-ca-cert-file ") + options.ca_cert_file +
                     " as this one does: " + why);
  }
  return {};
}

}  // namespace

TlsContext::TlsContext(const TlsOptions& options)
    : context_(make_context().release()), records_per_key_(options.records_per_key) {
  CHECK(records_per_key_ > 0);
}

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

Result<std::shared_ptr<const TlsContext>> TlsContext::open(const TlsOptions& options) {
  std::shared_ptr<const TlsContext> made(new TlsContext(options));
  ERR_clear_error();
  for (const auto step : {&load_certificate, &load_key, &load_authority, &check_certificate}) {
    if (const Result<> done = step(made->get(), options); !done) return done.error();
  }
  return made;
}

}  // namespace capstan::cluster
