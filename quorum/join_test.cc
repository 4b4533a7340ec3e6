// The model's rules of the join, one by one (docs/model.md, "Join: the only way state changes").
#include "quorum/join.h"

#include <boost/test/unit_test.hpp>
#include <string>

namespace capstan {

namespace {

using Action = ElementEffect::Action;

constexpr LogId kA{1}, kB{2};
constexpr LogId kR{LogId::kAgreedBit | 1};

// One element, told what happens to it.
struct Element {
  Versions versions;

  bool apply(const ElementEffect& effect, Dot dot, const Clock& context, Replay replay = Replay::kNo) {
    return join_element(versions, effect, RecordHead{dot, Hlc{dot.number * 10}, context}, replay);
  }
  bool put(std::string_view value, Dot dot, const Clock& context = {}) { return apply({.value = value}, dot, context); }
  bool put_over(std::string_view value, Dot dot, const Clock& context, std::initializer_list<Dot> over) {
    return apply({.value = value, .has_over = true, .over = over}, dot, context);
  }
  bool remove(Dot dot, const Clock& context) { return apply({.action = Action::kRemove}, dot, context); }
  bool add(int64_t addend, Dot anchor, Dot dot, Replay replay = Replay::kNo) {
    return apply({.action = Action::kAdd, .anchor = anchor, .addend = Number::integer(addend)}, dot, {}, replay);
  }
  bool splice_at(uint64_t offset, std::string_view bytes, Dot anchor, Dot dot, Replay replay = Replay::kNo) {
    return apply({.action = Action::kSplice, .value = bytes, .anchor = anchor, .offset = offset}, dot, {}, replay);
  }

