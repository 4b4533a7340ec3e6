// Collections, as commands see them.
#include <algorithm>
#include <bit>

#include "base/bytes.h"
#include "base/check.h"
#include "quorum/version.h"
#include "server/evaluation.h"

namespace capstan {

using lmdb_store::Elements;
using lmdb_store::ElementView;

// --- a decoded key as a collection of its visible kind

void StateElements::show(const KeyState& state, ElementKind kind) {
  kind_ = kind;
  elements_.clear();
  scratch_.clear();
  for (const ElementState& element : state.elements()) {
    if (element.kind == kind) elements_.push_back(&element);
  }
  const auto by_id = [](const ElementState* a, const ElementState* b) { return a->id < b->id; };
  if (kind == ElementKind::kPosition) std::sort(elements_.begin(), elements_.end(), by_id);
  if (kind != ElementKind::kScore) return;
  std::sort(elements_.begin(), elements_.end(), [this, &by_id](const ElementState* a, const ElementState* b) {
    const uint64_t a_word = lmdb_store::ordered_score(lmdb_store::score_in(view(*a)));
    const uint64_t b_word = lmdb_store::ordered_score(lmdb_store::score_in(view(*b)));
    return a_word != b_word ? a_word < b_word : by_id(a, b);
  });
}

ElementView StateElements::view(const ElementState& element) {
  ElementView out;
  out.place.id = element.id;
  std::string joined;
  out.value = *value_of(element.versions, joined, kind_);
  if (!joined.empty() && out.value.data() == joined.data()) out.value = scratch_.emplace_back(joined);
  return out;
}

bool StateElements::find(std::string_view id, ElementView& out) {
  const auto same = [id](const ElementState* element) { return element->id == id; };
  const auto found = std::find_if(elements_.begin(), elements_.end(), same);
  if (found == elements_.end()) return false;
  out = view(**found);
  return true;
}

bool StateElements::at(uint64_t rank, ElementView& out) {
  if (rank >= elements_.size()) return false;
  out = view(*elements_[rank]);
  return true;
}

void StateElements::visit(absl::FunctionRef<void(const ElementView&)> f) {
  for (const ElementState* const element : elements_) f(view(*element));
}

void StateElements::put(const ElementView& /*element*/, const ElementView* /*old*/) {
  CHECK(false, "a view of a key is for reading");
}
void StateElements::erase(const ElementView& /*old*/) { CHECK(false, "a view of a key is for reading"); }

// --- reading

Elements& Evaluation::elements(Sight& sight) {
  if (sight.whole) {
    if (!sight.shown) sight.states.show(sight.state, sight.kind);
    sight.shown = true;
    return sight.states;
  }
  if (sight.collection_form.large) return keyspace_.pages(sight.collection_form, sight.row->sort_key);
  return sight.small.emplace(sight.collection_form);
}

Lookup Evaluation::collection(const KeyRef& key, ElementKind kind, uint64_t& size) {
  const Sight& sight = see(key);
  size = 0;
  if (!sight.resident) return Lookup::kNotResident;
  if (!sight.exists) return Lookup::kMissing;
  if (sight.kind != kind) return Lookup::kWrongType;
  if (sight.whole) {
    for (const ElementState& element : sight.state.elements()) size += element.kind == kind;
  } else {
    size = sight.collection_form.count;
  }
  return Lookup::kFound;
}

std::string_view Evaluation::value(const ElementView& element, ElementKind kind) {
  if (!element.general) return element.value;
  Versions versions;
  Decoder in(element.value);
  CHECK(decode_versions(in, versions), "an element's versions are malformed");
  std::string joined;
  return scratch().assign(*value_of(versions, joined, kind));
}

std::optional<std::string_view> Evaluation::element(const KeyRef& key, std::string_view id) {
  see(key);
  ElementView found;
  if (!sight_.exists || !elements(sight_).find(id, found)) return std::nullopt;
  return value(found, sight_.kind);
}

Element Evaluation::element_at(const KeyRef& key, uint64_t rank) {
  see(key);
  ElementView found;
  CHECK(sight_.exists && elements(sight_).at(rank, found), "a collection has fewer elements than it said");
  return {found.place.id, value(found, sight_.kind)};
}

void Evaluation::for_each_element(const KeyRef& key, absl::FunctionRef<void(const Element&)> f) {
  see(key);
  if (!sight_.exists) return;
  const ElementKind kind = sight_.kind;
  elements(sight_).visit([&](const ElementView& element) { f({element.place.id, value(element, kind)}); });
}

// --- writing

uint64_t Evaluation::put_elements(const KeyRef& key, ElementKind kind, std::span<const Element> elements) {
  const Sight& sight = see(key);
  sight.exists ? repeat_expiry(key, sight) : begin_life(key, sight);
  uint64_t put = 0;
  ElementEffect effect;
  effect.kind = kind;
  for (const Element& element : elements) {
    const ElementEffect* const earlier = effects_.find(key.database, key.name, kind, element.id);
    put += earlier == nullptr || earlier->action == ElementEffect::Action::kRemove;
    effect.id = element.id;
    effect.value = element.value;
    effects_.element(key.database, key.name, effect);
  }
  forget();
  return put;
}

void Evaluation::remove_elements(const KeyRef& key, ElementKind kind, std::span<const std::string_view> ids) {
  uint64_t size = 0;
  CHECK(collection(key, kind, size) == Lookup::kFound && ids.size() <= size);
  if (ids.size() == size) {
    effects_.remove(key.database, key.name);
    return forget();
  }
  ElementEffect effect;
  effect.action = ElementEffect::Action::kRemove;
  effect.kind = kind;
  for (const std::string_view id : ids) {
    effect.id = id;
    effects_.element(key.database, key.name, effect);
  }
  forget();
}

uint64_t Evaluation::draw(uint64_t below) { return mix64(stamp_.value, ++draws_) % below; }

}  // namespace capstan
