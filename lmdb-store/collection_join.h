// The join (model, "Join", rules 2–4) on a key that is a collection of one kind of elements, wherever they lie: in its
// key row or in pages. What is common, a put or removal of what the context covers and log R's addition, goes without
// decoding versions; everything else through quorum's join.
//
// The shard's worker's. The form's TTL may view its CollectionJoin: write the form first.
#pragma once

#include <absl/functional/function_ref.h>

#include <string>
#include <string_view>

#include "lmdb-store/collection_form.h"
#include "quorum/join.h"
#include "quorum/key_state.h"
#include "quorum/record.h"

namespace capstan::lmdb_store {

// The elements of a key, by their ids. In what is passed and returned place.id is the whole id, and place.word means
// nothing. Views hold until the next change.
class ElementsReader {
 public:
  virtual ~ElementsReader() = default;
  virtual bool find(std::string_view id, ElementView& out) = 0;
  // All of them, in an order that lasts until the next change.
  virtual void visit(absl::FunctionRef<void(const ElementView&)> f) = 0;
  // The element at that place of visit()'s order, from 0; false: there are not so many.
  virtual bool at(uint64_t rank, ElementView& out) = 0;
};

class Elements : public ElementsReader {
 public:
  // Inserts, or replaces what the last find() gave, which is `old` then. The element may not view what is stored here.
  virtual void put(const ElementView& element, const ElementView* old) = 0;
  // What the last find() gave.
  virtual void erase(const ElementView& old) = 0;
};

class CollectionJoin {
 public:
  // applied: what the replica has applied.
  CollectionJoin(CollectionForm& form, Elements& elements, LogDictionary& logs, uint64_t key_hash, const Clock& applied)
      : form_(form), elements_(elements), logs_(logs), key_hash_(key_hash), applied_(applied) {
    if (form.touched.empty()) begin_life();
  }

  // False: nothing changed. Preconditions: it does not remove(key) what the form covers (covered_by(): begin a new form
  // then); it puts no elements of another kind than the form's; the dictionary knows the record's log, or has room for
  // it.
  bool apply(const KeyEffect& effect, const RecordHead& head, Replay replay);
  // remove(key), or a clear of its database, element by element.
  bool remove_all(const Clock& context);
  // An element, or the TTL, as another form of the key has it. Precondition: there is none yet.
  void install(const ElementState& element);

 private:
  // What a join makes of an element: whether it is another, and whether there is one.
  struct Joined {
    bool changed = false;
    bool exists = false;
    ElementView element;
  };

  Joined join(const ElementView* old, const ElementEffect& effect, const RecordHead& head, Replay replay);
  Joined join_versions(const ElementView* old, const ElementEffect& effect, const RecordHead& head, Replay replay);
  bool add(const ElementView& old, const ElementEffect& effect, const RecordHead& head, Replay replay, Joined& joined);
  bool join_element(const ElementEffect& effect, const RecordHead& head, Replay replay);
  bool join_ttl(const ElementEffect& effect, const RecordHead& head, Replay replay);
  bool covers(const ElementView& element, const Clock& context) const;
  void begin_life();
  void touch(const Dot& dot);
  void store_element(const ElementView& element, const ElementView* old);
  void store_ttl(const ElementView& ttl);
  void account(ElementKind kind, std::string_view id, const ElementView* old, const Joined& joined);
  void meet(const ElementView& element);

  CollectionForm& form_;
  Elements& elements_;
  LogDictionary& logs_;
  const uint64_t key_hash_;
  const Clock& applied_;
  std::string value_;      // that a join had to put together
  std::string ttl_value_;  // form_.ttl's, once it was joined
};

// An element's versions, and the other way: as few bytes as they take. `bytes` keeps what a general one says.
Versions versions_of(const ElementView& element, const LogDictionary& logs);
ElementView view_of(std::string_view id, const Versions& versions, LogDictionary& logs, std::string& bytes);
// The value that is read of it; put into scratch if it has to be put together.
std::string_view value_in(const ElementView& element, ElementKind kind, std::string& scratch);
// A sorted set's element's score.
double score_in(const ElementView& element);
// The key, decoded.
KeyState collection_state(const CollectionForm& form, ElementsReader& elements, const LogDictionary& logs);
uint64_t element_digest(uint64_t key_hash, ElementKind kind, std::string_view id, const ElementView& element,
                        const LogDictionary& logs);

}  // namespace capstan::lmdb_store
