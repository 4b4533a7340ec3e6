#include "consensus/configuration.h"

#include <boost/test/unit_test.hpp>
#include <map>
#include <set>

#include "base/bytes.h"
#include "consensus/group_testing.h"

namespace capstan::consensus {

namespace {

using Ids = std::vector<PeerId>;

Configuration joint(const Ids& from, const Ids& to, const Ids& learners = {}) {
  return configuration_of(from).joint_with(configuration_of(to, learners));
}

bool majority(const Configuration& configuration, const std::set<PeerId>& yes) {
  return configuration.has_majority([&](PeerId peer) { return yes.contains(peer); });
}

Index reached(const Configuration& configuration, const std::map<PeerId, Index>& at) {
  return configuration.reached<Index>([&](PeerId peer) {
    const auto found = at.find(peer);
    return found == at.end() ? Index{0} : found->second;
  });
}

// As encode() writes it, without its checks.
std::string encoded(uint64_t version, const std::vector<Ids>& lists) {
  std::string out;
  Encoder encoder(out);
  encoder.varint(version);
  for (const Ids& list : lists) {
    encoder.varint(list.size());
    for (const PeerId peer : list) {
      encoder.u64(peer);
      encoder.bytes("node-" + std::to_string(peer));
    }
  }
  return out;
}

bool corrupt(std::string_view bytes) {
  const Result<Configuration> decoded = Configuration::decode(bytes);
  return !decoded.ok() && decoded.error().code == ErrorCode::kCorrupt;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(configuration_test)

BOOST_AUTO_TEST_CASE(members_come_in_order_of_their_identity) {
  const Configuration configuration = configuration_of({3, 1}, {9, 2});
  BOOST_TEST(ids(configuration.voters()) == (Ids{1, 3}), boost::test_tools::per_element());
  BOOST_TEST(ids(configuration.learners()) == (Ids{2, 9}), boost::test_tools::per_element());
  BOOST_TEST(ids(configuration.members()) == (Ids{1, 2, 3, 9}), boost::test_tools::per_element());
  BOOST_TEST(!configuration.joint());
  BOOST_TEST(configuration.is_voter(3));
  BOOST_TEST(!configuration.is_voter(2));
  BOOST_TEST(configuration.is_member(2));
  BOOST_TEST(!configuration.is_member(4));
  BOOST_TEST(configuration.members()[1].node == "node-2");
  BOOST_TEST((configuration == configuration_of({1, 3}, {2, 9})));
}

BOOST_AUTO_TEST_CASE(a_majority_is_more_than_half_of_the_voters) {
  BOOST_TEST(majority(configuration_of({1}), {1}));
  BOOST_TEST(!majority(configuration_of({1, 2}), {1}));
  BOOST_TEST(majority(configuration_of({1, 2, 3}), {1, 3}));
  BOOST_TEST(!majority(configuration_of({1, 2, 3, 4}), {1, 3}));
  BOOST_TEST(majority(configuration_of({1, 2, 3, 4}), {1, 3, 4}));
  BOOST_TEST(!majority(configuration_of({1, 2, 3}, {4, 5}), {3, 4, 5}), "learners do not count");
}

BOOST_AUTO_TEST_CASE(what_a_majority_has_reached) {
  BOOST_TEST(reached(configuration_of({1}), {{1, 7}}) == 7u);
  BOOST_TEST(reached(configuration_of({1, 2}), {{1, 7}, {2, 5}}) == 5u);
  BOOST_TEST(reached(configuration_of({1, 2, 3}), {{1, 7}, {2, 5}, {3, 6}}) == 6u);
  BOOST_TEST(reached(configuration_of({1, 2, 3, 4}), {{1, 7}, {2, 5}, {3, 6}, {4, 1}}) == 5u);
  BOOST_TEST(reached(configuration_of({1, 2, 3}, {4, 5}), {{1, 1}, {2, 2}, {4, 9}, {5, 9}}) == 1u);
}

// Thesis §4.3.
BOOST_AUTO_TEST_CASE(a_joint_configuration_needs_both_majorities) {
  const Configuration both = joint({1, 2, 3}, {3, 4, 5});
  BOOST_TEST(both.joint());
  BOOST_TEST(!majority(both, {1, 2, 3}));
  BOOST_TEST(!majority(both, {3, 4, 5}));
  BOOST_TEST(majority(both, {2, 3, 4}));
  BOOST_TEST(majority(both, {1, 2, 4, 5}));
  BOOST_TEST(reached(both, {{1, 9}, {2, 9}, {3, 9}, {4, 4}, {5, 2}}) == 4u);
  BOOST_TEST(reached(both, {{1, 1}, {2, 3}, {3, 9}, {4, 9}, {5, 9}}) == 3u);
}

// cockroachdb/cockroach#42251.
BOOST_AUTO_TEST_CASE(voters_that_go_are_members_until_the_joint_configuration_is_left) {
  const Configuration both = joint({1, 2, 3}, {2, 3, 4}, {5});
  BOOST_TEST(ids(both.voters()) == (Ids{2, 3, 4}), boost::test_tools::per_element());
  BOOST_TEST(ids(both.outgoing()) == (Ids{1, 2, 3}), boost::test_tools::per_element());
  BOOST_TEST(ids(both.members()) == (Ids{1, 2, 3, 4, 5}), boost::test_tools::per_element());
  for (const PeerId peer : {1, 2, 3, 4}) BOOST_TEST(both.is_voter(peer));
  BOOST_TEST(!both.is_voter(5));
  BOOST_TEST(both.is_member(1));
  BOOST_TEST(both.is_member(5));
}

BOOST_AUTO_TEST_CASE(a_joint_configuration_leads_to_the_new_voters) {
  const Configuration after = joint({1, 2, 3}, {2, 3, 4}, {5}).left();
  BOOST_TEST(!after.joint());
  BOOST_TEST(ids(after.voters()) == (Ids{2, 3, 4}), boost::test_tools::per_element());
  BOOST_TEST(!after.is_voter(1));
  BOOST_TEST(after.is_member(5));
  BOOST_TEST((joint({1}, {1, 2}).left() == configuration_of({1, 2})));
}

BOOST_AUTO_TEST_CASE(encoded_ones_come_back) {
  const Configuration demoted = configuration_of({1, 2, 3}).joint_with(configuration_of({1, 2}, {3}));
  for (const Configuration& configuration : {configuration_of({1}), configuration_of({3, 1, ~PeerId{0}}, {9, 2}),
                                             joint({1, 2, 3}, {3, 4, 5}, {6}), demoted, demoted.left()}) {
    const std::string bytes = configuration.encode();
    const Result<Configuration> decoded = Configuration::decode(bytes);
    BOOST_REQUIRE(decoded.ok());
    BOOST_TEST((*decoded == configuration));
    BOOST_TEST(decoded->encode() == bytes);
  }
  BOOST_TEST(configuration_of({1, 2}, {3}).encode() == encoded(1, {{1, 2}, {}, {3}}));
}

BOOST_AUTO_TEST_CASE(malformed_ones_are_refused) {
  const std::string good = joint({1, 2, 3}, {3, 4, 5}, {6}).encode();
  for (size_t size = 0; size < good.size(); ++size) BOOST_TEST(corrupt(good.substr(0, size)), "cut at " << size);
  BOOST_TEST(corrupt(good + '\0'), "more than one");
  BOOST_TEST(corrupt(encoded(2, {{1}, {}, {}})), "another version");
  BOOST_TEST(corrupt(encoded(1, {{}, {}, {}})), "no voter");
  BOOST_TEST(corrupt(encoded(1, {{}, {1}, {2}})), "no incoming voter");
  BOOST_TEST(corrupt(encoded(1, {{1, 2, 2}, {}, {}})), "twice");
  BOOST_TEST(corrupt(encoded(1, {{1}, {}, {2, 2}})), "twice");
  BOOST_TEST(corrupt(encoded(1, {{1, 2}, {}, {2}})), "votes and learns");
  std::string endless;
  Encoder encoder(endless);
  encoder.varint(1);
  encoder.varint(~uint64_t{0});
  BOOST_TEST(corrupt(endless), "a count that memory would not hold");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::consensus
