#include "server/node.h"

#include <event2/event.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <random>

#include "server/config.h"
#include "server/descriptor_limit.h"
#include "server/log.h"

namespace capstan {
namespace {

std::string random_hex(size_t digits) {
  std::random_device device;
  std::string text;
  for (size_t i = 0; i < digits; ++i) text.push_back("0123456789abcdef"[device() & 15]);
  return text;
}

Result<> make_directories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return system_error(error.value(), "cannot create the directory " + path);
  return {};
}

Result<int> open_socket(int family, const sockaddr* address, socklen_t size, int backlog, const std::string& name) {
  const int descriptor = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return system_error(errno, "cannot open a socket for " + name);
  const int one = 1;
  if (family != AF_UNIX) {
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
  }
  if (family == AF_INET6) setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
  if (bind(descriptor, address, size) == 0 && listen(descriptor, backlog) == 0) return descriptor;
  const Error error = system_error(errno, "cannot listen on " + name);
  close(descriptor);
  return error;
}

void on_signal(evutil_socket_t, short, void* argument) {
  auto* const node = static_cast<Node*>(argument);
  log_info("a signal asks to shut down");
  node->shut_down(node->worker(0), true);
}

// How many shards a node holds, about: which ones is not known before the cluster is founded.
uint64_t held_shards(const Settings& settings) {
  if (!settings.cluster) return settings.shards;
  const uint64_t nodes = settings.cluster->all.size();
  const uint64_t replicas = std::min<uint64_t>(settings.cluster->replicas, nodes);
  return std::max<uint64_t>((settings.shards * replicas + nodes - 1) / nodes, 1);
}

// Memory is shared out evenly; 0 leaves the keyspace's own defaults.
void set_memory_options(lmdb_store::Keyspace::Options& options, const Settings& settings) {
  const uint64_t shards = held_shards(settings);
  constexpr uint64_t kPageBytes = 4096;
  constexpr uint64_t kMaxBatchBytes = 128 << 20;
  constexpr uint64_t kMinBatchPages = 256;
  if (settings.cache_memory != 0) {
    options.cache_bytes = settings.cache_memory / shards;
    options.batch_pages = std::max(std::min(kMaxBatchBytes, settings.cache_memory / 8) / kPageBytes, kMinBatchPages);
  }
  if (settings.dirty_memory != 0) options.dirty_bytes = settings.dirty_memory / shards;
  if (settings.machine_memory != 0) options.inline_read_bytes = settings.machine_memory / 2 / shards;
}

// SO_REUSEPORT lets several processes of one user share a port, which must not happen by mistake: a first socket
// without it finds out whether the port is taken. 0, or what is wrong (errno).
int try_to_bind(const addrinfo& address) {
  const int descriptor = socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return errno;
  const int one = 1;
  setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (address.ai_family == AF_INET6) setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
  const int problem = bind(descriptor, address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
  close(descriptor);
  return problem;
}

// A key's shard follows from their number, so another number would look for keys where they are not.
Result<> check_shards(const std::string& directory, ShardId shards) {
  std::error_code ignored;
  ShardId found = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    ShardId id = 0;
    const std::string name = entry.path().filename();
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), id);
    if (parsed.ec == std::errc() && parsed.ptr == name.data() + name.size()) found = std::max(found, id + 1);
  }
  const bool complete = std::filesystem::exists(directory + "/0", ignored);
  if (found <= shards && (found == shards || !complete)) return {};
  return Error{ErrorCode::kInvalid, "the data in " + directory + " are of " + std::to_string(found) +
                                        " shards: start with `shards " + std::to_string(found) + '`'};
}

}  // namespace

Node::Node(SettingsSnapshot settings)
    : settings_(std::move(settings)),
      started_ms_(wall_ms()),
      run_id_(random_hex(40)),
      shards_(settings_->shards),
      last_save_ms_(started_ms_) {}

Node::~Node() {
  // The pools' jobs read and write the shards' environments; nobody waits for what they found.
  peers_.reset();
  flush_thread_.reset();
  read_pool_.reset();
  for (const auto& worker : workers_) {
    worker->completions().discard();
    worker->executor().shards().clear();
  }
}

Result<std::unique_ptr<Node>> Node::open(SettingsSnapshot settings) {
  std::unique_ptr<Node> node(new Node(std::move(settings)));
  const Result<> started = node->start();
  if (!started) return started.error();
  return node;
}

// As Redis does: fewer clients rather than no start.
void Node::limit_clients() {
  const uint32_t possible = clients_possible(*settings_);
  if (possible >= settings_->max_clients) return;
  log_warning("maxclients " + std::to_string(settings_->max_clients) +
              " takes more descriptors than the system allows; " + std::to_string(possible) +
              " are possible (ulimit -n)");
  const std::string number = std::to_string(possible);
  const std::string_view pair[] = {"maxclients", number};
  settings_ = std::make_shared<const Settings>(change_settings(*settings_, pair).value());
}

