// Inner pages of a collection's B+-tree: for each child the separator before it, where it lies, and how many elements
// are below it (FORMAT.md, "Collections"). Counts make the tree an order-statistic tree: ranks and positions cost a
// descent. Threads: as page.h says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "lmdb-store/page.h"

namespace capstan::lmdb_store {

class InnerPage : public Page {
 public:
  static constexpr size_t kMaxChildren = 128;
  // One that has become smaller is joined to a neighbour, if that leaves room to grow.
  static constexpr size_t kSmallChildren = 32;
  static constexpr size_t kMaxJoinedChildren = 96;
  // Of a tree whose root is the highest. 64^10 pages are more than there can be.
  static constexpr unsigned kMaxLevel = 10;

  struct Child {
    Page* page = nullptr;  // nullptr: not in memory
    uint64_t number = 0;
    uint64_t elements = 0;
  };

  explicit InnerPage(unsigned page_level) { level = static_cast<uint8_t>(page_level); }
  // kCorrupt: the bytes are no inner page that encode() wrote. No child is in memory. The page is the caller's.
  static Result<InnerPage*> decode(std::string_view bytes);
  void encode(std::string& out) const;  // appended
  size_t allocated_bytes() const;

  Child child(size_t index) const { return {children_[index], numbers_[index], counts_[index]}; }
  Page* page(size_t index) const { return children_[index]; }
  // Above all that stands before the child, at or below its first element; of the first child {0, ""}.
  Place separator(size_t index) const { return {words_[index], id(index)}; }

  // The child in which the place is, or would be. Precondition of these two: there are children.
  size_t child_for(const Place& place) const;
  // The child with the element of that rank below this page, and the rank below the child. Precondition: rank <
  // elements().
  size_t child_at(uint64_t& rank) const;
  uint64_t elements_before(size_t index) const;
  uint64_t elements() const { return elements_before(count); }
  bool any_in_memory() const;

  // Loading and evicting: allowed while a flush job has the page.
  void set_page(size_t index, Page* page) { children_[index] = page; }
  // The child is another page, or has another number.
  void set_child(size_t index, Page* page) {
    children_[index] = page;
    numbers_[index] = page->number;
  }
  void add_elements(size_t index, int64_t difference) { counts_[index] += static_cast<uint64_t>(difference); }
  // The separator of what becomes the first child is not kept. Precondition: count < kMaxChildren.
  void insert(size_t index, const Child& child, const Place& separator);
  void erase(size_t index);

  // Moves the children from `begin` on to a new page, the caller's; all may go, or none.
  InnerPage* split(size_t begin);
  // The children of both; nullptr: they should not share a page. separator: between them.
  static InnerPage* join(const InnerPage& left, const InnerPage& right, const Place& separator);

 private:
  std::string_view id(size_t index) const {
    const size_t begin = id_begin(index);
    return std::string_view(ids_).substr(begin, id_ends_[index] - begin);
  }
  size_t id_begin(size_t index) const { return index == 0 ? 0 : id_ends_[index - 1]; }
  void set_separator(size_t index, const Place& separator);

  std::vector<uint64_t> words_;
  std::vector<uint64_t> counts_;
  std::vector<uint64_t> numbers_;
  std::vector<Page*> children_;
  // Ids of separators, one behind the other. In hash order there are next to none.
  std::vector<uint32_t> id_ends_;
  std::string ids_;
};

}  // namespace capstan::lmdb_store
