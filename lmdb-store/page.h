// Pages: the nodes of a collection's B+-tree (FORMAT.md, "Collections"), here the leaves. Memory and disk have them in
// the same form, but that in memory there is room to grow.
//
// Pages belong to the shard's worker. While a flush job has a page, the flush thread reads its count, its elements or
// children's words, counts and numbers, and calls encode(); the worker meanwhile changes nothing of it but `round`,
// `flags` and the children's pointers (page_store.h sees to it).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "lmdb-store/element_codec.h"

namespace capstan::lmdb_store {

// What leaves and inner pages (inner_page.h) have in common. No virtual functions: `level` tells which it is.
struct Page {
  enum Flag : uint8_t {
    kUsed = 1,      // used since the hand of eviction passed
    kReplaced = 2,  // out of its tree, while a flush job reads it
    kRetry = 4,     // a flush job failed that had it
  };

  uint64_t number = 0;        // names its row within the generation; 0: none yet
  uint32_t round = 0;         // page_store.h
  uint32_t listed_index = 0;  // page_store.h: where, while it is listed
  uint16_t count = 0;         // of elements or children
  uint8_t level = 0;          // 0: leaf
  uint8_t flags = 0;

  bool has(Flag flag) const { return (flags & flag) != 0; }
  void set(Flag flag) { flags = static_cast<uint8_t>(flags | flag); }
  void unset(Flag flag) { flags = static_cast<uint8_t>(flags & ~flag); }

  // For either kind.
  static void free(Page* page);
  static Page* copy(const Page& page);  // children's pointers included
  void encode(std::string& out) const;  // appended
  size_t allocated_bytes() const;
};

enum class LeafForm : uint8_t {
  kElements,  // in the order of ids: places and what stands there
  kPlaces,    // in the order of scores: places alone
};

// A slotted page: slots at the front, ascending; elements from the back on, in any order; what is removed leaves a hole
// until the page is copied (slice()). So an insert moves slots, ten bytes each, never elements.
class LeafPage : public Page {
 public:
  // Of several elements, in all, on disk: its row is one of LMDB's overflow pages, its copy in memory one allocation.
  static constexpr size_t kMaxBytes = 4056;
  // An element whose id and value have more bytes stands alone in a leaf of just its size, so that neighbours do not
  // pay for it. (Not counted in encoded bytes: these differ with the page's base, and an element may have to change its
  // page.)
  static constexpr size_t kMaxSharedBytes = 1000;
  // A leaf that has become smaller is joined to a neighbour, if that leaves room to grow.
  static constexpr size_t kSmallBytes = 1000;
  static constexpr size_t kMaxJoinedBytes = 3060;

  struct Found {
    size_t slot = 0;    // the first at or behind the place
    bool here = false;  // it is the place's
  };

  static bool stands_alone(const ElementView& element) {
    return element.place.id.size() + element.value.size() > kMaxSharedBytes;
  }
  // Empty, with room for so many bytes of slots and elements, or a little more; with `alone` for exactly these.
  static LeafPage* make(LeafForm form, const ElementBase& base, size_t bytes, bool alone = false);
  // Empty, for an element that will be its first: its base, room for it.
  static LeafPage* make_for(LeafForm form, const ElementView& first);
  // kCorrupt: the bytes are no leaf that encode() wrote. The page is the caller's.
  static Result<LeafPage*> decode(std::string_view bytes);

  LeafForm form() const { return form_; }
  bool alone() const { return alone_; }
  // What encode() will append.
  size_t bytes() const { return kHeadBytes + slots_bytes() + element_bytes_; }
  Found find(const Place& place) const;
  Place place(size_t slot) const;
  // Of the form kPlaces nothing but the place.
  ElementView element(size_t slot) const;

  // What the element would take in this page, slot included, and what is free in this allocation.
  size_t bytes_of(const ElementView& element) const { return kSlotBytes + stored_bytes(form_, element, base()); }
  size_t room() const { return begin_ - slots_bytes(); }
  // Preconditions: bytes_of(element) ≤ room(); the slot is that of find(); it stands alone if the page is alone().
  void insert(size_t slot, const ElementView& element);
  // False, and nothing done: the new one does not fit where the old one lies.
  bool replace(size_t slot, const ElementView& element);
  void erase(size_t slot);

  // The elements [begin, end), without holes, in a page with `room` more bytes; the caller's.
  LeafPage* slice(size_t begin, size_t end, size_t room) const;
  // All elements of both; nullptr: they should not share a page.
  static LeafPage* join(const LeafPage& left, const LeafPage& right);
  // So many elements are half of the bytes; at least one, and not all. Precondition: two elements.
  size_t middle() const;
  // A copy would be much smaller.
  bool wasteful() const;

  void encode(std::string& out) const;
  size_t allocated_bytes() const;

 private:
  static constexpr size_t kHeadBytes = 22;
  static constexpr size_t kSlotBytes = 10;

  LeafPage(LeafForm form, const ElementBase& base, size_t capacity, bool alone);
  ElementBase base() const { return {{base_log_, base_number_}, base_hlc_}; }
  size_t slots_bytes() const { return size_t{count} * kSlotBytes; }
  static size_t stored_bytes(LeafForm form, const ElementView& element, const ElementBase& base);
  size_t stored_bytes(size_t slot) const;
  // Copies a page's element behind all others, as it is where both have the same base.
  void append(const LeafPage& from, size_t slot);
  void open_slot(size_t slot, uint64_t word, size_t bytes);
  static Result<LeafPage*> decode_elements(std::string_view bytes, LeafPage* page);

  char* body() { return reinterpret_cast<char*>(this + 1); }
  const char* body() const { return reinterpret_cast<const char*>(this + 1); }
  const char* slot_at(size_t slot) const { return body() + slot * kSlotBytes; }
  uint64_t word_at(size_t slot) const { return load_le<uint64_t>(slot_at(slot)); }
  const char* element_at(size_t slot) const { return body() + load_le<uint16_t>(slot_at(slot) + sizeof(uint64_t)); }
  std::string_view id_at(size_t slot) const;

  uint32_t capacity_;           // bytes of slots, gap and elements, which follow this header
  uint32_t begin_;              // of the elements; the gap is before it
  uint32_t element_bytes_ = 0;  // without holes
  LeafForm form_;
  bool alone_;
  // The base, without the padding that a struct of it has.
  uint16_t base_log_;
  uint64_t base_number_;
  Hlc base_hlc_;
};

}  // namespace capstan::lmdb_store
