#include "lmdb-store/inline_elements.h"

namespace capstan::lmdb_store {

bool InlineElements::valid(const CollectionForm& form) {
  std::string_view left = form.elements;
  uint64_t count = 0;
  for (; !left.empty(); ++count) {
    const size_t size = checked_element(left, form.base);
    if (size == 0) return false;
    left.remove_prefix(size);
  }
  return count == form.count;
}

bool InlineElements::find(std::string_view id, ElementView& out) {
  const std::string_view all = form_.elements;
  for (size_t at = 0; at < all.size(); at += element_bytes(all.data() + at)) {
    if (element_id(all.data() + at) != id) continue;
    out = read_element(all.data() + at, 0, form_.base);
    found_ = at;
    return true;
  }
  return false;
}

void InlineElements::visit(absl::FunctionRef<void(const ElementView&)> f) {
  const std::string_view all = form_.elements;
  for (size_t at = 0; at < all.size(); at += element_bytes(all.data() + at)) {
    f(read_element(all.data() + at, 0, form_.base));
  }
}

bool InlineElements::before(const ElementView& a, const ElementView& b) const {
  if (!form_.ordered_by_score()) return a.place.id < b.place.id;
  const uint64_t a_word = ordered_score(score_in(a)), b_word = ordered_score(score_in(b));
  return a_word != b_word ? a_word < b_word : a.place.id < b.place.id;
}

// Where a new element goes: lists and sorted sets are kept in their order, the others in that of arrival.
size_t InlineElements::insertion(const ElementView& element) const {
  const std::string_view all = form_.elements;
  if (form_.kind != ElementKind::kPosition && form_.kind != ElementKind::kScore) return all.size();
  size_t at = 0;
  while (at < all.size() && before(read_element(all.data() + at, 0, form_.base), element)) {
    at += element_bytes(all.data() + at);
  }
  return at;
}

void InlineElements::splice(size_t at, size_t old_bytes, const ElementView* by) {
  if (form_.elements.data() != bytes_.data()) bytes_ = form_.elements;
  const size_t bytes = by == nullptr ? 0 : element_bytes(*by, form_.base);
  bytes_.replace(at, old_bytes, bytes, '\0');
  if (by != nullptr) write_element(bytes_.data() + at, *by, form_.base);
  form_.elements = bytes_;
}

void InlineElements::put(const ElementView& element, const ElementView* old) {
  if (form_.elements.empty()) form_.base = element.general ? ElementBase() : ElementBase{element.dot, element.hlc};
  if (old != nullptr && !form_.ordered_by_score()) {
    return splice(found_, element_bytes(form_.elements.data() + found_), &element);
  }
  if (old != nullptr) erase(*old);
  splice(insertion(element), 0, &element);
}

void InlineElements::erase(const ElementView& /*old*/) {
  splice(found_, element_bytes(form_.elements.data() + found_), nullptr);
}

bool InlineElements::at(uint64_t rank, ElementView& out) {
  const std::string_view all = form_.elements;
  size_t at = 0;
  for (; at < all.size() && rank > 0; --rank) at += element_bytes(all.data() + at);
  if (at == all.size()) return false;
  out = read_element(all.data() + at, 0, form_.base);
  return true;
}

}  // namespace capstan::lmdb_store
