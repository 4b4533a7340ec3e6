// Several nodes in one process, over real sockets of the loopback: they find each other, talk, break and come back.
// Over plain connections and over TLS.
#include "cluster/links.h"

#include <sys/socket.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "base/random.h"
#include "base/random_testing.h"
#include "cluster/loop_testing.h"
#include "cluster/tls_testing.h"
#include "resp/writer.h"

namespace capstan::cluster {

namespace {

constexpr uint16_t kFirstClusterPort = 17001;

// An address of the loopback that no other test process uses at the same time.
std::string own_host(unsigned number = 1) {
  const auto process = static_cast<unsigned>(getpid());
  return "127." + std::to_string(64 + (process >> 14) % 64) + "." + std::to_string((process >> 6) % 256) + "." +
         std::to_string(process % 64 * 4 + number);
}

Nodes nodes_as(const std::string& me, size_t count) {
  Nodes nodes;
  nodes.me = me;
  for (size_t i = 0; i < count; ++i) {
    nodes.all.push_back({"n" + std::to_string(i + 1), own_host(), static_cast<uint16_t>(7001 + i),
                         static_cast<uint16_t>(kFirstClusterPort + i), ""});
  }
  nodes.secret = "secret";
  return nodes;
}

bool says(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

// A node: its links and what they have told.
struct Member {
  Member(TestLoop& on, Nodes list, const LinksOptions& options = {}, uint64_t seed = 1)
      : loop(on), links(std::move(list), options, callbacks(), seed) {}

  Result<> start() { return links.start(loop.base()); }

  Links::Callbacks callbacks() {
    return {.up =
                [this](const std::string& node) {
                  events.push_back("up " + node);
                  if (on_up) on_up(node);
                },
            .down =
                [this](const std::string& node) {
                  events.push_back("down " + node);
                  if (on_down) on_down(node);
                },
            .message =
                [this](const std::string& node, std::span<const std::string_view> words) {
                  if (on_message) return on_message(node, words);
                  std::string text = node + ":";
                  for (const std::string_view word : words) text.append(" ").append(word);
                  messages.push_back(text);
                },
            .report = [this](const std::string& what) { reports.push_back(what); }};
  }

  // False: not connected, or it does not read.
  bool send(const std::string& node, std::initializer_list<std::string_view> words,
            Link::Lane lane = Link::Lane::kOrdered) {
    resp::OutputBuffer* const out = links.begin(node, lane);
    if (out == nullptr) return false;
    resp::Writer writer(*out, resp::Protocol::kResp2);
    writer.array(words.size());
    for (const std::string_view word : words) writer.bulk(word);
    return true;
  }

  bool has_reported(std::string_view part) const {
    return std::any_of(reports.begin(), reports.end(),
                       [part](const std::string& report) { return says(report, part); });
  }

  TestLoop& loop;
  std::vector<std::string> events;
  std::vector<std::string> messages;
  std::vector<std::string> reports;
  std::function<void(const std::string&)> on_up;
  std::function<void(const std::string&)> on_down;
  std::function<void(const std::string&, std::span<const std::string_view>)> on_message;
  Links links;
};

// Nodes n1 … of one loop. `other_loop`: for nodes that are to stand still.
template <typename Kind>
class WorldOf {
 public:
  WorldOf() {
    loop.after_turn([this] { flush(loop); });
    other_loop.after_turn([this] { flush(other_loop); });
  }

  static LinksOptions options() {
    LinksOptions made;
    made.tls = Kind::context();
    return made;
  }

  Member& add(const std::string& me, size_t count, const LinksOptions& options = WorldOf::options()) {
    return add(loop, nodes_as(me, count), options);
  }
  Member& add(TestLoop& on, Nodes nodes, const LinksOptions& options = WorldOf::options()) {
    const std::string me = nodes.me;
    auto& member = members_[me];
    BOOST_TEST_REQUIRE((member == nullptr));
    member = std::make_unique<Member>(on, std::move(nodes), options, members_.size());
    const Result<> started = member->start();
    BOOST_TEST_REQUIRE(started.ok(), (started.ok() ? "" : started.error().message));
    return *member;
  }
  // The process dies.
  void remove(const std::string& me) { members_.erase(me); }
  Member& operator[](const std::string& me) { return *members_.at(me); }

  bool all_connected() const {
    for (const auto& [me, member] : members_) {
      for (const auto& [other, _] : members_) {
        if (me != other && !member->links.connected(other)) return false;
      }
    }
    return true;
  }
  void connect_all() {
    BOOST_TEST_REQUIRE(loop.until([this] { return all_connected(); }));
  }
  void two_nodes() {
    add("n1", 2);
    add("n2", 2);
    connect_all();
  }

  TestLoop loop;
  TestLoop other_loop;

 private:
  void flush(TestLoop& of) {
    for (const auto& [_, member] : members_) {
      if (&member->loop == &of) member->links.flush();
    }
  }

  std::map<std::string, std::unique_ptr<Member>> members_;
};

using PlainWorld = WorldOf<PlainChannels>;
using TlsWorld = WorldOf<TlsChannels>;
using Worlds = std::tuple<PlainWorld, TlsWorld>;

// A stranger's socket, connected to the cluster port of n1.
class Stranger {
 public:
  Stranger() {
    const Result<std::vector<SocketAddress>> address = resolve(own_host(), kFirstClusterPort);
    BOOST_TEST_REQUIRE(address.ok());
    const Result<int> made = connect_to(address->front());
    BOOST_TEST_REQUIRE(made.ok());
    descriptor_ = *made;
  }
  ~Stranger() { close(descriptor_); }
  Stranger(const Stranger&) = delete;
  Stranger& operator=(const Stranger&) = delete;

  // False: not connected yet.
  bool write(std::string_view bytes) const {
    return ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }
  bool is_closed() const {
    char byte;
    const ssize_t bytes = recv(descriptor_, &byte, 1, 0);
    return bytes == 0 || (bytes < 0 && errno == ECONNRESET);
  }

 private:
  int descriptor_;
};

using Texts = std::vector<std::string>;

}  // namespace

BOOST_AUTO_TEST_SUITE(links_test)

BOOST_AUTO_TEST_CASE_TEMPLATE(nodes_that_start_together_are_all_connected_once, World, Worlds) {
  World world;
  for (const char* const me : {"n1", "n2", "n3", "n4", "n5"}) world.add(me, 5);
  world.connect_all();
  for (const char* const me : {"n1", "n2", "n3", "n4", "n5"}) {
    Member& member = world[me];
    BOOST_TEST(member.events.size() == 4u);
    for (const char* const other : {"n1", "n2", "n3", "n4", "n5"}) {
      if (std::string(me) != other) member.send(other, {"from", me});
    }
  }
  BOOST_TEST_REQUIRE(world.loop.until([&] {
    return world["n1"].messages.size() + world["n2"].messages.size() + world["n3"].messages.size() +
               world["n4"].messages.size() + world["n5"].messages.size() ==
           20;
  }));
  std::sort(world["n3"].messages.begin(), world["n3"].messages.end());
  BOOST_TEST((world["n3"].messages == Texts{"n1: from n1", "n2: from n2", "n4: from n4", "n5: from n5"}));
}

BOOST_AUTO_TEST_CASE(a_node_without_others_is_content) {
  PlainWorld world;
  Member& alone = world.add("n1", 1);
  alone.links.flush();
  BOOST_TEST(alone.events.empty());
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_node_that_starts_later_is_found, World, Worlds) {
  World world;
  Member& first = world.add("n1", 2);
  BOOST_TEST_REQUIRE(world.loop.until([&] { return first.has_reported("Connection refused"); }));
  world.add("n2", 2);
  world.connect_all();
  // Once, however often it tried.
  BOOST_TEST(first.reports.size() == 1u);
}

BOOST_AUTO_TEST_CASE(the_same_trouble_is_reported_once) {
  PlainWorld world;
  // In the place of n2 something that hears what is said and closes the connection.
  const Result<int> listener = listen_at(resolve(own_host(), kFirstClusterPort + 1)->front());
  BOOST_TEST_REQUIRE(listener.ok());
  Member& first = world.add("n1", 2);
  int accepted = -1;
  int closed = 0;
  BOOST_TEST_REQUIRE(world.loop.until([&] {
    if (accepted < 0) accepted = accept4(*listener, nullptr, nullptr, SOCK_NONBLOCK);
    char said[kMaxHandshakeBytes];
    if (accepted < 0 || recv(accepted, said, sizeof said, 0) <= 0) return false;
    close(accepted);
    accepted = -1;
    return ++closed == 5;
  }));
  BOOST_TEST(first.reports.size() == 1u);
  BOOST_TEST(first.has_reported("node n2 at " + own_host() + ":17002: it closed the connection: it said no hello"));
  close(*listener);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(messages_arrive_in_order_both_ways, World, Worlds) {
  World world;
  world.two_nodes();
  constexpr int kMessages = 20'000;
  std::map<std::string, int> received;
  bool in_order = true;
  for (const auto& [me, other] : {std::pair("n1", "n2"), std::pair("n2", "n1")}) {
    world[me].on_message = [&received, &in_order, to = me](const std::string&,
                                                           std::span<const std::string_view> words) {
      in_order = in_order && words.size() == 2 && words[1] == std::to_string(received[to]++);
    };
  }
  int sent = 0;
  BOOST_TEST_REQUIRE(world.loop.until([&] {
    for (int i = 0; i < 100 && sent < kMessages; ++i, ++sent) {
      world["n1"].send("n2", {"m", std::to_string(sent)});
      world["n2"].send("n1", {"m", std::to_string(sent)});
    }
    return received["n1"] == kMessages && received["n2"] == kMessages;
  }));
  BOOST_TEST(in_order);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_message_larger_than_the_backlog_arrives_and_others_behind_it, World, Worlds) {
  World world;
  world.two_nodes();
  const std::string large(80 << 20, 'x');
  bool same = false;
  bool behind = false;
  world["n2"].on_message = [&](const std::string&, std::span<const std::string_view> words) {
    (words[0] == "large" ? same : behind) = words[0] != "large" || words[1] == large;
  };
  BOOST_TEST(world["n1"].send("n2", {"large", large}));
  world["n1"].links.flush();
  BOOST_TEST(world["n1"].links.backlog("n2") > 64u << 20);
  BOOST_TEST(world["n1"].send("n2", {"small"}));
  BOOST_TEST_REQUIRE(world.loop.until([&] { return behind; }));
  BOOST_TEST(same);
  BOOST_TEST(world["n1"].links.backlog("n2") == 0u);
  BOOST_TEST((world["n1"].events == Texts{"up n2"}));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_node_that_dies_is_missed_at_once_and_found_again, World, Worlds) {
  World world;
  world.two_nodes();
  const uint64_t process = world["n1"].links.process_of("n2");
  BOOST_TEST(process == world["n2"].links.own_process());
  world.remove("n2");
  BOOST_TEST_REQUIRE(world.loop.until([&] { return !world["n1"].links.connected("n2"); }));
  BOOST_TEST((world["n1"].events == Texts{"up n2", "down n2"}));
  BOOST_TEST(!world["n1"].send("n2", {"m"}));
  BOOST_TEST(world["n1"].links.process_of("n2") == 0u);
  world.add("n2", 2);
  world.connect_all();
  BOOST_TEST((world["n1"].events == Texts{"up n2", "down n2", "up n2"}));
  BOOST_TEST(world["n1"].links.process_of("n2") != process);
  // The side that waits for connections sees the same.
  world.remove("n1");
  BOOST_TEST_REQUIRE(world.loop.until([&] { return !world["n2"].links.connected("n1"); }));
  world.add("n1", 2);
  world.connect_all();
  BOOST_TEST((world["n2"].events == Texts{"up n1", "down n1", "up n1"}));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_link_that_is_reset_comes_back, World, Worlds) {
  World world;
  world.two_nodes();
  for (const auto& [me, other] : {std::pair("n1", "n2"), std::pair("n2", "n1")}) {
    Member& member = world[me];
    member.events.clear();
    member.links.reset(other, "its messages make no sense");
    BOOST_TEST((member.events == Texts{std::string("down ") + other}));
    BOOST_TEST(member.has_reported("its messages make no sense"));
    BOOST_TEST_REQUIRE(world.loop.until([&] { return member.events.size() == 2; }));
    world.connect_all();
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_link_may_be_reset_by_its_own_message, World, Worlds) {
  World world;
  world.two_nodes();
  int count = 0;
  world["n2"].on_message = [&](const std::string& node, std::span<const std::string_view>) {
    if (++count == 1) world["n2"].links.reset(node, "no");
  };
  for (int i = 0; i < 3; ++i) world["n1"].send("n2", {"m"});
  BOOST_TEST_REQUIRE(world.loop.until([&] { return world["n2"].events.size() == 3; }));
  BOOST_TEST((world["n2"].events == Texts{"up n1", "down n1", "up n1"}));
  BOOST_TEST(count == 1);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(what_is_appended_when_a_link_breaks_leaves_in_the_same_flush, World, Worlds) {
  World world;
  for (const char* const me : {"n1", "n2", "n3"}) world.add(me, 3);
  world.connect_all();
  Member& second = world["n2"];
  second.on_down = [&](const std::string&) { second.send("n1", {"vote"}); };
  world.remove("n3");
  // The loop stands still: the flush itself finds out, when n1 had its turn already.
  while (second.links.connected("n3")) {
    second.send("n3", {"m"});
    second.links.flush();
  }
  BOOST_TEST(second.links.backlog("n1") == 0u);
  BOOST_TEST_REQUIRE(world.loop.until([&] { return !world["n1"].messages.empty(); }));
  BOOST_TEST(world["n1"].messages[0] == "n2: vote");
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_wrong_secret_is_refused, World, Worlds) {
  World world;
  Member& second = world.add("n2", 2);
  Nodes wrong = nodes_as("n1", 2);
  wrong.secret = "guess";
  Member& first = world.add(world.loop, wrong);
  BOOST_TEST_REQUIRE(world.loop.until([&] {
    return second.has_reported("it calls itself n1, but does not know the cluster's secret") &&
           first.has_reported("is the secret the same on both nodes");
  }));
  BOOST_TEST((first.events.empty() && second.events.empty()));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(another_cluster_is_refused, World, Worlds) {
  World world;
  Member& second = world.add("n2", 2);
  Nodes wrong = nodes_as("n1", 2);
  wrong.cluster_name = "other";
  Member& first = world.add(world.loop, wrong);
  BOOST_TEST_REQUIRE(world.loop.until([&] {
    return second.has_reported("belongs to the cluster other, this node to capstan") &&
           first.has_reported("belongs to the cluster capstan, this node to other");
  }));
  BOOST_TEST((first.events.empty() && second.events.empty()));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_peer_that_does_not_read_is_given_up_and_comes_back, World, Worlds) {
  World world;
  LinksOptions options = World::options();
  options.link.max_backlog_bytes = 1 << 20;
  Member& first = world.add("n1", 2, options);
  Member& second = world.add(world.other_loop, nodes_as("n2", 2));
  BOOST_TEST_REQUIRE(world.loop.until([&] {
    world.other_loop.turn();
    return first.links.connected("n2") && second.links.connected("n1");
  }));
  // Only one of the two loops is turned from now on.
  const std::string bytes(10'000, 'x');
  BOOST_TEST_REQUIRE(world.loop.until([&] {
    for (int i = 0; i < 50; ++i) first.send("n2", {"m", bytes});
    return first.events.size() == 2;
  }));
  BOOST_TEST((first.events == Texts{"up n2", "down n2"}));
  BOOST_TEST(first.has_reported("it does not read"));
  BOOST_TEST_REQUIRE(world.loop.until([&] {
    world.other_loop.turn();
    return first.links.connected("n2") && second.events.size() == 3;
  }));
  BOOST_TEST((second.events == Texts{"up n1", "down n1", "up n1"}));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_newer_connection_takes_the_place_of_an_older_one, World, Worlds) {
  World world;
  Member& second = world.add("n2", 2);
  // n1 has a link that it knows nothing of any more: here of a process that stands still.
  LinksOptions elsewhere = World::options();
  elsewhere.listen_host = own_host(2);
  Member frozen(world.other_loop, nodes_as("n1", 2), elsewhere);
  BOOST_TEST_REQUIRE(frozen.start().ok());
  BOOST_TEST_REQUIRE(world.loop.until([&] {
    world.other_loop.turn();
    frozen.links.flush();
    return second.links.connected("n1") && frozen.links.connected("n2");
  }));
  Member& first = world.add("n1", 2);
  BOOST_TEST_REQUIRE(world.loop.until([&] { return first.links.connected("n2") && second.events.size() == 3; }));
  BOOST_TEST((second.events == Texts{"up n1", "down n1", "up n1"}));
  BOOST_TEST(second.links.process_of("n1") == first.links.own_process());
  first.send("n2", {"m"});
  BOOST_TEST_REQUIRE(world.loop.until([&] { return second.messages.size() == 1; }));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(garbage_disturbs_nobody, World, Worlds) {
  World world;
  world.two_nodes();
  for (const char* const bytes :
       {"GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "\r\n", "*2\r\n$100000\r\n", "*1\r\n$4\r\nPING\r\n"}) {
    const Stranger stranger;
    BOOST_TEST_REQUIRE(world.loop.until([&] { return stranger.write(bytes); }));
    BOOST_TEST_REQUIRE(world.loop.until([&] { return stranger.is_closed(); }));
  }
  BOOST_TEST(world["n1"].links.unproven() == 0u);
  // Once, not for each: anybody can make them.
  const std::string what =
      World::options().tls == nullptr ? "it sent bytes that are no RESP array" : "it does not speak TLS";
  BOOST_TEST(std::count_if(world["n1"].reports.begin(), world["n1"].reports.end(),
                           [&what](const std::string& report) { return says(report, "was closed: " + what); }) == 1);
  world["n2"].send("n1", {"m"});
  BOOST_TEST_REQUIRE(world.loop.until([&] { return world["n1"].messages.size() == 1; }));
  BOOST_TEST((world["n1"].events == Texts{"up n2"}));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(silent_strangers_are_bounded_and_keep_no_node_out, World, Worlds) {
  World world;
  LinksOptions options = World::options();
  options.max_unproven = 8;
  options.link.handshake_timeout_ms = 600'000;
  // n1 connects itself; here it has to be the one that accepts.
  Nodes renamed = nodes_as("n1", 2);
  renamed.me = "n3";
  renamed.all[0].name = "n3";
  std::swap(renamed.all[0], renamed.all[1]);
  Member& third = world.add(world.loop, renamed, options);
  std::vector<std::unique_ptr<Stranger>> strangers;
  for (int i = 0; i < 20; ++i) strangers.push_back(std::make_unique<Stranger>());
  BOOST_TEST_REQUIRE(world.loop.until([&] {
    BOOST_TEST_REQUIRE(third.links.unproven() <= 8u);
    return std::all_of(strangers.begin(), strangers.begin() + 12, [](const auto& s) { return s->is_closed(); });
  }));
  BOOST_TEST(third.links.unproven() == 8u);
  renamed.me = "n2";
  world.add(world.loop, renamed);
  world.connect_all();
  BOOST_TEST(third.reports.empty());  // nobody said a word
}

BOOST_AUTO_TEST_CASE(a_port_in_use_is_an_error) {
  PlainWorld world;
  world.add("n1", 2);
  Member again(world.loop, nodes_as("n1", 2));
  const Result<> started = again.start();
  BOOST_TEST_REQUIRE(!started.ok());
  BOOST_TEST((started.error().code == ErrorCode::kExists));
  BOOST_TEST(started.error().message == "cluster port " + own_host() + ":17001: cannot bind: Address already in use");
}

BOOST_AUTO_TEST_CASE(a_name_that_nobody_knows_is_reported_and_tried_again) {
  PlainWorld world;
  Nodes nodes = nodes_as("n1", 2);
  nodes.all[1].host = std::string(70, 'x');  // too long for a label, so nobody is asked
  Member& first = world.add(world.loop, nodes);
  BOOST_TEST_REQUIRE(world.loop.until([&] { return first.has_reported("cannot resolve xxx"); }));
}

BOOST_AUTO_TEST_CASE(nodes_that_are_not_in_the_list_are_not_connected) {
  PlainWorld world;
  Member& first = world.add("n1", 2);
  for (const char* const name : {"n1", "n9", ""}) {
    BOOST_TEST(!first.links.connected(name));
    BOOST_TEST((first.links.begin(name) == nullptr));
    BOOST_TEST(first.links.backlog(name) == 0u);
    first.links.reset(name, "nothing happens");
  }
}

// ---- TLS

BOOST_AUTO_TEST_CASE(a_plain_node_and_one_with_tls_do_not_meet_and_say_why) {
  for (const bool first_is_plain : {true, false}) {
    PlainWorld world;
    Member& first = world.add("n1", 2, first_is_plain ? PlainWorld::options() : TlsWorld::options());
    Member& second = world.add("n2", 2, first_is_plain ? TlsWorld::options() : PlainWorld::options());
    BOOST_TEST_REQUIRE(world.loop.until([&] {
      return first.has_reported("is tls-cluster the same on both nodes?") &&
             second.has_reported("is tls-cluster the same on both nodes?");
    }));
    BOOST_TEST((first.events.empty() && second.events.empty()));
  }
}

BOOST_AUTO_TEST_CASE(a_node_of_a_foreign_authority_is_refused) {
  TlsWorld world;
  LinksOptions foreign;
  foreign.tls = foreign_authority().context("n1");
  Member& second = world.add("n2", 2);
  Member& first = world.add("n1", 2, foreign);
  BOOST_TEST_REQUIRE(world.loop.until([&] {
    return first.has_reported("node n2 at " + own_host() + ":17002: its certificate is refused: ") &&
           second.has_reported("was closed: it refuses to speak TLS with this node: ");
  }));
  BOOST_TEST((first.events.empty() && second.events.empty()));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(urgent_messages_overtake_a_large_one, World, Worlds) {
  World world;
  world.two_nodes();
  std::vector<std::string> order;
  const std::string large(size_t{20} << 20, 'x');
  world["n2"].on_message = [&](const std::string&, std::span<const std::string_view> words) {
    order.emplace_back(words[0]);
    if (words[0] == "large") BOOST_TEST(words[1] == large);
  };
  BOOST_TEST_REQUIRE(world["n1"].send("n2", {"before", ""}));
  BOOST_TEST_REQUIRE(world["n1"].send("n2", {"large", large}));
  BOOST_TEST_REQUIRE(world["n1"].send("n2", {"after", ""}));
  BOOST_TEST_REQUIRE(world["n1"].send("n2", {"urgent 1", ""}, Link::Lane::kUrgent));
  BOOST_TEST_REQUIRE(world["n1"].send("n2", {"urgent 2", ""}, Link::Lane::kUrgent));
  BOOST_TEST_REQUIRE(world.loop.until([&] { return order.size() >= 2; }));
  BOOST_TEST_REQUIRE(world["n1"].send("n2", {"urgent 3", ""}, Link::Lane::kUrgent));
  BOOST_TEST_REQUIRE(world.loop.until([&] { return order.size() == 6; }));
  const std::vector<std::string> expected = {"urgent 1", "urgent 2", "before", "urgent 3", "large", "after"};
  BOOST_TEST(order == expected, boost::test_tools::per_element());
  BOOST_TEST(world["n1"].links.backlog("n2") == 0u);
}

// The proof that ends the handshake is on its way when the first message is.
BOOST_AUTO_TEST_CASE_TEMPLATE(nothing_overtakes_the_handshake, World, Worlds) {
  World world;
  for (const char* const me : {"n1", "n2"}) {
    Member& member = world.add(me, 2);
    member.on_up = [&member](const std::string& node) {
      BOOST_TEST(member.send(node, {"urgent"}, Link::Lane::kUrgent));
    };
  }
  BOOST_TEST_REQUIRE(world.loop.until([&] { return world["n1"].messages.size() + world["n2"].messages.size() == 2; }));
  for (const char* const node : {"n1", "n2"}) BOOST_TEST(!world[node].has_reported("RESP"));
}

// Sizes around that of a piece, both lanes, both ways: each lane keeps its order, and nothing is lost or changed.
BOOST_AUTO_TEST_CASE_TEMPLATE(each_lane_keeps_its_order, World, Worlds) {
  with_new_seeds(10, [](uint64_t seed) {
    World world;
    world.two_nodes();
    Random random(seed);
    struct Direction {
      std::vector<std::pair<std::string, std::string>> sent[2], received[2];  // by lane
      size_t count = 0;
    };
    std::map<std::string, Direction> from;
    for (const char* const node : {"n1", "n2"}) {
      world[node].on_message = [&from](const std::string& sender, std::span<const std::string_view> words) {
        Direction& direction = from[sender];
        direction.received[words[0] == "urgent"].emplace_back(words[1], words[2]);
        ++direction.count;
      };
    }
    for (int number = 0; number < 200; ++number) {
      const std::string sender = random.chance(0.5) ? "n1" : "n2";
      const bool urgent = random.chance(0.4);
      const uint64_t most = urgent ? 100 : random.chance(0.2) ? 3 * Link::kPartBytes : 1000;
      const std::string bytes(random.below(most), static_cast<char>('a' + random.below(26)));
      const std::string name = std::to_string(number);
      BOOST_TEST_REQUIRE(world[sender].send(sender == "n1" ? "n2" : "n1", {urgent ? "urgent" : "ordered", name, bytes},
                                            urgent ? Link::Lane::kUrgent : Link::Lane::kOrdered));
      from[sender].sent[urgent].emplace_back(name, bytes);
      if (random.chance(0.2)) world.loop.turn();
    }
    BOOST_TEST_REQUIRE(world.loop.until([&] { return from["n1"].count + from["n2"].count == 200; }), "seed " << seed);
    for (const auto& [_, direction] : from) {
      for (const int lane : {0, 1}) BOOST_TEST((direction.received[lane] == direction.sent[lane]), "seed " << seed);
    }
  });
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::cluster
