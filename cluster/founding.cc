#include "cluster/founding.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/check.h"
#include "base/hash.h"
#include "resp/output_buffer.h"
#include "resp/writer.h"

namespace capstan::cluster {
namespace {

using consensus::kNoPeer;

constexpr std::string_view kVersion = "1";
constexpr std::string_view kNewborn = "newborn";
constexpr std::string_view kFounded = "founded";
constexpr std::string_view kPromised = "promised";
constexpr std::string_view kReplicas = "replicas";
constexpr std::string_view kFounders = "founders";
constexpr char kBeforeZone = '@';
// founding, version, kind, life
constexpr size_t kHeadWords = 4;
constexpr std::string_view kFileKind = "capstan identity ";
constexpr std::string_view kChecksum = "checksum ";

Error invalid(std::string why) { return Error{ErrorCode::kInvalid, std::move(why)}; }
Error malformed(std::string_view why) { return invalid("a founding message is malformed: " + std::string(why)); }
Error corrupt(std::string_view why) {
  return Error{ErrorCode::kCorrupt, "the file of the node's identity is damaged: " + std::string(why)};
}

[[nodiscard]] bool read_number(std::string_view text, uint64_t& value) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end;
}

[[nodiscard]] bool read_life(std::string_view text, LifeId& life) { return read_number(text, life) && life != kNoPeer; }

// Each name and each life once, in order of names.
bool are_founders(const std::vector<Founder>& founders) {
  std::vector<LifeId> lives;
  for (const Founder& founder : founders) {
    if (!is_name(founder.node) || (!founder.zone.empty() && !is_zone(founder.zone))) return false;
    lives.push_back(founder.life);
  }
  const auto in_order = [](const Founder& a, const Founder& b) { return a.node >= b.node; };
  std::sort(lives.begin(), lives.end());
  return founders.size() <= kMaxNodes && std::adjacent_find(lives.begin(), lives.end()) == lives.end() &&
         std::adjacent_find(founders.begin(), founders.end(), in_order) == founders.end();
}

bool is_document(const Document& document) {
  return are_founders(document.founders) && document.empty() == (document.replicas == 0);
}

std::string home_of(const Founder& founder) {
  return founder.zone.empty() ? founder.node : founder.node + kBeforeZone + founder.zone;
}

Founder founder_at(std::string_view home) {
  const size_t name_end = std::min(home.find(kBeforeZone), home.size());
  return {std::string(home.substr(0, name_end)), kNoPeer,
          std::string(home.substr(std::min(name_end + 1, home.size())))};
}

[[nodiscard]] bool read_replicas(std::string_view text, uint32_t& replicas) {
  uint64_t count = 0;
  if (replicas != 0 || !read_number(text, count) || count == 0 || count > kMaxNodes) return false;
  replicas = static_cast<uint32_t>(count);
  return true;
}

Result<> read_founders(std::string_view count_text, std::span<const std::string_view> words,
                       std::vector<Founder>& founders) {
  uint64_t count;
  if (!read_number(count_text, count) || words.size() % 2 != 0 || count != words.size() / 2) {
    return malformed("its founders are not as many as it says");
  }
  if (count > kMaxNodes) return malformed("it has more than 1024 founders");
  for (size_t at = 0; at < words.size(); at += 2) {
    Founder& founder = founders.emplace_back(founder_at(words[at]));
    if (!read_life(words[at + 1], founder.life)) return malformed("a founder's life is no number");
  }
  return are_founders(founders) ? Result<>() : malformed("its founders are not in order, or one is there twice");
}

Result<> read_fields(std::span<const std::string_view> words, Identity& said) {
  for (size_t at = 0; at < words.size(); at += 2) {
    if (at + 1 == words.size()) return malformed("a name has no value");
    if (words[at] == kFounders) return read_founders(words[at + 1], words.subspan(at + 2), said.document.founders);
    if (words[at] == kReplicas && !read_replicas(words[at + 1], said.document.replicas)) {
      return malformed("how many replicas there are is no number from 1 to 1024, or stands there twice");
    }
    if (words[at] != kPromised) continue;
    if (said.promised != kNoPeer || !read_life(words[at + 1], said.promised)) {
      return malformed("what it promised is no number, or stands there twice");
    }
  }
  return {};
}

// What the sender's disk holds, by what it says. A kind of message that only newer versions know gives no life.
Result<Identity> decode(std::span<const std::string_view> words) {
  if (words.size() < kHeadWords || words[0] != Founding::kFoundingMessage) {
    return malformed("its head is not complete");
  }
  if (words[1] != kVersion) return malformed("its version is not 1");
  if (words[2] != kNewborn && words[2] != kFounded) return Identity();
  Identity said;
  if (!read_life(words[3], said.life)) return malformed("the life is no number");
  if (Result<> read = read_fields(words.subspan(kHeadWords), said); !read) return read.error();
  if ((words[2] == kFounded) == said.document.empty()) return malformed("it has founders and is none, or has none");
  if (!is_document(said.document)) return malformed("founders and the number of replicas come together");
  return said;
}

std::string encode(const Identity& disk) {
  resp::OutputBuffer out;
  resp::Writer writer(out, resp::Protocol::kResp2);
  const size_t promise_words = disk.promised == kNoPeer ? 0 : 2;
  const Document& document = disk.document;
  const size_t founder_words = document.empty() ? 0 : 4 + 2 * document.founders.size();
  writer.array(kHeadWords + promise_words + founder_words);
  writer.bulk(Founding::kFoundingMessage);
  writer.bulk(kVersion);
  writer.bulk(document.empty() ? kNewborn : kFounded);
  writer.bulk(std::to_string(disk.life));
  if (disk.promised != kNoPeer) {
    writer.bulk(kPromised);
    writer.bulk(std::to_string(disk.promised));
  }
  if (!document.empty()) {
    writer.bulk(kReplicas);
    writer.bulk(std::to_string(document.replicas));
    writer.bulk(kFounders);
    writer.bulk(std::to_string(document.founders.size()));
  }
  for (const Founder& founder : document.founders) {
    writer.bulk(home_of(founder));
    writer.bulk(std::to_string(founder.life));
  }
  return std::string(out.view());
}

std::string checksum_of(std::string_view body) {
  constexpr int kDigits = 16;
  std::string digits(kDigits, '0');
  uint64_t hash = hash64(body);
  for (int at = kDigits - 1; at >= 0; --at, hash >>= 4) digits[static_cast<size_t>(at)] = "0123456789abcdef"[hash & 15];
  return digits;
}

// Takes `word` and a space off the line's front.
bool begins_with(std::string_view& line, std::string_view word) {
  if (!line.starts_with(word) || line.substr(word.size(), 1) != " ") return false;
  line.remove_prefix(word.size() + 1);
  return true;
}

bool read_line(std::string_view line, Identity& identity) {
  if (identity.life == kNoPeer) return begins_with(line, "life") && read_life(line, identity.life);
  if (begins_with(line, kPromised)) return identity.promised == kNoPeer && read_life(line, identity.promised);
  if (begins_with(line, kReplicas)) return read_replicas(line, identity.document.replicas);
  if (!begins_with(line, "founder")) return false;
  const std::string_view home = line.substr(0, line.find(' '));
  Founder& founder = identity.document.founders.emplace_back(founder_at(home));
  return begins_with(line, home) && read_life(line, founder.life);
}

}  // namespace

