#include "consensus/configuration.h"

#include "base/bytes.h"
#include "consensus/mutant.h"

namespace capstan::consensus {
namespace {

constexpr uint64_t kVersion = 1;

bool before(const Member& a, const Member& b) { return a.id < b.id; }

bool contains(const std::vector<Member>& members, PeerId peer) {
  return std::any_of(members.begin(), members.end(), [&](const Member& member) { return member.id == peer; });
}

bool ascending(const std::vector<Member>& members) {
  for (size_t i = 0; i < members.size(); ++i) {
    if (members[i].id == kNoPeer || (i > 0 && members[i - 1].id >= members[i].id)) return false;
  }
  return true;
}

void encode_members(const std::vector<Member>& members, Encoder& out) {
  out.varint(members.size());
  for (const Member& member : members) {
    out.u64(member.id);
    out.bytes(member.node);
  }
}

std::vector<Member> decode_members(Decoder& in) {
  std::vector<Member> members;
  for (uint64_t count = in.varint(); count > 0 && in.ok(); --count) {
    const PeerId id = in.u64();
    members.push_back({id, std::string(in.bytes())});
  }
  return members;
}

}  // namespace

Configuration::Configuration(std::vector<Member> voters, std::vector<Member> learners)
    : voters_(std::move(voters)), learners_(std::move(learners)) {
  normalise();
  CHECK(valid());
}

Configuration Configuration::joint_with(const Configuration& next) const {
  CHECK(!joint() && !next.joint());
  Configuration both = next;
  both.outgoing_ = voters_;
  for (const Member& voter : voters_) {
    if (!next.is_member(voter.id)) both.learners_.push_back(voter);
  }
  both.normalise();
  CHECK(both.valid());
  return both;
}

Configuration Configuration::left() const {
  CHECK(joint());
  Configuration after = *this;
  after.outgoing_.clear();
  return after;
}

bool Configuration::is_voter(PeerId peer) const { return contains(voters_, peer) || contains(outgoing_, peer); }
bool Configuration::is_member(PeerId peer) const { return is_voter(peer) || contains(learners_, peer); }

std::vector<Member> Configuration::members() const {
  std::vector<Member> all = voters_;
  all.insert(all.end(), outgoing_.begin(), outgoing_.end());
  all.insert(all.end(), learners_.begin(), learners_.end());
  std::sort(all.begin(), all.end(), before);
  all.erase(std::unique(all.begin(), all.end(), [](const Member& a, const Member& b) { return a.id == b.id; }),
            all.end());
  return all;
}

bool Configuration::asks_outgoing() const { return joint() && !mutant(Mutant::kIncomingMajorityAlone); }

void Configuration::normalise() {
  for (std::vector<Member>* members : {&voters_, &outgoing_, &learners_}) {
    std::sort(members->begin(), members->end(), before);
  }
}

bool Configuration::valid() const {
  if (voters_.empty() || !ascending(voters_) || !ascending(outgoing_) || !ascending(learners_)) return false;
  return std::none_of(learners_.begin(), learners_.end(),
                      [&](const Member& learner) { return contains(voters_, learner.id); });
}

std::string Configuration::encode() const {
  std::string bytes;
  Encoder out(bytes);
  out.varint(kVersion);
  for (const std::vector<Member>* members : {&voters_, &outgoing_, &learners_}) encode_members(*members, out);
  return bytes;
}

Result<Configuration> Configuration::decode(std::string_view bytes) {
  Decoder in(bytes);
  const uint64_t version = in.varint();
  if (in.ok() && version != kVersion) {
    return Error{ErrorCode::kCorrupt, "configuration of version " + std::to_string(version) + ", not 1"};
  }
  Configuration read;
  for (std::vector<Member>* members : {&read.voters_, &read.outgoing_, &read.learners_}) *members = decode_members(in);
  if (!in.done() || !read.valid()) return Error{ErrorCode::kCorrupt, "malformed configuration of a Raft group"};
  return read;
}

}  // namespace capstan::consensus