Result<> Node::start() {
  limit_clients();
  const Result<> made = make_directories(settings_->directory);
  if (!made) return made.error();
  Result<lmdb_store::DirectoryLock> lock = lmdb_store::lock_directory(settings_->directory);
  if (!lock) return lock.error();
  lock_.emplace(std::move(*lock));
  read_pool_ = std::make_unique<lmdb_store::ReadPool>(settings_->read_threads);
  flush_thread_ = std::make_unique<lmdb_store::FlushThread>();
  for (unsigned i = 0; i < settings_->io_threads; ++i) {
    workers_.push_back(std::make_unique<Worker>(*this, i, settings_));
  }
  for (const auto& worker : workers_) worker->connect_to_peers();
  // The sockets first: a port that is taken should not cost a recovery.
  const Result<> listening = open_listeners();
  if (!listening) return listening.error();
  const Result<> opened = open_shards();
  if (!opened) return opened.error();
  if (Result<> recovered = open_journals(); !recovered) return recovered;
  return peers_ ? peers_->start() : Result<>();
}

// Of a shard; nullopt: a single node.
std::optional<Shard::GroupOptions> Node::group_options() const {
  if (!settings_->cluster) return std::nullopt;
  constexpr uint64_t kLogBytes = uint64_t{64} << 20;  // of all shards together
  constexpr uint64_t kMinLogBytes = uint64_t{1} << 20;
  constexpr consensus::Time kBatchDelay = consensus::kMillisecond;
  Shard::GroupOptions options;
  options.consensus.heartbeat = settings_->heartbeat_ms * consensus::kMillisecond;
  options.consensus.election_timeout_min = settings_->election_timeout_ms * consensus::kMillisecond;
  options.consensus.election_timeout_max = 2 * options.consensus.election_timeout_min;
  options.consensus.batch_delay = kBatchDelay;
  options.consensus.lease = settings_->lease_reads ? settings_->lease_ms * consensus::kMillisecond : 0;
  options.log_bytes = std::max(kLogBytes / settings_->shards, kMinLogBytes);
  return options;
}

Result<> Node::open_shards() {
  const std::string directory = settings_->directory + "/shards";
  const Result<> made = make_directories(directory);
  if (!made) return made.error();
  if (Result<> same = check_shards(directory, settings_->shards); !same) return same;
  // The last one first: where shard 0 is, all have been made.
  for (ShardId id = settings_->shards; id-- > 0;) {
    Worker& owner = *workers_[id % workers()];
    Shard::Services services{*read_pool_, *flush_thread_, owner.completions(),
                             [&owner, id](const consensus::Message& message) { owner.send_raft(id, message); },
                             [&owner](std::string_view node) { return owner.to_node(node); }};
    Shard::Options options;
    options.journal_limit = settings_->journal_limit;
    options.tail_may_be_lost = settings_->append_fsync != Fsync::kAlways;
    options.group = group_options();
    set_memory_options(options.keyspace, *settings_);
    Result<std::unique_ptr<Shard>> shard =
        Shard::open(id, directory + "/" + std::to_string(id), std::move(services), options);
    if (!shard) return shard.error();
    owner.executor().add_shard(std::move(*shard));
  }
  if (!settings_->cluster) return {};
  Result<std::unique_ptr<Peers>> peers = Peers::open(*this, *settings_->cluster, directory);
  if (!peers) return peers.error();
  peers_ = std::move(*peers);
  return {};
}

Result<> Node::open_journals() {
  lmdb_store::FileSystem& files = lmdb_store::posix_file_system();
  lmdb_store::RecoveryOptions recovery_options;
  recovery_options.workers = workers();
  recovery_options.damage = settings_->journal_damage;
  for (const auto& worker : workers_) {
    for (const auto& shard : worker->executor().shards()) {
      recovery_options.contained = std::max(recovery_options.contained, shard->flushed_position());
    }
  }
  const Result<lmdb_store::JournalRecovery> recovery = lmdb_store::recover_journals(
      files, settings_->directory, recovery_options, [this](const lmdb_store::JournalEntry& entry) -> Result<> {
        Shard* const shard = workers_[entry.shard % workers()]->executor().shard(entry.shard);
        if (shard == nullptr) {
          return Error{ErrorCode::kInvalid, "the journal has entries of shard " + std::to_string(entry.shard) +
                                                ": start with as many shards as the data were written with"};
        }
        return shard->replay(entry.type, entry.position, entry.payload);
      });
  if (!recovery) return recovery.error();
  for (const std::string& note : recovery.value().notes) log_warning(note);
  for (const auto& worker : workers_) {
    lmdb_store::JournalOptions options;
    options.on_event = [&worker = *worker] { worker.wake(); };
    // What a flush releases is what the next one's journal needs: nothing is deleted and zero-filled again.
    options.spare_segments = static_cast<uint32_t>(settings_->journal_limit / options.segment_bytes);
    Result<std::unique_ptr<lmdb_store::Journal>> journal =
        lmdb_store::Journal::open(files, settings_->directory, worker->index(), options, recovery.value());
    if (!journal) return journal.error();
    worker->take_journal(std::move(*journal));
    for (const auto& shard : worker->executor().shards()) {
      if (Result<> started = shard->start(worker->journal(), recovery.value().cut); !started) return started;
    }
  }
  return {};
}

