#include "server/state_elements.h"

#include <algorithm>

#include "quorum/version.h"

namespace capstan {

using lmdb_store::ElementView;

void StateElements::show(const KeyState& state, ElementKind kind) {
  kind_ = kind;
  elements_.clear();
  scratch_.clear();
  for (const ElementState& element : state.elements()) {
    if (element.kind == kind) elements_.push_back(&element);
  }
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

}  // namespace capstan
