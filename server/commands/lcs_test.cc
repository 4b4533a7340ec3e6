#include "server/commands/lcs.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <string>

#include "base/random.h"

namespace capstan {

BOOST_AUTO_TEST_SUITE(lcs_test)

namespace {

// The textbook's table of lengths, and the way back through it that redis-server takes: along matches; else up where
// that is longer, else left.
class Textbook {
 public:
  Textbook(std::string_view a, std::string_view b) : a_(a), b_(b), lengths_((a.size() + 1) * (b.size() + 1)) {
    for (size_t i = 1; i <= a.size(); ++i) {
      for (size_t j = 1; j <= b.size(); ++j) {
        at(i, j) = a[i - 1] == b[j - 1] ? at(i - 1, j - 1) + 1 : std::max(at(i - 1, j), at(i, j - 1));
      }
    }
  }

  uint64_t length() { return at(a_.size(), b_.size()); }

  // (i, j) of each matched byte, the last one first.
  std::vector<std::pair<size_t, size_t>> path() {
    std::vector<std::pair<size_t, size_t>> matched;
    size_t i = a_.size();
    size_t j = b_.size();
    while (i > 0 && j > 0) {
      if (a_[i - 1] == b_[j - 1]) {
        matched.emplace_back(--i, --j);
      } else if (at(i - 1, j) > at(i, j - 1)) {
        --i;
      } else {
        --j;
      }
    }
    return matched;
  }

 private:
  uint64_t& at(size_t i, size_t j) { return lengths_[i * (b_.size() + 1) + j]; }
  std::string_view a_;
  std::string_view b_;
  std::vector<uint64_t> lengths_;
};

std::vector<std::pair<size_t, size_t>> bytes_of(const std::vector<LcsMatch>& matches) {
  std::vector<std::pair<size_t, size_t>> bytes;
  for (const LcsMatch& match : matches) {
    for (size_t k = match.size; k-- > 0;) bytes.emplace_back(match.a_first + k, match.b_first + k);
  }
  return bytes;
}

std::string random_text(Random& random, size_t size, uint64_t letters) {
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>('a' + random.below(letters));
  return text;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_example_of_the_redis_documentation) {
  const std::vector<LcsMatch> matches = lcs_matches("ohmytext", "mynewtext");
  BOOST_TEST(lcs_length("ohmytext", "mynewtext") == 6u);
  BOOST_REQUIRE_EQUAL(matches.size(), 2u);
  BOOST_TEST((matches[0] == LcsMatch{.a_first = 4, .b_first = 5, .size = 4}));
  BOOST_TEST((matches[1] == LcsMatch{.a_first = 2, .b_first = 0, .size = 2}));
}

BOOST_AUTO_TEST_CASE(empty_and_disjoint_strings_share_nothing) {
  for (const auto& [a, b] : {std::pair("", ""), std::pair("a", ""), std::pair("", "a"), std::pair("abc", "xyz")}) {
    BOOST_TEST(lcs_length(a, b) == 0u);
    BOOST_TEST(lcs_matches(a, b).empty());
  }
}

BOOST_AUTO_TEST_CASE(agrees_with_the_textbook_on_random_strings) {
  constexpr uint64_t kSeed = 20260101;
  BOOST_TEST_MESSAGE("seed " << kSeed);
  Random random(kSeed);
  for (int round = 0; round < 400; ++round) {
    const uint64_t letters = 1 + random.below(6);
    const std::string a = random_text(random, random.below(150), letters);
    const std::string b = random_text(random, random.below(150), letters);
    Textbook textbook(a, b);
    BOOST_REQUIRE_EQUAL(lcs_length(a, b), textbook.length());
    const std::vector<LcsMatch> matches = lcs_matches(a, b);
    BOOST_REQUIRE_MESSAGE(bytes_of(matches) == textbook.path(), a << " and " << b);
    for (size_t k = 1; k < matches.size(); ++k) {
      const bool adjoin = matches[k].a_first + matches[k].size == matches[k - 1].a_first &&
                          matches[k].b_first + matches[k].size == matches[k - 1].b_first;
      BOOST_REQUIRE_MESSAGE(!adjoin, "runs are as long as they can be: " << a << " and " << b);
    }
  }
}

BOOST_AUTO_TEST_CASE(rows_of_full_words) {
  for (const size_t size : {63, 64, 65, 127, 128, 129}) {
    const std::string text(size, 'x');
    BOOST_TEST(lcs_length(text, text) == size);
    BOOST_TEST((lcs_matches(text, text) == std::vector{LcsMatch{.a_first = 0, .b_first = 0, .size = size}}));
  }
}

BOOST_AUTO_TEST_CASE(the_limit_counts_four_bytes_per_cell) {
  BOOST_TEST(lcs_table_bytes(0, 0) == 4u);
  BOOST_TEST(lcs_table_bytes(4095, 4095) == uint64_t{64} << 20);
  BOOST_TEST(lcs_table_bytes(uint64_t{1} << 40, uint64_t{1} << 40) == ~uint64_t{0});
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
