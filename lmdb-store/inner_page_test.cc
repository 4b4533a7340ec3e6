#include "lmdb-store/inner_page.h"

#include <boost/test/unit_test.hpp>
#include <memory>
#include <vector>

#include "base/random_testing.h"
#include "lmdb-store/collection_testing.h"
#include "lmdb-store/page_store.h"

namespace capstan::lmdb_store {
namespace {

using InnerPtr = std::unique_ptr<InnerPage>;

struct ModelChild {
  InnerPage::Child child;
  TestPlace separator;
};
using Model = std::vector<ModelChild>;

std::string encoded(const InnerPage& page) {
  std::string bytes;
  page.encode(bytes);
  return bytes;
}

// Words are few, so that many separators have one; children are "in memory" here and there.
Model random_model(Random& random) {
  std::vector<TestPlace> separators;
  for (uint64_t left = random.below(InnerPage::kMaxChildren); left > 0; --left) {
    const std::string id = random.chance(0.5) ? "" : random_bytes(random, 1 + random.below(20));
    separators.emplace_back(random.chance(0.5) ? 1 + random.below(6) : random.next() | 1, id);
  }
  separators.emplace_back();
  std::sort(separators.begin(), separators.end());
  separators.erase(std::unique(separators.begin(), separators.end()), separators.end());
  Model model;
  for (const TestPlace& separator : separators) {
    model.push_back({{nullptr, 1 + random.below(1000), 1 + random.below(100)}, separator});
  }
  return model;
}

InnerPtr page_of(const Model& model) {
  InnerPtr page = std::make_unique<InnerPage>(1);
  for (const ModelChild& child : model) page->insert(page->count, child.child, child.separator.view());
  return page;
}

void require_equal(const InnerPage& page, const Model& model) {
  BOOST_REQUIRE(page.count == model.size());
  uint64_t before = 0;
  for (size_t i = 0; i < model.size(); ++i) {
    BOOST_REQUIRE(page.child(i).number == model[i].child.number);
    BOOST_REQUIRE(page.separator(i) == (i == 0 ? Place{} : model[i].separator.view()));
    BOOST_REQUIRE(page.elements_before(i) == before);
    before += model[i].child.elements;
  }
  BOOST_REQUIRE(page.elements() == before);
}

BOOST_AUTO_TEST_SUITE(inner_page_test)

BOOST_AUTO_TEST_CASE(children_are_found_by_place_and_by_rank) {
  with_new_seeds(50, [](uint64_t seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      Random random(seed);
      const Model model = random_model(random);
      const InnerPtr page = page_of(model);
      require_equal(*page, model);
      for (int i = 0; i < 200; ++i) {
        TestPlace place = model[random.below(model.size())].separator;
        if (random.chance(0.3)) place.id += 'x';
        if (random.chance(0.3)) place.word += random.below(3) - 1;
        if (random.chance(0.3)) place.id = random_bytes(random, random.below(5));
        size_t expected = 0;
        while (expected + 1 < model.size() && model[expected + 1].separator <= place) ++expected;
        BOOST_REQUIRE(page->child_for(place.view()) == expected);
      }
      for (uint64_t rank = 0; rank < page->elements(); ++rank) {
        uint64_t below = rank;
        const size_t index = page->child_at(below);
        BOOST_REQUIRE(page->elements_before(index) + below == rank && below < page->child(index).elements);
      }
    }
  });
}

BOOST_AUTO_TEST_CASE(inserts_and_erasures_do_what_a_vector_does) {
  with_new_seeds(50, [](uint64_t seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      Random random(seed);
      Model model = random_model(random), rest;
      // Some are taken out, from anywhere, and put in again.
      const InnerPtr page = page_of(model);
      for (uint64_t left = random.below(model.size()); left > 0; --left) {
        const size_t index = random.below(model.size());
        page->erase(index);
        rest.push_back(model[index]);
        model.erase(model.begin() + static_cast<ptrdiff_t>(index));
      }
      if (!model.empty()) require_equal(*page, model);
      for (const ModelChild& child : rest) {
        if (child.separator == TestPlace() || model.empty()) continue;
        size_t index = 1;
        while (index < model.size() && model[index].separator < child.separator) ++index;
        if (index == 1 && model[0].separator > child.separator) continue;
        page->insert(index, child.child, child.separator.view());
        model.insert(model.begin() + static_cast<ptrdiff_t>(index), child);
      }
      if (!model.empty()) require_equal(*page, model);
    }
  });
}

BOOST_AUTO_TEST_CASE(split_and_join) {
  with_new_seeds(50, [](uint64_t seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      Random random(seed);
      const Model model = random_model(random);
      const InnerPtr left = page_of(model);
      const size_t at = 1 + random.below(model.size());
      const InnerPtr right(left->split(at));
      require_equal(*left, Model(model.begin(), model.begin() + static_cast<ptrdiff_t>(at)));
      require_equal(*right, Model(model.begin() + static_cast<ptrdiff_t>(at), model.end()));
      if (right->count == 0) return;
      const InnerPtr joined(InnerPage::join(*left, *right, model[at].separator.view()));
      BOOST_REQUIRE((joined != nullptr) == (model.size() <= InnerPage::kMaxJoinedChildren));
      if (joined) require_equal(*joined, model);
    }
  });
}

BOOST_AUTO_TEST_CASE(bytes_come_back_and_damaged_ones_are_an_error_or_another_page) {
  with_new_seeds(50, [](uint64_t seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      Random random(seed);
      const Model model = random_model(random);
      const std::string bytes = encoded(*page_of(model));
      auto decoded = InnerPage::decode(bytes);
      BOOST_REQUIRE_MESSAGE(decoded.ok(), why(decoded));
      const InnerPtr again(*decoded);
      require_equal(*again, model);
      BOOST_TEST(!again->any_in_memory());
      for (int i = 0; i < 300; ++i) {
        const std::vector<char> broken = damaged(random, bytes);
        auto other = InnerPage::decode({broken.data(), broken.size()});
        if (!other) continue;
        const InnerPtr page(*other);
        BOOST_REQUIRE(encoded(*page) == std::string(broken.data(), broken.size()));
      }
    }
  });
}

BOOST_AUTO_TEST_CASE(a_page_that_is_not_the_one_its_parent_names_is_an_error) {
  InnerPage page(2);
  page.insert(0, {nullptr, 7, 10}, {});
  const std::string bytes = encoded(page);
  const auto opens = [&](const PageRef& ref) {
    auto decoded = decode_page(ref, bytes);
    if (decoded) Page::free(*decoded);
    return decoded.ok();
  };
  BOOST_TEST(opens({5, 2, LeafForm::kElements, 10}));
  BOOST_TEST(!opens({5, 1, LeafForm::kElements, 10}));
  BOOST_TEST(!opens({5, 0, LeafForm::kElements, 10}));
  BOOST_TEST(!opens({5, 2, LeafForm::kElements, 11}));
  BOOST_TEST(!decode_page({5, 2, LeafForm::kElements, 10}, "").ok());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace capstan::lmdb_store
