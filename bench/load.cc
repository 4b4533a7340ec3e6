// capstan-bench: a load generator for any server that speaks RESP. See usage() for its options.
#include <getopt.h>
#include <netdb.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "bench/driver.h"

namespace capstan::bench {
namespace {

constexpr const char* kUsage = R"(usage: capstan-bench [options]

  --host H, --port N     the server (127.0.0.1, 6379)
  --workload W           set | get | incr | mixed (set)
  --load                 SET every key once, in order, and stop
  --keys K               how many keys (100000), named <prefix><12 digits>
  --key-prefix P         (key:; counter: for incr)
  --value-size B         bytes per value (64)
  --get-percent G        share of GETs in mixed (50)
  --clients C            connections (50)
  --pipeline P           commands per batch (1); a client waits for all replies before its next batch
  --wait-replicas N      end each batch with WAIT N 0: its commands count when that is answered
  --threads T            threads of the generator (1)
  --seconds S            how long (10), or
  --requests N           how many commands
  --seed N               of the keys and values drawn (1)
  --csv FILE             per second: second,operations,errors,p50_us,p99_us,p999_us,max_us
  --json                 the summary as one JSON object

Exit status 1 if a command got an error reply or none.
)";

struct Options {
  std::string host = "127.0.0.1", port = "6379", csv;
  DriverOptions driver;
  std::string workload = "set", key_prefix;
  bool load = false, json = false;
  uint64_t requests = 0;
  uint64_t seconds = 10;
  uint32_t threads = 1;
};

[[noreturn]] void fail(const std::string& why) {
  std::fprintf(stderr, "capstan-bench: %s\n", why.c_str());
  std::exit(2);
}

uint64_t number(const char* name, const char* text, uint64_t low, uint64_t high) {
  char* end = nullptr;
  errno = 0;
  uint64_t value = std::strtoull(text, &end, 10);
  if (end == text || *end != 0 || errno != 0 || *text == '-' || value < low || value > high)
    fail(std::string("--") + name + " " + text + ": not a number from " + std::to_string(low) + " to " +
         std::to_string(high));
  return value;
}

void set_option(Options& options, const std::string& name, const char* value) {
  WorkloadOptions& workload = options.driver.workload;
  auto get = [&](uint64_t low, uint64_t high) { return number(name.c_str(), value, low, high); };
  if (name == "host") options.host = value;
  if (name == "port") options.port = value;
  if (name == "workload") options.workload = value;
  if (name == "load") options.load = true;
  if (name == "keys") workload.keys = get(1, 999'999'999'999);
  if (name == "key-prefix") options.key_prefix = value;
  if (name == "value-size") workload.value_bytes = get(0, 512'000'000);
  if (name == "get-percent") workload.get_percent = static_cast<uint32_t>(get(0, 100));
  if (name == "clients") options.driver.clients = static_cast<uint32_t>(get(1, 100'000));
  if (name == "pipeline") options.driver.pipeline = static_cast<uint32_t>(get(1, 1'000'000));
  if (name == "wait-replicas") options.driver.wait_replicas = static_cast<uint32_t>(get(1, 1000));
  if (name == "threads") options.threads = static_cast<uint32_t>(get(1, 64));
  if (name == "seconds") options.seconds = get(1, 1'000'000);
  if (name == "requests") options.requests = get(1, ~uint64_t{0});
  if (name == "seed") options.driver.seed = get(0, ~uint64_t{0});
  if (name == "csv") options.csv = value;
  if (name == "json") options.json = true;
}

Options parse(int argc, char** argv) {
  std::vector<option> known;
  for (const char* name : {"host", "port", "workload", "keys", "key-prefix", "value-size", "get-percent", "clients",
                           "pipeline", "wait-replicas", "threads", "seconds", "requests", "seed", "csv"})
    known.push_back({name, required_argument, nullptr, 'o'});
  for (const char* name : {"load", "json", "help"}) known.push_back({name, no_argument, nullptr, 'o'});
  known.push_back({nullptr, 0, nullptr, 0});
  Options options;
  int index = 0;
  for (int code; (code = getopt_long(argc, argv, "", known.data(), &index)) != -1;) {
    if (code == '?') std::exit(2);
    std::string name = known[static_cast<size_t>(index)].name;
    if (name == "help") {
      std::fputs(kUsage, stdout);
      std::exit(0);
    }
    set_option(options, name, optarg);
  }
  if (optind < argc) fail(std::string("unexpected argument: ") + argv[optind]);
  WorkloadOptions& workload = options.driver.workload;
  const std::vector<std::string> names = {"set", "get", "incr", "mixed"};
  auto named = std::find(names.begin(), names.end(), options.workload);
  if (named == names.end()) fail("--workload " + options.workload + ": not one of set, get, incr, mixed");
  workload.operation = options.load ? Operation::kSet : static_cast<Operation>(named - names.begin());
  workload.sequential = options.load;
  if (options.load) options.workload = "load", options.requests = workload.keys;
  workload.key_prefix = workload.operation == Operation::kIncr ? "counter:" : "key:";
  if (!options.key_prefix.empty()) workload.key_prefix = options.key_prefix;
  return options;
}

void resolve(Options& options) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  int code = getaddrinfo(options.host.c_str(), options.port.c_str(), &hints, &found);
  if (code != 0) fail(options.host + ":" + options.port + ": " + gai_strerror(code));
  std::memcpy(&options.driver.address, found->ai_addr, found->ai_addrlen);
  options.driver.address_bytes = found->ai_addrlen;
  freeaddrinfo(found);
}

struct Report {
  std::vector<Second> seconds;
  Second total;
  uint64_t lost = 0;
  double elapsed_s = 0;
  std::string first_error;
};

void add(Report& report, const Driver& driver) {
  const std::vector<Second>& seconds = driver.seconds();
  if (report.seconds.size() < seconds.size()) report.seconds.resize(seconds.size());
  for (size_t i = 0; i < seconds.size(); ++i) {
    for (Second* sum : {&report.seconds[i], &report.total}) {
      sum->latency.merge(seconds[i].latency);
      sum->errors += seconds[i].errors;
    }
  }
  report.lost += driver.lost();
  if (report.first_error.empty()) report.first_error = driver.first_error();
}

// Waits, in the main thread, for the end of the run's time, for SIGINT or SIGTERM, or for `done`'s signal.
void wait_for_end(const sigset_t& signals, uint64_t seconds, int64_t start_ns, Budget& budget) {
  for (;;) {
    int64_t left_ns = start_ns + static_cast<int64_t>(seconds) * 1'000'000'000 - monotonic_ns();
    if (seconds == 0) left_ns = int64_t{3600} * 1'000'000'000;
    if (left_ns <= 0) break;
    timespec left{.tv_sec = left_ns / 1'000'000'000, .tv_nsec = left_ns % 1'000'000'000};
    if (sigtimedwait(&signals, nullptr, &left) > 0) break;
  }
  budget.stop();
}

Report run(const Options& options) {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGINT, SIGTERM, SIGUSR1}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  Budget budget = options.requests > 0 ? Budget(options.requests) : Budget();
  std::vector<std::unique_ptr<Driver>> drivers;
  for (uint32_t i = 0; i < options.threads; ++i) {
    DriverOptions mine = options.driver;
    mine.clients = options.driver.clients / options.threads + (i < options.driver.clients % options.threads);
    mine.seed = options.driver.seed + uint64_t{i} * 1'000'003;
    drivers.push_back(std::make_unique<Driver>(mine, budget));
    Result<> connected = drivers.back()->connect();
    if (!connected) fail(connected.error().message);
  }
  std::atomic<uint32_t> running{options.threads};
  int64_t start_ns = monotonic_ns();
  std::vector<std::thread> threads;
  for (auto& driver : drivers) {
    threads.emplace_back([&] {
      driver->run(start_ns);
      if (running.fetch_sub(1) == 1) kill(getpid(), SIGUSR1);  // wakes the main thread
    });
  }
  wait_for_end(signals, options.requests > 0 ? 0 : options.seconds, start_ns, budget);
  for (std::thread& thread : threads) thread.join();
  Report report;
  report.elapsed_s = static_cast<double>(monotonic_ns() - start_ns) / 1e9;
  for (auto& driver : drivers) add(report, *driver);
  return report;
}

double us(uint64_t ns) { return static_cast<double>(ns) / 1000; }

void write_csv(const Report& report, const std::string& path) {
  FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) fail(system_error(errno, path).message);
  std::fputs("second,operations,errors,p50_us,p99_us,p999_us,max_us\n", file);
  for (size_t i = 0; i < report.seconds.size(); ++i) {
    const auto& [latency, errors] = report.seconds[i];
    std::fprintf(file, "%zu,%llu,%llu,%.1f,%.1f,%.1f,%.1f\n", i, static_cast<unsigned long long>(latency.count()),
                 static_cast<unsigned long long>(errors), us(latency.quantile_ns(0.5)), us(latency.quantile_ns(0.99)),
                 us(latency.quantile_ns(0.999)), us(latency.max_ns()));
  }
  if (std::fclose(file) != 0) fail(system_error(errno, path).message);
}

void print(const Options& options, const Report& report) {
  const auto& [latency, errors] = report.total;
  const char* format =
      options.json
          ? "{\"workload\": \"%s\", \"clients\": %u, \"pipeline\": %u, \"seconds\": %.3f, \"operations\": %llu, "
            "\"per_second\": %.0f, \"errors\": %llu, \"lost\": %llu, \"mean_us\": %.1f, \"p50_us\": %.1f, "
            "\"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f}\n"
          : "%s, %u clients, pipeline %u: %.3f s, %llu operations, %.0f per second, %llu errors, %llu lost\n"
            "latency in us: mean %.1f, p50 %.1f, p99 %.1f, p99.9 %.1f, max %.1f\n";
  std::printf(format, options.workload.c_str(), options.driver.clients, options.driver.pipeline, report.elapsed_s,
              static_cast<unsigned long long>(latency.count()), static_cast<double>(latency.count()) / report.elapsed_s,
              static_cast<unsigned long long>(errors), static_cast<unsigned long long>(report.lost),
              latency.mean_ns() / 1000, us(latency.quantile_ns(0.5)), us(latency.quantile_ns(0.99)),
              us(latency.quantile_ns(0.999)), us(latency.max_ns()));
  if (!report.first_error.empty()) std::fprintf(stderr, "first error: %s\n", report.first_error.c_str());
}

int main_of(int argc, char** argv) {
  Options options = parse(argc, argv);
  if (options.driver.clients < options.threads) options.threads = options.driver.clients;
  resolve(options);
  Report report = run(options);
  if (!options.csv.empty()) write_csv(report, options.csv);
  print(options, report);
  return report.total.errors + report.lost > 0 ? 1 : 0;
}

}  // namespace
}  // namespace capstan::bench

int main(int argc, char** argv) { return capstan::bench::main_of(argc, argv); }
