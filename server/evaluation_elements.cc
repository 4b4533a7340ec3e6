// Collections, as commands see them.
#include <algorithm>

#include "base/check.h"
#include "server/evaluation.h"

namespace capstan {

using lmdb_store::ElementsReader;
using lmdb_store::ElementView;

// --- reading

ElementsReader& Evaluation::elements(Sight& sight) {
  if (sight.whole) {
    if (!sight.shown) sight.states.show(sight.state, sight.kind);
    sight.shown = true;
    return sight.states;
  }
  if (sight.collection_form.large) return keyspace_.pages(sight.collection_form, sight.row->sort_key);
  return sight.small.emplace(sight.collection_form);
}

CollectionRead Evaluation::collection(const KeyRef& key, ElementKind kind) {
  const Sight& sight = see(key);
  if (!sight.resident) return {Lookup::kNotResident};
  if (!sight.exists) return {Lookup::kMissing};
  if (sight.kind != kind) return {Lookup::kWrongType};
  if (!sight.whole) return {Lookup::kFound, sight.collection_form.count};
  const auto& all = sight.state.elements();
  const auto of_kind = [kind](const ElementState& element) { return element.kind == kind; };
  return {Lookup::kFound, static_cast<uint64_t>(std::count_if(all.begin(), all.end(), of_kind))};
}

std::string_view Evaluation::value(const ElementView& element, ElementKind kind) {
  return element.general ? lmdb_store::value_in(element, kind, scratch()) : element.value;
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
  const CollectionRead read = collection(key, kind);
  CHECK(read.lookup == Lookup::kFound && ids.size() <= read.size);
  if (ids.size() == read.size) {
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
