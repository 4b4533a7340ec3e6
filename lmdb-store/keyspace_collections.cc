// Keys that are collections of one kind of elements: their join and their rows.
#include <algorithm>
#include <optional>

#include "base/check.h"
#include "lmdb-store/collection_join.h"
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

}  // namespace

int64_t expire_at_ms(const CollectionForm& form) {
  if (!form.has_ttl) return kNeverExpires;
  if (!form.ttl.general) return time_in(form.ttl.value);
  Versions versions;
  Decoder in(form.ttl.value);
  CHECK(decode_versions(in, versions), "a TTL's versions are malformed");
  std::string scratch;
  return time_in(*value_of(versions, scratch, ElementKind::kTtl));
}

// Whether the TTL has passed, and no version is younger than it (model, "Expiry").
bool expired(const CollectionForm& form, Elements& elements, const LogDictionary& logs, int64_t now_ms) {
  const int64_t at_ms = expire_at_ms(form);
  if (at_ms == kNeverExpires || at_ms >= now_ms) return false;
  if (form.latest.ms() <= at_ms) return true;
  // The youngest may be gone.
  bool younger = false;
  elements.visit([&](const ElementView& element) {
    for (const Version& version : versions_of(element, logs)) younger |= version.hlc.ms() > at_ms;
  });
  return !younger;
}

RowStanding standing_of(const CollectionForm& form) {
  RowStanding standing;
  standing.exists = true;
  standing.digest = form.digest;
  standing.expire_at_ms = expire_at_ms(form);
  return standing;
}

Keyspace::KeyInfo Keyspace::info(CollectionForm& form, int64_t now_ms) const {
  InlineElements elements(form);
  return {.exists = true,
          .kind = form.kind,
          .expire_at_ms = expire_at_ms(form),
          .expired = lmdb_store::expired(form, elements, logs_, now_ms)};
}

// False: what the key is, or becomes, is no collection of one kind.
bool Keyspace::join_collection(Target& target, const KeyEffect& effect, const RecordHead& head, Replay replay) {
  CollectionForm form;
  RowStanding before;
  if (target.row && !target.row->absent()) {
    if (!parse_collection_form(target.row->payload(), form)) return false;
    before = standing_of(form);
  } else {
    const auto kind = kind_put_by(effect);
    if (!kind) return false;
    form.kind = *kind;
  }
  if (!puts_only(effect, form.kind) || !logs_.index_of(head.dot.log)) return false;
  if (replay == Replay::kYes && form.contains(head.dot, logs_)) return true;
  InlineElements elements(form);
  CollectionJoin join(form, elements, logs_, target.hash, applied_);
  if (join.apply(effect, head, replay)) store_collection(target, form, elements, before);
  return true;
}

void Keyspace::store_collection(Target& target, const CollectionForm& form, Elements& elements,
                                const RowStanding& before) {
  const bool gone = form.count == 0 && !form.has_ttl;
  if (gone && !target.row) return;
  if (gone) return store_absent(target, before);
  payload_.clear();
  if (form.count > 0 && fits_inline(form)) {
    append_collection_form(form, payload_);
  } else {
    general_payload(collection_state(form, elements, logs_), payload_);
  }
  store_payload(target, payload_, before);
}

// The state as an inline collection; false: it is none, or too large for it, or newer than as_of (a row that LMDB had
// is replayed to).
bool Keyspace::inline_collection(const KeyState& state, uint64_t hash, const Clock& as_of, std::string& payload) {
  CollectionForm form;
  bool any = false;
  for (const ElementState& element : state.elements()) {
    if (!contains_all(as_of, element)) return false;
    if (element.kind == ElementKind::kTtl) continue;
    if (!is_collection_kind(element.kind) || (any && element.kind != form.kind)) return false;
    form.kind = element.kind;
    any = true;
  }
  if (!any || state.elements().size() > kMaxInline + 1) return false;
  InlineElements elements(form);
  CollectionJoin join(form, elements, logs_, hash, as_of);
  for (const ElementState& element : state.elements()) join.install(element);
  if (!fits_inline(form) || form.touched.empty()) return false;
  append_collection_form(form, payload);
  return true;
}

}  // namespace capstan::lmdb_store
