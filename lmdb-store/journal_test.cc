#include "lmdb-store/journal.h"

#include <boost/test/unit_test.hpp>

#include "lmdb-store/journal_testing.h"

namespace capstan::lmdb_store {

BOOST_AUTO_TEST_SUITE(journal_test)

using Strings = std::vector<std::string>;

BOOST_AUTO_TEST_CASE(what_was_written_and_synced_comes_back_in_order) {
  TestNode node;
  BOOST_REQUIRE(node.start().ok());
  BOOST_TEST(node.recovered.empty());
  const Position first = node.put("one", 3, 7).value();
  const Position second = node.put("", 0, 255).value();
  BOOST_TEST(first < second);
  BOOST_TEST(node.journal().write().ok());
  BOOST_TEST(node.journal().sync().ok());
  BOOST_TEST(node.journal().synced() == node.journal().written());
  node.stop();
  node.files.lose_power();
  BOOST_REQUIRE(node.recover().ok());
  BOOST_TEST((node.recovered == std::vector<TestEntry>{{7, 3, first, "one"}, {255, 0, second, ""}}));
}

BOOST_AUTO_TEST_CASE(entries_of_every_size_come_back) {
  TestNode node;
  BOOST_REQUIRE(node.start().ok());
  std::vector<TestEntry> expected;
  for (size_t size = 0; size < 1500; ++size) {
    const std::string payload(size, static_cast<char>('a' + size % 26));
    const Position position = node.put(payload, static_cast<ShardId>(size % 5)).value();
    expected.push_back({1, static_cast<ShardId>(size % 5), position, payload});
    if (size % 7 == 0) BOOST_REQUIRE(node.journal().write().ok());
  }
  BOOST_REQUIRE(node.journal().write().ok());
  node.stop();
  BOOST_REQUIRE(node.recover().ok());
  BOOST_TEST(node.recovered.size() == expected.size());
  BOOST_TEST((node.recovered == expected));
  BOOST_TEST(!node.recovery.cut);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::lmdb_store