  // "value@log.number …", in order of dot.
  std::string show() const {
    std::string out;
    for (const Version& version : versions) {
      if (!out.empty()) out += ' ';
      out += version.value + '@' +
             (version.dot.log == kA   ? 'a'
              : version.dot.log == kB ? 'b'
                                      : 'r') +
             std::to_string(version.dot.number);
    }
    return out;
  }
  std::string value() const {
    std::string scratch;
    return std::string(value_of(versions, scratch).value_or("nothing"));
  }
};

std::string joined(const Element& a, const Clock& a_clock, const Element& b, const Clock& b_clock) {
  const Element one{join_answers(a.versions, a_clock, b.versions, b_clock)};
  const Element other{join_answers(b.versions, b_clock, a.versions, a_clock)};
  BOOST_TEST((one.versions == other.versions));
  return one.show() + (one.versions.empty() ? "" : " = " + one.value());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(join_test)

// --- rule 2

BOOST_AUTO_TEST_CASE(rule_2_put_removes_what_its_context_covers) {
  Element e;
  BOOST_TEST(e.put("1", {kA, 1}));
  BOOST_TEST(e.put("2", {kB, 1}, {{kA, 1}}));
  BOOST_TEST(e.show() == "2@b1");
}

BOOST_AUTO_TEST_CASE(rule_2_put_leaves_what_it_has_not_seen_as_sibling) {
  Element e;
  e.put("1", {kA, 1});
  e.put("2", {kB, 1});
  BOOST_TEST(e.show() == "1@a1 2@b1");
  e.put("3", {kA, 2}, {{kA, 1}});
  BOOST_TEST(e.show() == "3@a2 2@b1");
  e.put("4", {kA, 3}, {{kA, 2}, {kB, 1}});
  BOOST_TEST(e.show() == "4@a3");
}

BOOST_AUTO_TEST_CASE(rule_2_put_over_removes_exactly_those_dots) {
  Element e;
  e.put("1", {kA, 1});
  e.put("2", {kB, 1});
  BOOST_TEST(e.put_over("3", {kA, 2}, {{kA, 1}, {kB, 1}}, {{kB, 1}}));
  BOOST_TEST(e.show() == "1@a1 3@a2");
  BOOST_TEST(e.put_over("4", {kA, 3}, {{kA, 2}}, {}));
  BOOST_TEST(e.show() == "1@a1 3@a2 4@a3");
}

BOOST_AUTO_TEST_CASE(rule_2_put_adds_nothing_where_its_dot_is_already) {
  Element e;
  e.put("1", {kA, 1});
  e.add(5, {kA, 1}, {kB, 1});
  BOOST_TEST(!e.put("1", {kA, 1}));
  BOOST_TEST(e.value() == "6");
}

BOOST_AUTO_TEST_CASE(rule_2_put_takes_the_amendments_with_the_version) {
  Element e;
  e.put("1", {kA, 1});
  e.add(5, {kA, 1}, {kB, 1});
  e.put("10", {kA, 2}, {{kA, 1}});
  BOOST_TEST(e.value() == "10");
}

BOOST_AUTO_TEST_CASE(rule_2_put_has_the_stamp_of_its_record_or_the_one_that_it_repeats) {
  Element e;
  e.put("1", {kA, 1});
  BOOST_TEST((e.versions[0].hlc == Hlc{10}));
  e.apply({.value = "1", .stamp = Hlc{3}}, {kA, 2}, {{kA, 1}});
  BOOST_TEST((e.versions[0].hlc == Hlc{3}));
}

// --- rule 3

BOOST_AUTO_TEST_CASE(rule_3_remove_takes_what_its_context_covers) {
  Element e;
  e.put("1", {kA, 1});
  BOOST_TEST(e.remove({kB, 1}, {{kA, 1}}));
  BOOST_TEST(e.versions.empty());
  BOOST_TEST(!e.remove({kB, 2}, {{kA, 1}}));
}

BOOST_AUTO_TEST_CASE(rule_3_a_concurrent_add_wins_over_a_remove) {
  Element e;
  e.put("1", {kA, 1});
  e.put("2", {kA, 2}, {{kA, 1}});
  BOOST_TEST(!e.remove({kB, 1}, {{kA, 1}}));
  BOOST_TEST(e.show() == "2@a2");
  BOOST_TEST(!join_removal(e.versions, {{kA, 1}}));
  BOOST_TEST(join_removal(e.versions, {{kA, 2}}));
}

// --- rule 4

BOOST_AUTO_TEST_CASE(rule_4_an_addition_of_r_changes_the_value_in_place) {
  Element e;
  e.put("1", {kR, 1});
  BOOST_TEST(e.add(5, {kR, 1}, {kR, 2}));
  BOOST_TEST(e.show() == "6@r1");
  BOOST_TEST(e.versions[0].amendments[0].last == 2u);
  BOOST_TEST((e.versions[0].amendments[0].sum == Number()));
}

BOOST_AUTO_TEST_CASE(rule_4_float_additions_of_r_give_what_redis_gives_in_that_order) {
  Element e;
  e.put("3.0e3", {kR, 1});
  for (uint64_t number = 2; number < 5; ++number) {
    e.apply({.action = Action::kAdd, .anchor = {kR, 1}, .addend = Number::real(0.1L)}, {kR, number}, {});
  }
  BOOST_TEST(e.show() == "3000.30000000000000027@r1");
}

BOOST_AUTO_TEST_CASE(rule_4_an_addition_of_a_writer_grows_its_contribution) {
  Element e;
  e.put("1", {kA, 1});
  e.add(5, {kA, 1}, {kB, 1});
  e.add(7, {kA, 1}, {kB, 2});
  e.add(100, {kA, 1}, {kA, 2});
  BOOST_TEST(e.show() == "1@a1");
  BOOST_TEST(e.value() == "113");
  BOOST_TEST((e.versions[0].amendments[1] == Amendment{kB, 2, Number::integer(12)}));
}

BOOST_AUTO_TEST_CASE(rule_4_an_amendment_whose_anchor_is_gone_does_nothing) {
  Element e;
  e.put("1", {kA, 1});
  e.put("2", {kA, 2}, {{kA, 1}});
  BOOST_TEST(!e.add(5, {kA, 1}, {kB, 1}));
  BOOST_TEST(!e.splice_at(0, "x", {kA, 1}, {kR, 1}));
  BOOST_TEST(e.show() == "2@a2");
}

BOOST_AUTO_TEST_CASE(rule_4_an_addition_to_what_is_no_number_changes_nothing_but_counts_as_seen) {
  Element e;
  e.put("text", {kA, 1});
  BOOST_TEST(e.add(5, {kA, 1}, {kR, 1}));
  BOOST_TEST(e.show() == "text@a1");
  BOOST_TEST(e.versions[0].amendments[0].last == 1u);
}

BOOST_AUTO_TEST_CASE(rule_4_a_splice_writes_into_the_value) {
  Element e;
  e.put("hello", {kR, 1});
  e.splice_at(5, " world", {kR, 1}, {kR, 2});
  BOOST_TEST(e.show() == "hello world@r1");
  e.splice_at(0, "J", {kR, 1}, {kR, 3});
  BOOST_TEST(e.show() == "Jello world@r1");
  e.splice_at(13, "!", {kR, 1}, {kR, 4});
  BOOST_TEST((e.versions[0].value == std::string("Jello world\0\0!", 14)));
  e.splice_at(12, "??", {kR, 1}, {kR, 5});
  BOOST_TEST((e.versions[0].value == std::string("Jello world\0??", 14)));
}

BOOST_AUTO_TEST_CASE(replayed_amendments_that_a_version_has_are_ignored) {
  Element e;
  e.put("1", {kA, 1});
  e.add(5, {kA, 1}, {kB, 3});
  e.add(1, {kA, 1}, {kR, 4});
  BOOST_TEST(!e.add(5, {kA, 1}, {kB, 3}, Replay::kYes));
  BOOST_TEST(!e.add(5, {kA, 1}, {kB, 2}, Replay::kYes));
  BOOST_TEST(!e.add(1, {kA, 1}, {kR, 4}, Replay::kYes));
  BOOST_TEST(!e.splice_at(0, "9", {kA, 1}, {kR, 3}, Replay::kYes));
  BOOST_TEST(e.value() == "7");
  BOOST_TEST(e.add(5, {kA, 1}, {kB, 4}, Replay::kYes));
  BOOST_TEST(e.value() == "12");
}

// --- the answer to a read of R replicas

BOOST_AUTO_TEST_CASE(answers_a_version_in_one_is_kept_where_it_is_news_to_the_other) {
  Element a, b;
  a.put("1", {kA, 1});
  BOOST_TEST(joined(a, {{kA, 1}}, b, {}) == "1@a1 = 1");
}

BOOST_AUTO_TEST_CASE(answers_a_version_in_one_is_dropped_where_the_other_removed_it) {
  Element a, b;
  a.put("1", {kA, 1});
  BOOST_TEST(joined(a, {{kA, 1}}, b, {{kA, 1}, {kB, 1}}) == "");
}

BOOST_AUTO_TEST_CASE(answers_news_of_both_are_siblings) {
  Element a, b;
  a.put("1", {kA, 1});
  b.put("2", {kB, 1});
  BOOST_TEST(joined(a, {{kA, 1}}, b, {{kB, 1}}) == "1@a1 2@b1 = 2");
}

BOOST_AUTO_TEST_CASE(answers_of_one_logs_contribution_the_later_is_kept) {
  Element a, b;
  a.put("1", {kA, 1});
  b = a;
  a.add(10, {kA, 1}, {kA, 2});
  b.add(20, {kA, 1}, {kB, 1});
  b.add(20, {kA, 1}, {kB, 2});
  a.add(20, {kA, 1}, {kB, 1});
  BOOST_TEST(joined(a, {{kA, 2}, {kB, 1}}, b, {{kA, 1}, {kB, 2}}) == "1@a1 = 51");
}

BOOST_AUTO_TEST_CASE(answers_of_what_r_amended_the_later_value_is_kept) {
  Element a, b;
  a.put("1", {kR, 1});
  b = a;
  b.add(1, {kR, 1}, {kR, 2});
  a.add(5, {kR, 1}, {kB, 1});
  BOOST_TEST(joined(a, {{kR, 1}, {kB, 1}}, b, {{kR, 2}}) == "2@r1 = 7");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
