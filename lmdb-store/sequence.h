// The elements of a key in one order, as a counted B+-tree of pages (Bayer, McCreight 1972; counts in inner pages as in
// order-statistic trees, CLRS 14.1): leaves hold elements, inner pages separators and the number of elements below each
// child. Any part of it may be missing in memory.
//
// The shard's worker's. A flush job reads pages of it meanwhile; PageStore, the port behind it, keeps that apart.
#pragma once

#include <cstdint>
#include <string>

#include "lmdb-store/inner_page.h"
#include "lmdb-store/page_store.h"

namespace capstan::lmdb_store {

class Sequence {
  // The inner pages from the root to a leaf, each with the child taken.
  struct Path {
    struct Step {
      InnerPage* page;
      size_t index;
      bool at_edge(bool last) const { return index == (last ? page->count - size_t{1} : 0); }
    };
    Step steps[InnerPage::kMaxLevel + 1];  // by level; from 1 to the root's
    LeafPage* leaf = nullptr;
  };

 public:
  enum class Answer : uint8_t {
    kYes,
    kNo,
    kUnknown,  // pages are missing; the first of them was noted
  };

  // What a key row says of the tree; number 0: it is empty.
  struct Root {
    uint8_t level = 0;
    uint64_t number = 0;
    uint64_t elements = 0;
  };

  // Stands on an element. Void after any change of the sequence, and after evict().
  class Cursor {
   public:
    bool valid() const { return path_.leaf != nullptr; }
    // Precondition of these two: valid(). The views hold as long as the cursor.
    ElementView element() const { return path_.leaf->element(slot_); }
    // Added up from the counts at each call; who walks on counts himself.
    uint64_t rank() const { return rank_of(path_, root_level_, slot_); }

   private:
    friend class Sequence;
    Path path_;
    unsigned root_level_ = 0;
    size_t slot_ = 0;
  };

  Sequence(PageStore& store, LeafForm form) : Sequence(store, form, Root()) {}
  Sequence(PageStore& store, LeafForm form, const Root& root);
  // Frees its pages. Those of a job that is under way are the store's.
  ~Sequence();
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;

  // For the key row. The numbers hold until the next change.
  Root root() const { return {root_level_, root_.number, root_.elements}; }
  uint64_t count() const { return root_.elements; }

  // --- reading. kUnknown only with a list of missing pages; what is behind `out` is then as it was.
  Answer find(const Place& place, ElementView& out, Missing missing);
  // The first element at or behind the place; kNo: there is none.
  Answer seek(const Place& from, Cursor& out, Missing missing);
  // The element of that rank, from 0; kNo: there are not so many.
  Answer at(uint64_t rank, Cursor& out, Missing missing);
  // How many elements stand before the place; kYes and kNo: whether one stands there.
  Answer rank(const Place& place, uint64_t& below, Missing missing);
  // kNo: there is none, and the cursor stays.
  Answer next(Cursor& cursor, Missing missing) { return step(cursor, true, missing); }
  Answer previous(Cursor& cursor, Missing missing) { return step(cursor, false, missing); }
  // Notes the pages that are missing of those ranks, for reading ahead.
  void want(uint64_t first_rank, uint64_t last_rank, Missing missing);

  // --- changing. Pages that are missing on the path are read on this thread. Nothing that is passed may be a view into
  // the sequence's own pages, but for erase().
  // Inserts or replaces; true: the place was free.
  bool put(const ElementView& element);
  // False: there is none.
  bool erase(const Place& place);
  // `count` elements from next(), ascending, all behind those that are there. Pages are filled to the brim.
  template <typename Next>
  void build(uint64_t count, Next next) {
    for (; count > 0; --count) put(next());
  }

  // --- memory
  // Frees clean pages that were not used since it last came by, from a hand on that goes round (CLOCK). Looks at so
  // many pages; returns how many it freed.
  size_t evict(size_t pages);
  // Frees so many pages, whatever their state, for a tree that nobody needs any more; true while there are more.
  // Nothing but this may be called from then on.
  bool drop(size_t pages);
  bool in_memory() const { return root_.page != nullptr; }

  struct Census {
    size_t leaves = 0;
    size_t inner_pages = 0;
    uint64_t leaf_bytes = 0;  // on disk
  };
  // Walks what is in memory and verifies counts, order, separators, sizes and states. For tests. kCorrupt: what is
  // wrong.
  Result<Census> check() const;

 private:
  // Where a descent goes: to a place, or to the element of a rank below the page that it has reached.
  struct Target {
    Place place;
    bool by_rank = false;
    uint64_t rank = 0;
    size_t choose(const InnerPage& page) { return by_rank ? page.child_at(rank) : page.child_for(place); }
  };
  // The path of the last descent, and between which words its leaf alone has elements. A command finds an element and
  // then changes it, and the next command is often about a neighbour.
  struct Finger : Path {
    uint64_t low = 0;
    uint64_t high = 0;
    bool holds(uint64_t word) const { return leaf != nullptr && low < word && word < high; }
    void narrow(const InnerPage& page, size_t index);
  };
  struct Hand;

  // sequence.cc
  // The page in that place of its parent, loaded if need be; nullptr: it is missing.
  Page* resident(const InnerPage::Child& child, unsigned level, const Target& target, Missing missing);
  Page* root_page(const Target& target, Missing missing);
  Page* child_page(InnerPage& parent, size_t index, const Target& target, Missing missing);
  void note(const InnerPage::Child& child, unsigned level, const Target& target, Missing missing) const;
  // Moves the finger, and leaves of a rank what is left in the leaf; false: pages are missing.
  bool descend(Target& target, Missing missing);
  Path* path_to(const Place& place, Missing missing);
  static uint64_t rank_of(const Path& path, unsigned root_level, size_t slot);
  void put_cursor(Cursor& cursor, const Path& path, size_t slot) const;
  Answer step(Cursor& cursor, bool forward, Missing missing);
  Answer enter_neighbour(Cursor& cursor, bool forward, Missing missing);
  void want_below(InnerPage& page, uint64_t first, uint64_t last, Missing missing);

  // sequence_change.cc
  void make_writable(Path& path);
  void set_page(Path& path, unsigned level, Page* page);
  void replace_leaf(Path& path, LeafPage* by);
  void add_elements(Path& path, int64_t difference);
  bool at_edge(const Path& path, unsigned level, bool last) const;
  bool try_put(const ElementView& element);
  bool make_room(Path& path, size_t slot, const ElementView& element);
  void split(Path& path, size_t at, const ElementView& incoming);
  void insert_child(Path& path, unsigned level, const InnerPage::Child& child, const Place& separator);
  void split_inner(Path& path, unsigned level, const InnerPage::Child& child, const Place& separator);
  void raise_root(Path& path);
  void shrink(Path& path);
  bool join(InnerPage& parent, size_t left);
  void lower_root();

  // sequence_memory.cc
  bool sweep(InnerPage& page, bool on_hand, Hand& hand);
  bool drop_below(InnerPage& page, size_t& pages);
  Result<> check_page(const Page& page, const Place& low, const Place* high, bool parent_listed, Census& census) const;

  PageStore& store_;
  const LeafForm form_;
  InnerPage::Child root_;
  uint8_t root_level_ = 0;
  Finger finger_;
  uint64_t hand_word_ = 0;
  std::string hand_id_;
};

}  // namespace capstan::lmdb_store
