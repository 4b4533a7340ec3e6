#include "lmdb-store/element_codec.h"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

#include "base/hash.h"
#include "base/random_testing.h"
#include "lmdb-store/collection_testing.h"

namespace capstan::lmdb_store {
namespace {

TestPlace position(std::string_view id) { return TestPlace(place_by_id(ElementKind::kPosition, id)); }

BOOST_AUTO_TEST_SUITE(element_codec_test)

BOOST_AUTO_TEST_CASE(scores_are_ordered_by_their_words) {
  const double infinity = std::numeric_limits<double>::infinity();
  const double smallest = std::numeric_limits<double>::denorm_min();
  const double ascending[] = {-infinity, -1e300, -2, -1.5, -smallest, 0, smallest, 1, 1.5, 2, 1e300, infinity};
  for (size_t i = 0; i + 1 < std::size(ascending); ++i) {
    BOOST_TEST(ordered_score(ascending[i]) < ordered_score(ascending[i + 1]));
    BOOST_TEST(score_of(ordered_score(ascending[i])) == ascending[i]);
  }
  BOOST_TEST(ordered_score(-0.0) == ordered_score(0.0));
  BOOST_TEST(!std::signbit(score_of(ordered_score(-0.0))));
  BOOST_CHECK(place_by_score(1, "b") < place_by_score(1, "c"));
  BOOST_CHECK(place_by_score(1, "b") < place_by_score(2, "a"));
}

BOOST_AUTO_TEST_CASE(fields_and_members_stand_where_their_hash_says) {
  BOOST_TEST(place_by_id(ElementKind::kMember, "member").word == hash64("member"));
  BOOST_TEST(place_by_id(ElementKind::kField, "field").id == "field");
}

BOOST_AUTO_TEST_CASE(positions_stand_in_the_order_of_their_bytes) {
  with_new_seeds(20, [](uint64_t seed) {
    Random random(seed);
    for (int i = 0; i < 500; ++i) {
      std::string a = random_bytes(random, random.below(12)), b = a.substr(0, random.below(a.size() + 1));
      b += random_bytes(random, random.below(6));
      a += '\1', b += '\2';  // never ends in 0
      BOOST_TEST((a < b) == (position(a) < position(b)), "seed " << seed);
      std::string back;
      append_position(place_by_id(ElementKind::kPosition, a), back);
      BOOST_TEST(back == a);
    }
  });
}

BOOST_AUTO_TEST_CASE(separators_are_as_short_as_can_be) {
  const auto separator = [](const TestPlace& left, const TestPlace& right, bool low = false) {
    return TestPlace(separator_between(left.view(), right.view(), low));
  };
  BOOST_CHECK(separator({1, "abc"}, {9, "abd"}) == TestPlace(9, ""));
  BOOST_CHECK(separator({1, "abc"}, {9, "abd"}, true) == TestPlace(2, ""));
  BOOST_CHECK(separator({1, "abc"}, {1, "abdef"}) == TestPlace(1, "abd"));
  BOOST_CHECK(separator({1, "ab"}, {1, "abdef"}) == TestPlace(1, "abd"));
  BOOST_CHECK(separator({1, ""}, {1, "xyz"}) == TestPlace(1, "x"));
}

BOOST_AUTO_TEST_CASE(elements_come_back) {
  with_new_seeds(20, [](uint64_t seed) {
    Random random(seed);
    for (int i = 0; i < 500; ++i) {
      const TestPlace place(random.next(), random_bytes(random, random.below(200)));
      const TestElement element = random_element(random, random.below(200));
      const TestElement other = random_element(random, 0);
      const ElementBase base{other.dot, other.hlc};
      const ElementView view = element.view(place);
      std::string bytes(element_bytes(view, base), '\0');
      BOOST_REQUIRE(write_element(bytes.data(), view, base) == bytes.data() + bytes.size());
      BOOST_REQUIRE_MESSAGE(same(read_element(bytes.data(), place.word, base), view), "seed " << seed);
      BOOST_TEST(element_id(bytes.data()) == place.id);
      BOOST_TEST(element_bytes(bytes.data()) == bytes.size());
      BOOST_TEST(checked_element(bytes + "more", base) == bytes.size());
      BOOST_TEST(checked_element(bytes.substr(0, bytes.size() - 1), base) == 0u);
    }
  });
}

BOOST_AUTO_TEST_CASE(a_member_near_its_base_costs_few_bytes) {
  ElementView member;
  member.place = {7, "twenty bytes of name"};
  member.dot = {3, 1'000'100};
  member.hlc = Hlc::at_ms(1'700'000'000'010);
  const ElementBase base{{3, 1'000'000}, Hlc::at_ms(1'700'000'000'000)};
  BOOST_TEST(element_bytes(member, base) == 1u + 1 + 1 + 20 + 2 + 3);
}

BOOST_AUTO_TEST_CASE(what_is_damaged_is_refused_or_is_another_element) {
  with_new_seeds(20, [](uint64_t seed) {
    Random random(seed);
    for (int i = 0; i < 500; ++i) {
      const TestPlace place(1, random_bytes(random, random.below(40)));
      const ElementBase base{{3, 1000}, Hlc::at_ms(1'700'000'000'000)};
      const TestElement element = random_element(random, random.below(40));
      const ElementView view = element.view(place);
      std::string bytes(element_bytes(view, base), '\0');
      write_element(bytes.data(), view, base);
      const std::vector<char> broken = damaged(random, bytes);
      const size_t size = checked_element({broken.data(), broken.size()}, base);
      if (size == 0) continue;
      std::string again(size, '\0');
      write_element(again.data(), read_element(broken.data(), 1, base), base);
      BOOST_REQUIRE_MESSAGE(again == std::string(broken.data(), size), "seed " << seed);
    }
  });
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace capstan::lmdb_store
