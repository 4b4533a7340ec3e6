#include "lmdb-store/sequence.h"

#include <boost/test/unit_test.hpp>
#include <thread>

#include "base/hash.h"
#include "base/random_testing.h"
#include "lmdb-store/sequence_testing.h"

namespace capstan::lmdb_store {
namespace {

using Answer = Sequence::Answer;
constexpr Missing kAtOnce{};

ElementView element_at(uint64_t word, std::string_view id = {}, std::string_view value = {}) {
  ElementView element;
  element.place = {word, id};
  element.value = value;
  element.dot = {3, 1'000'000 + word % 1000};
  element.hlc = Hlc::at_ms(1'700'000'000'000);
  return element;
}

struct Fixture {
  TestStore store;
  Sequence sequence{store, LeafForm::kElements};

  Sequence::Census census() {
    auto checked = sequence.check();
    BOOST_REQUIRE_MESSAGE(checked.ok(), why(checked));
    return *checked;
  }
  double fill() {
    const auto counted = census();
    return static_cast<double>(counted.leaf_bytes) / static_cast<double>(counted.leaves * LeafPage::kMaxBytes);
  }
  void put(uint64_t word, size_t value_bytes = 20) {
    sequence.put(element_at(word, "id", std::string(value_bytes, 'v')));
  }
  void flush() {
    store.write(store.begin_flush());
    while (store.finish_flush(true, 7)) {
    }
  }
  void evict_all() {
    while (sequence.in_memory()) sequence.evict(3);
  }
};

BOOST_FIXTURE_TEST_SUITE(sequence_test, Fixture)

BOOST_AUTO_TEST_CASE(an_empty_sequence_has_nothing) {
  ElementView element;
  Sequence::Cursor cursor;
  uint64_t below = 7;
  BOOST_CHECK(sequence.find({1, "x"}, element, kAtOnce) == Answer::kNo);
  BOOST_CHECK(sequence.seek({}, cursor, kAtOnce) == Answer::kNo);
  BOOST_CHECK(sequence.at(0, cursor, kAtOnce) == Answer::kNo);
  BOOST_CHECK(sequence.rank({1, ""}, below, kAtOnce) == Answer::kNo);
  BOOST_TEST(below == 0u);
  BOOST_TEST(!sequence.erase({1, "x"}));
  BOOST_TEST(sequence.root().number == 0u);
  BOOST_TEST(store.memory_bytes() == 0u);
}

BOOST_AUTO_TEST_CASE(pages_stay_full_where_elements_come_in_order) {
  for (uint64_t word = 0; word < 20'000; ++word) put(word);
  BOOST_TEST(fill() > 0.97);
  BOOST_TEST(unsigned{sequence.root().level} == 2u);
}

BOOST_AUTO_TEST_CASE(also_where_they_come_in_reverse) {
  for (uint64_t word = 20'000; word > 0; --word) put(word);
  BOOST_TEST(fill() > 0.97);
}

BOOST_AUTO_TEST_CASE(pages_of_random_inserts_are_two_thirds_full) {
  Random random(1);
  for (int i = 0; i < 20'000; ++i) put(random.next());
  BOOST_TEST(fill() > 0.65);
}

BOOST_AUTO_TEST_CASE(pages_are_joined_when_elements_go) {
  Random random(1);
  for (uint64_t word = 0; word < 20'000; ++word) put(word * 3);
  const size_t leaves = census().leaves;
  for (uint64_t word = 0; word < 20'000; ++word) {
    if (word % 16 != 0) BOOST_REQUIRE(sequence.erase({word * 3, "id"}));
  }
  BOOST_TEST(census().leaves < leaves / 4);
  for (uint64_t word = 0; word < 20'000; word += 16) BOOST_REQUIRE(sequence.erase({word * 3, "id"}));
  BOOST_TEST(sequence.count() == 0u);
  BOOST_TEST(sequence.root().number == 0u);
  BOOST_TEST(store.memory_bytes() == 0u);
  BOOST_TEST(!store.dirty());  // LMDB never had any of it
}

BOOST_AUTO_TEST_CASE(a_queue_keeps_few_pages) {
  for (uint64_t word = 0; word < 20'000; ++word) {
    put(word);
    if (word < 100) continue;
    Sequence::Cursor first;
    BOOST_REQUIRE(sequence.at(0, first, kAtOnce) == Answer::kYes);
    BOOST_REQUIRE(first.element().place.word == word - 100);
    BOOST_REQUIRE(sequence.erase(first.element().place));
  }
  BOOST_TEST(census().leaves <= 4u);
  BOOST_TEST(unsigned{sequence.root().level} <= 1u);
}

BOOST_AUTO_TEST_CASE(a_tree_grows_to_four_levels_and_back) {
  for (uint64_t word = 0; word < 20'000; ++word) put(hash64(std::to_string(word)), LeafPage::kMaxSharedBytes);
  BOOST_TEST(unsigned{sequence.root().level} == 3u);
  BOOST_TEST(census().leaves == 20'000u);
  for (uint64_t word = 0; word < 20'000; ++word) {
    BOOST_REQUIRE(sequence.erase({hash64(std::to_string(word)), "id"}));
    if (word % 1000 == 0) census();
  }
  BOOST_TEST(store.memory_bytes() == 0u);
}

// What follows a large element, in whatever order, shares pages all the same.
BOOST_AUTO_TEST_CASE(large_elements_stand_alone_among_others) {
  for (uint64_t large = 1; large <= 8; ++large) put(large * 1'000'000, 10'000);
  for (uint64_t i = 500; i > 0; --i) put(4'000'000 + i);
  for (uint64_t i = 1; i <= 500; ++i) put(5'000'000 - i);
  for (uint64_t i = 1; i <= 500; ++i) put(6'000'000 + i);
  for (uint64_t i = 500; i > 0; --i) put(7'000'000 - i);
  BOOST_TEST(census().leaves < 8u + 4 * 16);
  put(4'000'000, 5);  // and back to a small one
  put(4'000'001, 50'000);
  ElementView element;
  BOOST_CHECK(sequence.find({4'000'001, "id"}, element, kAtOnce) == Answer::kYes);
  BOOST_TEST(element.value.size() == 50'000u);
  BOOST_CHECK(sequence.find({4'000'000, "id"}, element, kAtOnce) == Answer::kYes);
  BOOST_TEST(element.value.size() == 5u);
  BOOST_TEST(sequence.count() == 2008u);
  census();
}

BOOST_AUTO_TEST_CASE(built_sequences_are_full) {
  uint64_t word = 0;
  sequence.build(10'000, [&] { return element_at(++word, "id"); });
  BOOST_TEST(sequence.count() == 10'000u);
  BOOST_TEST(fill() > 0.97);
}

BOOST_AUTO_TEST_CASE(missing_pages_are_named_and_not_read) {
  for (uint64_t word = 0; word < 20'000; ++word) put(word);
  flush();
  evict_all();
  BOOST_TEST(store.memory_bytes() == 0u);
  std::vector<MissingPage> pages;
  Sequence::Cursor cursor;
  BOOST_CHECK(sequence.at(7777, cursor, {&pages}) == Answer::kUnknown);
  BOOST_REQUIRE(pages.size() == 1u);
  BOOST_TEST(pages[0].page.number == sequence.root().number);
  BOOST_TEST(pages[0].by_rank);
  BOOST_TEST(pages[0].rank == 7777u);
  // Whoever reads it reads on to the leaf, so one wait is enough.
  store.deliver(pages[0]);
  pages.clear();
  BOOST_CHECK(sequence.at(7777, cursor, {&pages}) == Answer::kYes);
  BOOST_TEST(cursor.element().place.word == 7777u);
  BOOST_TEST(cursor.rank() == 7777u);
  uint64_t below = 0;
  BOOST_CHECK(sequence.rank({7777, "id"}, below, {&pages}) == Answer::kYes);
  BOOST_TEST(below == 7777u);
  ElementView element;
  BOOST_CHECK(sequence.find({15'000, "id"}, element, {&pages}) == Answer::kUnknown);
  BOOST_REQUIRE(pages.size() == 1u);
  BOOST_TEST(pages[0].word == 15'000u);
  store.deliver(pages[0]);
  BOOST_CHECK(sequence.find({15'000, "id"}, element, {&pages}) == Answer::kYes);
}

BOOST_AUTO_TEST_CASE(leaves_of_a_range_are_asked_for_together) {
  for (uint64_t word = 0; word < 20'000; ++word) put(word);
  flush();
  evict_all();
  std::vector<MissingPage> pages;
  sequence.want(1000, 3000, {&pages});
  BOOST_REQUIRE(pages.size() == 1u);  // the root: what is below it is not known
  while (!pages.empty()) {
    BOOST_REQUIRE(pages.size() <= 32u);
    for (const MissingPage& page : pages) store.deliver(page);
    Sequence::Cursor cursor;
    pages.clear();
    if (sequence.at(1000, cursor, {&pages}) != Answer::kYes) continue;
    for (int i = 0; i < 2000 && pages.empty(); ++i) sequence.next(cursor, {&pages});
    pages.clear();
    sequence.want(1000, 3000, {&pages});
  }
  const size_t loaded = store.loads;
  Sequence::Cursor cursor;
  BOOST_REQUIRE(sequence.at(1000, cursor, {&pages}) == Answer::kYes);
  for (int i = 0; i < 2000; ++i) BOOST_REQUIRE(sequence.next(cursor, {&pages}) == Answer::kYes);
  BOOST_TEST(store.loads == loaded);
}

BOOST_AUTO_TEST_CASE(used_pages_survive_one_round_of_the_hand) {
  for (uint64_t word = 0; word < 5'000; ++word) put(word);
  flush();
  const size_t leaves = census().leaves;
  BOOST_TEST(sequence.evict(leaves) == 0u);  // all were used
  ElementView element;
  sequence.find({2500, "id"}, element, kAtOnce);
  size_t freed = 0;
  for (size_t i = 0; i < leaves; ++i) freed += sequence.evict(1);
  BOOST_TEST(freed == leaves - 1);
  BOOST_TEST(census().leaves == 1u);
}

BOOST_AUTO_TEST_CASE(a_change_gives_its_path_new_numbers_once_per_flush) {
  for (uint64_t word = 0; word < 20'000; ++word) put(word);
  flush();
  const uint64_t before = store.next_page();
  const uint64_t root = sequence.root().number;
  put(5'000, 20);
  BOOST_TEST(store.next_page() == before + 3);  // leaf, inner page, root
  BOOST_TEST(sequence.root().number != root);
  put(5'000, 20);
  put(5'001, 20);
  BOOST_TEST(store.next_page() == before + 3);
  const PageJob& job = store.begin_flush();
  BOOST_TEST(job.pages.size() == 3u);
  BOOST_TEST(job.obsolete.size() == 3u);
  put(5'001, 20);  // copies
  BOOST_TEST(store.next_page() == before + 6);
  store.write(job);
  while (store.finish_flush(true, 1)) {
  }
  census();
}

BOOST_AUTO_TEST_CASE(a_tree_that_nobody_needs_goes_in_slices) {
  for (uint64_t word = 0; word < 20'000; ++word) put(word);
  const auto counted = census();
  size_t slices = 1;
  while (sequence.drop(10)) ++slices;
  BOOST_TEST(slices == (counted.leaves + counted.inner_pages + 9) / 10);
  BOOST_TEST(store.memory_bytes() == 0u);
}

// For ThreadSanitizer: what the flush thread reads is left alone.
BOOST_AUTO_TEST_CASE(a_flush_thread_reads_pages_while_they_are_changed) {
  Random random(1);
  for (int round = 0; round < 5; ++round) {
    for (uint64_t i = 0; i < 10'000; ++i) put(random.below(50'000));
    const PageJob& job = store.begin_flush();
    size_t bytes = 0;
    std::thread flush_thread([&] {
      std::string encoded;
      for (const Page* const page : job.pages) page->encode(encoded);
      bytes = encoded.size();
    });
    for (uint64_t i = 0; i < 5'000; ++i) {
      put(random.below(50'000));
      sequence.erase({random.below(50'000), "id"});
      if (i % 100 == 0) sequence.evict(10);
    }
    flush_thread.join();
    BOOST_TEST(bytes > 0u);
    store.write(job);
    store.finish_flush(true, SIZE_MAX);
    census();
  }
}

BOOST_AUTO_TEST_CASE(random_lives_do_what_maps_do) {
  with_new_seeds(12, [](uint64_t seed) {
    BOOST_TEST_CONTEXT("seed " << seed) { SequenceLife(seed).run(40); }
  });
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace capstan::lmdb_store
