#include "cluster/channel.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

#include "base/check.h"
#include "cluster/openssl.h"
#include "resp/output_buffer.h"

namespace capstan::cluster {
namespace {

// The most that fits into one.
constexpr size_t kRecordBytes = SSL3_RT_MAX_PLAIN_LENGTH;
// Of one call of send(): a socket takes what is encrypted as fast as it comes, and others wait for the loop.
constexpr size_t kMaxSendBytes = 1 << 20;
// A record, and what TLS itself has to say. Who makes it say much and does not read is not waited for.
constexpr size_t kMaxUnsentBytes = 256 << 10;

// What a record begins with.
constexpr char kAlertRecord = 0x15;
constexpr char kHandshakeRecord = 0x16;
constexpr char kMajorVersion = 0x03;
// For who does not speak TLS: a plain node's log then says more than that this one closed the connection (link.cc).
constexpr std::string_view kUnexpectedMessage("\x15\x03\x03\x00\x02\x02\x0a", 7);

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

ssize_t failed_with(int error) {
  errno = error;
  return -1;
}

}  // namespace

bool begins_as_tls(std::string_view bytes) {
  return !bytes.empty() && (bytes[0] == kHandshakeRecord || bytes[0] == kAlertRecord) &&
         (bytes.size() < 2 || bytes[1] == kMajorVersion);
}

// OpenSSL over a socket. What it writes is always taken, so that it never has to be called again for it: a call that
// reads need not wait until it may write.
struct Channel::Tls {
  Tls(int socket, const TlsContext& context, Side side);
  Tls(const Tls&) = delete;

  ssize_t receive(std::span<char> room);
  ssize_t send(std::string_view bytes);
  ssize_t send_records(std::string_view bytes);
  bool send_unsent();
  void renew_key();
  ssize_t stopped(int result);
  std::string reason() const;
  bool broken() const { return system_error_number != 0 || !trouble.empty(); }

  static BIO_METHOD* socket_method();
  static int read_socket(BIO* bio, char* to, int size);
  static int write_socket(BIO* bio, const char* from, int size);
  static long control_socket(BIO*, int command, long, void*);

  int descriptor;  // the channel's
  const uint64_t records_per_key;
  uint64_t records = 0;  // sent with the key of now
  bool may_receive = false;
  bool holds_more = false;
  bool heard = false;
  bool ended = false;  // the other side's bytes
  resp::OutputBuffer unsent;
  // What has broken it.
  int system_error_number = 0;
  std::string trouble;
  OwnedTls ssl;
};

Channel::Tls::Tls(int socket, const TlsContext& context, Side side)
    : descriptor(socket), records_per_key(context.records_per_key()), ssl(SSL_new(context.get())) {
  BIO* const bio = BIO_new(socket_method());
  CHECK(ssl != nullptr && bio != nullptr);
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl.get(), bio, bio);
  if (side == Side::kConnecting) {
    SSL_set_connect_state(ssl.get());
  } else {
    SSL_set_accept_state(ssl.get());
  }
}

// ---- the socket, as OpenSSL sees it

BIO_METHOD* Channel::Tls::socket_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* const made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket of a link");
    CHECK(made != nullptr && BIO_meth_set_read(made, &read_socket) == 1 &&
          BIO_meth_set_write(made, &write_socket) == 1 && BIO_meth_set_ctrl(made, &control_socket) == 1);
    return made;
  }();
  return method;
}

int Channel::Tls::read_socket(BIO* bio, char* to, int size) {
  Tls& tls = *static_cast<Tls*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const bool may_receive = std::exchange(tls.may_receive, false);
  const ssize_t bytes = may_receive ? recv(tls.descriptor, to, static_cast<size_t>(size), 0) : failed_with(EAGAIN);
  if (bytes < 0 && would_block(errno)) {
    BIO_set_retry_read(bio);
  } else if (bytes < 0) {
    tls.system_error_number = errno;
  } else if (bytes == 0) {
    tls.ended = true;
  } else if (!std::exchange(tls.heard, true) && !begins_as_tls({to, static_cast<size_t>(bytes)})) {
    tls.trouble = "it does not speak TLS; is tls-cluster the same on both nodes?";
    ::send(tls.descriptor, kUnexpectedMessage.data(), kUnexpectedMessage.size(), MSG_NOSIGNAL);
    return -1;
  }
  return static_cast<int>(bytes);
}

int Channel::Tls::write_socket(BIO* bio, const char* from, int size) {
  Tls& tls = *static_cast<Tls*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  std::string_view bytes(from, static_cast<size_t>(size));
  if (tls.unsent.empty()) {
    const ssize_t sent = ::send(tls.descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && !would_block(errno)) {
      tls.system_error_number = errno;
      return -1;
    }
    if (sent > 0) bytes.remove_prefix(static_cast<size_t>(sent));
  }
  if (tls.unsent.size() + bytes.size() > kMaxUnsentBytes) {
    tls.system_error_number = ENOBUFS;
    return -1;
  }
  tls.unsent.append(bytes);
  return size;
}

