// Sequence: what of the tree is in memory, and whether that is as it should be.
#include "base/check.h"
#include "lmdb-store/sequence.h"

namespace capstan::lmdb_store {

// ---- eviction ------------------------------------------------------------------------------------------------------

struct Sequence::Hand {
  Place from;    // where it begins
  size_t pages;  // it may still look at
  size_t freed = 0;
};

size_t Sequence::evict(size_t pages) {
  if (root_.page == nullptr || pages == 0) return 0;
  finger_.leaf = nullptr;
  const std::string id = std::move(hand_id_);
  Hand hand{{hand_word_, id}, pages};
  hand_word_ = 0;
  hand_id_.clear();
  Page* const root = root_.page;
  if (root_level_ > 0 && !sweep(*static_cast<InnerPage*>(root), true, hand)) return hand.freed;
  // The hand has come round.
  const bool used = root_level_ == 0 && root->has(Page::kUsed);
  root->unset(Page::kUsed);
  const bool needed = root_level_ > 0 && static_cast<InnerPage*>(root)->any_in_memory();
  if (!used && !needed && store_.state(*root) == PageState::kClean) {
    store_.evict(root);
    root_.page = nullptr;
    ++hand.freed;
  }
  return hand.freed;
}

// What is below the page, from the hand on if that is below it. False: it stopped, and where it goes on is set.
bool Sequence::sweep(InnerPage& page, bool on_hand, Hand& hand) {
  const size_t first = on_hand ? page.child_for(hand.from) : 0;
  for (size_t i = first; i < page.count; ++i) {
    Page* const child = page.page(i);
    if (child == nullptr) continue;
    if (hand.pages == 0) {
      const Place at = i == first && on_hand ? hand.from : page.separator(i);
      hand_word_ = at.word;
      hand_id_ = at.id;
      return false;
    }
    const bool leaf = page.level == 1;
    if (!leaf && !sweep(*static_cast<InnerPage*>(child), on_hand && i == first, hand)) {
      // It stopped at its own first child, whose separator it does not have.
      if (hand_word_ == 0 && hand_id_.empty()) {
        hand_word_ = page.separator(i).word;
        hand_id_ = page.separator(i).id;
      }
      return false;
    }
    if (hand.pages > 0) --hand.pages;
    const bool keep = leaf ? child->has(Page::kUsed) : static_cast<InnerPage*>(child)->any_in_memory();
    child->unset(Page::kUsed);
    if (keep || store_.state(*child) != PageState::kClean) continue;
    store_.evict(child);
    page.set_page(i, nullptr);
    ++hand.freed;
  }
  return true;
}

bool Sequence::drop(size_t pages) {
  finger_.leaf = nullptr;
  if (root_.page == nullptr) return false;
  if (root_level_ > 0 && !drop_below(*static_cast<InnerPage*>(root_.page), pages)) return true;
  if (pages == 0) return true;
  store_.remove(root_.page);
  root_ = {};
  return false;
}

bool Sequence::drop_below(InnerPage& page, size_t& pages) {
  for (size_t i = 0; i < page.count; ++i) {
    Page* const child = page.page(i);
    if (child == nullptr) continue;
    if (page.level > 1 && !drop_below(*static_cast<InnerPage*>(child), pages)) return false;
    if (pages == 0) return false;
    --pages;
    store_.remove(child);
    page.set_page(i, nullptr);
  }
  return true;
}

// ---- check ---------------------------------------------------------------------------------------------------------

namespace {

Error broken(const Page& page, std::string_view what) {
  return {ErrorCode::kCorrupt,
          "page " + std::to_string(page.number) + ", level " + std::to_string(page.level) + ": " + std::string(what)};
}

Result<> check_leaf(const LeafPage& leaf, const Place& low, const Place* high) {
  std::string bytes;
  leaf.encode(bytes);
  if (bytes.size() != leaf.bytes()) return broken(leaf, "its size");
  auto decoded = LeafPage::decode(bytes);
  if (!decoded) return decoded.error();
  Page::free(*decoded);
  if (leaf.place(0) < low) return broken(leaf, "an element before its separator");
  if (high != nullptr && leaf.place(leaf.count - size_t{1}) >= *high)
    return broken(leaf, "an element in the next page");
  return {};
}

}  // namespace

Result<> Sequence::check_page(const Page& page, const Place& low, const Place* high, bool parent_listed,
                              Census& census) const {
  const PageState state = store_.state(page);
  if (page.number == 0 || page.number >= store_.next_page()) return broken(page, "its number");
  // What LMDB lacks is reached only through pages that it lacks.
  const bool listed = state != PageState::kClean;
  if (listed && !parent_listed) return broken(page, "its parent is clean");
  if (page.count == 0) return broken(page, "empty");
  if (page.level == 0) {
    const auto& leaf = static_cast<const LeafPage&>(page);
    ++census.leaves;
    census.leaf_bytes += leaf.bytes();
    if (leaf.form() != form_) return broken(page, "its form");
    return check_leaf(leaf, low, high);
  }
  const auto& inner = static_cast<const InnerPage&>(page);
  ++census.inner_pages;
  if (inner.separator(0) != Place{}) return broken(page, "its first separator");
  for (size_t i = 0; i < inner.count; ++i) {
    const InnerPage::Child child = inner.child(i);
    const Place from = i == 0 ? low : inner.separator(i);
    const Place to = i + 1 < inner.count ? inner.separator(i + 1) : high == nullptr ? Place{} : *high;
    const Place* const end = i + 1 < inner.count || high != nullptr ? &to : nullptr;
    if (from < low || (end != nullptr && from >= *end)) return broken(page, "the order of its separators");
    if (child.page == nullptr) continue;
    if (child.page->number != child.number || child.page->level + 1 != page.level) return broken(page, "a child");
    const uint64_t elements =
        child.page->level == 0 ? child.page->count : static_cast<const InnerPage*>(child.page)->elements();
    if (elements != child.elements) return broken(page, "a count");
    if (auto checked = check_page(*child.page, from, end, listed, census); !checked) return checked;
  }
  return {};
}

Result<Sequence::Census> Sequence::check() const {
  Census census;
  if (root_.page == nullptr) return census;
  const Page& root = *root_.page;
  const uint64_t elements = root_level_ == 0 ? root.count : static_cast<const InnerPage&>(root).elements();
  if (root.number != root_.number || root.level != root_level_) return broken(root, "another page than the root");
  if (elements != root_.elements) return broken(root, "the count");
  if (auto checked = check_page(root, {}, nullptr, true, census); !checked) return checked.error();
  return census;
}

}  // namespace capstan::lmdb_store
