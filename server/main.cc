// capstan-server.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/command.h"
#include "server/compatibility.h"
#include "server/config.h"
#include "server/log.h"
#include "server/machine_memory.h"
#include "server/node.h"
#include "server/version.h"

namespace capstan {
namespace {

constexpr std::string_view kUsage =
    "usage: capstan-server [file] [--directive value ...] ...\n"
    "       capstan-server -v | --version\n"
    "       capstan-server -h | --help\n"
    "       capstan-server --print-compatibility\n"
    "\n"
    "Directives are those of redis.conf and some of our own; conf/capstan.conf explains them all. For example:\n"
    "       capstan-server\n"
    "       capstan-server --port 7001 --dir d1 --appendfsync always\n"
    "       capstan-server /etc/capstan/capstan.conf --loglevel warning\n"
    "       capstan-server --consistency '\"session:*\" eventual w=1'\n";

int fail(const std::string& message) {
  std::fprintf(stderr, "capstan-server: %s\n", message.c_str());
  return EXIT_FAILURE;
}

Result<> rename_commands(const Settings& settings) {
  for (const auto& [name, new_name] : settings.renamed_commands) {
    if (rename_command(name, new_name)) continue;
    return Error{ErrorCode::kInvalid, "rename-command " + name + " " + new_name + ": there is no such command, or " +
                                          "the new name is taken"};
  }
  return {};
}

void warn_of(const Configuration& configuration) {
  std::string names;
  for (const std::string_view name : configuration.without_meaning()) {
    names.append(names.empty() ? "" : ", ").append(name);
  }
  if (!names.empty()) log_warning("directives that have no meaning here (docs/compatibility.md says why): " + names);
}

// sd_notify(3): tells systemd that the service is up.
void notify_supervisor() {
  const char* const path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path == nullptr || std::strlen(path) >= sizeof address.sun_path) return;
  std::strcpy(address.sun_path, path);
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';  // an abstract name
  const int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return;
  constexpr std::string_view kReady = "READY=1\n";
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
  if (sendto(descriptor, kReady.data(), kReady.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), size) < 0) {
    log_warning("systemd could not be told that the server is ready");
  }
  close(descriptor);
}

// The process's number in a file, as long as the server runs.
class PidFile {
 public:
  explicit PidFile(std::string path) : path_(std::move(path)) {
    if (path_.empty()) return;
    std::ofstream file(path_);
    file << getpid() << '\n';
    if (!file.flush()) log_warning("cannot write the pid file " + path_);
  }
  ~PidFile() {
    if (!path_.empty()) unlink(path_.c_str());
  }
  PidFile(const PidFile&) = delete;
  PidFile& operator=(const PidFile&) = delete;

 private:
  std::string path_;
};

int run(const Configuration& configuration, const SettingsSnapshot& settings) {
  warn_of(configuration);
  const Result<std::unique_ptr<Node>> node = Node::open(settings);
  if (!node) {
    // Whoever reads only the log, and whoever sees only the terminal, shall know.
    if (!settings->log_file.empty()) log_warning(node.error().message);
    return fail(node.error().message);
  }
  const PidFile pid_file(settings->pid_file);
  if (settings->supervised) notify_supervisor();
  return node.value()->run();
}

int serve(const std::vector<std::string_view>& words) {
  Configuration configuration;
  const Result<> read = configuration.read_arguments(words);
  if (!read) return fail(read.error().message);
  const Result<Settings> settings = configuration.settings(available_memory_bytes());
  if (!settings) return fail(settings.error().message);
  const Result<> renamed = rename_commands(settings.value());
  if (!renamed) return fail(renamed.error().message);
  const Result<> logging = open_log(settings->log_file);
  if (!logging) return fail(logging.error().message);
  set_log_level(settings->log_level);
  if (settings->daemonize && daemon(1, 0) != 0) return fail("cannot go to the background");
  std::signal(SIGHUP, SIG_IGN);  // the terminal that it was started from may go
  return run(configuration, std::make_shared<Settings>(settings.value()));
}

int main_function(const std::vector<std::string_view>& words) {
  if (words.size() == 1 && (words[0] == "-v" || words[0] == "--version")) {
    std::printf("Capstan server v=%s (commands of Redis %s)\n", kCapstanVersion.data(), kRedisVersion.data());
    return EXIT_SUCCESS;
  }
  if (words.size() == 1 && (words[0] == "-h" || words[0] == "--help")) {
    std::fputs(kUsage.data(), stdout);
    return EXIT_SUCCESS;
  }
  if (words.size() == 1 && words[0] == "--print-compatibility") {
    std::fputs(compatibility_page().c_str(), stdout);
    return EXIT_SUCCESS;
  }
  return serve(words);
}

}  // namespace
}  // namespace capstan

int main(int argc, char** argv) try {
  return capstan::main_function(std::vector<std::string_view>(argv + 1, argv + argc));
} catch (const std::exception& failure) {
  std::fprintf(stderr, "capstan-server: %s\n", failure.what());
  return EXIT_FAILURE;
}