// Nothing is buffered on OpenSSL's side of the socket; whatever else it asks for is not to be had.
long Channel::Tls::control_socket(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

// ---- receiving and sending

ssize_t Channel::Tls::receive(std::span<char> room) {
  if (broken()) return failed_with(EPROTO);
  may_receive = !holds_more;
  ERR_clear_error();
  const int bytes = SSL_read(ssl.get(), room.data(), static_cast<int>(std::min(room.size(), size_t{INT_MAX})));
  may_receive = false;
  holds_more = bytes > 0;
  return bytes > 0 ? bytes : stopped(bytes);
}

ssize_t Channel::Tls::send(std::string_view bytes) {
  if (broken()) return failed_with(EPROTO);
  return send_unsent() ? send_records(bytes.substr(0, kMaxSendBytes)) : -1;
}

// False: it would block, or has failed.
bool Channel::Tls::send_unsent() {
  if (unsent.empty()) return true;
  const ssize_t sent = ::send(descriptor, unsent.view().data(), unsent.size(), MSG_NOSIGNAL);
  if (sent < 0) {
    if (!would_block(errno)) system_error_number = errno;
    return false;
  }
  unsent.consume(static_cast<size_t>(sent));
  if (!unsent.empty()) errno = EAGAIN;
  return unsent.empty();
}

// Until the socket has no room for a whole one.
ssize_t Channel::Tls::send_records(std::string_view bytes) {
  size_t sent = 0;
  while (sent < bytes.size() && unsent.empty()) {
    const std::string_view record = bytes.substr(sent, kRecordBytes);
    ERR_clear_error();
    const int taken = SSL_write(ssl.get(), record.data(), static_cast<int>(record.size()));
    if (taken <= 0) {
      const ssize_t result = stopped(taken);
      return sent > 0 && !broken() ? static_cast<ssize_t>(sent) : result;
    }
    sent += static_cast<size_t>(taken);
    if (++records == records_per_key) renew_key();
  }
  return static_cast<ssize_t>(sent);
}

void Channel::Tls::renew_key() {
  records = 0;
  CHECK(SSL_key_update(ssl.get(), SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
  // Tells the other side; if that fails, the next call does as well.
  SSL_do_handshake(ssl.get());
}

// Of a call of OpenSSL that got nowhere.
ssize_t Channel::Tls::stopped(int result) {
  const int kind = SSL_get_error(ssl.get(), result);
  if (!broken() && kind == SSL_ERROR_WANT_READ) return failed_with(EAGAIN);
  if (!broken() && (kind == SSL_ERROR_ZERO_RETURN || (kind == SSL_ERROR_SYSCALL && ended))) return 0;
  // Of both, TLS's own error came first: that it could not be told to the other side matters less.
  if (trouble.empty() && (kind == SSL_ERROR_SSL || !broken())) trouble = reason();
  return failed_with(EPROTO);
}

std::string Channel::Tls::reason() const {
  const unsigned long error = ERR_peek_error();
  const std::string text = take_openssl_error();
  const int reason = ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
  if (const long verified = SSL_get_verify_result(ssl.get()); verified != X509_V_OK) {
    return std::string("its certificate is refused: ") + X509_verify_cert_error_string(verified);
  }
  if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) return "it shows no certificate";
  if (reason > SSL_AD_REASON_OFFSET) return "it refuses to speak TLS with this node: " + text;
  return "TLS fails: " + text;
}

// ---- the channel

Channel::Channel(int descriptor, const TlsContext* tls, Side side)
    : descriptor_(descriptor), tls_(tls == nullptr ? nullptr : std::make_unique<Tls>(descriptor, *tls, side)) {}

Channel::Channel(Channel&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), heard_(other.heard_), tls_(std::move(other.tls_)) {}

Channel::~Channel() { close(); }

void Channel::close() {
  if (descriptor_ < 0) return;
  ::close(std::exchange(descriptor_, -1));
  if (tls_ != nullptr) tls_->descriptor = -1;
}

ssize_t Channel::receive(std::span<char> room) {
  if (tls_ != nullptr) return tls_->receive(room);
  const ssize_t bytes = recv(descriptor_, room.data(), room.size(), 0);
  heard_ = heard_ || bytes > 0;
  return bytes;
}

ssize_t Channel::send(std::string_view bytes) {
  if (tls_ != nullptr) return tls_->send(bytes);
  return ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

Error Channel::failure(std::string_view what) const {
  if (tls_ == nullptr) return system_error(errno, what);
  if (tls_->trouble.empty()) return system_error(tls_->system_error_number, what);
  return Error{ErrorCode::kInvalid, tls_->trouble};
}

bool Channel::holds_more() const { return tls_ != nullptr && tls_->holds_more; }

size_t Channel::unsent() const { return tls_ == nullptr ? 0 : tls_->unsent.size(); }

bool Channel::handshaking() const { return tls_ != nullptr && SSL_in_init(tls_->ssl.get()) != 0; }

Error Channel::unfinished() const {
  return Error{ErrorCode::kInvalid, "it did not finish the TLS handshake; is tls-cluster the same on both nodes?"};
}

bool Channel::heard() const { return tls_ == nullptr ? heard_ : tls_->heard; }

std::string Channel::binding() const {
  if (tls_ == nullptr) return {};
  constexpr std::string_view kLabel = "EXPORTER-Channel-Binding";
  constexpr size_t kBytes = 32;
  std::string bytes(kBytes, '\0');
  CHECK(SSL_export_keying_material(tls_->ssl.get(), reinterpret_cast<unsigned char*>(bytes.data()), bytes.size(),
                                   kLabel.data(), kLabel.size(), nullptr, 0, 1) == 1);
  return bytes;
}

}  // namespace capstan::cluster
