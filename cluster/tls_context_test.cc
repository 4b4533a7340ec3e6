// What the files of TLS may be, and which directive an error names if they are not.
#include "cluster/tls_context.h"

#include <boost/test/unit_test.hpp>

#include "cluster/tls_testing.h"

namespace capstan::cluster {

namespace {

std::string error_of(const TlsOptions& options) {
  const Result<std::shared_ptr<const TlsContext>> opened = TlsContext::open(options);
  BOOST_TEST_REQUIRE(!opened.ok());
  BOOST_TEST((opened.error().code == ErrorCode::kInvalid));
  BOOST_TEST(ERR_peek_error() == 0u);
  return opened.error().message;
}

bool says(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

void append_file(const std::string& to, const std::string& from) {
  std::ofstream(to, std::ios::app) << std::ifstream(from).rdbuf();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(tls_context_test)

BOOST_AUTO_TEST_CASE(files_that_fit_each_other_are_read) {
  const Result<std::shared_ptr<const TlsContext>> opened = TlsContext::open(test_authority().issue("n1"));
  BOOST_TEST_REQUIRE(opened.ok());
  BOOST_TEST(((*opened)->get() != nullptr));
  BOOST_TEST((*opened)->records_per_key() == uint64_t{1} << 22);
}

BOOST_AUTO_TEST_CASE(a_file_that_cannot_be_read_is_named_with_its_directive) {
  const TlsOptions right = test_authority().issue("n1");
  const std::string nowhere = right.cert_file + ".nowhere";
  TlsOptions wrong = right;
  wrong.cert_file = nowhere;
  BOOST_TEST(error_of(wrong) == "tls-cert-file " + nowhere + ": no certificate can be read: No such file or directory");
  wrong = right;
  wrong.key_file = nowhere;
  BOOST_TEST(error_of(wrong) == "tls-key-file " + nowhere + ": no key can be read: No such file or directory");
  wrong = right;
  wrong.ca_cert_file = nowhere;
  BOOST_TEST(error_of(wrong).starts_with("tls-ca-cert-file " + nowhere + ": no certificate can be read: "));
}

BOOST_AUTO_TEST_CASE(a_file_of_something_else_is_named_with_its_directive) {
  const TlsOptions right = test_authority().issue("n1");
  const std::string other = test_authority().file("other");
  std::ofstream(other) << "This is no PEM.\n";
  TlsOptions wrong = right;
  wrong.cert_file = other;
  BOOST_TEST(says(error_of(wrong), "tls-cert-file " + other + ": no certificate can be read: "));
  wrong.cert_file = right.key_file;
  BOOST_TEST(says(error_of(wrong), "tls-cert-file " + right.key_file + ": no certificate can be read: "));
  wrong = right;
  wrong.key_file = right.cert_file;
  BOOST_TEST(says(error_of(wrong), "tls-key-file " + right.cert_file + ": no key can be read: "));
  wrong = right;
  wrong.ca_cert_file = other;
  BOOST_TEST(says(error_of(wrong), "tls-ca-cert-file " + other + ": no certificate can be read: "));
}

BOOST_AUTO_TEST_CASE(the_key_has_to_be_the_certificates) {
  TlsOptions options = test_authority().issue("n1");
  options.key_file = test_authority().issue("n2").key_file;
  BOOST_TEST(error_of(options) ==
             "tls-key-file " + options.key_file + ": it is not the key of tls-cert-file " + options.cert_file);
}

BOOST_AUTO_TEST_CASE(the_certificate_has_to_be_signed_by_the_authority) {
  TlsOptions options = test_authority().issue("n1");
  options.ca_cert_file = foreign_authority().ca_file();
  BOOST_TEST(error_of(options) ==
             "tls-cert-file " + options.cert_file + ": no other node will take it, if it trusts tls-ca-cert-file " +
                 options.ca_cert_file + " as this one does: unable to get local issuer certificate");
}

BOOST_AUTO_TEST_CASE(one_of_several_authorities_is_enough) {
  TlsOptions options = test_authority().issue("n1");
  const std::string both = test_authority().file("both");
  append_file(both, foreign_authority().ca_file());
  append_file(both, options.ca_cert_file);
  options.ca_cert_file = both;
  BOOST_TEST(TlsContext::open(options).ok());
}

BOOST_AUTO_TEST_CASE(a_certificate_has_to_serve_both_ends) {
  for (const char* const usage : {"serverAuth", "clientAuth"}) {
    const TlsOptions options = test_authority().issue("n1", {.extended_key_usage = usage});
    BOOST_TEST(says(error_of(options), "purpose"));
  }
  BOOST_TEST(TlsContext::open(test_authority().issue("n1", {.extended_key_usage = "serverAuth,clientAuth"})).ok());
}

BOOST_AUTO_TEST_CASE(a_certificate_that_has_expired_lets_a_node_start) {
  BOOST_TEST(TlsContext::open(test_authority().issue("n1", {.ends_s = -60})).ok());
  BOOST_TEST(TlsContext::open(test_authority().issue("n1", {.begins_s = 60})).ok());
}

BOOST_AUTO_TEST_CASE(an_encrypted_key_needs_its_password) {
  TlsOptions options = test_authority().issue("n1", {.key_password = "right"});
  BOOST_TEST(TlsContext::open(options).ok());
  for (const char* const password : {"", "wrong"}) {
    options.key_password = password;
    const std::string error = error_of(options);
    BOOST_TEST(error.starts_with("tls-key-file " + options.key_file + ": no key can be read: "), error);
    BOOST_TEST(error.ends_with(" (is tls-key-file-pass right?)"), error);
    BOOST_TEST(!says(error, "wrong"));
  }
  options.key_password = std::string(100'000, 'x');
  BOOST_TEST(says(error_of(options), "tls-key-file-pass"));
}

BOOST_AUTO_TEST_CASE(a_password_that_is_not_needed_does_no_harm) {
  TlsOptions options = test_authority().issue("n1");
  options.key_password = "unused";
  BOOST_TEST(TlsContext::open(options).ok());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::cluster
