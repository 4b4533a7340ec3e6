// Sequence: changes of the tree. A change makes the pages of its path writable, from the root down, and then works in
// place; what does not fit splits pages and begins again, which happens once in some thirty inserts.
#include "base/check.h"
#include "lmdb-store/sequence.h"

namespace capstan::lmdb_store {

// ---- along a path --------------------------------------------------------------------------------------------------

void Sequence::set_page(Path& path, unsigned level, Page* page) {
  if (level == root_level_) {
    root_.page = page;
    root_.number = page->number;
  } else {
    const auto [parent, index] = path.steps[level + 1];
    parent->set_child(index, page);
  }
}

void Sequence::make_writable(Path& path) {
  for (unsigned level = root_level_; level > 0; --level) {
    InnerPage*& inner = path.steps[level].page;
    if (store_.state(*inner) == PageState::kDirty) continue;
    inner = static_cast<InnerPage*>(store_.writable(inner));
    set_page(path, level, inner);
  }
  if (store_.state(*path.leaf) == PageState::kDirty) return;
  path.leaf = static_cast<LeafPage*>(store_.writable(path.leaf));
  set_page(path, 0, path.leaf);
}

void Sequence::replace_leaf(Path& path, LeafPage* by) {
  store_.replace(path.leaf, by);
  path.leaf = by;
  set_page(path, 0, by);
}

void Sequence::add_elements(Path& path, int64_t difference) {
  root_.elements += static_cast<uint64_t>(difference);
  for (unsigned level = 1; level <= root_level_; ++level) {
    path.steps[level].page->add_elements(path.steps[level].index, difference);
  }
}

// From that level up the path is the tree's first or last.
bool Sequence::at_edge(const Path& path, unsigned level, bool last) const {
  for (; level <= root_level_; ++level) {
    if (!path.steps[level].at_edge(last)) return false;
  }
  return true;
}

// ---- putting -------------------------------------------------------------------------------------------------------

bool Sequence::put(const ElementView& element) {
  const uint64_t before = count();
  while (!try_put(element)) finger_.leaf = nullptr;
  return count() != before;
}

// False: pages were split to make room.
bool Sequence::try_put(const ElementView& element) {
  if (root_.number == 0) {
    LeafPage* const leaf = LeafPage::make_for(form_, element);
    store_.add(*leaf);
    root_ = {leaf, leaf->number, 0};
  }
  Path& path = *path_to(element.place, {});
  make_writable(path);
  const auto [slot, here] = path.leaf->find(element.place);
  if (here) {
    if (path.leaf->replace(slot, element)) return true;
    path.leaf->erase(slot);
    add_elements(path, -1);
  }
  if (!make_room(path, slot, element)) return false;
  path.leaf->insert(slot, element);
  add_elements(path, 1);
  return true;
}

bool Sequence::make_room(Path& path, size_t slot, const ElementView& element) {
  LeafPage& leaf = *path.leaf;
  const bool alone = LeafPage::stands_alone(element);
  if (leaf.count == 0) {
    replace_leaf(path, LeafPage::make_for(form_, element));
    return true;
  }
  if (alone || leaf.alone()) {
    split(path, slot, element);
    return false;
  }
  const size_t bytes = leaf.bytes_of(element);
  if (bytes <= leaf.room()) return true;
  if (leaf.bytes() + bytes <= LeafPage::kMaxBytes) {
    replace_leaf(path, leaf.slice(0, leaf.count, bytes));
    return true;
  }
  // Where elements come in order, pages stay full.
  const bool at_end = slot == leaf.count ? at_edge(path, 1, true) : slot == 0 && at_edge(path, 1, false);
  split(path, at_end ? slot : leaf.middle(), element);
  return false;
}

// Into the elements before `at` and the others. One of the pages may be empty: then it is for the incoming element.
void Sequence::split(Path& path, size_t at, const ElementView& incoming) {
  LeafPage* const leaf = path.leaf;
  const Place left = at == 0 ? incoming.place : leaf->place(at - 1);
  const Place right = at == leaf->count ? incoming.place : leaf->place(at);
  // What comes between them goes to the page that can share.
  const bool left_alone = at == 0 ? LeafPage::stands_alone(incoming) : at == leaf->count && leaf->alone();
  Place separator = separator_between(left, right, left_alone);
  const std::string id(separator.id);
  separator.id = id;
  if (at == 0) {
    LeafPage* const empty = leaf->slice(0, 0, 0);
    store_.add(*empty);
    set_page(path, 0, empty);
    return insert_child(path, 1, {leaf, leaf->number, leaf->count}, separator);
  }
  LeafPage* const behind = leaf->slice(at, leaf->count, 0);
  store_.add(*behind);
  if (at < leaf->count) replace_leaf(path, leaf->slice(0, at, 0));
  insert_child(path, 1, {behind, behind->number, behind->count}, separator);
}

// Behind the path's child at that level, whose elements it takes over.
void Sequence::insert_child(Path& path, unsigned level, const InnerPage::Child& child, const Place& separator) {
  if (level > root_level_) raise_root(path);
  const auto [page, index] = path.steps[level];
  page->add_elements(index, -static_cast<int64_t>(child.elements));
  if (page->count == InnerPage::kMaxChildren) return split_inner(path, level, child, separator);
  const size_t bytes = page->allocated_bytes();
  page->insert(index + 1, child, separator);
  store_.resized(*page, bytes);
}

void Sequence::split_inner(Path& path, unsigned level, const InnerPage::Child& child, const Place& separator) {
  const auto [page, index] = path.steps[level];
  const bool at_end = at_edge(path, level, true);
  const size_t middle = at_end ? page->count : page->count / size_t{2};
  const Place between = at_end ? separator : page->separator(middle);
  const std::string id(between.id);
  InnerPage* const behind = page->split(middle);
  if (at_end || index >= middle) {
    behind->insert(index + 1 - middle, child, separator);
  } else {
    page->insert(index + 1, child, separator);
  }
  store_.add(*behind);
  insert_child(path, level + 1, {behind, behind->number, behind->elements()}, {between.word, id});
}

void Sequence::raise_root(Path& path) {
  CHECK(root_level_ < InnerPage::kMaxLevel, "a tree is too high");
  auto* const root = new InnerPage(root_level_ + 1u);
  root->insert(0, root_, {});
  store_.add(*root);
  root_ = {root, root->number, root_.elements};
  path.steps[++root_level_] = {root, 0};
}

// ---- erasing -------------------------------------------------------------------------------------------------------

bool Sequence::erase(const Place& place) {
  if (count() == 0) return false;
  Path& path = *path_to(place, {});
  const auto [slot, here] = path.leaf->find(place);
  if (!here) return false;
  make_writable(path);
  path.leaf->erase(slot);
  add_elements(path, -1);
  if (path.leaf->bytes() < LeafPage::kSmallBytes) {
    shrink(path);
  } else if (path.leaf->wasteful()) {
    replace_leaf(path, path.leaf->slice(0, path.leaf->count, 0));
  }
  return true;
}

// Takes out what is empty and joins what is small to a neighbour, from the leaf up.
void Sequence::shrink(Path& path) {
  for (unsigned level = 1; level <= root_level_; ++level) {
    const auto [parent, index] = path.steps[level];
    Page* const page = parent->page(index);
    const bool small = level == 1 || page->count < InnerPage::kSmallChildren;
    if (page->count == 0) {
      store_.remove(page);
      parent->erase(index);
    } else if (!small || (!join(*parent, index) && (index == 0 || !join(*parent, index - 1)))) {
      return;
    }
    finger_.leaf = nullptr;
  }
  lower_root();
}

// That child and the next, if both are in memory. Nothing is read for it.
bool Sequence::join(InnerPage& parent, size_t left) {
  if (left + 1 >= parent.count) return false;
  const InnerPage::Child a = parent.child(left), b = parent.child(left + 1);
  if (a.page == nullptr || b.page == nullptr) return false;
  Page* joined = nullptr;
  if (parent.level == 1) {
    joined = LeafPage::join(*static_cast<LeafPage*>(a.page), *static_cast<LeafPage*>(b.page));
  } else {
    joined =
        InnerPage::join(*static_cast<InnerPage*>(a.page), *static_cast<InnerPage*>(b.page), parent.separator(left + 1));
  }
  if (joined == nullptr) return false;
  store_.remove(a.page);
  store_.remove(b.page);
  store_.add(*joined);
  parent.erase(left + 1);
  parent.set_child(left, joined);
  parent.add_elements(left, static_cast<int64_t>(b.elements));
  return true;
}

// A root with one child gives way to it; one without anything to nothing.
void Sequence::lower_root() {
  while (root_level_ > 0 && root_.page != nullptr && root_.page->count == 1) {
    InnerPage* const root = static_cast<InnerPage*>(root_.page);
    const InnerPage::Child child = root->child(0);
    store_.remove(root);
    root_ = child;
    --root_level_;
    finger_.leaf = nullptr;
  }
  if (root_.elements > 0) return;
  store_.remove(root_.page);
  root_ = {};
  root_level_ = 0;
  finger_.leaf = nullptr;
}

}  // namespace capstan::lmdb_store
