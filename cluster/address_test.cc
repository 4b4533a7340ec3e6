// Addresses as text and as sockets.
#include "cluster/address.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include "cluster/loop_testing.h"

namespace capstan::cluster {

namespace {

SocketAddress bound_address(int descriptor) {
  SocketAddress address;
  BOOST_TEST_REQUIRE(getsockname(descriptor, address.get(), &address.size) == 0);
  return address;
}

SocketAddress only(const std::string& host, uint16_t port) {
  const Result<std::vector<SocketAddress>> found = resolve(host, port);
  BOOST_TEST_REQUIRE(found.ok());
  return found->front();
}

bool has_option(int descriptor, int level, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  return getsockopt(descriptor, level, option, &value, &size) == 0 && value != 0;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(address_test)

BOOST_AUTO_TEST_CASE(numeric_addresses_are_themselves) {
  BOOST_TEST(only("127.0.0.1", 7001).host() == "127.0.0.1");
  BOOST_TEST(only("::1", 7001).host() == "::1");
  BOOST_TEST(ntohs(reinterpret_cast<const sockaddr_in*>(only("127.0.0.1", 7001).get())->sin_port) == 7001);
}

BOOST_AUTO_TEST_CASE(text_has_brackets_where_it_needs_them) {
  BOOST_TEST(host_and_port("127.0.0.1", 7001) == "127.0.0.1:7001");
  BOOST_TEST(host_and_port("::1", 7001) == "[::1]:7001");
  BOOST_TEST(host_and_port("node-1", 7001) == "node-1:7001");
}

BOOST_AUTO_TEST_CASE(a_numeric_address_is_looked_up_at_once) {
  const Lookup lookup("127.0.0.1", 7001);
  BOOST_TEST_REQUIRE(lookup.done());
  BOOST_TEST_REQUIRE(lookup.addresses().ok());
  BOOST_TEST(lookup.addresses()->front().host() == "127.0.0.1");
}

BOOST_AUTO_TEST_CASE(a_name_is_looked_up_beside_the_loop) {
  TestLoop loop;
  const Lookup lookup("localhost", 7001);
  BOOST_TEST_REQUIRE(loop.until([&] { return lookup.done(); }));
  BOOST_TEST(lookup.addresses().ok());
}

BOOST_AUTO_TEST_CASE(what_is_no_name_is_an_error) {
  TestLoop loop;
  const std::string too_long(70, 'x');  // for a label, so nobody is asked
  const Lookup lookup(too_long, 7001);
  BOOST_TEST_REQUIRE(loop.until([&] { return lookup.done(); }));
  BOOST_TEST_REQUIRE(!lookup.addresses().ok());
  BOOST_TEST((lookup.addresses().error().code == ErrorCode::kNotFound));
  BOOST_TEST(lookup.addresses().error().message.starts_with("cannot resolve xxx"));
}

BOOST_AUTO_TEST_CASE(a_lookup_may_go_before_its_answer_comes) {
  for (int i = 0; i < 4; ++i) Lookup("localhost", 7001);
}

BOOST_AUTO_TEST_CASE(sockets_connect_to_sockets_that_listen) {
  const Result<int> listener = listen_at(only("127.0.0.1", 0));
  BOOST_TEST_REQUIRE(listener.ok());
  const Result<int> connecting = connect_to(bound_address(*listener));
  BOOST_TEST_REQUIRE(connecting.ok());
  BOOST_TEST(has_option(*connecting, IPPROTO_TCP, TCP_NODELAY));
  pollfd ready{*connecting, POLLOUT, 0};
  BOOST_TEST(poll(&ready, 1, 20'000) == 1);
  BOOST_TEST(!has_option(*connecting, SOL_SOCKET, SO_ERROR));
  close(*connecting);
  close(*listener);
}

BOOST_AUTO_TEST_CASE(an_address_in_use_is_told_from_one_that_is_not_here) {
  const Result<int> listener = listen_at(only("127.0.0.1", 0));
  BOOST_TEST_REQUIRE(listener.ok());
  const Result<int> second = listen_at(bound_address(*listener));
  BOOST_TEST_REQUIRE(!second.ok());
  BOOST_TEST((second.error().code == ErrorCode::kExists));
  const Result<int> elsewhere = listen_at(only("192.0.2.1", 0));  // for documentation alone (RFC 5737)
  BOOST_TEST_REQUIRE(!elsewhere.ok());
  BOOST_TEST((elsewhere.error().code == ErrorCode::kIo));
  close(*listener);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::cluster
