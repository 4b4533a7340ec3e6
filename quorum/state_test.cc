#include "quorum/state.h"

#include <boost/test/unit_test.hpp>
#include <string>

#include "base/hash.h"
#include "quorum/effects.h"

namespace capstan {

namespace {

constexpr LogId kA{1}, kB{2};
constexpr LogId kR{LogId::kAgreedBit | 1};

// SET key value.
Record set(Effects& effects, Database database, std::string_view key, std::string_view value, Dot dot,
           const Clock& context) {
  effects.reset();
  effects.remove(database, key);
  effects.element(database, key, {.value = value});
  Record record = effects.record();
  record.dot = dot;
  record.hlc = Hlc{dot.number};
  record.context = context;
  return record;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(state_test)

BOOST_AUTO_TEST_CASE(rule_1_a_record_waits_for_its_predecessor_and_its_context) {
  Effects effects;
  State state;
  BOOST_TEST(state.admits(set(effects, 0, "k", "1", {kA, 1}, {})));
  BOOST_TEST(!state.admits(set(effects, 0, "k", "1", {kA, 2}, {{kA, 1}})));
  BOOST_TEST(!state.admits(set(effects, 0, "k", "1", {kA, 1}, {{kB, 1}})));
  state.apply(set(effects, 0, "k", "1", {kB, 1}, {}));
  BOOST_TEST(state.admits(set(effects, 0, "k", "1", {kA, 1}, {{kB, 1}})));
  BOOST_TEST(!state.admits(set(effects, 0, "k", "1", {kB, 1}, {})));  // twice
}

BOOST_AUTO_TEST_CASE(rule_5_the_clock_covers_what_was_applied) {
  Effects effects;
  State state;
  state.apply(set(effects, 0, "k", "1", {kA, 1}, {}));
  state.apply(set(effects, 0, "k", "2", {kR, 1}, {{kA, 1}}));
  BOOST_TEST((state.applied() == Clock{{kA, 1}, {kR, 1}}));
}

BOOST_AUTO_TEST_CASE(clear_takes_the_covered_keys_of_one_database) {
  Effects effects;
  State state;
  state.apply(set(effects, 0, "k", "1", {kA, 1}, {}));
  state.apply(set(effects, 1, "k", "1", {kA, 2}, {{kA, 1}}));
  state.apply(set(effects, 0, "l", "1", {kB, 1}, {}));
  effects.reset();
  effects.clear(0);
  Record clear = effects.record();
  clear.dot = {kA, 3};
  clear.context = {{kA, 2}};
  state.apply(clear);
  BOOST_TEST(state.find(0, "k") == nullptr);
  BOOST_TEST(state.find(1, "k") != nullptr);
  BOOST_TEST(state.find(0, "l") != nullptr);  // not seen by the clear
}

BOOST_AUTO_TEST_CASE(digests_follow_the_state) {
  Effects effects;
  State state;
  BOOST_TEST(state.digest() == 0u);
  state.apply(set(effects, 0, "k", "1", {kR, 1}, {}));
  const uint64_t first = state.digest();
  BOOST_TEST(first == plain_digest(hash64("k"), ElementKind::kString, {}, {kR, 1}, 0));
  BOOST_TEST(first == state.digest(0, "k"));
  state.apply(set(effects, 0, "l", "1", {kR, 2}, {{kR, 1}}));
  BOOST_TEST(state.digest() == first + state.digest(0, "l"));
  effects.reset();
  effects.remove(0, "k");
  effects.remove(0, "l");
  Record removal = effects.record();
  removal.dot = {kR, 3};
  removal.context = {{kR, 2}};
  state.apply(removal);
  BOOST_TEST(state.digest() == 0u);
  BOOST_TEST(state.digest(0, "k") == 0u);
  BOOST_TEST(state.keys().empty());
}

BOOST_AUTO_TEST_CASE(a_copy_is_a_snapshot) {
  Effects effects;
  State state;
  state.apply(set(effects, 0, "k", "1", {kR, 1}, {}));
  const State before = state;
  state.apply(set(effects, 0, "k", "2", {kR, 2}, {{kR, 1}}));
  BOOST_TEST(before.find(0, "k")->find(ElementKind::kString)->versions[0].value == "1");
  BOOST_TEST(state.find(0, "k")->find(ElementKind::kString)->versions[0].value == "2");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
