// Two ends of a connection without a loop: bytes that go through, and what TLS refuses.
#include "cluster/channel.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <string>
#include <tuple>
#include <vector>

#include "base/random.h"
#include "cluster/tls_testing.h"

namespace capstan::cluster {

namespace {

using Kinds = std::tuple<PlainChannels, TlsChannels>;
using Side = Channel::Side;
using Context = std::shared_ptr<const TlsContext>;

struct Sockets {
  Sockets() {
    int ends[2];
    BOOST_TEST_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    connecting = ends[0];
    accepting = ends[1];
  }
  int connecting;
  int accepting;
};

// A channel, what it is to send, and what has come of it.
struct End {
  End(int descriptor, const Context& context, Side side) : channel(descriptor, context.get(), side) {}

  // What a link does in a turn of its loop.
  void turn() {
    do {
      receive();
    } while (channel.holds_more());
    send();
  }
  void receive() {
    if (over()) return;
    const ssize_t bytes = channel.receive(room);
    if (bytes > 0) received.append(room.data(), static_cast<size_t>(bytes));
    ended = ended || bytes == 0;
    note_failure(bytes, "cannot receive");
  }
  void send() {
    if (over() || (to_send.empty() && channel.unsent() == 0)) return;
    const ssize_t bytes = channel.send(to_send);
    if (bytes > 0) to_send.erase(0, static_cast<size_t>(bytes));
    note_failure(bytes, "cannot send");
  }
  void note_failure(ssize_t result, std::string_view what) {
    if (result >= 0 || errno == EAGAIN) return;
    const Error error = channel.failure(what);
    failure = error.message;
    code = error.code;
    channel.close();
  }
  bool over() const { return ended || !failure.empty(); }

  Channel channel;
  std::string to_send;
  std::string received;
  std::string failure;
  ErrorCode code = ErrorCode::kNotFound;
  bool ended = false;
  std::vector<char> room = std::vector<char>(100'000);
};

struct Pair {
  Pair(const Context& of_connecting, const Context& of_accepting)
      : connecting(sockets.connecting, of_connecting, Side::kConnecting),
        accepting(sockets.accepting, of_accepting, Side::kAccepting) {}
  explicit Pair(const Context& of_both) : Pair(of_both, of_both) {}

  // Until the condition holds; both ends are never silent for long, so that many turns are enough for anything.
  template <typename Condition>
  bool until(Condition condition) {
    for (int turns = 0; turns < 100'000; ++turns) {
      if (condition()) return true;
      connecting.turn();
      accepting.turn();
    }
    return false;
  }
  bool until_both_are_over() {
    return until([this] { return connecting.over() && accepting.over(); });
  }
  bool shake_hands() {
    return until([this] { return !connecting.channel.handshaking() && !accepting.channel.handshaking(); });
  }

  Sockets sockets;
  End connecting;
  End accepting;
};

// A socket that somebody else holds, who says these bytes to an accepting channel.
struct Stranger {
  explicit Stranger(std::string_view bytes = "") : end(sockets.accepting, TlsChannels::context(), Side::kAccepting) {
    say(bytes);
  }
  ~Stranger() { close(sockets.connecting); }