std::string identity_text(const Identity& identity) {
  std::string text = std::string(kFileKind) + std::string(kVersion) + "\n";
  text += "life " + std::to_string(identity.life) + "\n";
  if (identity.promised != kNoPeer) text += "promised " + std::to_string(identity.promised) + "\n";
  if (!identity.document.empty()) text += "replicas " + std::to_string(identity.document.replicas) + "\n";
  for (const Founder& founder : identity.document.founders) {
    text += "founder " + home_of(founder) + " " + std::to_string(founder.life) + "\n";
  }
  return text + std::string(kChecksum) + checksum_of(text) + "\n";
}

Result<Identity> parse_identity(std::string_view text) {
  const size_t last_line = text.ends_with('\n') ? text.rfind('\n', text.size() - 2) + 1 : 0;
  std::string_view body = text.substr(0, last_line);
  if (text.substr(last_line) != std::string(kChecksum) + checksum_of(body) + "\n") {
    return corrupt("it fails its checksum");
  }
  if (!body.starts_with(kFileKind)) return corrupt("it does not begin as such a file does");
  Identity identity;
  for (bool first = true; !body.empty(); first = false) {
    const std::string_view line = body.substr(0, body.find('\n'));
    body.remove_prefix(line.size() + 1);
    if (first) {
      if (line.substr(kFileKind.size()) == kVersion) continue;
      return invalid("the file of the node's identity is of another version than this server's");
    }
    if (!read_line(line, identity)) return corrupt("a line makes no sense");
  }
  if (identity.life == kNoPeer) return corrupt("it has no life");
  if (!is_document(identity.document)) {
    return corrupt("its founders are not in order, or one is there twice, or how many replicas there are is missing");
  }
  return identity;
}

Result<> check_identity(const Identity& identity, std::string_view node) {
  for (const Founder& founder : identity.document.founders) {
    if (founder.life != identity.life || founder.node == node) continue;
    return invalid("the disk of this node, " + std::string(node) + ", is that of " + founder.node +
                   "; was it copied, or the node renamed?");
  }
  return {};
}

Founding::Founding(const Nodes& nodes, Identity disk) : nodes_(nodes), disk_(std::move(disk)) {
  CHECK(nodes_.find(nodes_.me) != nullptr && disk_.life != kNoPeer && check_identity(disk_, nodes_.me).ok());
  for (const Node& node : nodes_.all) {
    if (node.name == nodes_.me) continue;
    Peer& peer = peers_.emplace_back();
    peer.name = node.name;
  }
  advance();
}

const Founding::Peer& Founding::peer(std::string_view node) const {
  const auto found = std::lower_bound(peers_.begin(), peers_.end(), node,
                                      [](const Peer& peer, std::string_view name) { return peer.name < name; });
  CHECK(found != peers_.end() && found->name == node);
  return *found;
}

