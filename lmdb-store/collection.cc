#include "lmdb-store/collection.h"

#include "base/bytes.h"
#include "base/check.h"

namespace capstan::lmdb_store {

std::string page_row_key(uint64_t generation, uint64_t number) {
  std::string key(16, '\0');
  store_be64(key.data(), generation);
  store_be64(key.data() + 8, number);
  return key;
}

Page* Collection::Pages::load(const PageRef& ref, bool /*at_once*/) {
  Result<std::unique_ptr<ReadView>> view = store_.read();
  CHECK(view.ok(), view.error().message);
  const auto row = (*view)->get(Table::kElements, page_row_key(generation_, ref.number));
  CHECK(row, "a page of a collection is missing in LMDB");
  Result<Page*> page = decode_page(ref, *row);
  CHECK(page.ok(), page.error().message);
  return *page;
}

Collection::Collection(Store& store, ElementKind kind, uint64_t generation, size_t bucket)
    : kind_(kind),
      generation_(generation),
      bucket_(bucket),
      pages_(store, generation),
      by_id_(pages_, LeafForm::kElements),
      named_(false) {
  if (kind == ElementKind::kScore) by_score_ = std::make_unique<Sequence>(pages_, LeafForm::kPlaces);
}

Collection::Collection(Store& store, const CollectionForm& form, size_t bucket)
    : kind_(form.kind),
      generation_(form.generation),
      bucket_(bucket),
      pages_(store, form.generation),
      by_id_(pages_, LeafForm::kElements, {form.by_id.level, form.by_id.page, form.count}),
      named_(true),
      orphans_from_(form.next_page) {
  pages_.set_next_page(form.next_page);
  if (form.ordered_by_score()) {
    by_score_ = std::make_unique<Sequence>(pages_, LeafForm::kPlaces,
                                           Sequence::Root{form.by_score.level, form.by_score.page, form.count});
  }
}

void Collection::describe(CollectionForm& form) const {
  const auto tree = [](const Sequence& sequence) {
    const Sequence::Root root = sequence.root();
    return CollectionForm::Tree{root.level, root.number};
  };
  CHECK(form.count == by_id_.count(), "a key row and its pages count differently");
  form.large = true;
  form.generation = generation_;
  form.next_page = pages_.next_page();
  form.by_id = tree(by_id_);
  if (by_score_) form.by_score = tree(*by_score_);
}

ElementView Collection::whole(const ElementView& element) {
  ElementView out = element;
  if (kind_ != ElementKind::kPosition) return out;
  id_.clear();
  append_position(element.place, id_);
  out.place.id = id_;
  return out;
}

bool Collection::find(std::string_view id, ElementView& out) {
  if (by_id_.find(place_of(id), out, {}) != Sequence::Answer::kYes) return false;
  if (by_score_) score_ = score_in(out);
  out.place.id = id;
  return true;
}

void Collection::put(const ElementView& element, const ElementView* old) {
  const std::string_view id = element.place.id;
  ElementView placed = element;
  placed.place = place_of(id);
  by_id_.put(placed);
  if (!by_score_) return;
  const double score = score_in(element);
  if (old != nullptr && ordered_score(score_) == ordered_score(score)) return;
  if (old != nullptr) by_score_->erase(place_by_score(score_, id));
  ElementView by_score;
  by_score.place = place_by_score(score, id);
  by_score_->put(by_score);
}

void Collection::erase(const ElementView& old) {
  // Its id is that of find()'s caller.
  const std::string_view id = old.place.id;
  by_id_.erase(place_of(id));
  if (by_score_) by_score_->erase(place_by_score(score_, id));
}

void Collection::visit(absl::FunctionRef<void(const ElementView&)> f) {
  Sequence::Cursor cursor;
  for (auto answer = by_id_.seek({}, cursor, {}); answer == Sequence::Answer::kYes; answer = by_id_.next(cursor, {})) {
    f(whole(cursor.element()));
  }
}

bool Collection::at(uint64_t rank, ElementView& out) {
  Sequence::Cursor cursor;
  if (by_id_.at(rank, cursor, {}) != Sequence::Answer::kYes) return false;
  out = whole(cursor.element());
  return true;
}

void Collection::evict(size_t pages) {
  by_id_.evict(pages);
  if (by_score_) by_score_->evict(pages);
}

bool Collection::idle() const {
  return !flushing_ && !dirty() && !by_id_.in_memory() && (!by_score_ || !by_score_->in_memory());
}

bool Collection::drop(size_t pages) { return by_id_.drop(pages) || (by_score_ && by_score_->drop(pages)); }

CollectionJob Collection::begin_flush() {
  CHECK(!flushing_);
  flushing_ = true;
  return {bucket_, generation_, &pages_.begin_flush(), named_, orphans_from_};
}

bool Collection::finish_flush(const CollectionJob& job, bool succeeded, size_t pages) {
  named_ = job.named;
  orphans_from_ = job.orphans_from;
  return flushing_ = pages_.finish_flush(succeeded, pages);
}

}  // namespace capstan::lmdb_store
