// A decoded key as a collection: what commands see of a key while records that are not applied yet touch it.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "lmdb-store/collection_join.h"
#include "quorum/key_state.h"

namespace capstan {

// Element values are those that are read, not versions.
class StateElements final : public lmdb_store::ElementsReader {
 public:
  // The elements of that kind. The state outlives it.
  void show(const KeyState& state, ElementKind kind);

  bool find(std::string_view id, lmdb_store::ElementView& out) override;
  bool at(uint64_t rank, lmdb_store::ElementView& out) override;
  void visit(absl::FunctionRef<void(const lmdb_store::ElementView&)> f) override;

 private:
  lmdb_store::ElementView view(const ElementState& element);

  ElementKind kind_ = ElementKind::kMember;
  std::vector<const ElementState*> elements_;
  std::deque<std::string> scratch_;
};

}  // namespace capstan
