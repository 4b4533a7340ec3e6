#include "server/peers.h"

#include <algorithm>
#include <random>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "cluster/message_codec.h"
#include "lmdb-store/file.h"
#include "server/log.h"
#include "server/node.h"
#include "server/owned_arguments.h"
#include "server/words.h"

namespace capstan {
namespace {

using cluster::Document;
using cluster::Founding;
using cluster::Identity;

constexpr std::string_view kIdentityFile = "identity";

uint64_t random_word() {
  std::random_device source;
  return uint64_t{source()} << 32 | source();
}

// Whole and durable, or not at all.
Result<> replace_file(const std::string& directory, std::string_view name, const std::string& text) {
  lmdb_store::FileSystem& files = lmdb_store::posix_file_system();
  const std::string path = directory + "/" + std::string(name);
  {
    Result<std::unique_ptr<lmdb_store::File>> file = files.open(path + ".new", lmdb_store::FileSystem::Open::kCreate);
    if (!file) return file.error();
    if (Result<> written = (*file)->pwrite(text, 0); !written) return written;
    if (Result<> synced = (*file)->datasync(); !synced) return synced;
  }
  if (Result<> renamed = files.rename(path + ".new", path); !renamed) return renamed;
  return files.sync_directory(directory);
}

// nullopt: there is none.
Result<std::optional<std::string>> read_file(const std::string& directory, std::string_view name) {
  const Result<std::vector<std::string>> names = lmdb_store::posix_file_system().list(directory);
  if (!names) return names.error();
  if (std::find(names->begin(), names->end(), name) == names->end()) return std::optional<std::string>();
  const std::string path = directory + "/" + std::string(name);
  Result<std::unique_ptr<lmdb_store::File>> file =
      lmdb_store::posix_file_system().open(path, lmdb_store::FileSystem::Open::kExisting);
  if (!file) return file.error();
  Result<uint64_t> size = (*file)->size();
  if (!size) return size.error();
  std::string text(std::min<uint64_t>(*size, 1 << 20), '\0');
  Result<size_t> bytes = (*file)->pread(text.data(), text.size(), 0);
  if (!bytes) return bytes.error();
  text.resize(*bytes);
  return std::optional(std::move(text));
}

Result<> save_identity(const std::string& directory, const Identity& identity) {
  return replace_file(directory, kIdentityFile, cluster::identity_text(identity));
}

Result<cluster::LinksOptions> links_options(const Settings& settings) {
  cluster::LinksOptions options;
  if (settings.tls_cluster) {
    Result<std::shared_ptr<const cluster::TlsContext>> tls = cluster::TlsContext::open(settings.tls);
    if (!tls) return tls.error();
    options.tls = std::move(*tls);
  }
  return options;
}

// The log R of a shard is another one in every cluster that was founded.
LogId log_of(const cluster::Nodes& nodes, const Document& document, ShardId shard) {
  std::string text = nodes.cluster_name;
  for (const cluster::Founder& founder : document.founders)
    text += ' ' + founder.node + ' ' + std::to_string(founder.life);
  return LogId{LogId::kAgreedBit | hash64(text, shard)};
}

consensus::Configuration first_voters(const Document& document, const std::vector<std::string>& replicas) {
  std::vector<consensus::Member> voters;
  for (const cluster::Founder& founder : document.founders) {
    if (std::find(replicas.begin(), replicas.end(), founder.node) == replicas.end()) continue;
    voters.push_back({founder.life, founder.node});
  }
  return consensus::Configuration(std::move(voters));
}

}  // namespace

Result<std::unique_ptr<Peers>> Peers::open(Node& node, const cluster::Nodes& nodes, std::string directory) {
  Result<cluster::LinksOptions> options = links_options(*node.settings());
  if (!options) return options.error();
  const Result<std::optional<std::string>> text = read_file(directory, kIdentityFile);
  if (!text) return text.error();
  Identity identity;
  if (*text) {
    Result<Identity> parsed = cluster::parse_identity(**text);
    if (!parsed) {
      return Error{parsed.error().code, directory + "/" + std::string(kIdentityFile) + ": " + parsed.error().message};
    }
    if (Result<> fits = cluster::check_identity(*parsed, nodes.me); !fits) return fits.error();
    identity = std::move(*parsed);
  } else {
    identity.life = std::max<cluster::LifeId>(random_word(), 1);
    if (Result<> saved = save_identity(directory, identity); !saved) return saved.error();
  }
  return std::unique_ptr<Peers>(new Peers(node, nodes, std::move(*options), std::move(directory), std::move(identity)));
}

Peers::Peers(Node& node, cluster::Nodes nodes, cluster::LinksOptions options, std::string directory,
             cluster::Identity identity)
    : node_(node),
      nodes_(std::move(nodes)),
      directory_(std::move(directory)),
      founding_(nodes_, std::move(identity)),
      state_(founding_.state()),
      connected_(nodes_.all.size()),
      lives_(nodes_.all.size(), consensus::kNoPeer),
      links_(nodes_, std::move(options),
             {.up = [this](const std::string& name) { on_up(find(name).value()); },
              .down = [this](const std::string& name) { on_down(find(name).value()); },
              .message = [this](const std::string& name,
                                std::span<const std::string_view> words) { on_message(find(name).value(), words); },
              .report = [](const std::string& what) { log_info("cluster: " + what); }},
             random_word()) {
  for (const cluster::Node& each : nodes_.all) names_.push_back(each.name);
}

std::optional<unsigned> Peers::find(std::string_view name) const {
  const auto found = std::find(names_.begin(), names_.end(), name);
  if (found == names_.end()) return std::nullopt;
  return static_cast<unsigned>(found - names_.begin());
}

// ---- who the nodes are

Result<> Peers::start() {
  if (Result<> whole = check_shards(); !whole) return whole;
  if (founding_.state() != Founding::State::kNewborn) found_shards();
  if (Result<> started = links_.start(node_.worker(0).base()); !started) return started;
  advance_founding();
  return {};
}

// A shard whose data are gone while others' are there must not vote again as the replica that it was.
Result<> Peers::check_shards() const {
  Result<> result;
  std::optional<cluster::ReplicaPlacement> placed;
  if (founding_.state() != Founding::State::kNewborn) placed = placement();
  bool old = false;
  std::optional<ShardId> missing;
  node_.for_each_shard([&](Shard& shard) {
    const auto peer = shard.founded_as();
    if (!peer && placed && placed->holds(nodes_.me, shard.id())) missing = shard.id();
    if (peer && *peer != founding_.own()) {
      result = Error{ErrorCode::kInvalid, "the data of shard " + std::to_string(shard.id()) + " are another node's"};
    }
    old |= shard.member() != nullptr && shard.member()->group().term() > 0;
  });
  if (result && old && missing) {
    return Error{ErrorCode::kCorrupt, "the data of shard " + std::to_string(*missing) +
                                          " are missing: remove the node's whole data directory, then it comes back "
                                          "as a new member of the cluster"};
  }
  return result;
}

cluster::ReplicaPlacement Peers::placement() const { return {founding_.document(), node_.shards()}; }

// Of those that are founded already nothing is done: a start after a crash in the middle founds the others.
void Peers::found_shards() {
  const auto document = std::make_shared<const Document>(founding_.document());
  const auto placed = std::make_shared<const cluster::ReplicaPlacement>(placement());
  for (unsigned i = 0; i < node_.workers(); ++i) {
    node_.worker(0).post(i, [document, placed, self = founding_.own(), this](Worker& worker) {
      worker.executor().set_placement(placed);
      for (const auto& shard : worker.executor().shards()) {
        if (shard->founded_as()) continue;
        const LogId log = log_of(nodes_, *document, shard->id());
        if (!placed->holds(nodes_.me, shard->id())) {
          shard->set_log(log);
          continue;
        }
        const Result<> founded = shard->found(self, log, first_voters(*document, placed->replicas(shard->id())));
        CHECK(founded.ok(), "the shards' groups can be written");
      }
    });
  }
}

void Peers::tell_lives() {
  for (unsigned node = 0; node < names_.size(); ++node) {
    if (names_[node] == nodes_.me) continue;
    const consensus::PeerId life = connected(node) ? founding_.life_of(names_[node]) : consensus::kNoPeer;
    if (std::exchange(lives_[node], life) == life) continue;
    for (unsigned i = 0; i < node_.workers(); ++i) {
      node_.worker(0).post(i, [node, life](Worker& worker) { worker.set_life(node, life); });
    }
  }
}

void Peers::admitted() {
  unsigned with_shards = 0;
  for (unsigned i = 0; i < node_.workers(); ++i) with_shards += i < node_.shards() ? 1 : 0;
  if (++admitted_workers_ != with_shards) return;
  log_info("cluster: this node votes");
  if (founding_.state() != Founding::State::kStranger) return;
  founding_.admit();
  advance_founding();
}

void Peers::advance_founding() {
  if (founding_.to_save() != nullptr) {
    // Nothing may be promised that is not on disk, and nobody can say what a disk holds that could not be written.
    const Result<> saved = save_identity(directory_, *founding_.to_save());
    CHECK(saved.ok(), "the node's identity can be written");
    founding_.saved();
  }
  if (founding_.state() != state_) {
    state_ = founding_.state();
    log_info(state_ == Founding::State::kFounded ? "cluster: founded"
                                                 : "cluster: it was founded without this disk, which joins it");
    found_shards();
  }
  tell_lives();
  const Founding::Messages messages = founding_.take_messages();
  for (const std::string& name : messages.receivers) send(find(name).value(), messages.bytes);
}

// ---- links

void Peers::send(unsigned node, std::string_view messages, cluster::Link::Lane lane) {
  resp::OutputBuffer* const out = links_.begin(nodes_.all[node].name, lane);
  if (out != nullptr) out->append(messages);
}

void Peers::on_up(unsigned node) {
  connected_[node].store(true, std::memory_order_relaxed);
  log_info("cluster: connected to " + nodes_.all[node].name);
  founding_.up(nodes_.all[node].name);
  advance_founding();
  for (unsigned i = 0; i < node_.workers(); ++i) {
    node_.worker(0).post(i, [node](Worker& worker) { worker.peer_connected(node); });
  }
}

void Peers::on_down(unsigned node) {
  connected_[node].store(false, std::memory_order_relaxed);
  log_info("cluster: lost the connection to " + nodes_.all[node].name);
  founding_.down(nodes_.all[node].name);
  advance_founding();
  for (unsigned i = 0; i < node_.workers(); ++i) {
    node_.worker(0).post(i, [node](Worker& worker) { worker.peer_lost(node); });
  }
}

void Peers::on_message(unsigned node, std::span<const std::string_view> words) {
  const Result<> taken = take_message(node, words);
  // kNotFound: of a newer version; it is ignored.
  if (taken || taken.error().code == ErrorCode::kNotFound) return;
  log_warning("cluster: " + nodes_.all[node].name + " sent something that makes no sense: " + taken.error().message);
  links_.reset(nodes_.all[node].name, taken.error().message);
}

Result<> Peers::take_message(unsigned node, std::span<const std::string_view> words) {
  if (words.empty()) return Error{ErrorCode::kInvalid, "an empty message"};
  if (words[0] == cluster::kRaftMessage) return take_raft(node, words);
  if (words[0] == kRebuildMessage) return take_rebuild(node, words);
  if (words[0] == kPublishMessage) return take_publication(words);
  if (words[0] == kTransferMessage) return take_transfer(words);
  if (words[0] == kLeadsMessage) return take_leads(node, words);
  if (words[0] == kCallMessage) return take_call(node, words);
  if (words[0] == kAnswerMessage) return take_answer(node, words);
  if (words[0] != Founding::kFoundingMessage) return Error{ErrorCode::kNotFound, "an unknown message"};
  if (Result<> received = founding_.receive(nodes_.all[node].name, words); !received) return received;
  advance_founding();
  return {};
}

Result<> Peers::take_publication(std::span<const std::string_view> words) {
  if (words.size() < 5 || (words[2] != "0" && words[2] != "1")) {
    return Error{ErrorCode::kInvalid, "a malformed publication"};
  }
  if (words[1] != "1") return Error{ErrorCode::kNotFound, "a publication of another version"};
  node_.worker(0).deliver_publication(words[3], words[4], words[2] == "1");
  return {};
}

Result<> Peers::take_transfer(std::span<const std::string_view> words) {
  WordReader in(words.subspan(1));
  if (in.next() != "1") return Error{ErrorCode::kNotFound, "a transfer of another version"};
  const auto shard = in.number<ShardId>();
  const std::string_view to = in.next();
  if (!in.ok() || shard >= node_.shards()) return Error{ErrorCode::kInvalid, "a malformed transfer"};
  node_.worker(0).post(shard % node_.workers(), [shard, to = std::string(to)](Worker& worker) {
    // It was asked once; if it does not lead any more, whoever wants it asks again.
    const GroupMember* const member = worker.executor().shard(shard)->member();
    if (member == nullptr || !member->group().leads()) return;
    if (const Result<> begun = worker.transfer(shard, to); !begun)
      log_info("shard " + std::to_string(shard) + ": " + begun.error().message);
  });
  return {};
}

Result<> Peers::take_leads(unsigned node, std::span<const std::string_view> words) {
  WordReader in(words.subspan(1));
  if (in.next() != "1") return Error{ErrorCode::kNotFound, "a leader's message of another version"};
  const auto shard = in.number<ShardId>();
  const auto term = in.number<consensus::Term>();
  if (!in.ok() || shard >= node_.shards()) return Error{ErrorCode::kInvalid, "a malformed message of a leader"};
  node_.worker(0).post(shard % node_.workers(),
                       [node, shard, term](Worker& worker) { worker.executor().on_leads(node, shard, term); });
  return {};
}

Result<> Peers::take_rebuild(unsigned node, std::span<const std::string_view> words) {
  ShardId shard = 0;
  if (words.size() > 2) {
    WordReader in(words.subspan(1));
    if (in.next() != "1") return Error{ErrorCode::kNotFound, "a rebuild of another version"};
    shard = in.number<ShardId>();
    if (!in.ok()) shard = node_.shards();
  }
  if (words.size() < 4 || shard >= node_.shards())
    return Error{ErrorCode::kInvalid, "a malformed message of a rebuild"};
  const unsigned owner = shard % node_.workers();
  if (owner == 0) return node_.worker(0).receive_rebuild(node, shard, words);
  node_.worker(0).post(owner, [node, shard, kept = OwnedArguments(words)](Worker& worker) {
    const Result<> taken = worker.receive_rebuild(node, shard, kept.words());
    if (!taken) log_warning("cluster: " + taken.error().message);
  });
  return {};
}

Result<> Peers::take_raft(unsigned node, std::span<const std::string_view> words) {
  cluster::ShardMessage decoded;
  if (Result<> done = cluster::decode_message(words, decoded); !done) return done;
  if (decoded.shard >= node_.shards()) return Error{ErrorCode::kInvalid, "a message of a shard that there is not"};
  const unsigned owner = decoded.shard % node_.workers();
  if (owner == 0) {
    node_.worker(0).receive_raft(node, decoded.shard, decoded.message);
    return {};
  }
  node_.worker(0).post(owner, [node, kept = OwnedArguments(words)](Worker& worker) {
    cluster::ShardMessage again;
    CHECK(cluster::decode_message(kept.words(), again).ok());
    worker.receive_raft(node, again.shard, again.message);
  });
  return {};
}

Result<> Peers::take_call(unsigned node, std::span<const std::string_view> words) {
  Result<std::unique_ptr<Task>> task = decode_call(words);
  if (!task) return task.error();
  if ((*task)->shard >= node_.shards()) return Error{ErrorCode::kInvalid, "a call for a shard that there is not"};
  // Other nodes' clients are told from this one's, and from each other.
  constexpr unsigned kClientBits = 48;
  (*task)->reply_to.client = ((*task)->reply_to.client & ((uint64_t{1} << kClientBits) - 1)) | uint64_t{node + 1}
                                                                                                   << kClientBits;
  (*task)->reply_to.worker = node;
  const unsigned owner = (*task)->shard % node_.workers();
  node_.worker(0).submit(owner, std::move(*task));
  return {};
}

Result<> Peers::take_answer(unsigned node, std::span<const std::string_view> words) {
  Result<Answer> answer = decode_answer(words);
  if (!answer) return answer.error();
  const unsigned caller = Executor::caller(answer->id);
  if (caller >= node_.workers()) return Error{ErrorCode::kInvalid, "an answer to a call that nobody made"};
  if (caller == 0) {
    node_.worker(0).executor().on_answer(node, *answer);
    return {};
  }
  node_.worker(0).post(caller, [node, kept = OwnedArguments(words)](Worker& worker) {
    worker.executor().on_answer(node, decode_answer(kept.words()).value());
  });
  return {};
}

}  // namespace capstan