void Founding::up(std::string_view node) {
  Peer& who = peer(node);
  CHECK(!who.connected);
  who.connected = true;
  who.owed = true;
}

void Founding::down(std::string_view node) {
  Peer& who = peer(node);
  CHECK(who.connected);
  const std::string_view name = who.name;
  who = Peer{};
  who.name = name;
}

Result<> Founding::receive(std::string_view node, std::span<const std::string_view> words) {
  Peer& from = peer(node);
  CHECK(from.connected);
  Result<Identity> said = decode(words);
  if (!said) return said.error();
  if (Result<> right = judge(from, *said); !right) return right;
  from.said = std::move(*said);
  from.agrees = !from.said.document.empty() && !own_document().empty();  // else it would not have passed
  if (from.agrees) from.said.document = {};
  advance();
  return {};
}

Result<> Founding::judge(const Peer& from, const Identity& said) const {
  const std::string name(from.name);
  if (said.life != kNoPeer) {
    const auto same = std::find_if(peers_.begin(), peers_.end(),
                                   [&](const Peer& other) { return &other != &from && other.said.life == said.life; });
    if (said.life == disk_.life || same != peers_.end()) {
      return invalid(name + " has the disk of " + (said.life == disk_.life ? nodes_.me : std::string(same->name)) +
                     "; was it copied?");
    }
  }
  if (said.document.empty()) return {};
  if (!own_document().empty()) {
    if (own_document() == said.document) return {};
    return invalid(name +
                   " belongs to another cluster of these nodes than this node does; remove the data of whichever" +
                   " of the two should not be");
  }
  if (!names_own_life(said.document)) return {};
  if (disk_.promised == kNoPeer) {
    // A node's life gets into a document by its durable promise, or it made the document and has it.
    return invalid("this node's disk is older than what " + name + " knows of it; was it restored? " +
                   "It must not vote again: remove its data, and it will be added as a new member");
  }
  return check_identity({disk_.life, kNoPeer, said.document}, nodes_.me);
}

bool Founding::may_take(const Peer& from) const {
  return is_first() || &from == &peers_.front() || from.said.document.founders.front().life == disk_.promised;
}

bool Founding::names_own_life(const Document& document) const {
  return std::any_of(document.founders.begin(), document.founders.end(),
                     [&](const Founder& each) { return each.life == disk_.life; });
}

// Looks at all that was said rather than at the last message, so it does not matter what came while the disk was busy.
void Founding::advance() {
  if (next_ || !disk_.document.empty()) return;
  for (const Peer& each : peers_) {
    if (each.said.document.empty()) continue;
    if (may_take(each)) return save(kNoPeer, each.said.document);
    if (hearsay_.empty() && !names_own_life(each.said.document)) hearsay_ = each.said.document;
  }
  if (admitted_) return save(kNoPeer, hearsay_);
  if (!hearsay_.empty()) return;  // there is a cluster: no more promises
  if (is_first()) {
    if (waiting_for().empty()) save(kNoPeer, make_document());
    return;
  }
  const LifeId first = peers_.front().said.life;
  if (first != kNoPeer && first != disk_.promised) save(first, {});
}

void Founding::save(LifeId promised, Document document) { next_ = Identity{disk_.life, promised, std::move(document)}; }

Document Founding::make_document() const {
  Document document{{}, nodes_.replicas};
  for (const Node& node : nodes_.all) {
    const LifeId life = node.name == nodes_.me ? disk_.life : peer(node.name).said.life;
    document.founders.push_back({node.name, life, node.zone});
  }
  return document;
}

void Founding::admit() {
  CHECK(state() == State::kStranger);
  admitted_ = true;
  advance();
}

void Founding::saved() {
  CHECK(next_.has_value());
  disk_ = std::move(*next_);
  next_.reset();
  if (disk_.document.empty()) {
    peers_.front().owed = peers_.front().connected;
  } else {
    hearsay_ = {};
    for (Peer& each : peers_) {
      each.agrees = each.agrees || each.said.document == disk_.document;
      each.said.document = {};
      each.owed = each.connected && (each.owed || !each.agrees);
    }
  }
  advance();
}

Founding::Messages Founding::take_messages() {
  Messages messages;
  for (Peer& each : peers_) {
    if (std::exchange(each.owed, false)) messages.receivers.emplace_back(each.name);
  }
  if (!messages.receivers.empty()) messages.bytes = encode(disk_);
  return messages;
}

Founding::State Founding::state() const {
  if (document().empty()) return State::kNewborn;
  return names_own_life(document()) ? State::kFounded : State::kStranger;
}

LifeId Founding::life_of(std::string_view node) const { return peer(node).said.life; }

std::vector<std::string_view> Founding::waiting_for() const {
  if (state() != State::kNewborn || peers_.empty()) return {};
  if (!is_first()) return {peers_.front().name};
  std::vector<std::string_view> missing;
  for (const Peer& each : peers_) {
    if (!each.said.document.empty() || each.said.promised != disk_.life) missing.push_back(each.name);
  }
  return missing;
}

}  // namespace capstan::cluster
