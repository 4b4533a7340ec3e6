// Clients in a closed loop: each sends a batch of `pipeline` commands, waits for all their replies, and sends the next.
// One epoll loop per thread drives its share of the clients.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "bench/histogram.h"
#include "bench/workload.h"
#include "resp/reply.h"

namespace capstan::bench {

struct DriverOptions {
  sockaddr_storage address{};
  socklen_t address_bytes = 0;
  uint32_t clients = 50;  // of this driver
  uint32_t pipeline = 1;
  uint32_t wait_replicas =
      0;  // above 0, a batch ends with WAIT of so many, and its commands count when that is answered
  WorkloadOptions workload;
  uint64_t seed = 1;
};

// What happened in one second of the run. A command belongs to the second in which its reply came; its latency runs
// from the sending of its batch.
struct Second {
  Histogram latency;
  uint64_t errors = 0;
};

class Driver {
 public:
  // `budget` is shared by all drivers of the run and outlives them.
  Driver(const DriverOptions& options, Budget& budget);
  ~Driver();
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  // Connects all clients, blocking.
  Result<> connect();
  // Runs until the budget is used up and every reply is there, or no reply came for kPatience_ms. To be called once, in
  // any thread; start_ns (monotonic) is the beginning of second 0.
  void run(int64_t start_ns);

  // After run():
  const std::vector<Second>& seconds() const { return seconds_; }
  uint64_t lost() const { return lost_; }  // commands without a reply, at least one per connection that broke
  const std::string& first_error() const { return first_error_; }

 private:
  static constexpr int kPatience_ms = 60'000;
  static constexpr size_t kReceiveBytes = 256 * 1024;

  struct Client {
    int fd = -1;
    bool busy = false;      // from the sending of a batch until its last reply
    uint32_t waiting = 0;   // replies still to come for the batch
    uint32_t commands = 0;  // of the batch, WAIT aside
    int64_t sent_ns = 0;
    std::string out;  // the batch; [written, size) is still to be sent
    size_t written = 0;
    bool watches_writable = false;
    resp::ReplyParser parser;
    std::string received;  // the beginning of a reply whose end has not come yet
  };

  void next_batch(Client& client);
  void flush(Client& client);
  void receive(Client& client);
  // What is in `input`, which begins with what the client had received before; false if it is not RESP.
  bool read_replies(Client& client, std::string_view input);
  void count(Client& client, const resp::Reply& reply, int64_t now_ns);
  void watch_writable(Client& client, bool on);
  void close(Client& client, const std::string& why);

  DriverOptions options_;
  Budget& budget_;
  CommandWriter writer_;
  const std::string wait_;
  int epoll_fd_ = -1;
  int64_t start_ns_ = 0;
  uint32_t busy_ = 0;  // how many clients are
  std::vector<Client> clients_;
  std::vector<char> received_;
  std::vector<Second> seconds_;
  uint64_t lost_ = 0;
  std::string first_error_;
};

}  // namespace capstan::bench
