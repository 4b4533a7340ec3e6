// Whoever keeps the pages of a large collection: the port through which its sequences (sequence.h) get pages that are
// not in memory, and the book of what LMDB has of them.
//
// Shadow paging (Rodeh, "B-trees, shadowing, and clones", ACM TOS 2008; LMDB does the same): a page that LMDB has is
// never rewritten. Its first change after a flush gives it a new number, and so its parent, up to the root; later ones
// are made in place. The key row, which names the root, is written behind the pages, and rows that it does not name any
// more are erased behind it. So under a key row LMDB always has one whole state, wherever a flush is cut off, and the
// bytes under a number that some key row names never change.
//
// The shard's worker's, but for the pages of the job that is under way, which the flush thread reads (page.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lmdb-store/page.h"

namespace capstan::lmdb_store {

// What is known of a page before it is read.
struct PageRef {
  uint64_t number = 0;
  uint8_t level = 0;
  LeafForm form = LeafForm::kElements;
  uint64_t elements = 0;  // in it and below
};

// The page of these bytes, the caller's. kCorrupt: damaged, or another one than was referred to.
Result<Page*> decode_page(const PageRef& ref, std::string_view bytes);

// A page that somebody lacks, and where from there he wants to go, so that who reads it can read on down to a leaf.
struct MissingPage {
  PageRef page;
  bool by_rank = false;
  uint64_t rank = 0;  // below that page
  uint64_t word = 0;  // a place's
  std::string id;
};

// Where missing pages are noted, at most so many in all; without a list they are read at once.
struct Missing {
  std::vector<MissingPage>* pages = nullptr;
  size_t most = 32;
};

enum class PageState : uint8_t {
  kClean,   // LMDB has it
  kDirty,   // it has a number, LMDB does not have it yet
  kFrozen,  // a flush job has it
  kRetry,   // a job that failed had it: LMDB may have it, and has what it says if so
};

// What a flush writes and erases: all pages, then the key row, then it erases obsolete numbers.
struct PageJob {
  std::vector<Page*> pages;
  std::vector<uint64_t> obsolete;
};

class PageStore {
 public:
  PageStore() = default;
  PageStore(const PageStore&) = delete;
  PageStore& operator=(const PageStore&) = delete;
  virtual ~PageStore();

  // The page, now the caller's; nullptr: it would have to be read from the disk, and need not be at once. A page that
  // cannot be read or is damaged is the implementation's matter: it must not return then.
  virtual Page* load(const PageRef& ref, bool at_once) = 0;

  // --- for sequences
  PageState state(const Page& page) const;
  // A page that load() returned is part of a tree now.
  void add_loaded(const Page& page) { memory_bytes_ += page.allocated_bytes(); }
  // So is one that was made: it gets a number and is dirty.
  void add(Page& page);
  // The page as it may be changed: itself, under a new number if need be, or a copy where a job reads it, which it then
  // belongs to.
  Page* writable(Page* page);
  // The dirty page is another allocation from now on. Frees the old one.
  void replace(Page* page, Page* by);
  // An inner page that was changed had so many bytes.
  void resized(const Page& page, size_t bytes_before);
  // The page leaves its tree, or only memory (precondition: it is clean); it is freed, if a job reads it when that has
  // ended.
  void remove(Page* page);
  void evict(Page* page);

  // --- for flushes
  // What is dirty is the job's, and frozen. Precondition: finish_flush() has ended the one before.
  const PageJob& begin_flush();
  // After the job: its pages are clean. If it failed they are dirty, though their bytes stay what they are: their rows
  // may have been written, and the key row that names them, too. Handles so many pages per call; true while there is
  // more to do.
  bool finish_flush(bool succeeded, size_t pages);

  uint64_t next_page() const { return next_page_; }
  void set_next_page(uint64_t number) { next_page_ = number; }
  uint64_t memory_bytes() const { return memory_bytes_; }
  // What the next job will write.
  uint64_t dirty_bytes() const { return dirty_bytes_; }
  bool dirty() const { return !listed_.pages.empty() || !listed_.obsolete.empty(); }

 private:
  static constexpr uint32_t kNoRound = UINT32_MAX;

  void list(Page& page);
  void unlist(Page& page);
  void free(Page* page);

  PageJob listed_;  // of the next job
  PageJob job_;     // of the present one, or what is left to do after it failed
  std::vector<Page*> replaced_;
  // A page is dirty if its round is the present one, frozen if it is that of the job.
  uint32_t present_round_ = 1;
  uint32_t frozen_round_ = kNoRound;
  uint64_t next_page_ = 1;
  uint64_t memory_bytes_ = 0;
  uint64_t dirty_bytes_ = 0;
};

}  // namespace capstan::lmdb_store
