// One connection, seen from both ends: what comes through, and what breaks it.
#include "cluster/link.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <memory>
#include <string>
#include <vector>

#include "cluster/address.h"
#include "cluster/loop_testing.h"
#include "resp/writer.h"

namespace capstan::cluster {

namespace {

using Role = Handshake::Role;

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
  End(TestLoop& loop, const LinkLimits& limits, int descriptor, Role role, Link::State state)
      : limits_(limits),
        room_(size_t{256} << 10),
        link_(loop.base(), *this, limits_, descriptor, state, "here",
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

// Two ends of one connection, or one end and a bare socket.
struct World {
  explicit World(LinkLimits of_accepting = {}) : limits(of_accepting) {
    int ends[2];
    BOOST_TEST_REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    accepting = std::make_unique<End>(loop, limits, ends[0], Role::kAccepting, Link::State::kConnected);
    other_descriptor = ends[1];
    loop.after_turn([this] {
      accepting->link().send();
      if (connecting) connecting->link().send();
    });
  }
  ~World() {
    if (!connecting) close_socket();
  }

  void connect() {
    connecting =
        std::make_unique<End>(loop, LinkLimits{}, other_descriptor, Role::kConnecting, Link::State::kConnecting);
  }
  void prove() {
    connect();
    BOOST_TEST_REQUIRE(loop.until([this] { return accepting->proven && connecting->proven; }));
  }
  // From the bare socket.
  void write(std::string_view bytes) {
    BOOST_TEST_REQUIRE(::send(other_descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
                       static_cast<ssize_t>(bytes.size()));
  }
  void close_socket() {
    if (other_descriptor >= 0) close(other_descriptor);
    other_descriptor = -1;
  }
  // Why the accepting end broke.
  std::string broken() {
    BOOST_TEST_REQUIRE(loop.until([this] { return !accepting->broken.empty(); }));
    BOOST_TEST(accepting->broken.size() == 1u);
    return accepting->broken[0];
  }
  // What a stranger gets for these bytes.
  static std::string refusal_of(std::string_view bytes) {
    World world;
    world.write(bytes);
    return world.broken();
  }

  TestLoop loop;
  LinkLimits limits;
  std::unique_ptr<End> accepting;
  std::unique_ptr<End> connecting;
  int other_descriptor;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(link_test)

BOOST_AUTO_TEST_CASE(two_ends_prove_who_they_are_and_exchange_messages) {
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

BOOST_AUTO_TEST_CASE(the_side_that_is_proven_first_may_send_at_once) {
  World world;
  world.connect();
  BOOST_TEST_REQUIRE(world.loop.until([&] { return world.accepting->proven; }));
  // Leaves together with the proof that the other side waits for.
  for (int i = 0; i < 1000; ++i) world.accepting->append(array({"early", std::string(100, 'x')}));
  BOOST_TEST_REQUIRE(world.loop.until([&] { return world.connecting->messages.size() == 1000; }));
}

BOOST_AUTO_TEST_CASE(pieces_do_not_matter) {
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

BOOST_AUTO_TEST_CASE(a_message_may_be_larger_than_what_may_wait_behind_it) {
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

BOOST_AUTO_TEST_CASE(a_message_above_the_limit_breaks_the_link_as_soon_as_it_is_announced) {
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

BOOST_AUTO_TEST_CASE(many_small_words_are_a_large_message_too) {
  LinkLimits limits;
  limits.max_message_bytes = 1000;
  World world(limits);
  world.prove();
  std::string bytes = "*1000\r\n";
  for (int i = 0; i < 1000; ++i) bytes += "$0\r\n\r\n";
  world.connecting->append(bytes);
  BOOST_TEST(says(world.broken(), "its message is too large"));
}

BOOST_AUTO_TEST_CASE(a_peer_that_does_not_read_is_as_good_as_gone) {
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

BOOST_AUTO_TEST_CASE(garbage_breaks_it_before_the_proof_and_after) {
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

BOOST_AUTO_TEST_CASE(a_stranger_may_send_four_kilobytes) {
  BOOST_TEST(says(World::refusal_of("*6\r\n$5\r\nhello\r\n$1\r\n1\r\n$5000\r\n"), "too large"));
  BOOST_TEST(says(World::refusal_of("*6\r\n$5\r\nhello\r\n$1\r\n1\r\n$4090\r\n"), "too large"));
  BOOST_TEST(says(World::refusal_of("*100000\r\n"), "no RESP array"));
  const std::string hello = array({"hello", "1", "capstan", "n1", "0123456789abcdef", "process!"});
  BOOST_TEST(says(World::refusal_of(hello + array({"proof", std::string(3900, 'x')})), "proves nothing"));
  BOOST_TEST(says(World::refusal_of(hello + array({"proof", std::string(4040, 'x')})), "too large"));
}

BOOST_AUTO_TEST_CASE(arrays_without_words_count_for_a_stranger) {
  World world;
  const auto no_more = [&] {
    if (world.accepting->broken.empty()) world.write("*0\r\n*0\r\n");
    return !world.accepting->broken.empty();
  };
  BOOST_TEST_REQUIRE(world.loop.until(no_more));
  BOOST_TEST(says(world.broken(), "too large"));
}

BOOST_AUTO_TEST_CASE(the_end_of_the_other_side_is_noticed_at_once) {
  World world;
  world.prove();
  world.connecting->link().close(Error{ErrorCode::kIo, "enough"});
  BOOST_TEST(world.connecting->broken[0] == "enough");
  BOOST_TEST(world.broken() == "it closed the connection");
  BOOST_TEST((world.accepting->code == ErrorCode::kIo));
}

BOOST_AUTO_TEST_CASE(messages_before_the_end_are_delivered) {
  World world;
  world.prove();
  for (int i = 0; i < 10; ++i) world.connecting->append(array({"last words"}));
  world.connecting->link().send();
  world.connecting->link().close(Error{ErrorCode::kIo, "enough"});
  world.broken();
  BOOST_TEST(world.accepting->messages.size() == 10u);
}

BOOST_AUTO_TEST_CASE(sending_to_who_is_gone_is_no_signal) {
  World world;
  world.prove();
  world.connecting->link().close(Error{ErrorCode::kIo, "enough"});
  world.accepting->append(array({"hello?"}));
  world.accepting->link().send();
  world.broken();
}

BOOST_AUTO_TEST_CASE(a_link_may_be_closed_in_a_message) {
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
  World silent(limits);
  BOOST_TEST(silent.broken() == "no answer in time: it said no hello");
  BOOST_TEST(!silent.accepting->link().heard());
  World slow(limits);
  slow.write(array({"hello", "1", "capstan", "n1", "0123456789abcdef", "process!"}));
  BOOST_TEST(says(slow.broken(), "no answer in time: it said hello, but proved nothing"));
  BOOST_TEST(slow.accepting->link().heard());
}

BOOST_AUTO_TEST_CASE(the_deadline_is_over_with_the_proof) {
  LinkLimits limits;
  limits.handshake_timeout_ms = 20;
  World world(limits);
  world.prove();
  World later(limits);  // its deadline passes after the other's
  later.broken();
  world.loop.turn();
  BOOST_TEST(world.accepting->broken.empty());
}

BOOST_AUTO_TEST_CASE(a_stranger_that_leaves_is_described) {
  World world;
  world.close_socket();
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
  End end(loop, LinkLimits{}, *descriptor, Role::kConnecting, Link::State::kConnecting);
  BOOST_TEST_REQUIRE(loop.until([&] { return !end.broken.empty(); }));
  BOOST_TEST(end.broken[0] == "cannot connect: Connection refused");
  close(bound);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::cluster
