#include "server/gather.h"

#include <boost/test/unit_test.hpp>

#include "base/random.h"
#include "resp/writer.h"

BOOST_AUTO_TEST_SUITE(gather_test)

using namespace capstan;

namespace {

constexpr CommandSpec kMget{.name = "mget", .arity = -2, .keys = {1, -1, 1}, .scope = Scope::kSplit};
constexpr CommandSpec kMset{.name = "mset", .arity = -3, .keys = {1, -1, 2}, .scope = Scope::kSplit};

std::string joined(const Gather& gather) {
  resp::OutputBuffer out;
  gather.write(out);
  return std::string(out.view());
}

}  // namespace

BOOST_AUTO_TEST_CASE(shards_are_contiguous_ranges_of_all_slots) {
  for (const uint32_t shards : {1u, 2u, 3u, 7u, 16u, 1000u, 16384u}) {
    const ShardMap map(shards);
    ShardId last = 0;
    for (unsigned slot = 0; slot < kSlots; ++slot) {
      const ShardId shard = map.shard_of(static_cast<Slot>(slot));
      BOOST_REQUIRE(shard == last || shard == last + 1);
      if (shard != last) BOOST_REQUIRE_EQUAL(map.first_slot(shard), slot);
      last = shard;
    }
    BOOST_CHECK_EQUAL(last, shards - 1);
    BOOST_CHECK_EQUAL(map.first_slot(0), 0);
  }
}

BOOST_AUTO_TEST_CASE(keys_with_one_tag_are_in_one_shard) {
  const ShardMap map(16);
  const std::vector<std::string_view> words = {"mget", "{a}1", "{a}2", "{a}3"};
  const Placement placement = place(map, kMget, words);
  BOOST_CHECK(placement.any && !placement.several);
  BOOST_CHECK_EQUAL(placement.shard, map.shard_of("a"));
}

BOOST_AUTO_TEST_CASE(a_command_without_keys_has_no_place) {
  constexpr CommandSpec kPing{.name = "ping", .arity = -1};
  const std::vector<std::string_view> words = {"ping", "x"};
  BOOST_CHECK(!place(ShardMap(4), kPing, words).any);
}

BOOST_AUTO_TEST_CASE(a_key_takes_along_what_belongs_to_it) {
  const ShardMap map(16384);
  const std::vector<std::string_view> words = {"MSET", "a", "1", "b", "2", "{a}c", "3"};
  BOOST_CHECK(place(map, kMset, words).several);
  const std::vector<Part> parts = split(map, kMset, words);
  BOOST_REQUIRE_EQUAL(parts.size(), 2u);
  const std::vector<std::string_view> first = {"MSET", "a", "1", "{a}c", "3"};
  const std::vector<std::string_view> second = {"MSET", "b", "2"};
  BOOST_CHECK(parts[0].arguments == first && parts[1].arguments == second);
  BOOST_CHECK(parts[0].keys == (std::vector<uint32_t>{0, 2}) && parts[1].keys == (std::vector<uint32_t>{1}));
}

BOOST_AUTO_TEST_CASE(sums) {
  Gather gather(Join::kSum, 3, 0);
  BOOST_CHECK(!gather.add(2, ":5\r\n", 0));
  BOOST_CHECK(!gather.add(0, ":0\r\n", 0));
  BOOST_CHECK(gather.add(1, ":12\r\n", 0));
  BOOST_CHECK_EQUAL(joined(gather), ":17\r\n");
}

BOOST_AUTO_TEST_CASE(the_first_error_wins) {
  Gather gather(Join::kOk, 3, 0);
  gather.add(2, "-B\r\n", 0);
  gather.add(0, "+OK\r\n", 0);
  gather.add(1, "-A\r\n", 0);
  BOOST_CHECK_EQUAL(joined(gather), "-A\r\n");
}