Result<> Node::open_listeners() {
  if (settings_->port != 0) {
    for (const std::string& address : settings_->bind) {
      const Result<> listening = listen_tcp(address);
      if (!listening) return listening.error();
    }
  }
  return settings_->unix_socket.empty() ? Result<>() : listen_unix();
}

// "-" in front: an address that this machine does not have is left out. "*" and "::*" are the wildcards.
Result<> Node::listen_tcp(const std::string& given) {
  const bool optional = given.starts_with('-');
  const std::string address = given.substr(optional ? 1 : 0);
  const bool any = address == "*" || address == "::*";
  const std::string port = std::to_string(settings_->port);
  const std::string name = address + ":" + port;
  addrinfo hints{};
  hints.ai_family = address == "*" ? AF_INET : address == "::*" ? AF_INET6 : AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int status = getaddrinfo(any ? nullptr : address.c_str(), port.c_str(), &hints, &found);
  if (status != 0) {
    if (optional) return {};
    return Error{ErrorCode::kInvalid, "cannot bind " + name + ": " + gai_strerror(status)};
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, &freeaddrinfo);
  const int problem = try_to_bind(*found);
  if (optional && (problem == EADDRNOTAVAIL || problem == EAFNOSUPPORT)) return {};
  if (problem != 0) return system_error(problem, "cannot bind " + name);
  for (const auto& worker : workers_) {
    const Result<int> descriptor =
        open_socket(found->ai_family, found->ai_addr, found->ai_addrlen, settings_->tcp_backlog, name);
    if (!descriptor) return descriptor.error();
    worker->listen_on(descriptor.value());
  }
  return {};
}

Result<> Node::listen_unix() {
  const std::string& path = settings_->unix_socket;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Error{ErrorCode::kInvalid, "unixsocket: the path is too long"};
  std::memcpy(address.sun_path, path.data(), path.size());
  unlink(path.c_str());
  const Result<int> descriptor =
      open_socket(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof address, settings_->tcp_backlog, path);
  if (!descriptor) return descriptor.error();
  if (settings_->unix_socket_mode != 0) chmod(path.c_str(), settings_->unix_socket_mode);
  workers_[0]->listen_on(descriptor.value());
  return {};
}

int Node::run() {
  std::signal(SIGPIPE, SIG_IGN);
  event* const terminate = evsignal_new(workers_[0]->base(), SIGTERM, &on_signal, this);
  event* const interrupt = evsignal_new(workers_[0]->base(), SIGINT, &on_signal, this);
  CHECK(event_add(terminate, nullptr) == 0 && event_add(interrupt, nullptr) == 0);
  log_info("ready to accept connections on port " + std::to_string(settings_->port));
  std::vector<std::thread> threads;
  for (unsigned i = 1; i < workers(); ++i) threads.emplace_back([this, i] { workers_[i]->run(); });
  workers_[0]->run();
  for (std::thread& thread : threads) thread.join();
  event_free(terminate);
  event_free(interrupt);
  if (!settings_->unix_socket.empty()) unlink(settings_->unix_socket.c_str());
  log_info("bye");
  return 0;
}

SettingsSnapshot Node::settings() const {
  const std::lock_guard lock(settings_mutex_);
  return settings_;
}

void Node::publish(Worker& caller, const SettingsSnapshot& settings, const std::function<void(Worker&)>& done) {
  {
    const std::lock_guard lock(settings_mutex_);
    settings_ = settings;
  }
  caller.on_every_worker([settings](Worker& worker) { worker.adopt_settings(settings); }, done);
}

bool Node::admit_client(uint32_t max_clients) {
  if (clients_.fetch_add(1, std::memory_order_relaxed) < max_clients) return true;
  dismiss_client();
  return false;
}

void Node::shut_down(Worker& caller, bool flush) {
  if (shutting_down_.exchange(true)) return;
  flush_at_end_.store(flush);
  // First nobody takes anything new, so that nobody waits for a worker that has ended. Then other nodes lead.
  const auto finish = [](Worker& self) {
    self.on_every_worker([](Worker& worker) { worker.finish(); }, [](Worker&) {});
  };
  caller.on_every_worker([](Worker& worker) { worker.stop_accepting(); },
                         [finish](Worker& self) { retire_groups(self, finish); });
}

void Node::retire_groups(Worker& caller, const std::function<void(Worker&)>& done) {
  auto left = std::make_shared<unsigned>(caller.node().workers());
  for (unsigned i = 0; i < caller.node().workers(); ++i) {
    caller.post(i, [left, done, to = caller.index()](Worker& worker) {
      worker.retire_groups([left, done, to](Worker& retired) {
        retired.post(to, [left, done](Worker& self) {
          if (--*left == 0) done(self);
        });
      });
    });
  }
}

}  // namespace capstan
