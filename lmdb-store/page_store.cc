#include "lmdb-store/page_store.h"

#include "base/check.h"
#include "lmdb-store/inner_page.h"

namespace capstan::lmdb_store {

Result<Page*> decode_page(const PageRef& ref, std::string_view bytes) {
  const auto wrong = [&](std::string_view what) {
    return Error{ErrorCode::kCorrupt, "page " + std::to_string(ref.number) + " of a collection is damaged: it has " +
                                          std::string(what) + " than its parent says"};
  };
  if (bytes.empty() || static_cast<uint8_t>(bytes[0]) != ref.level) return wrong("another level");
  Page* page = nullptr;
  if (ref.level == 0) {
    auto leaf = LeafPage::decode(bytes);
    if (!leaf) return leaf.error();
    page = *leaf;
  } else {
    auto inner = InnerPage::decode(bytes);
    if (!inner) return inner.error();
    page = *inner;
  }
  page->number = ref.number;
  const bool same_form = ref.level != 0 || static_cast<LeafPage*>(page)->form() == ref.form;
  const uint64_t elements = ref.level == 0 ? page->count : static_cast<InnerPage*>(page)->elements();
  if (same_form && elements == ref.elements) return page;
  Page::free(page);
  return wrong(same_form ? "another number of elements" : "other elements");
}

PageStore::~PageStore() {
  for (Page* const page : replaced_) Page::free(page);
}

PageState PageStore::state(const Page& page) const {
  if (page.round == present_round_) return page.has(Page::kRetry) ? PageState::kRetry : PageState::kDirty;
  return page.round == frozen_round_ ? PageState::kFrozen : PageState::kClean;
}

void PageStore::list(Page& page) {
  page.round = present_round_;
  page.listed_index = static_cast<uint32_t>(listed_.pages.size());
  listed_.pages.push_back(&page);
  dirty_bytes_ += page.allocated_bytes();
}

void PageStore::unlist(Page& page) {
  CHECK(listed_.pages[page.listed_index] == &page);
  Page* const last = listed_.pages.back();
  listed_.pages[page.listed_index] = last;
  last->listed_index = page.listed_index;
  listed_.pages.pop_back();
  dirty_bytes_ -= page.allocated_bytes();
}

void PageStore::free(Page* page) {
  memory_bytes_ -= page->allocated_bytes();
  Page::free(page);
}

void PageStore::add(Page& page) {
  page.number = next_page_++;
  page.flags = Page::kUsed;
  memory_bytes_ += page.allocated_bytes();
  list(page);
}

Page* PageStore::writable(Page* page) {
  const PageState state = this->state(*page);
  if (state == PageState::kDirty) return page;
  listed_.obsolete.push_back(page->number);
  if (state == PageState::kFrozen) {
    Page* const copy = Page::copy(*page);
    page->set(Page::kReplaced);
    replaced_.push_back(page);
    add(*copy);
    return copy;
  }
  page->number = next_page_++;
  page->unset(Page::kRetry);
  if (state == PageState::kClean) list(*page);
  return page;
}

void PageStore::replace(Page* page, Page* by) {
  CHECK(state(*page) == PageState::kDirty);
  by->number = page->number;
  by->flags = page->flags;
  memory_bytes_ += by->allocated_bytes();
  unlist(*page);
  list(*by);
  free(page);
}

void PageStore::resized(const Page& page, size_t bytes_before) {
  const uint64_t more = page.allocated_bytes() - bytes_before;
  memory_bytes_ += more;
  dirty_bytes_ += more;
}

void PageStore::remove(Page* page) {
  const PageState state = this->state(*page);
  // Of a number that was given since the last flush there is no row.
  if (state != PageState::kDirty) listed_.obsolete.push_back(page->number);
  if (state == PageState::kFrozen) {
    page->set(Page::kReplaced);
    replaced_.push_back(page);
    return;
  }
  if (state != PageState::kClean) unlist(*page);
  free(page);
}

void PageStore::evict(Page* page) {
  CHECK(state(*page) == PageState::kClean, "a page is evicted that LMDB does not have");
  free(page);
}

const PageJob& PageStore::begin_flush() {
  CHECK(frozen_round_ == kNoRound && job_.pages.empty() && replaced_.empty(), "a flush of pages is under way");
  std::swap(job_, listed_);
  dirty_bytes_ = 0;
  frozen_round_ = present_round_++;
  return job_;
}

bool PageStore::finish_flush(bool succeeded, size_t pages) {
  if (succeeded) {
    job_ = {};
    frozen_round_ = kNoRound;
  }
  for (; !job_.pages.empty() && pages > 0; --pages) {
    Page* const page = job_.pages.back();
    job_.pages.pop_back();
    // Until it is listed it counts as frozen, and is copied if it is changed.
    if (page->has(Page::kReplaced)) continue;
    list(*page);
    page->set(Page::kRetry);
  }
  if (!job_.pages.empty()) return true;
  listed_.obsolete.insert(listed_.obsolete.end(), job_.obsolete.begin(), job_.obsolete.end());
  job_ = {};
  frozen_round_ = kNoRound;
  for (; !replaced_.empty() && pages > 0; --pages) {
    free(replaced_.back());
    replaced_.pop_back();
  }
  return !replaced_.empty();
}

}  // namespace capstan::lmdb_store
