#include "server/token.h"

#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_SUITE(token_test)

using namespace capstan;

namespace {
constexpr LogId kLog{LogId::kAgreedBit | 5};
constexpr LogId kOther{7};
}  // namespace

BOOST_AUTO_TEST_CASE(a_token_is_one_word_that_comes_back) {
  const Token token = {{0, Clock{{kLog, 12}}}, {3, Clock{{kLog, 1}, {kOther, 2}}}, {9, Clock{}}};
  const std::string word = encode_token(token);
  BOOST_CHECK_EQUAL(word.find_first_not_of("0123456789abcdef"), std::string::npos);
  const auto decoded = decode_token(word);
  BOOST_REQUIRE(decoded.has_value());
  BOOST_CHECK(*decoded == token);
}

BOOST_AUTO_TEST_CASE(what_is_no_token_is_refused) {
  const std::string word = encode_token({{1, Clock{{kLog, 300}}}});
  BOOST_CHECK(!decode_token(""));
  BOOST_CHECK(!decode_token("xyz"));
  BOOST_CHECK(!decode_token("f"));
  for (size_t size = 1; size < word.size(); ++size) BOOST_CHECK(!decode_token(word.substr(0, size)));
  BOOST_CHECK(!decode_token(word + "00"));
}

BOOST_AUTO_TEST_CASE(covered_means_everything_of_that_shard) {
  const std::string word = encode_token({{1, Clock{{kLog, 10}}}, {2, Clock{{kLog, 99}}}});
  BOOST_CHECK(token_is_covered(word, 1, Clock{{kLog, 10}}));
  BOOST_CHECK(token_is_covered(word, 1, Clock{{kLog, 11}, {kOther, 1}}));
  BOOST_CHECK(!token_is_covered(word, 1, Clock{{kLog, 9}}));
  BOOST_CHECK(!token_is_covered(word, 2, Clock{{kLog, 10}}));
  BOOST_CHECK(token_is_covered(word, 3, Clock{}));
  BOOST_CHECK(!token_is_covered("garbage", 1, Clock{{kLog, 10}}));
}

BOOST_AUTO_TEST_SUITE_END()