  void say(std::string_view bytes) {
    BOOST_TEST_REQUIRE(::send(sockets.connecting, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
                       static_cast<ssize_t>(bytes.size()));
    end.turn();
  }
  std::string hears() {
    std::string heard(10'000, '\0');
    const ssize_t bytes = recv(sockets.connecting, heard.data(), heard.size(), 0);
    heard.resize(bytes > 0 ? static_cast<size_t>(bytes) : 0);
    return heard;
  }

  Sockets sockets;
  End end;
};

// Another program's TLS, set up as `context` is.
struct OtherTls {
  explicit OtherTls(OwnedTlsContext of) : context(std::move(of)), ssl(SSL_new(context.get())) {
    SSL_set_fd(ssl.get(), sockets.connecting);
    SSL_set_connect_state(ssl.get());
  }
  ~OtherTls() {
    ssl.reset();
    close(sockets.connecting);
  }

  // What the accepting channel says about it.
  std::string refusal() {
    for (int turns = 0; turns < 100 && end.failure.empty(); ++turns) {
      char byte;
      SSL_read(ssl.get(), &byte, 1);
      end.turn();
    }
    ERR_clear_error();
    return end.failure;
  }

  Sockets sockets;
  OwnedTlsContext context;
  OwnedTls ssl;
  End end{sockets.accepting, TlsChannels::context(), Side::kAccepting};
};

std::string random_bytes(size_t count, uint64_t seed) {
  Random random(seed);
  std::string bytes(count, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random.below(256));
  return bytes;
}

void shrink_buffers(int descriptor) {
  const int bytes = 1;  // as small as the system lets them be
  for (const int option : {SO_SNDBUF, SO_RCVBUF}) {
    BOOST_TEST_REQUIRE(setsockopt(descriptor, SOL_SOCKET, option, &bytes, sizeof bytes) == 0);
  }
}

bool says(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

BOOST_AUTO_TEST_SUITE(channel_test)

// ---- both kinds

BOOST_AUTO_TEST_CASE_TEMPLATE(bytes_go_both_ways, Kind, Kinds) {
  Pair pair(Kind::context());
  pair.connecting.to_send = "from the one";
  pair.accepting.to_send = "from the other";
  BOOST_TEST_REQUIRE(
      pair.until([&] { return pair.accepting.received.size() == 12 && pair.connecting.received.size() == 14; }));
  BOOST_TEST(pair.accepting.received == "from the one");
  BOOST_TEST(pair.connecting.received == "from the other");
  BOOST_TEST((pair.connecting.channel.heard() && pair.accepting.channel.heard()));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(much_goes_both_ways_at_once_through_small_buffers, Kind, Kinds) {
  Pair pair(Kind::context());
  shrink_buffers(pair.sockets.connecting);
  shrink_buffers(pair.sockets.accepting);
  const std::string there = random_bytes(1'000'000, 1);
  const std::string back = random_bytes(700'000, 2);
  pair.connecting.to_send = there;
  pair.accepting.to_send = back;
  BOOST_TEST_REQUIRE(pair.until([&] {
    return pair.accepting.received.size() >= there.size() && pair.connecting.received.size() >= back.size();
  }));
  BOOST_TEST((pair.accepting.received == there));
  BOOST_TEST((pair.connecting.received == back));
  BOOST_TEST((pair.connecting.channel.unsent() == 0 && pair.accepting.channel.unsent() == 0));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(the_end_comes_after_the_last_bytes, Kind, Kinds) {
  Pair pair(Kind::context());
  BOOST_TEST_REQUIRE(pair.shake_hands());
  pair.connecting.to_send = "last words";
  pair.connecting.turn();
  pair.connecting.channel.close();
  BOOST_TEST(pair.connecting.channel.descriptor() == -1);
  pair.accepting.turn();
  BOOST_TEST(pair.accepting.received == "last words");
  pair.accepting.turn();
  BOOST_TEST(pair.accepting.ended);
}

// A signal would end the test.
BOOST_AUTO_TEST_CASE_TEMPLATE(sending_to_who_is_gone_is_an_error, Kind, Kinds) {
  Pair pair(Kind::context());
  BOOST_TEST_REQUIRE(pair.shake_hands());
  pair.connecting.channel.close();
  pair.accepting.to_send = "hello?";
  pair.accepting.send();
  BOOST_TEST(pair.accepting.failure == "cannot send: Broken pipe");
  BOOST_TEST((pair.accepting.code == ErrorCode::kIo));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_channel_that_is_moved_is_the_same, Kind, Kinds) {
  Pair pair(Kind::context());
  BOOST_TEST_REQUIRE(pair.shake_hands());
  Channel moved(std::move(pair.connecting.channel));
  BOOST_TEST(moved.send("moved") == 5);
  pair.accepting.turn();
  BOOST_TEST(pair.accepting.received == "moved");
}

BOOST_AUTO_TEST_CASE(a_plain_channel_is_the_socket) {
  Pair pair(nullptr);
  pair.connecting.to_send = "*1\r\n$4\r\nPING\r\n";
  pair.connecting.send();
  char bytes[100];
  BOOST_TEST(recv(pair.sockets.accepting, bytes, sizeof bytes, 0) == 14);
  BOOST_TEST(std::string(bytes, 14) == "*1\r\n$4\r\nPING\r\n");
  BOOST_TEST(!pair.connecting.channel.handshaking());
  BOOST_TEST(pair.connecting.channel.binding().empty());
  BOOST_TEST(!pair.connecting.channel.heard());
}

// ---- what makes no socket readable

BOOST_AUTO_TEST_CASE(what_is_held_is_had_without_asking_the_socket) {
  Pair pair(TlsChannels::context());
  BOOST_TEST_REQUIRE(pair.shake_hands());
  pair.connecting.to_send = random_bytes(16'000, 3);
  const std::string sent = pair.connecting.to_send;
  pair.connecting.send();
  pair.connecting.to_send = "later";
  pair.accepting.room.resize(100);
  pair.accepting.receive();
  BOOST_TEST(pair.accepting.received.size() == 100u);
  pair.connecting.send();
  while (pair.accepting.channel.holds_more()) pair.accepting.receive();
  BOOST_TEST((pair.accepting.received == sent));
  int readable = 0;
  BOOST_TEST_REQUIRE(ioctl(pair.sockets.accepting, FIONREAD, &readable) == 0);
  BOOST_TEST(readable > 0);
  pair.accepting.turn();
  BOOST_TEST((pair.accepting.received == sent + "later"));
}

BOOST_AUTO_TEST_CASE(several_records_in_one_readiness_all_come) {
  Pair pair(TlsChannels::context());
  BOOST_TEST_REQUIRE(pair.shake_hands());
  for (int i = 0; i < 100; ++i) {
    pair.connecting.to_send = std::to_string(i) + ",";
    pair.connecting.send();
  }
  pair.accepting.turn();
  BOOST_TEST(pair.accepting.received.starts_with("0,1,2,"));
  BOOST_TEST(pair.accepting.received.ends_with(",98,99,"));
}

// ---- the TLS handshake

BOOST_AUTO_TEST_CASE(until_it_is_done_nothing_is_taken) {
  Pair pair(TlsChannels::context());
  BOOST_TEST(!pair.accepting.channel.heard());
  pair.connecting.to_send = "secret";
  pair.connecting.send();
  pair.connecting.send();
  BOOST_TEST(pair.connecting.to_send == "secret");
  BOOST_TEST((pair.connecting.channel.handshaking() && pair.accepting.channel.handshaking()));
  BOOST_TEST(says(pair.connecting.channel.unfinished().message, "it did not finish the TLS handshake"));
  pair.accepting.turn();
  BOOST_TEST(pair.accepting.channel.heard());
  BOOST_TEST(pair.accepting.channel.handshaking());
  BOOST_TEST_REQUIRE(pair.until([&] { return pair.accepting.received == "secret"; }));
}

BOOST_AUTO_TEST_CASE(a_handshake_that_has_no_room_to_write_goes_on_when_there_is) {
  Pair pair(TlsChannels::context());
  pair.connecting.receive();  // sends its hello
  // Fills the accepting side's way.
  const std::string filler(100'000, 'x');
  size_t filled = 0;
  for (ssize_t bytes; (bytes = ::send(pair.sockets.accepting, filler.data(), filler.size(), 0)) > 0;) {
    filled += static_cast<size_t>(bytes);
  }
  for (ssize_t bytes; (bytes = ::send(pair.sockets.accepting, filler.data(), 1, 0)) > 0;) ++filled;
  pair.accepting.turn();
  BOOST_TEST(pair.accepting.channel.unsent() > 100u);
  const size_t unsent = pair.accepting.channel.unsent();
  pair.accepting.turn();
  BOOST_TEST(pair.accepting.channel.unsent() == unsent);
  std::vector<char> room(filled);
  for (size_t emptied = 0; emptied < filled;) {
    const ssize_t bytes = recv(pair.sockets.connecting, room.data(), filled - emptied, 0);
    BOOST_TEST_REQUIRE(bytes > 0);
    emptied += static_cast<size_t>(bytes);
  }
  BOOST_TEST(pair.shake_hands());
  BOOST_TEST(pair.accepting.channel.unsent() == 0u);
}

BOOST_AUTO_TEST_CASE(a_certificate_of_a_foreign_authority_is_refused_by_either_side) {
  const Context foreign = foreign_authority().context("n1");
  for (const bool connecting_is_foreign : {true, false}) {
    Pair pair(connecting_is_foreign ? foreign : TlsChannels::context(),
              connecting_is_foreign ? TlsChannels::context() : foreign);
    BOOST_TEST_REQUIRE(pair.until_both_are_over());
    // The connecting side looks first.
    BOOST_TEST(pair.connecting.failure == "its certificate is refused: self-signed certificate in certificate chain");
    BOOST_TEST(pair.accepting.failure == "it refuses to speak TLS with this node: tlsv1 alert unknown ca");
    BOOST_TEST((pair.connecting.code == ErrorCode::kInvalid && pair.accepting.code == ErrorCode::kInvalid));
  }
}

BOOST_AUTO_TEST_CASE(the_accepting_side_refuses_a_foreign_certificate_too) {
  // It trusts both authorities, and has the foreign one's certificate.
  TlsOptions options = foreign_authority().issue("n1");
  const std::string both = foreign_authority().file("both");
  std::ofstream(both) << std::ifstream(foreign_authority().ca_file()).rdbuf()
                      << std::ifstream(test_authority().ca_file()).rdbuf();
  options.ca_cert_file = both;
  Pair pair(TlsContext::open(options).value(), TlsChannels::context());
  BOOST_TEST_REQUIRE(pair.until_both_are_over());
  BOOST_TEST(pair.accepting.failure == "its certificate is refused: self-signed certificate in certificate chain");
  BOOST_TEST(pair.connecting.failure == "it refuses to speak TLS with this node: tlsv1 alert unknown ca");
}

BOOST_AUTO_TEST_CASE(a_certificate_that_is_not_valid_now_is_refused) {
  Pair expired(TlsChannels::context(), test_authority().context("n1", {.ends_s = -60}));
  BOOST_TEST_REQUIRE(expired.until_both_are_over());
  BOOST_TEST(expired.connecting.failure == "its certificate is refused: certificate has expired");
  BOOST_TEST(says(expired.accepting.failure, "certificate expired"));
  Pair early(test_authority().context("n1", {.begins_s = 60}), TlsChannels::context());
  BOOST_TEST_REQUIRE(early.until_both_are_over());
  BOOST_TEST(early.accepting.failure == "its certificate is refused: certificate is not yet valid");
}

BOOST_AUTO_TEST_CASE(who_shows_no_certificate_is_refused) {
  OtherTls other(OwnedTlsContext(SSL_CTX_new(TLS_client_method())));
  BOOST_TEST(other.refusal() == "it shows no certificate");
}

BOOST_AUTO_TEST_CASE(an_older_tls_is_refused) {
  OwnedTlsContext context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION);
  OtherTls other(std::move(context));
  BOOST_TEST(other.refusal() == "TLS fails: unsupported protocol");
}

// ---- who speaks something else

BOOST_AUTO_TEST_CASE(who_does_not_speak_tls_is_refused_at_once) {
  for (const std::string_view bytes : {"*", "*6\r\n$5\r\nhello\r\n", "GET / HTTP/1.1\r\n\r\n", "\x16\x01", "\r\n"}) {
    Stranger stranger(bytes);
    BOOST_TEST(stranger.end.failure == "it does not speak TLS; is tls-cluster the same on both nodes?");
    BOOST_TEST(stranger.end.channel.heard());
    // An alert.
    const std::string heard = stranger.hears();
    BOOST_TEST((heard.size() == 7 && begins_as_tls(heard)));
  }
}

BOOST_AUTO_TEST_CASE(garbage_that_begins_as_tls_is_refused) {
  Stranger stranger(std::string("\x16\x03\x01\x00\x05garbage, and more of it", 28));
  BOOST_TEST(stranger.end.failure.starts_with("TLS fails: "), stranger.end.failure);
  Stranger alerting(std::string("\x15\x03\x03\x00\x02\x02\x28", 7));
  BOOST_TEST(alerting.end.failure.starts_with("TLS fails: "), alerting.end.failure);
  Stranger large("\x16\x03\x01\xff\xff");
  BOOST_TEST(large.end.failure.starts_with("TLS fails: "), large.end.failure);
}

BOOST_AUTO_TEST_CASE(half_a_record_is_waited_for) {
  Stranger stranger(std::string("\x16\x03\x01\x02\x00", 5));
  for (const char byte : std::string("\x01\x00\x01", 3)) {
    stranger.say({&byte, 1});
    BOOST_TEST(!stranger.end.over());
  }
  BOOST_TEST(stranger.end.channel.handshaking());
  BOOST_TEST(!stranger.end.channel.holds_more());
  shutdown(stranger.sockets.connecting, SHUT_WR);
  stranger.end.turn();
  BOOST_TEST(stranger.end.ended);
}

BOOST_AUTO_TEST_CASE(a_channel_that_has_failed_stays_so) {
  Stranger stranger("GET / HTTP/1.1\r\n\r\n");
  for (int i = 0; i < 2; ++i) {
    char byte;
    BOOST_TEST(stranger.end.channel.receive({&byte, 1}) == -1);
    BOOST_TEST(errno == EPROTO);
    BOOST_TEST(stranger.end.channel.send("x") == -1);
    BOOST_TEST(errno == EPROTO);
  }
  BOOST_TEST(says(stranger.end.channel.failure("").message, "it does not speak TLS"));
}

// ---- keys

BOOST_AUTO_TEST_CASE(both_ends_know_what_nobody_else_knows) {
  Pair pair(TlsChannels::context());
  Pair other(TlsChannels::context());
  BOOST_TEST_REQUIRE((pair.shake_hands() && other.shake_hands()));
  const std::string binding = pair.connecting.channel.binding();
  BOOST_TEST(binding.size() == 32u);
  BOOST_TEST((pair.accepting.channel.binding() == binding));
  BOOST_TEST((other.connecting.channel.binding() != binding));
}

BOOST_AUTO_TEST_CASE(keys_change_after_so_many_records) {
  TlsOptions options = test_authority().issue("n1");
  options.records_per_key = 3;
  const Context context = TlsContext::open(options).value();
  static int updates;
  updates = 0;
  SSL_CTX_set_msg_callback(context->get(), [](int written, int, int type, const void* bytes, size_t, SSL*, void*) {
    const bool is_update = type == SSL3_RT_HANDSHAKE && *static_cast<const char*>(bytes) == SSL3_MT_KEY_UPDATE;
    updates += is_update && written == 0 ? 1 : 0;
  });
  Pair pair(context);
  shrink_buffers(pair.sockets.connecting);
  shrink_buffers(pair.sockets.accepting);
  const std::string there = random_bytes(1'000'000, 4);
  const std::string back = random_bytes(1'000'000, 5);
  pair.connecting.to_send = there;
  pair.accepting.to_send = back;
  BOOST_TEST_REQUIRE(pair.until([&] {
    return pair.accepting.received.size() >= there.size() && pair.connecting.received.size() >= back.size();
  }));
  BOOST_TEST((pair.accepting.received == there));
  BOOST_TEST((pair.connecting.received == back));
  BOOST_TEST(updates >= 2 * (1'000'000 / 16'384 / 3));
}

BOOST_AUTO_TEST_CASE(who_makes_it_answer_and_does_not_read_is_given_up) {
  OwnedTlsContext context(SSL_CTX_new(TLS_client_method()));
  const TlsOptions files = test_authority().issue("n1");
  BOOST_TEST_REQUIRE((SSL_CTX_use_certificate_chain_file(context.get(), files.cert_file.c_str()) == 1 &&
                      SSL_CTX_use_PrivateKey_file(context.get(), files.key_file.c_str(), SSL_FILETYPE_PEM) == 1));
  OtherTls other(std::move(context));
  for (int turns = 0; turns < 100 && SSL_do_handshake(other.ssl.get()) != 1; ++turns) other.end.turn();
  // Each asks for an answer.
  for (int i = 0; i < 1'000'000 && other.end.failure.empty(); ++i) {
    SSL_key_update(other.ssl.get(), SSL_KEY_UPDATE_REQUESTED);
    SSL_do_handshake(other.ssl.get());
    other.end.turn();
  }
  BOOST_TEST(other.end.failure == "cannot receive: No buffer space available");
  ERR_clear_error();
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::cluster
