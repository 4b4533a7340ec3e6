#include "lmdb-store/page.h"

#include <boost/test/unit_test.hpp>
#include <map>
#include <memory>

#include "base/random_testing.h"
#include "lmdb-store/collection_testing.h"

namespace capstan::lmdb_store {
namespace {

struct FreePage {
  void operator()(Page* page) const { Page::free(page); }
};
using LeafPtr = std::unique_ptr<LeafPage, FreePage>;
using Model = std::map<TestPlace, TestElement>;

std::string encoded(const Page& page) {
  std::string bytes;
  page.encode(bytes);
  return bytes;
}

void require_equal(const LeafPage& page, const Model& model) {
  BOOST_REQUIRE(page.count == model.size());
  size_t slot = 0;
  for (const auto& [place, element] : model) {
    BOOST_REQUIRE(page.place(slot) == place.view());
    if (page.form() == LeafForm::kElements) BOOST_REQUIRE(same(page.element(slot), element.view(place)));
    const auto found = page.find(place.view());
    BOOST_REQUIRE(found.here && found.slot == slot);
    ++slot;
  }
}

void require_round_trip(const LeafPage& page) {
  if (page.count == 0) return;
  const std::string bytes = encoded(page);
  BOOST_REQUIRE(bytes.size() == page.bytes());
  auto decoded = LeafPage::decode(bytes);
  BOOST_REQUIRE_MESSAGE(decoded.ok(), why(decoded));
  const LeafPtr again(*decoded);
  BOOST_REQUIRE(encoded(*again) == bytes);
}

// Inserts as Sequence does: into a larger allocation where there is no room. False: the page is full.
bool put(LeafPtr& page, const TestPlace& place, const TestElement& element) {
  const ElementView view = element.view(place);
  const auto [slot, here] = page->find(view.place);
  if (here && page->replace(slot, view)) return true;
  const size_t bytes = page->bytes_of(view);
  if (page->bytes() + bytes > LeafPage::kMaxBytes) return false;
  if (here) page->erase(slot);
  if (bytes > page->room()) page.reset(page->slice(0, page->count, bytes));
  page->insert(slot, view);
  return true;
}

// Some words are shared, some ids are prefixes of others.
TestPlace random_place(Random& random) {
  return {random.below(20), std::string(random.below(30), 'p') + std::to_string(random.below(20))};
}

LeafPtr random_page(Random& random, LeafForm form, Model& model) {
  const ElementBase base = form == LeafForm::kElements ? ElementBase{{3, random.below(1'000'000)}, {}} : ElementBase{};
  LeafPtr page(LeafPage::make(form, base, 0));
  for (uint64_t left = 1 + random.below(60); left > 0; --left) {
    const TestPlace place = random_place(random);
    const TestElement element = random_element(random, form == LeafForm::kElements ? random.below(100) : 0);
    if (put(page, place, element)) model[place] = element;
  }
  return page;
}

BOOST_AUTO_TEST_SUITE(page_test)

BOOST_AUTO_TEST_CASE(a_full_page_is_one_allocation_of_4096_bytes) {
  LeafPtr page(LeafPage::make(LeafForm::kElements, {}, 0));
  BOOST_TEST(page->allocated_bytes() == 256u);
  Random random(1);
  uint64_t word = 0;
  while (put(page, {++word, "twenty bytes of name"}, TestElement{})) {
  }
  BOOST_TEST(page->allocated_bytes() == 4096u);
  BOOST_TEST(page->count > 110);
  BOOST_TEST(page->bytes() <= LeafPage::kMaxBytes);
  require_round_trip(*page);
}

BOOST_AUTO_TEST_CASE(a_large_element_has_a_page_of_just_its_size) {
  const TestPlace place(5, "name");
  TestElement element;
  element.value.assign(5'000'000, 'v');
  const LeafPtr page(LeafPage::make_for(LeafForm::kElements, element.view(place)));
  page->insert(0, element.view(place));
  BOOST_TEST(page->alone());
  BOOST_TEST(page->room() == 0u);
  BOOST_TEST(page->bytes() < 5'000'100u);
  require_round_trip(*page);
  require_equal(*page, {{place, element}});
  const LeafPtr copy(static_cast<LeafPage*>(Page::copy(*page)));
  BOOST_TEST((encoded(*copy) == encoded(*page)));
}

BOOST_AUTO_TEST_CASE(holes_are_closed_by_a_copy) {
  LeafPtr page(LeafPage::make(LeafForm::kElements, {}, 4000));
  TestElement element;
  element.value.assign(190, 'v');
  for (uint64_t word = 0; word < 18; ++word) page->insert(word, element.view({word, "id"}));
  for (size_t slot = 0; slot < 9; ++slot) page->erase(slot);  // every other one
  BOOST_TEST(page->count == 9u);
  BOOST_TEST(page->room() < 600u);
  const LeafPtr copy(page->slice(0, page->count, 0));
  BOOST_TEST(copy->allocated_bytes() == 2048u);
  BOOST_TEST((encoded(*copy) == encoded(*page)));
}

BOOST_AUTO_TEST_CASE(a_page_does_what_a_map_does) {
  with_new_seeds(100, [](uint64_t seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      Random random(seed);
      const LeafForm form = random.chance(0.7) ? LeafForm::kElements : LeafForm::kPlaces;
      Model model;
      LeafPtr page = random_page(random, form, model);
      for (int i = 0; i < 200; ++i) {
        const TestPlace place = random_place(random);
        const auto [slot, here] = page->find(place.view());
        BOOST_REQUIRE(here == (model.count(place) != 0));
        BOOST_REQUIRE(slot == static_cast<size_t>(std::distance(model.begin(), model.lower_bound(place))));
        if (random.chance(0.5)) {
          const TestElement element = random_element(random, form == LeafForm::kElements ? random.below(200) : 0);
          if (put(page, place, element)) model[place] = element;
        } else if (here) {
          page->erase(slot);
          model.erase(place);
        }
      }
      require_equal(*page, model);
      require_round_trip(*page);
    }
  });
}

BOOST_AUTO_TEST_CASE(halves_and_joined_pages_have_all_elements) {
  with_new_seeds(100, [](uint64_t seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      Random random(seed);
      const LeafForm form = random.chance(0.7) ? LeafForm::kElements : LeafForm::kPlaces;
      Model model;
      const LeafPtr page = random_page(random, form, model);
      if (page->count < 2) return;
      const size_t middle = page->middle();
      const LeafPtr left(page->slice(0, middle, 0)), right(page->slice(middle, page->count, 0));
      const auto cut = std::next(model.begin(), static_cast<ptrdiff_t>(middle));
      require_equal(*left, Model(model.begin(), cut));
      require_equal(*right, Model(cut, model.end()));
      BOOST_TEST(left->bytes() <= page->bytes() / 2 + LeafPage::kMaxSharedBytes + 100);
      BOOST_TEST(right->bytes() <= page->bytes() / 2 + 100);
      // Another base on the right.
      LeafPtr other(LeafPage::make(form, form == LeafForm::kElements ? ElementBase{{4, 9}, Hlc{5}} : ElementBase{}, 0));
      for (auto at = cut; at != model.end(); ++at) {
        if (!put(other, at->first, at->second)) return;
      }
      const LeafPtr joined(LeafPage::join(*left, *other));
      BOOST_TEST((joined != nullptr || page->bytes() > 2000));
      if (!joined) return;
      require_equal(*joined, model);
      require_round_trip(*joined);
      BOOST_TEST(joined->bytes() <= LeafPage::kMaxJoinedBytes);
    }
  });
}

