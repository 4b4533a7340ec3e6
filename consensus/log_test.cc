#include "consensus/log.h"

#include <boost/test/unit_test.hpp>
#include <deque>

#include "base/random.h"
#include "consensus/group_testing.h"

namespace capstan::consensus {

namespace {

using Terms = std::vector<Term>;

Log log_of_terms(const Terms& terms, Index base = 0, Term base_term = 0) {
  return log_of({base, base_term, configuration_of({1, 2, 3})}, entries_of(terms, base + 1));
}

void append_configuration(Log& log, Term term, const Configuration& configuration) {
  const std::string bytes = configuration.encode();
  log.append({.term = term, .record = "changes", .configuration = bytes});
}

}  // namespace

BOOST_AUTO_TEST_SUITE(log_test)

BOOST_AUTO_TEST_CASE(an_empty_log_ends_at_its_base) {
  const Log log = log_of_terms({}, 7, 3);
  BOOST_TEST(log.base() == 7u);
  BOOST_TEST(log.first() == 8u);
  BOOST_TEST(log.last() == 7u);
  BOOST_TEST(log.last_term() == 3u);
  BOOST_TEST(log.matches(7, 3));
  BOOST_TEST(!log.matches(7, 2));
  BOOST_TEST(log.configuration_index() == 7u);
  BOOST_TEST((log.configuration() == configuration_of({1, 2, 3})));
}

BOOST_AUTO_TEST_CASE(entries_are_copied_and_come_back) {
  Log log = log_of_terms({});
  {
    std::string record = "a record whose bytes are the caller's";
    log.append({.term = 1, .record = record, .configuration = {}});
    record.assign(record.size(), 'x');
  }
  log.append({.term = 2, .record = "", .configuration = {}});
  BOOST_TEST(log.entry(1).record == "a record whose bytes are the caller's");
  BOOST_TEST(log.entry(1).term == 1u);
  BOOST_TEST(log.entry(1).configuration == "");
  BOOST_TEST(log.entry(2).record == "");
  BOOST_TEST(log.bytes_at(1) == 37u);
  BOOST_TEST(log.bytes_at(2) == 0u);
  BOOST_TEST(log.last() == 2u);
}

BOOST_AUTO_TEST_CASE(an_entry_matches_by_index_and_term_and_only_inside_of_the_log) {
  const Log log = log_of_terms({1, 1, 2}, 5, 1);
  BOOST_TEST(log.matches(5, 1));
  BOOST_TEST(log.matches(8, 2));
  BOOST_TEST(!log.matches(8, 1));
  BOOST_TEST(!log.matches(9, 2));
  BOOST_TEST(!log.matches(4, 1));
  BOOST_TEST(!log.matches(0, 0));
}

BOOST_AUTO_TEST_CASE(truncated_entries_are_gone_and_others_take_their_place) {
  Log log = log_of_terms({1, 1, 2, 2});
  log.truncate_from(3);
  BOOST_TEST(log.last() == 2u);
  log.append({.term = 3, .record = "other", .configuration = {}});
  BOOST_TEST(terms_of(log) == (Terms{1, 1, 3}), boost::test_tools::per_element());
  BOOST_TEST(log.entry(3).record == "other");
  log.truncate_from(1);
  BOOST_TEST(log.last() == 0u);
  BOOST_TEST(log.last_term() == 0u);
}

BOOST_AUTO_TEST_CASE(truncating_behind_the_end_does_nothing) {
  Log log = log_of_terms({1, 1});
  log.truncate_from(3);
  BOOST_TEST(log.last() == 2u);
}

BOOST_AUTO_TEST_CASE(after_a_cut_the_base_tells_of_the_last_entry_that_went) {
  Log log = log_of_terms({1, 2, 2, 3});
  log.cut_to(3);
  BOOST_TEST(log.base() == 3u);
  BOOST_TEST(log.term_at(3) == 2u);
  BOOST_TEST(log.entry(4).record == "4 of term 3");
  log.cut_to(3);
  log.cut_to(4);
  BOOST_TEST(log.first() == 5u);
  BOOST_TEST(log.last_term() == 3u);
  log.append({.term = 3, .record = "next", .configuration = {}});
  BOOST_TEST(log.entry(5).record == "next");
}

// Thesis §4.1.
BOOST_AUTO_TEST_CASE(the_latest_configuration_counts_and_a_truncation_brings_back_the_one_before) {
  Log log = log_of_terms({1});
  append_configuration(log, 1, configuration_of({1, 2}));
  log.append({.term = 1, .record = "between", .configuration = {}});
  append_configuration(log, 2, configuration_of({1, 2, 4}));
  BOOST_TEST((log.configuration() == configuration_of({1, 2, 4})));
  BOOST_TEST(log.configuration_index() == 4u);
  BOOST_TEST((log.configuration_at(3) == configuration_of({1, 2})));
  BOOST_TEST((log.configuration_at(1) == configuration_of({1, 2, 3})));
  BOOST_TEST(log.entry(4).record == "changes");
  BOOST_TEST((*Configuration::decode(log.entry(4).configuration) == configuration_of({1, 2, 4})));
  log.truncate_from(4);
  BOOST_TEST((log.configuration() == configuration_of({1, 2})));
  log.truncate_from(2);
  BOOST_TEST((log.configuration() == configuration_of({1, 2, 3})));
  BOOST_TEST(log.configuration_index() == 0u);
}

BOOST_AUTO_TEST_CASE(a_cut_keeps_the_configuration_in_force) {
  Log log = log_of_terms({1});
  append_configuration(log, 1, configuration_of({1, 2}));
  log.append({.term = 1, .record = "after", .configuration = {}});
  append_configuration(log, 1, configuration_of({1}));
  log.cut_to(3);
  BOOST_TEST((log.configuration_at(3) == configuration_of({1, 2})));
  BOOST_TEST((log.configuration() == configuration_of({1})));
  log.truncate_from(4);
  BOOST_TEST((log.configuration() == configuration_of({1, 2})));
  BOOST_TEST(log.configuration_index() == 3u);
}

BOOST_AUTO_TEST_CASE(the_last_entry_of_a_term_or_an_older_one) {
  const Log log = log_of_terms({1, 1, 3, 3, 5}, 4, 1);
  BOOST_TEST(log.last_of_term_at_most(9, 9) == 9u);
  BOOST_TEST(log.last_of_term_at_most(4, 9) == 8u);
  BOOST_TEST(log.last_of_term_at_most(3, 7) == 7u);
  BOOST_TEST(log.last_of_term_at_most(2, 9) == 6u);
  BOOST_TEST(log.last_of_term_at_most(0, 9) == 4u);
  BOOST_TEST(log.last_of_term_at_most(5, 4) == 4u);
}

BOOST_AUTO_TEST_CASE(memory_is_given_back) {
  Log log = log_of_terms({});
  const std::string record(1000, 'x');
  for (int i = 0; i < 1000; ++i) log.append({.term = 1, .record = record, .configuration = {}});
  BOOST_TEST(log.bytes() >= 1'000'000u);
  log.cut_to(900);
  log.truncate_from(901);
  BOOST_TEST(log.bytes() < 300'000u);
}

// A vector of strings does the same, slower.
BOOST_AUTO_TEST_CASE(random_operations_do_what_a_vector_does) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Random random(seed);
    Log log = log_of_terms({});
    Index base = 0;
    Term term = 1;
    std::deque<OwnedEntry> expected;
    for (int step = 0; step < 400; ++step) {
      const uint64_t what = random.below(20);
      if (what == 0 && !expected.empty()) {
        const Index from = base + 1 + random.below(expected.size());
        log.truncate_from(from);
        expected.resize(from - base - 1);
      } else if (what == 1) {
        const Index to = base + random.below(expected.size() + 1);
        log.cut_to(to);
        expected.erase(expected.begin(), expected.begin() + static_cast<std::ptrdiff_t>(to - base));
        base = to;
      } else {
        if (random.chance(0.1)) ++term;
        const size_t size = random.chance(0.02) ? 100'000 : random.below(300);
        expected.emplace_back(term, std::string(size, static_cast<char>('a' + random.below(26))));
        log.append(expected.back().view());
      }
      BOOST_REQUIRE_EQUAL(log.base(), base);
      BOOST_REQUIRE_EQUAL(log.last(), base + expected.size());
    }
    for (size_t i = 0; i < expected.size(); ++i) BOOST_REQUIRE(OwnedEntry(log.entry(base + 1 + i)) == expected[i]);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::consensus
