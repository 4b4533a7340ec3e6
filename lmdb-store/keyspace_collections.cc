// Keys that are collections of one kind of elements: their join, their rows, and their pages in memory.
#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/slot.h"
#include "lmdb-store/collection.h"
#include "lmdb-store/inline_elements.h"
#include "lmdb-store/keyspace.h"
#include "quorum/element_value.h"
#include "quorum/version.h"

namespace capstan::lmdb_store {

namespace {

bool is_collection_kind(ElementKind kind) {
  return kind == ElementKind::kField || kind == ElementKind::kMember || kind == ElementKind::kScore ||
         kind == ElementKind::kPosition;
}

// What a record may make of a key that is not there.
std::optional<ElementKind> kind_put_by(const KeyEffect& effect) {
  for (const ElementEffect& element : effect.elements) {
    if (element.action == ElementEffect::Action::kPut && is_collection_kind(element.kind)) return element.kind;
  }
  return std::nullopt;
}

bool puts_only(const KeyEffect& effect, ElementKind kind) {
  return std::all_of(effect.elements.begin(), effect.elements.end(), [kind](const ElementEffect& element) {
    return element.kind == kind || element.kind == ElementKind::kTtl || element.action != ElementEffect::Action::kPut;
  });
}

bool fits_inline(const CollectionForm& form) { return form.count <= kMaxInline && (form.met & kMetLong) == 0; }

bool contains_all(const Clock& clock, const ElementState& element) {
  const auto covered = [&](const Version& version) {
    return clock.covers(version.dot) &&
           std::all_of(version.amendments.begin(), version.amendments.end(), [&](const Amendment& amendment) {
             return clock.covers(Dot{amendment.log, amendment.last});
           });
  };
  return std::all_of(element.versions.begin(), element.versions.end(), covered);
}

int64_t expire_at_ms(const CollectionForm& form) {
  if (!form.has_ttl) return kNeverExpires;
  std::string scratch;
  return time_in(value_in(form.ttl, ElementKind::kTtl, scratch));
}

}  // namespace

RowStanding standing_of(const CollectionForm& form) {
  RowStanding standing;
  standing.exists = true;
  standing.digest = form.digest;
  standing.expire_at_ms = expire_at_ms(form);
  if (form.large) standing.generation = form.generation;
  standing.pages = form.large;
  return standing;
}

Keyspace::KeyInfo Keyspace::info(CollectionForm& form, int64_t now_ms) const {
  return {.exists = true, .kind = form.kind, .expire_at_ms = expire_at_ms(form), .expired = expired(form, now_ms)};
}

// Whether the TTL has passed, and no version is younger than it (model, "Expiry").
bool Keyspace::expired(CollectionForm& form, int64_t now_ms) const {
  const int64_t at_ms = expire_at_ms(form);
  if (at_ms == kNeverExpires || at_ms >= now_ms) return false;
  if (form.latest.ms() <= at_ms) return true;
  // The youngest may be gone: only all of them can tell. Rare: only where somebody wrote to the key after its TTL had
  // passed, and did not know of it.
  bool younger = false;
  const auto look = [&](const ElementView& element) {
    for (const Version& version : versions_of(element, logs_)) younger |= version.hlc.ms() > at_ms;
  };
  if (!form.large) {
    InlineElements(form).visit(look);
  } else if (const auto found = collections_.find(form.generation); found != collections_.end()) {
    found->second.collection->visit(look);
  } else {
    Collection(store_, form, 0).visit(look);
  }
  return !younger;
}

// --- pages

Keyspace::Large& Keyspace::large_of(const CollectionForm& form, uint64_t sort_key) {
  Large& large = collections_[form.generation];
  if (!large.collection) {
    large.database = sort_key_database(sort_key);
    large.collection = std::make_unique<Collection>(store_, form, DirtySet::bucket_of(sort_key));
  }
  return large;
}

// What earlier readers loaded is accounted for now.
Collection& Keyspace::pages(const CollectionForm& form, uint64_t sort_key) {
  Large& large = large_of(form, sort_key);
  account_pages(large);
  return *large.collection;
}

Keyspace::Large& Keyspace::new_large(const Target& target, CollectionForm& form) {
  form.large = true;
  form.generation = next_generation_++;
  Large& large = collections_[form.generation];
  large.database = target.database;
  const uint64_t sort = sort_key(target.database, slot_of(target.key), target.hash);
  large.collection = std::make_unique<Collection>(store_, form.kind, form.generation, DirtySet::bucket_of(sort));
  return large;
}

// Adds what changed to the sums over all.
void Keyspace::account_pages(Large& large) {
  const Collection& collection = *large.collection;
  page_bytes_ += collection.memory_bytes() - std::exchange(large.memory_bytes, collection.memory_bytes());
  dirty_page_bytes_ += collection.dirty_bytes() - std::exchange(large.dirty_bytes, collection.dirty_bytes());
  if (collection.dirty() && !std::exchange(large.listed, true)) dirty_collections_.push_back(&large);
}

// No key row names it any more. Its pages are freed slice by slice; from the rows the flush finds what LMDB has to
// forget.
void Keyspace::drop_collection(uint64_t generation) {
  const auto found = collections_.find(generation);
  if (found == collections_.end()) return;
  Large& large = found->second;
  if (large.listed) std::erase(dirty_collections_, &large);
  page_bytes_ -= large.memory_bytes;
  dirty_page_bytes_ -= large.dirty_bytes;
  dropped_.push_back(std::move(large.collection));
  collections_.erase(found);
}

bool Keyspace::free_dropped(size_t pages) {
  if (dropped_.empty()) return false;
  Collection& collection = *dropped_.back();
  if (collection.drop(pages)) return true;
  // Pages that a job reads are freed when it has ended.
  if (collection.flushing()) return false;
  dropped_.pop_back();
  return !dropped_.empty();
}

void Keyspace::evict_pages(size_t pages) {
  auto at = collections_.lower_bound(evicted_generation_);
  for (size_t left = collections_.size(); left > 0 && pages > 0 && memory_bytes() > options_.cache_bytes; --left) {
    if (at == collections_.end()) at = collections_.begin();
    Large& large = at->second;
    const uint64_t before = large.memory_bytes;
    large.collection->evict(pages);
    account_pages(large);
    pages -= std::min<uint64_t>(pages, (before - large.memory_bytes) / LeafPage::kMaxBytes + 1);
    at = large.collection->idle() ? collections_.erase(at) : std::next(at);
  }
  evicted_generation_ = at == collections_.end() ? 0 : at->first;
}

// --- the join

// False: what the key is, or becomes, is no collection of one kind.
bool Keyspace::join_collection(Target& target, const KeyEffect& effect, const RecordHead& head, Replay replay) {
  CollectionForm form;
  RowStanding before;
  const bool present = target.row && !target.row->absent();
  if (present) {
    if (!parse_collection_form(target.row->payload(), form)) return false;
    before = standing_of(form);
  }
  const std::optional<ElementKind> kind = kind_put_by(effect);
  const bool anew = !present || (effect.remove && form.covered_by(head.context, logs_));
  if (!present && !kind) return false;
  if (!puts_only(effect, anew && kind ? *kind : form.kind) || !logs_.index_of(head.dot.log)) return false;
  if (present && replay == Replay::kYes && form.contains(head.dot, logs_)) return true;
  if (anew) {
    if (form.large) drop_collection(form.generation);
    const ElementKind old = form.kind;
    form = {};
    form.kind = kind.value_or(old);
  }
  InlineElements small(form);
  Elements& elements = form.large ? static_cast<Elements&>(*large_of(form, target.row->sort_key).collection) : small;
  CollectionJoin join(form, elements, logs_, target.hash, applied_);
  if (join.apply(effect, head, replay) || (anew && present)) store_collection(target, form, elements, before);
  return true;
}

void Keyspace::store_collection(Target& target, CollectionForm& form, Elements& elements, const RowStanding& before) {
  if (form.count == 0) {
    if (form.large) drop_collection(form.generation);
    if (form.has_ttl) {
      general_payload(collection_state(form, elements, logs_), payload_);
      store_payload(target, payload_, before);
    } else if (target.row) {
      store_absent(target, before);
    }
    return;
  }
  if (!form.large && !fits_inline(form)) {
    Collection& pages = *new_large(target, form).collection;
    elements.visit([&](const ElementView& element) { pages.put(element, nullptr); });
  }
  if (form.large) {
    Large& large = collections_.at(form.generation);
    large.collection->describe(form);
    account_pages(large);
  }
  payload_.clear();
  append_collection_form(form, payload_);
  store_payload(target, payload_, before);
}

// False: the state is no collection, or newer than as_of (a row that LMDB had is replayed to).
bool Keyspace::store_as_collection(Target& target, const KeyState& state, const Clock& as_of,
                                   const RowStanding& before) {
  CollectionForm form;
  bool any = false;
  for (const ElementState& element : state.elements()) {
    if (!contains_all(as_of, element)) return false;
    if (element.kind == ElementKind::kTtl) continue;
    if (!is_collection_kind(element.kind) || (any && element.kind != form.kind)) return false;
    form.kind = element.kind;
    any = true;
  }
  if (!any || as_of.empty()) return false;
  InlineElements small(form);
  const bool many = state.elements().size() > kMaxInline + 1;
  Elements& elements = many ? static_cast<Elements&>(*new_large(target, form).collection) : small;
  CollectionJoin join(form, elements, logs_, target.hash, as_of);
  for (const ElementState& element : state.elements()) join.install(element);
  store_collection(target, form, elements, before);
  return true;
}

}  // namespace capstan::lmdb_store