BOOST_AUTO_TEST_CASE(elements_return_to_their_keys_places) {
  Gather gather(Join::kArray, 2, 0);
  gather.set_keys(0, {0, 3});
  gather.set_keys(1, {1, 2});
  gather.add(1, "*2\r\n$-1\r\n$3\r\na\r\n\r\n", 0);
  gather.add(0, "*2\r\n$1\r\nx\r\n*2\r\n:1\r\n$0\r\n\r\n\r\n", 0);
  BOOST_CHECK_EQUAL(joined(gather), "*4\r\n$1\r\nx\r\n$-1\r\n$3\r\na\r\n\r\n*2\r\n:1\r\n$0\r\n\r\n");
}

BOOST_AUTO_TEST_CASE(arrays_one_behind_the_other) {
  Gather gather(Join::kConcat, 2, 0);
  gather.add(0, "*1\r\n$1\r\na\r\n", 0);
  gather.add(1, "*2\r\n$1\r\nb\r\n$1\r\nc\r\n", 0);
  BOOST_CHECK_EQUAL(joined(gather), "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n");
}

BOOST_AUTO_TEST_CASE(a_pick_is_weighted_and_never_null_when_there_is_a_key) {
  unsigned heavy = 0;
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    Gather gather(Join::kPick, 3, seed);
    gather.add(0, "$-1\r\n", 0);
    gather.add(1, "$1\r\nl\r\n", 1);
    gather.add(2, "$1\r\nh\r\n", 9);
    const std::string reply = joined(gather);
    BOOST_REQUIRE(reply == "$1\r\nl\r\n" || reply == "$1\r\nh\r\n");
    heavy += reply == "$1\r\nh\r\n";
  }
  BOOST_CHECK_GT(heavy, 850u);
  BOOST_CHECK_LT(heavy, 950u);
  Gather empty(Join::kPick, 2, 1);
  empty.add(0, "_\r\n", 0);
  empty.add(1, "_\r\n", 0);
  BOOST_CHECK_EQUAL(joined(empty), "_\r\n");
}

BOOST_AUTO_TEST_CASE(a_cursor_walks_from_shard_to_shard) {
  const ShardMap map(4);
  const std::string going_on = "*2\r\n$2\r\n12\r\n*0\r\n";
  BOOST_CHECK_EQUAL(continue_cursor(map, 1, going_on), going_on);
  const std::string finished = "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n";
  BOOST_CHECK_EQUAL(continue_cursor(map, 3, finished), finished);
  const std::string next = continue_cursor(map, 1, finished);
  const std::string cursor = std::to_string(uint64_t{map.first_slot(2)} << 39);
  BOOST_CHECK_EQUAL(next, "*2\r\n$" + std::to_string(cursor.size()) + "\r\n" + cursor + "\r\n*1\r\n$1\r\nk\r\n");
  BOOST_CHECK_EQUAL(shard_of_cursor(map, cursor), 2u);
  BOOST_CHECK_EQUAL(shard_of_cursor(map, "0"), 0u);
  BOOST_CHECK_EQUAL(shard_of_cursor(map, "nonsense"), 0u);
  BOOST_CHECK_EQUAL(shard_of_cursor(map, "18446744073709551615"), 0u);
}

BOOST_AUTO_TEST_CASE(the_length_of_every_kind_of_reply) {
  for (const std::string_view reply :
       {"+OK\r\n", "-ERR x\r\n", ":1\r\n", "$-1\r\n", "$0\r\n\r\n", "$4\r\n\r\n\r\n\r\n", "*-1\r\n", "*0\r\n",
        "*2\r\n*1\r\n:1\r\n$1\r\na\r\n", "%1\r\n+a\r\n~2\r\n:1\r\n:2\r\n", "_\r\n", "#t\r\n", ",1.5\r\n",
        "=5\r\ntxt:a\r\n", "|1\r\n+a\r\n+b\r\n:1\r\n"}) {
    BOOST_CHECK_EQUAL(reply_length(std::string(reply) + ":99\r\n"), reply.size());
  }
}

BOOST_AUTO_TEST_SUITE_END()
