// The elements of a small collection, as they lie in its key row (FORMAT.md, "Collections"). They are few and short,
// so everything walks through them, as Redis' listpacks do.
#pragma once

#include <string>
#include <string_view>

#include "lmdb-store/collection_join.h"

namespace capstan::lmdb_store {

class InlineElements : public Elements {
 public:
  // form.elements is theirs from the first change on: a view into this object.
  explicit InlineElements(CollectionForm& form) : form_(form) {}

  // Whether its bytes, from the disk, are elements, and as many as the form says.
  static bool valid(const CollectionForm& form);

  bool find(std::string_view id, ElementView& out) override;
  void put(const ElementView& element, const ElementView* old) override;
  void erase(const ElementView& old) override;
  void visit(absl::FunctionRef<void(const ElementView&)> f) override;
  bool at(uint64_t rank, ElementView& out) override;

 private:
  size_t insertion(const ElementView& element) const;
  bool before(const ElementView& a, const ElementView& b) const;
  void splice(size_t at, size_t old_bytes, const ElementView* by);

  CollectionForm& form_;
  std::string bytes_;
  size_t found_ = 0;  // where the last find() found it
};

}  // namespace capstan::lmdb_store
