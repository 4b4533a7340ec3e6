// Certificates for tests, made as the test runs, in a directory that is gone afterwards.
#pragma once

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "base/check.h"
#include "cluster/openssl.h"
#include "cluster/tls_context.h"

namespace capstan::cluster {

struct CertificateOptions {
  long begins_s = -3600;  // from now
  long ends_s = 3600;
  std::string extended_key_usage;  // "serverAuth", say; empty: any
  std::string key_password;
};

// An authority (CA) and the certificates that it signs.
class TestAuthority {
 public:
  explicit TestAuthority(const std::string& name) : name_(name), key_(make_key()) {
    std::string directory = (std::filesystem::temp_directory_path() / "capstan-tls-XXXXXX").string();
    CHECK(mkdtemp(directory.data()) != nullptr);
    directory_ = directory;
    write_certificate(ca_file(), *make_certificate(name, *key_, "critical,CA:TRUE", {}));
  }
  ~TestAuthority() { std::filesystem::remove_all(directory_); }
  TestAuthority(const TestAuthority&) = delete;

  std::string ca_file() const { return file("ca"); }
  std::string file(const std::string& name) const { return directory_ + "/" + name + ".pem"; }

  // The files of a node that trusts this authority and has a certificate of it.
  TlsOptions issue(const std::string& node, const CertificateOptions& options = {}) const {
    const OwnedKey key = make_key();
    write_certificate(file(node), *make_certificate(node, *key, "critical,CA:FALSE", options));
    write_key(file(node + ".key"), *key, options.key_password);
    return {.cert_file = file(node),
            .key_file = file(node + ".key"),
            .key_password = options.key_password,
            .ca_cert_file = ca_file()};
  }
  std::shared_ptr<const TlsContext> context(const std::string& node, const CertificateOptions& options = {}) const {
    return TlsContext::open(issue(node, options)).value();
  }

 private:
  static OwnedKey make_key() {
    OwnedKey key(EVP_EC_gen("P-256"));
    CHECK(key != nullptr);
    return key;
  }

  // Signed with the authority's key.
  OwnedCertificate make_certificate(const std::string& subject, EVP_PKEY& key, const char* constraints,
                                    const CertificateOptions& options) const {
    OwnedCertificate made(X509_new());
    X509* const certificate = made.get();
    CHECK(certificate != nullptr && X509_set_version(certificate, X509_VERSION_3) == 1);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial_);
    X509_gmtime_adj(X509_getm_notBefore(certificate), options.begins_s);
    X509_gmtime_adj(X509_getm_notAfter(certificate), options.ends_s);
    set_name(X509_get_subject_name(certificate), subject);
    set_name(X509_get_issuer_name(certificate), name_);
    add_extension(certificate, NID_basic_constraints, constraints);
    if (!options.extended_key_usage.empty()) add_extension(certificate, NID_ext_key_usage, options.extended_key_usage);
    CHECK(X509_set_pubkey(certificate, &key) == 1 && X509_sign(certificate, key_.get(), EVP_sha256()) > 0);
    return made;
  }

  static void set_name(X509_NAME* name, const std::string& text) {
    const auto* const bytes = reinterpret_cast<const unsigned char*>(text.c_str());
    CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, bytes, -1, -1, 0) == 1);
  }

  static void add_extension(X509* certificate, int kind, const std::string& value) {
    const Owned<X509_EXTENSION, X509_EXTENSION_free> extension(
        X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str()));
    CHECK(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1);
  }

  static void write_certificate(const std::string& path, X509& certificate) {
    const OwnedBio file(BIO_new_file(path.c_str(), "w"));
    CHECK(file != nullptr && PEM_write_bio_X509(file.get(), &certificate) == 1);
  }

  static void write_key(const std::string& path, EVP_PKEY& key, const std::string& password) {
    const OwnedBio file(BIO_new_file(path.c_str(), "w"));
    const EVP_CIPHER* const cipher = password.empty() ? nullptr : EVP_aes_256_cbc();
    const auto* const bytes = reinterpret_cast<const unsigned char*>(password.data());
    CHECK(file != nullptr && PEM_write_bio_PrivateKey(file.get(), &key, cipher, bytes,
                                                      static_cast<int>(password.size()), nullptr, nullptr) == 1);
  }

  const std::string name_;
  const OwnedKey key_;
  std::string directory_;
  mutable long serial_ = 0;
};

// The one that tests share where it does not matter which, and another one.
inline const TestAuthority& test_authority() {
  static const TestAuthority ours("ours");
  return ours;
}
inline const TestAuthority& foreign_authority() {
  static const TestAuthority foreign("foreign");
  return foreign;
}

// Kinds of channels, for tests that hold with each: what a node has for them.
struct PlainChannels {
  static std::shared_ptr<const TlsContext> context() { return nullptr; }
};
struct TlsChannels {
  static std::shared_ptr<const TlsContext> context() {
    static const std::shared_ptr<const TlsContext> shared = test_authority().context("node");
    return shared;
  }
};

}  // namespace capstan::cluster
