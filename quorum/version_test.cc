#include "quorum/version.h"

#include <boost/test/unit_test.hpp>
#include <string>

#include "base/random.h"

namespace capstan {

namespace {

constexpr LogId kA{1}, kB{2}, kC{3};
constexpr LogId kR{LogId::kAgreedBit | 1};

Version plain(Dot dot, uint64_t hlc, std::string value) { return {dot, Hlc{hlc}, false, std::move(value), {}}; }
Version additive(Dot dot, uint64_t hlc, std::string value) { return {dot, Hlc{hlc}, true, std::move(value), {}}; }

std::string read(const Versions& versions, ElementKind kind = ElementKind::kString) {
  std::string scratch;
  return std::string(value_of(versions, scratch, kind).value_or("nothing"));
}

Version random_version(Random& random) {
  Version version;
  version.dot = {LogId{random.below(9) + 1}, random.below(1000) + 1};
  version.hlc = Hlc{random.next()};
  version.additive = random.chance(0.3);
  for (uint64_t left = random.below(40); left > 0; --left) version.value += static_cast<char>(random.next());
  for (uint64_t log = 1; log < 4; ++log) {
    if (random.chance(0.2)) version.amendments.push_back({LogId{log}, random.below(99) + 1, Number::integer(7)});
  }
  if (random.chance(0.3)) version.amendments.push_back({kR, random.below(99) + 1, {}});
  return version;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(version_test)

BOOST_AUTO_TEST_CASE(nothing_is_read_where_there_is_no_version) { BOOST_TEST(read({}) == "nothing"); }

BOOST_AUTO_TEST_CASE(the_highest_stamp_wins_then_the_highest_log) {
  BOOST_TEST(read({plain({kA, 9}, 5, "a"), plain({kB, 1}, 7, "b"), plain({kC, 1}, 6, "c")}) == "b");
  BOOST_TEST(read({plain({kA, 9}, 5, "a"), plain({kB, 1}, 5, "b"), plain({kR, 1}, 5, "r")}) == "r");
}

BOOST_AUTO_TEST_CASE(a_plain_version_wins_over_additive_ones_of_any_stamp) {
  BOOST_TEST(winner({additive({kA, 1}, 9, "1"), plain({kB, 1}, 1, "text")}) == 1u);
}

BOOST_AUTO_TEST_CASE(contributions_are_added_to_a_number) {
  Version version = plain({kA, 1}, 5, "10");
  version.amendments = {{kA, 2, Number::integer(1)}, {kB, 4, Number::integer(-3)}};
  BOOST_TEST(read({version}) == "8");
  version.value = "text";
  BOOST_TEST(read({version}) == "text");
}

BOOST_AUTO_TEST_CASE(what_the_agreed_log_amended_is_in_the_value_already) {
  Version version = plain({kA, 1}, 5, "10");
  version.amendments = {{kR, 4, {}}};
  BOOST_TEST(read({version}) == "10");
  BOOST_TEST(is_simple({version}));
}

BOOST_AUTO_TEST_CASE(newer_additive_versions_count_and_older_ones_do_not) {
  BOOST_TEST(read({plain({kA, 1}, 5, "10"), additive({kB, 1}, 6, "1"), additive({kC, 1}, 4, "100")}) == "11");
}

BOOST_AUTO_TEST_CASE(additive_versions_alone_are_summed_with_their_contributions) {
  Version first = additive({kA, 1}, 5, "1");
  first.amendments = {{kC, 1, Number::integer(10)}};
  BOOST_TEST(read({first, additive({kB, 1}, 6, "2")}) == "13");
}

BOOST_AUTO_TEST_CASE(losing_plain_versions_count_for_nothing) {
  Version loser = plain({kA, 1}, 4, "100");
  loser.amendments = {{kA, 2, Number::integer(5)}};
  BOOST_TEST(read({loser, plain({kB, 1}, 5, "1")}) == "1");
}

BOOST_AUTO_TEST_CASE(sums_saturate_and_floats_make_floats) {
  Version version = plain({kA, 1}, 5, "9223372036854775807");
  version.amendments = {{kB, 1, Number::integer(1)}};
  BOOST_TEST(read({version}) == "9223372036854775807");
  version.value = "10";
  version.amendments = {{kB, 1, Number::real(0.5L)}};
  BOOST_TEST(read({version}) == "10.5");
}

BOOST_AUTO_TEST_CASE(scores_are_added_as_doubles) {
  const auto score = [](double value) {
    std::string out;
    Encoder(out).u64(std::bit_cast<uint64_t>(value));
    return out;
  };
  Version version = plain({kA, 1}, 5, score(1.5));
  version.amendments = {{kB, 1, Number::real(2)}};
  BOOST_TEST((read({version}, ElementKind::kScore) == score(3.5)));
}

BOOST_AUTO_TEST_CASE(only_one_plain_version_without_contributions_is_simple) {
  Version version = plain({kA, 1}, 5, "10");
  BOOST_TEST(is_simple({version}));
  BOOST_TEST(!is_simple({version, plain({kB, 1}, 5, "x")}));
  version.amendments = {{kB, 4, Number::integer(0)}};
  BOOST_TEST(!is_simple({version}));
  BOOST_TEST(!is_simple({additive({kA, 1}, 5, "10")}));
  BOOST_TEST(!is_simple({}));
}

// The value shows 2^63 - 11; R's five more would stop at 2^63 - 1 and then lose the contribution's ten.
BOOST_AUTO_TEST_CASE(an_addition_that_would_saturate_on_its_way_does_not_add_exactly) {
  const Number five = Number::integer(5);
  Version version = plain({kR, 1}, 5, "9223372036854775807");
  BOOST_TEST(adds_exactly({version}, kR, Number::integer(-5)));
  version.amendments = {{kA, 4, Number::integer(-10)}};
  BOOST_TEST(!adds_exactly({version}, kR, five));
  BOOST_TEST(adds_exactly({version}, kR, Number::integer(-5)));
  BOOST_TEST(adds_exactly({version}, kA, five));
  BOOST_TEST(adds_exactly({version}, kB, five));  // in order of writer: after what kA took
  BOOST_TEST(adds_exactly({version}, kR, Number::real(0.5L)));
  version.amendments[0].log = kC;
  BOOST_TEST(!adds_exactly({version}, kB, five));  // before
  version.value = "10";
  BOOST_TEST(adds_exactly({version}, kB, five));
  // What an additive sibling takes again.
  const Versions siblings{additive({kA, 1}, 5, "-10"), additive({kB, 1}, 6, "9223372036854775807")};
  BOOST_TEST(adds_exactly(siblings, kR, Number::integer(-1)));
  BOOST_TEST(!adds_exactly(siblings, kR, five));
}

BOOST_AUTO_TEST_CASE(the_digest_of_a_compact_row_is_that_of_its_version) {
  Version version = plain({kR, 7}, 5, "v");
  BOOST_TEST(version_digest(9, ElementKind::kField, "f", version) ==
             plain_digest(9, ElementKind::kField, "f", version.dot, 0));
  version.amendments = {{kR, 12, {}}};
  BOOST_TEST(version_digest(9, ElementKind::kField, "f", version) ==
             plain_digest(9, ElementKind::kField, "f", version.dot, 12));
}

BOOST_AUTO_TEST_CASE(the_digest_tells_keys_elements_dots_and_amendments_apart) {
  Version version = plain({kA, 7}, 5, "v");
  version.amendments = {{kB, 3, Number::integer(1)}};
  const uint64_t digest = version_digest(9, ElementKind::kField, "f", version);
  BOOST_TEST(digest != version_digest(8, ElementKind::kField, "f", version));
  BOOST_TEST(digest != version_digest(9, ElementKind::kMember, "f", version));
  BOOST_TEST(digest != version_digest(9, ElementKind::kField, "g", version));
  Version other = version;
  other.dot.number = 8;
  BOOST_TEST(digest != version_digest(9, ElementKind::kField, "f", other));
  other = version;
  other.amendments[0].last = 4;
  BOOST_TEST(digest != version_digest(9, ElementKind::kField, "f", other));
  other = version;
  other.amendments[0].log = kC;
  BOOST_TEST(digest != version_digest(9, ElementKind::kField, "f", other));
}

BOOST_AUTO_TEST_CASE(a_version_of_no_log_or_number_is_refused) {
  for (const Dot dot : {Dot{LogId(), 5}, Dot{kA, 0}}) {
    std::string bytes;
    Encoder encoder(bytes);
    encode_versions({plain(dot, 5, "v")}, encoder);
    Decoder in(bytes);
    Versions decoded;
    BOOST_TEST(!decode_versions(in, decoded));
  }
}

BOOST_AUTO_TEST_CASE(versions_come_back_as_they_were) {
  Random random(1);
  Versions decoded;
  for (int i = 0; i < 20000; ++i) {
    Versions versions;
    for (uint64_t left = random.below(4); left > 0; --left) versions.push_back(random_version(random));
    std::sort(versions.begin(), versions.end(), [](const auto& a, const auto& b) { return a.dot < b.dot; });
    versions.erase(std::unique(versions.begin(), versions.end(), [](auto& a, auto& b) { return a.dot == b.dot; }),
                   versions.end());
    std::string bytes;
    Encoder encoder(bytes);
    encode_versions(versions, encoder);
    Decoder in(bytes);
    BOOST_REQUIRE(decode_versions(in, decoded));
    BOOST_REQUIRE(in.done());
    BOOST_REQUIRE(decoded == versions);
    Decoder cut(std::string_view(bytes).substr(0, random.below(bytes.size())));
    BOOST_REQUIRE(!decode_versions(cut, decoded));
    bytes[random.below(bytes.size())] = static_cast<char>(random.next());
    Decoder damaged(bytes);
    if (decode_versions(damaged, decoded)) {
      BOOST_REQUIRE(
          std::is_sorted(decoded.begin(), decoded.end(), [](const auto& a, const auto& b) { return a.dot < b.dot; }));
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
