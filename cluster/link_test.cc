// One connection, seen from both ends: what comes through, and what breaks it. Plain and with TLS.
#include "cluster/link.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "cluster/address.h"
#include "cluster/loop_testing.h"
#include "cluster/tls_testing.h"
#include "resp/writer.h"

namespace capstan::cluster {

namespace {

using Role = Handshake::Role;
using Side = Channel::Side;

Nodes nodes_as(const std::string& me) {
  Nodes nodes;
  nodes.me = me;
  nodes.all = {{"n1", "h1", 7001, 17001, ""}, {"n2", "h2", 7001, 17001, ""}};
  nodes.secret = "secret";
  return nodes;
}

const Nodes kFirst = nodes_as("n1");
const Nodes kSecond = nodes_as("n2");

std::string array(std::initializer_list<std::string_view> words) {
  resp::OutputBuffer out;
  resp::Writer writer(out, resp::Protocol::kResp2);
  writer.array(words.size());
  for (const std::string_view word : words) writer.bulk(word);
  return std::string(out.view());
}

bool says(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

// One end: a link and what its owner was told.
class End : private Link::Owner {
 public:
  End(TestLoop& loop, const LinkLimits& limits, Channel channel, Role role, Link::State state)
      : limits_(limits),
        room_(size_t{256} << 10),
        link_(loop.base(), *this, limits_, std::move(channel), state, "here",
              Handshake(role, role == Role::kConnecting ? kFirst : kSecond, role == Role::kConnecting ? "n2" : "",
                        Nonce{}, 7)) {}

  Link& link() { return link_; }
  void append(std::string_view bytes) {
    resp::OutputBuffer* const out = link_.begin();
    BOOST_TEST_REQUIRE((out != nullptr));
    out->append(bytes);
  }
  bool close_at_message = false;
  bool proven = false;
  std::vector<std::vector<std::string>> messages;
  std::vector<std::string> broken;
  ErrorCode code = ErrorCode::kNotFound;

 private:
  std::span<char> receive_room() override { return room_; }
  void on_proven(Link&) override { proven = true; }
  void on_message(Link& link, std::span<const std::string_view> words) override {
    messages.emplace_back(words.begin(), words.end());
    if (close_at_message) link.close(Error{ErrorCode::kInvalid, "I do not like it"});
  }
  void on_broken(Link& link, const Error& why) override {
    BOOST_TEST(link.dead());
    broken.push_back(why.message);
    code = why.code;
  }

  const LinkLimits limits_;
  std::vector<char> room_;
  Link link_;
};

std::pair<int, int> socket_pair() {
  int ends[2];
  BOOST_TEST_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
  return {ends[0], ends[1]};
}

// Two ends of one connection, or one end and a stranger at the other. Of what kind the two are, and what may be
// different if it is not the same.
struct MixedWorld {
  using Context = std::shared_ptr<const TlsContext>;

  MixedWorld(const Context& of_accepting, Context of_other, const LinkLimits& of_limits = {})
      : limits(of_limits), other_context(std::move(of_other)) {
    accepting = std::make_unique<End>(loop, limits, Channel(sockets.first, of_accepting.get(), Side::kAccepting),
                                      Role::kAccepting, Link::State::kConnected);
    stranger = std::make_unique<Channel>(sockets.second, other_context.get(), Side::kConnecting);
    loop.after_turn([this] {
      ++turns;
      accepting->link().send();
      if (connecting) connecting->link().send();
    });
  }

  // The other end becomes a link.
  void connect() {
    connecting =
        std::make_unique<End>(loop, LinkLimits{}, std::move(*stranger), Role::kConnecting, Link::State::kConnecting);
  }
  void prove() {
    connect();
    BOOST_TEST_REQUIRE(loop.until([this] { return accepting->proven && connecting->proven; }));
  }
  // From the stranger; as much as there is time for.
  void write(std::string_view bytes) {
    BOOST_TEST_REQUIRE(loop.until([&] {
      char ignored[1000];
      stranger->receive(ignored);
      const ssize_t sent = stranger->send(bytes);
      if (sent > 0) bytes.remove_prefix(static_cast<size_t>(sent));
      return bytes.empty() || !accepting->broken.empty();
    }));
  }
  // Why the accepting end broke.
  std::string broken() { return broken(*accepting); }
  std::string broken(const End& end) {
    BOOST_TEST_REQUIRE(loop.until([&] { return !end.broken.empty(); }));
    BOOST_TEST(end.broken.size() == 1u);
    return end.broken[0];
  }

  TestLoop loop;
  int turns = 0;
  const LinkLimits limits;
  const Context other_context;
  const std::pair<int, int> sockets = socket_pair();
  std::unique_ptr<End> accepting;
  std::unique_ptr<End> connecting;
  std::unique_ptr<Channel> stranger;
};

// Both are of the same kind.
template <typename Kind>
struct WorldOf : MixedWorld {
  explicit WorldOf(const LinkLimits& of_accepting = {}) : MixedWorld(Kind::context(), Kind::context(), of_accepting) {}

  // What a stranger gets for these bytes.
  static std::string refusal_of(std::string_view bytes) {
    WorldOf world;
    world.write(bytes);
    return world.broken();
  }
};

using PlainWorld = WorldOf<PlainChannels>;
using TlsWorld = WorldOf<TlsChannels>;
using Worlds = std::tuple<PlainWorld, TlsWorld>;

}  // namespace

BOOST_AUTO_TEST_SUITE(link_test)

BOOST_AUTO_TEST_CASE_TEMPLATE(two_ends_prove_who_they_are_and_exchange_messages, World, Worlds) {
  World world;
  world.prove();
  BOOST_TEST(world.accepting->link().peer() == "n1");
  BOOST_TEST(world.connecting->link().peer() == "n2");
  world.connecting->append(array({"raft", "1"}));
  world.connecting->append(array({"other", ""}));
  world.accepting->append(array({"answer"}));
  BOOST_TEST_REQUIRE(world.loop.until(
      [&] { return world.accepting->messages.size() == 2 && world.connecting->messages.size() == 1; }));
  BOOST_TEST((world.accepting->messages[0] == std::vector<std::string>{"raft", "1"}));
  BOOST_TEST((world.accepting->messages[1] == std::vector<std::string>{"other", ""}));
  BOOST_TEST((world.connecting->messages[0] == std::vector<std::string>{"answer"}));
  BOOST_TEST(world.connecting->link().backlog() == 0u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(the_side_that_is_proven_first_may_send_at_once, World, Worlds) {
  World world;
  world.connect();
  BOOST_TEST_REQUIRE(world.loop.until([&] { return world.accepting->proven; }));
  // Leaves together with the proof that the other side waits for.
  for (int i = 0; i < 1000; ++i) world.accepting->append(array({"early", std::string(100, 'x')}));
  BOOST_TEST_REQUIRE(world.loop.until([&] { return world.connecting->messages.size() == 1000; }));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(pieces_do_not_matter, World, Worlds) {
  World world;
  world.prove();
  const std::string bytes = array({"one", "word"}) + array({"two", std::string(1000, 'x')});
  for (const char byte : bytes) {
    world.connecting->append({&byte, 1});
    world.connecting->link().send();
    world.loop.turn();
  }
  BOOST_TEST_REQUIRE(world.loop.until([&] { return world.accepting->messages.size() == 2; }));
  BOOST_TEST(world.accepting->messages[1][1] == std::string(1000, 'x'));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_message_may_be_larger_than_what_may_wait_behind_it, World, Worlds) {
  LinkLimits limits;
  limits.max_backlog_bytes = 64 << 10;
  World world(limits);
  world.prove();
  const std::string large(20 << 20, 'x');
  world.accepting->append(array({"large", large}));
  world.accepting->link().send();
  BOOST_TEST(world.accepting->link().backlog() > 64u << 10);
  for (int i = 0; i < 100; ++i) world.accepting->append(array({"small"}));
  BOOST_TEST_REQUIRE(world.loop.until([&] { return world.connecting->messages.size() == 101; }));
  BOOST_TEST((world.connecting->messages[0][1] == large));
  BOOST_TEST(world.accepting->broken.empty());
}

BOOST_AUTO_TEST_CASE_TEMPLATE(large_and_small_messages_go_both_ways_at_once_through_small_buffers, World, Worlds) {
  World world;
  for (const int descriptor : {world.sockets.first, world.sockets.second}) {
    const int bytes = 1;  // as small as the system lets them be
    BOOST_TEST_REQUIRE(setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) == 0);
  }
  world.prove();
  const std::string large(2 << 20, 'x');
  constexpr size_t kSmall = 10'000;
  for (End* const end : {world.accepting.get(), world.connecting.get()}) {
    end->append(array({"large", large}));
    for (size_t i = 0; i < kSmall; ++i) end->append(array({"small", std::to_string(i)}));
    end->append(array({"large", large}));
  }
  BOOST_TEST_REQUIRE(world.loop.until([&] {
    return world.accepting->messages.size() == kSmall + 2 && world.connecting->messages.size() == kSmall + 2;
  }));
  for (const End* const end : {world.accepting.get(), world.connecting.get()}) {
    BOOST_TEST((end->messages.front()[1] == large && end->messages.back()[1] == large));
    for (size_t i = 0; i < kSmall; ++i) BOOST_TEST_REQUIRE(end->messages[i + 1][1] == std::to_string(i));
  }
  BOOST_TEST(world.accepting->link().backlog() + world.connecting->link().backlog() == 0u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_message_above_the_limit_breaks_the_link_as_soon_as_it_is_announced, World, Worlds) {
  LinkLimits limits;
  limits.max_message_bytes = 1000;
  World world(limits);
  world.prove();
  world.connecting->append(array({"fits", std::string(900, 'x')}));
  BOOST_TEST_REQUIRE(world.loop.until([&] { return world.accepting->messages.size() == 1; }));
  world.connecting->append("*2\r\n$3\r\nbig\r\n$990\r\n");
  BOOST_TEST(says(world.broken(), "its message is too large"));
  BOOST_TEST(world.accepting->messages.size() == 1u);
  BOOST_TEST_REQUIRE(world.loop.until([&] { return !world.connecting->broken.empty(); }));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(many_small_words_are_a_large_message_too, World, Worlds) {
  LinkLimits limits;
  limits.max_message_bytes = 1000;
  World world(limits);
  world.prove();
  std::string bytes = "*1000\r\n";
  for (int i = 0; i < 1000; ++i) bytes += "$0\r\n\r\n";
  world.connecting->append(bytes);
  BOOST_TEST(says(world.broken(), "its message is too large"));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_peer_that_does_not_read_is_as_good_as_gone, World, Worlds) {
  LinkLimits limits;
  limits.max_backlog_bytes = 1 << 20;
  World world(limits);
  world.prove();
  const std::string message = array({"m", std::string(1000, 'x')});
  while (resp::OutputBuffer* const out = world.accepting->link().begin()) {
    out->append(message);
    BOOST_TEST_REQUIRE(world.accepting->link().backlog() <= (1u << 20) + 2 * message.size());
  }
  BOOST_TEST(world.accepting->broken.empty());
  world.accepting->link().send();
  BOOST_TEST(says(world.broken(), "it does not read"));
  BOOST_TEST((world.accepting->code == ErrorCode::kFull));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(garbage_breaks_it_before_the_proof_and_after, World, Worlds) {
  BOOST_TEST(says(World::refusal_of("GET / HTTP/1.1\r\n\r\n"), "no RESP array"));
  BOOST_TEST(says(World::refusal_of("\x16\x03\x01"), "no RESP array"));
  BOOST_TEST(says(World::refusal_of("*0\r\nPING\r\n"), "no RESP array"));
  BOOST_TEST(says(World::refusal_of("*1\r\n:5\r\n"), "no RESP array"));
  BOOST_TEST(says(World::refusal_of("*-5x\r\n"), "no RESP array"));
  BOOST_TEST(says(World::refusal_of("*1\r\n$4\r\nPING\r\n"), "does not say hello"));
  World world;
  world.prove();
  world.connecting->append(array({"right"}) + "wrong");
  BOOST_TEST(says(world.broken(), "no RESP array"));
  BOOST_TEST(world.accepting->messages.size() == 1u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_stranger_may_send_four_kilobytes, World, Worlds) {
  BOOST_TEST(says(World::refusal_of("*6\r\n$5\r\nhello\r\n$1\r\n1\r\n$5000\r\n"), "too large"));
  BOOST_TEST(says(World::refusal_of("*6\r\n$5\r\nhello\r\n$1\r\n1\r\n$4090\r\n"), "too large"));
  BOOST_TEST(says(World::refusal_of("*100000\r\n"), "no RESP array"));
  const std::string hello = array({"hello", "1", "capstan", "n1", "0123456789abcdef", "process!"});
  BOOST_TEST(says(World::refusal_of(hello + array({"proof", std::string(3900, 'x')})), "proves nothing"));
  BOOST_TEST(says(World::refusal_of(hello + array({"proof", std::string(4040, 'x')})), "too large"));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(arrays_without_words_count_for_a_stranger, World, Worlds) {
  World world;
  const auto no_more = [&] {
    if (world.accepting->broken.empty()) world.write("*0\r\n*0\r\n");
    return !world.accepting->broken.empty();
  };
  BOOST_TEST_REQUIRE(world.loop.until(no_more));
  BOOST_TEST(says(world.broken(), "too large"));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(the_end_of_the_other_side_is_noticed_at_once, World, Worlds) {
  World world;
  world.prove();
  world.connecting->link().close(Error{ErrorCode::kIo, "enough"});
  BOOST_TEST(world.connecting->broken[0] == "enough");
  BOOST_TEST(world.broken() == "it closed the connection");
  BOOST_TEST((world.accepting->code == ErrorCode::kIo));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(messages_before_the_end_are_delivered, World, Worlds) {
  World world;
  world.prove();
  for (int i = 0; i < 10; ++i) world.connecting->append(array({"last words"}));
  world.connecting->link().send();
  world.connecting->link().close(Error{ErrorCode::kIo, "enough"});
  world.broken();
  BOOST_TEST(world.accepting->messages.size() == 10u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(sending_to_who_is_gone_is_no_signal, World, Worlds) {
  World world;
  world.prove();
  world.connecting->link().close(Error{ErrorCode::kIo, "enough"});
  world.accepting->append(array({"hello?"}));
  world.accepting->link().send();
  world.broken();
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_link_may_be_closed_in_a_message, World, Worlds) {
  World world;
  world.prove();
  world.accepting->close_at_message = true;
  for (int i = 0; i < 3; ++i) world.connecting->append(array({"m"}));
  BOOST_TEST(world.broken() == "I do not like it");
  BOOST_TEST(world.accepting->messages.size() == 1u);
}

BOOST_AUTO_TEST_CASE(who_proves_nothing_in_time_is_closed) {
  LinkLimits limits;
  limits.handshake_timeout_ms = 20;
  PlainWorld silent(limits);
  BOOST_TEST(silent.broken() == "no answer in time: it said no hello");
  BOOST_TEST(!silent.accepting->link().heard());
  PlainWorld slow(limits);
  slow.write(array({"hello", "1", "capstan", "n1", "0123456789abcdef", "process!"}));
  BOOST_TEST(says(slow.broken(), "no answer in time: it said hello, but proved nothing"));
  BOOST_TEST(slow.accepting->link().heard());
}

BOOST_AUTO_TEST_CASE(the_deadline_is_over_with_the_proof) {
  LinkLimits limits;
  limits.handshake_timeout_ms = 20;
  PlainWorld world(limits);
  world.prove();
  PlainWorld later(limits);  // its deadline passes after the other's
  later.broken();
  world.loop.turn();
  BOOST_TEST(world.accepting->broken.empty());
}

BOOST_AUTO_TEST_CASE(a_stranger_that_leaves_is_described) {
  PlainWorld world;
  world.stranger.reset();
  BOOST_TEST(world.broken() == "it closed the connection: it said no hello");
}

BOOST_AUTO_TEST_CASE(a_connection_that_is_refused_breaks_the_link) {
  TestLoop loop;
  const Result<std::vector<SocketAddress>> address = resolve("127.0.0.1", 0);
  BOOST_TEST_REQUIRE(address.ok());
  SocketAddress nobody = address->front();
  const int bound = socket(AF_INET, SOCK_STREAM, 0);  // bound, so that nobody else listens there
  BOOST_TEST_REQUIRE(bind(bound, nobody.get(), nobody.size) == 0);
  BOOST_TEST_REQUIRE(getsockname(bound, nobody.get(), &nobody.size) == 0);
  const Result<int> descriptor = connect_to(nobody);
  BOOST_TEST_REQUIRE(descriptor.ok());
  End end(loop, LinkLimits{}, Channel(*descriptor, nullptr, Side::kConnecting), Role::kConnecting,
          Link::State::kConnecting);
  BOOST_TEST_REQUIRE(loop.until([&] { return !end.broken.empty(); }));
  BOOST_TEST(end.broken[0] == "cannot connect: Connection refused");
  close(bound);
}

// ---- TLS

constexpr std::string_view kNoHandshake = "it did not finish the TLS handshake; is tls-cluster the same on both nodes?";

BOOST_AUTO_TEST_CASE(a_plain_node_and_one_with_tls_refuse_each_other) {
  const std::string tls_at_a_plain_node =
      "it sent bytes that are no RESP array, but TLS; is tls-cluster the same on both nodes?";
  MixedWorld plain_connects(TlsChannels::context(), nullptr);
  plain_connects.connect();
  BOOST_TEST(plain_connects.broken() == "it does not speak TLS; is tls-cluster the same on both nodes?");
  BOOST_TEST(plain_connects.accepting->link().heard());
  BOOST_TEST(plain_connects.broken(*plain_connects.connecting) == tls_at_a_plain_node);
  MixedWorld tls_connects(nullptr, TlsChannels::context());
  tls_connects.connect();
  BOOST_TEST(tls_connects.broken() == tls_at_a_plain_node);
  BOOST_TEST(tls_connects.broken(*tls_connects.connecting) == "it closed the connection: " + std::string(kNoHandshake));
}

BOOST_AUTO_TEST_CASE(a_node_of_a_foreign_authority_is_refused) {
  MixedWorld world(TlsChannels::context(), foreign_authority().context("n1"));
  world.connect();
  BOOST_TEST(world.broken(*world.connecting) ==
             "its certificate is refused: self-signed certificate in certificate chain");
  BOOST_TEST(world.broken() == "it refuses to speak TLS with this node: tlsv1 alert unknown ca");
  BOOST_TEST((world.accepting->code == ErrorCode::kInvalid && world.connecting->code == ErrorCode::kInvalid));
  BOOST_TEST((!world.accepting->proven && !world.connecting->proven));
}

// A plain connection leaves that to who runs the network.
BOOST_AUTO_TEST_CASE_TEMPLATE(nobody_between_two_nodes_can_pass_proofs_on, World, Worlds) {
  World world;
  const auto [end, between] = socket_pair();
  world.connecting =
      std::make_unique<End>(world.loop, LinkLimits{}, Channel(end, world.other_context.get(), Side::kConnecting),
                            Role::kConnecting, Link::State::kConnecting);
  Channel other(between, world.other_context.get(), Side::kAccepting);
  std::string there;
  std::string back;
  const auto pass = [](Channel& from, Channel& to, std::string& bytes) {
    char room[1000];
    const ssize_t received = from.receive(room);
    if (received > 0) bytes.append(room, static_cast<size_t>(received));
    const ssize_t sent = bytes.empty() ? 0 : to.send(bytes);
    if (sent > 0) bytes.erase(0, static_cast<size_t>(sent));
  };
  BOOST_TEST_REQUIRE(world.loop.until([&] {
    pass(other, *world.stranger, there);
    pass(*world.stranger, other, back);
    return world.accepting->proven || !world.accepting->broken.empty();
  }));
  if (world.other_context == nullptr) {
    BOOST_TEST(world.accepting->proven);
  } else {
    BOOST_TEST(world.broken() == "it calls itself n1, but does not know the cluster's secret");
  }
}

BOOST_AUTO_TEST_CASE(a_handshake_that_has_no_room_to_write_waits_for_it) {
  TlsWorld world;
  const auto waits = [&world] { return event_base_get_num_events(world.loop.base(), EVENT_BASE_COUNT_ADDED); };
  const int at_first = waits();
  char room[100'000];
  world.stranger->receive(room);  // sends its hello
  // Fills the accepting side's way.
  const std::string filler(100'000, 'x');
  while (::send(world.sockets.first, filler.data(), filler.size(), 0) > 0) {
  }
  BOOST_TEST_REQUIRE(world.loop.until([&] { return world.accepting->link().backlog() > 0; }));
  BOOST_TEST(waits() == at_first + 1);
  while (recv(world.sockets.second, room, sizeof room, 0) > 0) {
  }
  BOOST_TEST_REQUIRE(world.loop.until([&] {
    world.stranger->receive(room);
    return !world.stranger->handshaking();
  }));
  BOOST_TEST(world.accepting->link().backlog() == 0u);
  BOOST_TEST(waits() == at_first);
}

// The loop of a test turns every few milliseconds, and else only for something.
BOOST_AUTO_TEST_CASE(half_a_handshake_ends_in_time_and_costs_nothing) {
  constexpr int kManyTurns = 500;
  LinkLimits limits;
  limits.handshake_timeout_ms = 100;
  MixedWorld world(TlsChannels::context(), nullptr, limits);
  world.write(std::string("\x16\x03\x01\x02\x00\x01", 6));
  BOOST_TEST(world.broken() == "no answer in time: " + std::string(kNoHandshake));
  BOOST_TEST(world.turns < kManyTurns);
  // Who connects has something to send meanwhile.
  const auto [socket, silent] = socket_pair();
  world.connecting =
      std::make_unique<End>(world.loop, limits, Channel(socket, TlsChannels::context().get(), Side::kConnecting),
                            Role::kConnecting, Link::State::kConnecting);
  BOOST_TEST(world.broken(*world.connecting) == "no answer in time: " + std::string(kNoHandshake));
  BOOST_TEST(world.turns < 2 * kManyTurns);
  close(silent);
}

BOOST_AUTO_TEST_CASE(who_leaves_in_the_handshake_is_described) {
  TlsWorld silent;
  silent.stranger.reset();
  BOOST_TEST(silent.broken() == "it closed the connection: " + std::string(kNoHandshake));
  BOOST_TEST(!silent.accepting->link().heard());
  MixedWorld halfway(TlsChannels::context(), nullptr);
  halfway.write("\x16\x03\x01");
  halfway.stranger.reset();
  BOOST_TEST(halfway.broken() == "it closed the connection: " + std::string(kNoHandshake));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::cluster
