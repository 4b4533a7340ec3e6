// A large collection: its elements in pages, of which any part may be in memory (sequence.h), by id and, of a sorted
// set, by score too. Its key row (collection_form.h) names the roots.
//
// The shard's worker's; while a flush job has its pages, page_store.h says who may do what.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lmdb-store/collection_form.h"
#include "lmdb-store/collection_join.h"
#include "lmdb-store/page_store.h"
#include "lmdb-store/sequence.h"
#include "lmdb-store/store.h"

namespace capstan::lmdb_store {

// [generation, big-endian][page number, big-endian]: the key of a page's row in the table of element rows.
std::string page_row_key(uint64_t generation, uint64_t number);

// A collection's part of a flush job: its pages, then the key row, then what that does not name any more.
struct CollectionJob {
  size_t bucket = 0;  // of the key row
  uint64_t generation = 0;
  const PageJob* pages = nullptr;
  // What LMDB has; the job brings it up to date, however far it comes.
  bool named = false;         // a key row that names the generation
  uint64_t orphans_from = 0;  // not 0: perhaps pages from this number on that a crash left behind
};

class Collection final : public Elements {
 public:
  // An empty one, dirty. bucket: of the key row (dirty_set.h). The store outlives it.
  Collection(Store& store, ElementKind kind, uint64_t generation, size_t bucket);
  // As a key row in LMDB says.
  Collection(Store& store, const CollectionForm& form, size_t bucket);

  uint64_t generation() const { return generation_; }
  size_t bucket() const { return bucket_; }
  Sequence& by_id() { return by_id_; }
  // Of a sorted set.
  Sequence& by_score() { return *by_score_; }
  // Puts into the form where the pages lie now.
  void describe(CollectionForm& form) const;

  bool find(std::string_view id, ElementView& out) override;
  void put(const ElementView& element, const ElementView* old) override;
  void erase(const ElementView& old) override;
  void visit(absl::FunctionRef<void(const ElementView&)> f) override;
  bool at(uint64_t rank, ElementView& out) override;

  uint64_t memory_bytes() const { return pages_.memory_bytes(); }
  uint64_t dirty_bytes() const { return pages_.dirty_bytes(); }
  bool dirty() const { return pages_.dirty(); }
  // Looks at so many pages, and frees those that are clean and were not used since it last came by.
  void evict(size_t pages);
  // Nothing of it is in memory that would be lost.
  bool idle() const;
  // For a collection that no key row names any more: frees so many pages; true while there are more. Nothing but this
  // and finish_flush() may be called from then on.
  bool drop(size_t pages);

  CollectionJob begin_flush();
  bool flushing() const { return flushing_; }
  // As PageStore's.
  bool finish_flush(const CollectionJob& job, bool succeeded, size_t pages);

 private:
  class Pages final : public PageStore {
   public:
    Pages(Store& store, uint64_t generation) : store_(store), generation_(generation) {}
    Page* load(const PageRef& ref, bool at_once) override;

   private:
    Store& store_;
    const uint64_t generation_;
  };

  Place place_of(std::string_view id) const { return place_by_id(kind_, id); }
  // The element with its whole id.
  ElementView whole(const ElementView& element);

  const ElementKind kind_;
  const uint64_t generation_;
  const size_t bucket_;
  Pages pages_;
  Sequence by_id_;
  std::unique_ptr<Sequence> by_score_;
  bool named_;
  uint64_t orphans_from_ = 0;
  bool flushing_ = false;
  std::string id_;    // a position that was put together
  double score_ = 0;  // of what find() found last
};

}  // namespace capstan::lmdb_store
