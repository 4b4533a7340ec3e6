// A page store whose disk is a map, and random lives of two sequences on it: changes, evictions, flushes that fail and
// crashes, beside std::map as the second implementation.
#pragma once

#include <array>
#include <boost/test/unit_test.hpp>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/random.h"
#include "lmdb-store/collection_testing.h"
#include "lmdb-store/sequence.h"

namespace capstan::lmdb_store {

class TestStore : public PageStore {
 public:
  std::map<uint64_t, std::string> rows;  // "on disk"
  size_t loads = 0;

  Page* load(const PageRef& ref, bool at_once) override {
    if (!at_once && arrived_.erase(ref.number) == 0) return nullptr;
    ++loads;
    return read(ref);
  }
  // As the read pool does: reads the page and those below it down to the leaf that is wanted.
  void deliver(const MissingPage& wanted) {
    PageRef ref = wanted.page;
    uint64_t rank = wanted.rank;
    for (;; --ref.level) {
      arrived_.insert(ref.number);
      if (ref.level == 0) return;
      const std::unique_ptr<InnerPage> page(static_cast<InnerPage*>(read(ref)));
      const size_t index = wanted.by_rank ? page->child_at(rank) : page->child_for({wanted.word, wanted.id});
      ref.number = page->child(index).number;
      ref.elements = page->child(index).elements;
    }
  }
  // A whole job at once.
  void write(const PageJob& job) {
    for (const Page* const page : job.pages) {
      rows[page->number].clear();
      page->encode(rows[page->number]);
    }
    for (const uint64_t number : job.obsolete) rows.erase(number);
  }
  // The numbers of a stored tree.
  void collect(const PageRef& ref, std::set<uint64_t>& numbers) {
    numbers.insert(ref.number);
    if (ref.level == 0) return;
    const std::unique_ptr<InnerPage> page(static_cast<InnerPage*>(read(ref)));
    for (size_t i = 0; i < page->count; ++i) {
      const auto child = page->child(i);
      collect({child.number, static_cast<uint8_t>(ref.level - 1), ref.form, child.elements}, numbers);
    }
  }

 private:
  Page* read(const PageRef& ref) {
    const auto row = rows.find(ref.number);
    BOOST_REQUIRE_MESSAGE(row != rows.end(), "no page " << ref.number);
    auto page = decode_page(ref, row->second);
    BOOST_REQUIRE_MESSAGE(page.ok(), why(page));
    return *page;
  }
  std::set<uint64_t> arrived_;
};

// A collection with two orders, like a sorted set, in a store of its own.
class SequenceLife {
 public:
  explicit SequenceLife(uint64_t seed);
  void run(int phases);

 private:
  using Elements = std::map<TestPlace, TestElement>;
  using Places = std::set<TestPlace>;
  struct State {
    Elements elements;
    Places places;
  };
  // What the "key row" says, and the state that it stands for.
  struct KeyRow {
    Sequence::Root elements;
    Sequence::Root places;
    uint64_t next_page = 1;
    State state;
  };
  struct Flush {
    const PageJob* job = nullptr;
    std::vector<std::string> frozen;  // the pages' bytes when it began
    KeyRow row;
    size_t written = 0;
    std::map<uint64_t, std::string> batch;  // not committed yet
  };

  TestPlace draw_place();
  TestPlace second_place(const TestPlace& place, const TestElement& element) const;
  void put(const TestPlace& place);
  void erase(const TestPlace& place);
  void change(uint64_t pattern);
  void read();
  void read_range(const TestPlace& from);
  void begin_flush();
  void step_flush();
  void commit();
  void end_flush(bool succeeded);
  void crash();
  void open();
  void verify();
  template <typename Keys>
  void verify_walk(Sequence& sequence, const Keys& keys);
  void verify_disk();
  template <typename Ask>
  Sequence::Answer ask(Ask ask);

  Random random_;
  unsigned words_;       // how places get their words
  size_t value_bytes_;   // most are around it
  double large_;         // share of those that stand alone
  size_t prefix_bytes_;  // that ids have in common
  uint64_t universe_;
  uint64_t low_, high_;  // of places that come in order

  std::unique_ptr<TestStore> store_;
  std::unique_ptr<Sequence> elements_, places_;
  State state_;
  KeyRow stored_;
  std::set<uint64_t> named_;  // by the stored key row
  std::unique_ptr<Flush> flush_;
};

}  // namespace capstan::lmdb_store
