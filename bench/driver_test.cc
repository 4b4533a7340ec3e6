#include "bench/driver.h"

#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <functional>
#include <thread>
#include <vector>

#include "base/clock.h"

namespace capstan::bench {
namespace {

// A server for one connection. `answer` gets the number of the command, from 1; an empty reply closes the connection.
// lines: of the commands, over and over.
class ScriptedServer {
 public:
  explicit ScriptedServer(std::function<std::string(int)> answer, size_t piece = 1 << 20,
                          std::vector<int> lines = {kLinesOfGet})
      : answer_(std::move(answer)),
        piece_(piece),
        lines_(std::move(lines)),
        listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    auto& address = reinterpret_cast<sockaddr_in&>(options.address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    options.address_bytes = sizeof(sockaddr_in);
    options.clients = 1;
    options.workload.operation = Operation::kGet;
    BOOST_REQUIRE(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    BOOST_REQUIRE(listen(listener_, 1) == 0);
    BOOST_REQUIRE(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &options.address_bytes) == 0);
    thread_ = std::thread([this] { serve(); });
  }
  ~ScriptedServer() {
    thread_.join();
    close(listener_);
  }

  static constexpr int kLinesOfGet = 5, kLinesOfWait = 7;
  DriverOptions options;

 private:
  int lines_of(int command) const { return lines_[static_cast<size_t>(command) % lines_.size()]; }

  void serve() {
    int fd = accept(listener_, nullptr, nullptr);
    char buffer[4096];
    int lines = 0, commands = 0;
    for (ssize_t size; (size = recv(fd, buffer, sizeof buffer, 0)) > 0;) {
      lines += static_cast<int>(std::count(buffer, buffer + size, '\n'));
      std::string out;
      bool over = false;
      for (; !over && lines >= lines_of(commands); ++commands) {
        lines -= lines_of(commands);
        std::string reply = answer_(commands + 1);
        over = reply.empty();
        out += reply;
      }
      for (size_t at = 0; at < out.size(); at += piece_)
        send(fd, out.data() + at, std::min(piece_, out.size() - at), MSG_NOSIGNAL);
      if (over) break;
    }
    close(fd);
  }

  std::function<std::string(int)> answer_;
  size_t piece_;
  std::vector<int> lines_;
  int listener_;
  std::thread thread_;
};

struct Outcome {
  uint64_t replies = 0, errors = 0, lost = 0;
  std::string first_error;
};

Outcome drive(const DriverOptions& options, uint64_t commands) {
  Budget budget(commands);
  Driver driver(options, budget);
  BOOST_REQUIRE(driver.connect().ok());
  driver.run(monotonic_ns());
  Outcome outcome{.lost = driver.lost(), .first_error = driver.first_error()};
  for (const Second& second : driver.seconds()) {
    outcome.replies += second.latency.count();
    outcome.errors += second.errors;
  }
  return outcome;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(driver_test)

BOOST_AUTO_TEST_CASE(every_command_is_sent_and_every_reply_counted) {
  ScriptedServer server([](int n) { return n % 2 ? "$5\r\nhello\r\n" : "$-1\r\n"; }, 3);
  server.options.pipeline = 7;
  Outcome outcome = drive(server.options, 100);
  BOOST_TEST(outcome.replies == 100u);
  BOOST_TEST(outcome.errors == 0u);
  BOOST_TEST(outcome.lost == 0u);
}

BOOST_AUTO_TEST_CASE(error_replies_are_counted_and_the_first_one_is_kept) {
  ScriptedServer server([](int n) { return n < 9 ? "+OK\r\n" : "-ERR number " + std::to_string(n) + "\r\n"; });
  Outcome outcome = drive(server.options, 10);
  BOOST_TEST(outcome.replies == 10u);
  BOOST_TEST(outcome.errors == 2u);
  BOOST_TEST(outcome.first_error == "ERR number 9");
}

BOOST_AUTO_TEST_CASE(commands_of_a_connection_that_breaks_are_lost) {
  ScriptedServer server([](int n) { return n < 12 ? "+OK\r\n" : ""; });
  server.options.pipeline = 5;
  Outcome outcome = drive(server.options, 100);
  BOOST_TEST(outcome.replies == 11u);
  BOOST_TEST(outcome.lost == 4u);
  BOOST_TEST(outcome.first_error == "the server closed the connection");
}

BOOST_AUTO_TEST_CASE(commands_count_when_enough_replicas_have_them) {
  constexpr int kGet = ScriptedServer::kLinesOfGet;
  ScriptedServer server([](int n) { return n % 3 != 0 ? "+OK\r\n"
                                           : n == 6   ? ":1\r\n"
                                                      : ":2\r\n"; }, 1 << 20,
                        {kGet, kGet, ScriptedServer::kLinesOfWait});
  server.options.pipeline = 2;
  server.options.wait_replicas = 2;
  Outcome outcome = drive(server.options, 20);
  BOOST_TEST(outcome.replies == 20u);
  BOOST_TEST(outcome.errors == 1u);
  BOOST_TEST(outcome.lost == 0u);
  BOOST_TEST(outcome.first_error == "too few replicas: 1");
}

BOOST_AUTO_TEST_CASE(a_server_that_says_more_than_was_asked_is_left) {
  ScriptedServer server([](int) { return "+OK\r\n+OK\r\n"; });
  Outcome outcome = drive(server.options, 100);
  BOOST_TEST(outcome.lost == 1u);
  BOOST_TEST(outcome.first_error == "not the replies asked for");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::bench