BOOST_AUTO_TEST_CASE(equal_elements_are_equal_bytes) {
  TestElement element;
  element.value.assign(50, 'v');
  const LeafPtr up(LeafPage::make(LeafForm::kElements, {}, 1000)), down(LeafPage::make(LeafForm::kElements, {}, 3000));
  for (uint64_t word = 0; word < 10; ++word) {
    up->insert(word, element.view({word, "id"}));
    down->insert(0, element.view({9 - word, "id"}));
  }
  BOOST_TEST((encoded(*up) == encoded(*down)));
}

BOOST_AUTO_TEST_CASE(damaged_bytes_are_an_error_or_another_page) {
  with_new_seeds(50, [](uint64_t seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      Random random(seed);
      Model model;
      const LeafPtr page = random_page(random, random.chance(0.5) ? LeafForm::kElements : LeafForm::kPlaces, model);
      const std::string bytes = encoded(*page);
      for (int i = 0; i < 300; ++i) {
        const std::vector<char> broken = damaged(random, bytes);
        auto decoded = LeafPage::decode({broken.data(), broken.size()});
        if (!decoded) {
          BOOST_REQUIRE(decoded.error().code == ErrorCode::kCorrupt);
          continue;
        }
        LeafPtr again(*decoded);
        BOOST_REQUIRE(encoded(*again) == std::string(broken.data(), broken.size()));
        // It can be worked with.
        put(again, random_place(random), random_element(random, 10));
        again->erase(0);
        require_round_trip(*again);
      }
    }
  });
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace capstan::lmdb_store
