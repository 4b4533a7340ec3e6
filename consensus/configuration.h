// Who is in a Raft group, and what is a majority of them (thesis §4). While members change, decisions need a majority
// of the old and of the new voters (joint consensus, thesis §4.3). Pure values.
#pragma once

#include <absl/container/inlined_vector.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/result.h"

namespace capstan::consensus {

// The identity of one life of one replica of the group: a node that lost its disk comes back with another, so that
// nobody votes twice (model, "Identities").
using PeerId = uint64_t;
inline constexpr PeerId kNoPeer = 0;

struct Member {
  PeerId id = kNoPeer;
  std::string node;  // where it lives: the node's name
  bool operator==(const Member&) const = default;
};

class Configuration {
 public:
  Configuration() = default;
  // Not joint. Members in any order, each once and in one of the lists.
  explicit Configuration(std::vector<Member> voters, std::vector<Member> learners = {});
  // From this one towards `next`, which is not joint: decisions need both. Voters that `next` does not have as voters
  // stay as learners until the joint configuration is left, so that a later removal never waits for them (demote
  // before remove: cockroachdb/cockroach#42251). Precondition: neither is joint.
  Configuration joint_with(const Configuration& next) const;
  // The one that a joint configuration leads to.
  Configuration left() const;

  bool joint() const { return !outgoing_.empty(); }
  const std::vector<Member>& voters() const { return voters_; }      // of a joint configuration the incoming ones
  const std::vector<Member>& outgoing() const { return outgoing_; }  // of a joint configuration the old ones
  const std::vector<Member>& learners() const { return learners_; }
  bool is_voter(PeerId peer) const;  // incoming or outgoing
  bool is_member(PeerId peer) const;
  // Every member once, in ascending order of identity.
  std::vector<Member> members() const;

  // Whether those for whom yes(peer) holds are a majority (of both, if joint).
  template <typename Predicate>
  bool has_majority(Predicate&& yes) const {
    return majority_of(voters_, yes) && (!asks_outgoing() || majority_of(outgoing_, yes));
  }
  // The highest value that a majority has reached (of both, if joint): commit index, confirmed round, end of the lease.
  template <typename T, typename Value>
  T reached(Value&& value) const {
    const T first = reached_by<T>(voters_, value);
    return asks_outgoing() ? std::min(first, reached_by<T>(outgoing_, value)) : first;
  }

  bool operator==(const Configuration&) const = default;

  // Grammar: version 1 as varint; then three lists (voters, outgoing, learners): count as varint, then per member
  // the identity (8 bytes) and the node's name (bytes).
  std::string encode() const;
  // kCorrupt if malformed: unknown version, a member twice in a list, an incoming voter that also learns, no
  // voter.
  static Result<Configuration> decode(std::string_view bytes);

 private:
  bool asks_outgoing() const;
  template <typename Predicate>
  static bool majority_of(const std::vector<Member>& voters, Predicate&& yes) {
    size_t count = 0;
    for (const Member& voter : voters) count += yes(voter.id) ? 1 : 0;
    return count * 2 > voters.size();
  }
  template <typename T, typename Value>
  static T reached_by(const std::vector<Member>& voters, Value&& value) {
    CHECK(!voters.empty());
    absl::InlinedVector<T, 8> values;
    for (const Member& voter : voters) values.push_back(value(voter.id));
    std::sort(values.begin(), values.end(), std::greater<>());
    return values[values.size() / 2];
  }
  void normalise();
  bool valid() const;

  std::vector<Member> voters_;    // ascending, as all lists
  std::vector<Member> outgoing_;  // empty unless joint
  std::vector<Member> learners_;  // in a joint configuration also voters of outgoing_ that stay as learners
};

}  // namespace capstan::consensus
