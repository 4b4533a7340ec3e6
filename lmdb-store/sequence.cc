#include "lmdb-store/sequence.h"

#include <algorithm>

#include "base/check.h"

namespace capstan::lmdb_store {

Sequence::Sequence(PageStore& store, LeafForm form, const Root& root)
    : store_(store), form_(form), root_{nullptr, root.number, root.elements}, root_level_(root.level) {
  CHECK(root.level <= InnerPage::kMaxLevel && (root.number == 0) == (root.elements == 0));
}

Sequence::~Sequence() { drop(SIZE_MAX); }

// ---- getting at pages ----------------------------------------------------------------------------------------------

void Sequence::note(const InnerPage::Child& child, unsigned level, const Target& target, Missing missing) const {
  if (missing.pages->size() >= missing.most) return;
  const PageRef ref{child.number, static_cast<uint8_t>(level), form_, child.elements};
  missing.pages->push_back({ref, target.by_rank, target.rank, target.place.word, std::string(target.place.id)});
}

Page* Sequence::resident(const InnerPage::Child& child, unsigned level, const Target& target, Missing missing) {
  if (child.page != nullptr) return child.page;
  const PageRef ref{child.number, static_cast<uint8_t>(level), form_, child.elements};
  Page* const page = store_.load(ref, missing.pages == nullptr);
  if (page == nullptr) {
    CHECK(missing.pages != nullptr, "a page was not loaded");
    note(child, level, target, missing);
    return nullptr;
  }
  store_.add_loaded(*page);
  return page;
}

Page* Sequence::root_page(const Target& target, Missing missing) {
  return root_.page = resident(root_, root_level_, target, missing);
}

Page* Sequence::child_page(InnerPage& parent, size_t index, const Target& target, Missing missing) {
  if (Page* const page = parent.page(index)) return page;
  Page* const page = resident(parent.child(index), parent.level - 1u, target, missing);
  parent.set_page(index, page);
  return page;
}

void Sequence::Finger::narrow(const InnerPage& page, size_t index) {
  if (index > 0) low = page.separator(index).word;
  if (index + 1 < page.count) high = page.separator(index + 1).word;
}

bool Sequence::descend(Target& target, Missing missing) {
  finger_.leaf = nullptr;
  finger_.low = 0;
  finger_.high = UINT64_MAX;
  Page* page = root_page(target, missing);
  for (unsigned level = root_level_; page != nullptr && level > 0; --level) {
    auto& inner = *static_cast<InnerPage*>(page);
    const size_t index = target.choose(inner);
    finger_.steps[level] = {&inner, index};
    finger_.narrow(inner, index);
    page = child_page(inner, index, target, missing);
  }
  if (page == nullptr) return false;
  page->set(Page::kUsed);
  finger_.leaf = static_cast<LeafPage*>(page);
  return true;
}

Sequence::Path* Sequence::path_to(const Place& place, Missing missing) {
  Target target{place};
  return finger_.holds(place.word) || descend(target, missing) ? &finger_ : nullptr;
}

// ---- reading -------------------------------------------------------------------------------------------------------

Sequence::Answer Sequence::find(const Place& place, ElementView& out, Missing missing) {
  if (count() == 0) return Answer::kNo;
  const Path* const path = path_to(place, missing);
  if (path == nullptr) return Answer::kUnknown;
  const auto [slot, here] = path->leaf->find(place);
  if (!here) return Answer::kNo;
  out = path->leaf->element(slot);
  return Answer::kYes;
}

Sequence::Answer Sequence::seek(const Place& from, Cursor& out, Missing missing) {
  if (count() == 0) return Answer::kNo;
  const Path* const path = path_to(from, missing);
  if (path == nullptr) return Answer::kUnknown;
  const size_t slot = path->leaf->find(from).slot;
  Cursor cursor;
  put_cursor(cursor, *path, std::min<size_t>(slot, path->leaf->count - size_t{1}));
  if (slot == path->leaf->count) {
    if (const Answer answer = step(cursor, true, missing); answer != Answer::kYes) return answer;
  }
  out = cursor;
  return Answer::kYes;
}

Sequence::Answer Sequence::at(uint64_t rank, Cursor& out, Missing missing) {
  if (rank >= count()) return Answer::kNo;
  Target target{{}, true, rank};
  if (!descend(target, missing)) return Answer::kUnknown;
  put_cursor(out, finger_, target.rank);
  return Answer::kYes;
}

Sequence::Answer Sequence::rank(const Place& place, uint64_t& below, Missing missing) {
  below = 0;
  if (count() == 0) return Answer::kNo;
  const Path* const path = path_to(place, missing);
  if (path == nullptr) return Answer::kUnknown;
  const auto [slot, here] = path->leaf->find(place);
  below = rank_of(*path, root_level_, slot);
  return here ? Answer::kYes : Answer::kNo;
}

uint64_t Sequence::rank_of(const Path& path, unsigned root_level, size_t slot) {
  uint64_t rank = slot;
  for (unsigned level = 1; level <= root_level; ++level) {
    rank += path.steps[level].page->elements_before(path.steps[level].index);
  }
  return rank;
}

void Sequence::put_cursor(Cursor& cursor, const Path& path, size_t slot) const {
  std::copy(path.steps + 1, path.steps + 1 + root_level_, cursor.path_.steps + 1);
  cursor.path_.leaf = path.leaf;
  cursor.root_level_ = root_level_;
  cursor.slot_ = slot;
}

Sequence::Answer Sequence::step(Cursor& cursor, bool forward, Missing missing) {
  CHECK(cursor.valid());
  if (forward ? cursor.slot_ + 1 < cursor.path_.leaf->count : cursor.slot_ > 0) {
    forward ? ++cursor.slot_ : --cursor.slot_;
    return Answer::kYes;
  }
  return enter_neighbour(cursor, forward, missing);
}

// Up to where there is another child in that direction, and down again along its edge.
Sequence::Answer Sequence::enter_neighbour(Cursor& cursor, bool forward, Missing missing) {
  Path path = cursor.path_;
  unsigned level = 1;
  while (level <= root_level_ && path.steps[level].at_edge(forward)) ++level;
  if (level > root_level_) return Answer::kNo;
  path.steps[level].index += forward ? 1 : size_t{0} - 1;
  for (;; --level) {
    const auto [inner, index] = path.steps[level];
    const Target edge{{}, true, forward ? 0 : inner->child(index).elements - 1};
    Page* const page = child_page(*inner, index, edge, missing);
    if (page == nullptr) return Answer::kUnknown;
    const size_t edge_index = forward ? 0 : page->count - size_t{1};
    if (level == 1) {
      page->set(Page::kUsed);
      path.leaf = static_cast<LeafPage*>(page);
      put_cursor(cursor, path, edge_index);
      return Answer::kYes;
    }
    path.steps[level - 1] = {static_cast<InnerPage*>(page), edge_index};
  }
}

void Sequence::want(uint64_t first_rank, uint64_t last_rank, Missing missing) {
  last_rank = std::min(last_rank, count() == 0 ? 0 : count() - 1);
  if (missing.pages == nullptr || count() == 0 || first_rank > last_rank) return;
  Page* const root = root_page({{}, true, first_rank}, missing);
  if (root != nullptr && root_level_ > 0) want_below(*static_cast<InnerPage*>(root), first_rank, last_rank, missing);
}

void Sequence::want_below(InnerPage& page, uint64_t first, uint64_t last, Missing missing) {
  uint64_t begin = 0;  // rank below the page of the child's first element
  for (size_t i = 0; i < page.count && begin <= last && missing.pages->size() < missing.most; ++i) {
    const InnerPage::Child child = page.child(i);
    const uint64_t end = begin + child.elements;
    if (end > first) {
      const uint64_t first_below = first > begin ? first - begin : 0;
      if (child.page == nullptr) {
        note(child, page.level - 1u, {{}, true, first_below}, missing);
      } else if (page.level > 1) {
        want_below(*static_cast<InnerPage*>(child.page), first_below, last - begin, missing);
      }
    }
    begin = end;
  }
}

}  // namespace capstan::lmdb_store
