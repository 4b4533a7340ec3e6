#include "lmdb-store/collection_join.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/number_text.h"
#include "quorum/element_value.h"
#include "quorum/version.h"

namespace capstan::lmdb_store {

using Action = ElementEffect::Action;

namespace {

Versions decoded(std::string_view bytes) {
  Versions versions;
  Decoder in(bytes);
  CHECK(decode_versions(in, versions) && in.done() && !versions.empty(), "an element's versions are malformed");
  return versions;
}

}  // namespace

Versions versions_of(const ElementView& element, const LogDictionary& logs) {
  if (element.general) return decoded(element.value);
  Versions versions(1);
  Version& version = versions[0];
  version.dot = {logs.at(element.dot.log), element.dot.number};
  version.hlc = element.hlc;
  version.additive = element.additive;
  version.value = element.value;
  if (element.amended_last != 0) version.amendments.push_back({version.dot.log, element.amended_last, {}});
  return versions;
}

ElementView view_of(std::string_view id, const Versions& versions, LogDictionary& logs, std::string& bytes) {
  ElementView element;
  element.place.id = id;
  const Version& version = versions[0];
  const bool unamended = version.amendments.empty();
  const bool plain =
      versions.size() == 1 && (unamended || (version.amendments.size() == 1 && version.dot.log.agreed() &&
                                             version.amendments[0].log == version.dot.log));
  const auto log = plain ? logs.index_of(version.dot.log) : std::nullopt;
  bytes.clear();
  if (!log) {
    Encoder out(bytes);
    encode_versions(versions, out);
    element.general = true;
  } else {
    bytes = version.value;
    element.dot = {*log, version.dot.number};
    element.hlc = version.hlc;
    element.additive = version.additive;
    if (!unamended) element.amended_last = version.amendments[0].last;
  }
  element.value = bytes;
  return element;
}

uint64_t element_digest(uint64_t key_hash, ElementKind kind, std::string_view id, const ElementView& element,
                        const LogDictionary& logs) {
  if (!element.general) {
    return plain_digest(key_hash, kind, id, {logs.at(element.dot.log), element.dot.number}, element.amended_last);
  }
  uint64_t sum = 0;
  for (const Version& version : decoded(element.value)) sum += version_digest(key_hash, kind, id, version);
  return sum;
}

std::string_view value_in(const ElementView& element, ElementKind kind, std::string& scratch) {
  if (!element.general) return element.value;
  const Versions versions = decoded(element.value);
  // A view of a version would not outlive it.
  std::string joined;
  return scratch = *value_of(versions, joined, kind);
}

double score_in(const ElementView& element) {
  std::string scratch;
  const std::string_view value = value_in(element, ElementKind::kScore, scratch);
  CHECK(value.size() == sizeof(double), "a score has eight bytes");
  return std::bit_cast<double>(load_le<uint64_t>(value.data()));
}

KeyState collection_state(const CollectionForm& form, ElementsReader& elements, const LogDictionary& logs) {
  KeyState state;
  const auto add = [&](ElementKind kind, const ElementView& element) {
    state.add({kind, std::string(element.place.id), versions_of(element, logs)});
  };
  elements.visit([&](const ElementView& element) { add(form.kind, element); });
  if (form.has_ttl) add(ElementKind::kTtl, form.ttl);
  return state;
}

bool CollectionJoin::apply(const KeyEffect& effect, const RecordHead& head, Replay replay) {
  bool changed = effect.remove && remove_all(head.context);
  for (const ElementEffect& element : effect.elements) {
    if (element.kind == ElementKind::kTtl) {
      changed |= join_ttl(element, head, replay);
    } else if (element.kind == form_.kind) {
      changed |= join_element(element, head, replay);
    } else {
      CHECK(element.action != Action::kPut, "a collection of two kinds of elements");
    }
  }
  if (changed) touch(head.dot);
  return changed;
}

void CollectionJoin::touch(const Dot& dot) {
  const auto log = logs_.index_of(dot.log);
  CHECK(log, "the dictionary of logs is full");
  form_.touch({*log, dot.number});
}

// Nothing is left that could tell which records the key had in earlier lives. Replaying one of them without the one
// that removed it again would bring it back; so all are taken for contained, as they are.
void CollectionJoin::begin_life() {
  form_.count = form_.digest = 0;
  form_.met = 0;
  form_.latest = {};
  form_.has_ttl = false;
  form_.touched.clear();
  for (const Dot& dot : applied_) touch(dot);
}

bool CollectionJoin::remove_all(const Clock& context) {
  std::vector<std::string> ids;
  elements_.visit([&](const ElementView& element) { ids.emplace_back(element.place.id); });
  ElementEffect removal;
  removal.action = Action::kRemove;
  removal.kind = form_.kind;
  const RecordHead head{{}, {}, context};
  bool changed = false;
  for (const std::string& id : ids) {
    removal.id = id;
    changed |= join_element(removal, head, Replay::kNo);
  }
  removal.kind = ElementKind::kTtl;
  removal.id = {};
  return join_ttl(removal, head, Replay::kNo) || changed;
}

bool CollectionJoin::covers(const ElementView& element, const Clock& context) const {
  return context.covers(Dot{logs_.at(element.dot.log), element.dot.number});
}

bool CollectionJoin::join_element(const ElementEffect& effect, const RecordHead& head, Replay replay) {
  ElementView found;
  const bool there = elements_.find(effect.id, found);
  const ElementView* const old = there ? &found : nullptr;
  const Joined joined = join(old, effect, head, replay);
  if (!joined.changed) return false;
  account(form_.kind, effect.id, old, joined);
  if (joined.exists) {
    store_element(joined.element, old);
  } else {
    elements_.erase(found);
    --form_.count;
  }
  return true;
}

void CollectionJoin::store_element(const ElementView& element, const ElementView* old) {
  if (old == nullptr) ++form_.count;
  meet(element);
  elements_.put(element, old);
}

void CollectionJoin::install(const ElementState& element) {
  Joined joined{.changed = true, .exists = true, .element = view_of(element.id, element.versions, logs_, value_)};
  account(element.kind, element.id, nullptr, joined);
  if (element.kind == ElementKind::kTtl) return store_ttl(joined.element);
  store_element(joined.element, nullptr);
}

void CollectionJoin::store_ttl(const ElementView& ttl) {
  ttl_value_ = ttl.value;
  form_.has_ttl = true;
  form_.ttl = ttl;
  form_.ttl.value = ttl_value_;
}

bool CollectionJoin::join_ttl(const ElementEffect& effect, const RecordHead& head, Replay replay) {
  const ElementView* const old = form_.has_ttl ? &form_.ttl : nullptr;
  const Joined joined = join(old, effect, head, replay);
  if (!joined.changed) return false;
  account(ElementKind::kTtl, {}, old, joined);
  form_.has_ttl = false;
  if (joined.exists) store_ttl(joined.element);
  return true;
}

CollectionJoin::Joined CollectionJoin::join(const ElementView* old, const ElementEffect& effect, const RecordHead& head,
                                            Replay replay) {
  Joined joined;
  const bool nothing_stays = !effect.has_over && (old == nullptr || (!old->general && covers(*old, head.context)));
  if (nothing_stays && effect.action == Action::kRemove) {
    joined.changed = old != nullptr;
    return joined;
  }
  if (nothing_stays && effect.action == Action::kPut) {
    if (const auto log = logs_.index_of(head.dot.log)) {
      joined.changed = joined.exists = true;
      joined.element.place.id = effect.id;
      joined.element.value = effect.value;
      joined.element.dot = {*log, head.dot.number};
      joined.element.hlc = effect.stamp.value_or(head.hlc);
      joined.element.additive = effect.additive;
      return joined;
    }
  }
  if (old != nullptr && add(*old, effect, head, replay, joined)) return joined;
  return join_versions(old, effect, head, replay);
}

// Log R's addition to a version that no other log amended; false: it is none.
bool CollectionJoin::add(const ElementView& old, const ElementEffect& effect, const RecordHead& head, Replay replay,
                         Joined& joined) {
  const LogId log = head.dot.log;
  if (effect.action != Action::kAdd || old.general || !log.agreed() || logs_.at(old.dot.log) != log ||
      effect.anchor != Dot{log, old.dot.number}) {
    return false;
  }
  joined.exists = true;
  if (head.dot.number <= old.amended_last) {
    CHECK(replay == Replay::kYes, "an amendment came twice");
    return true;
  }
  joined.changed = true;
  joined.element = old;
  joined.element.place.id = effect.id;
  joined.element.amended_last = head.dot.number;
  value_ = old.value;
  add_in_place(effect.kind, value_, effect.addend);
  joined.element.value = value_;
  return true;
}

CollectionJoin::Joined CollectionJoin::join_versions(const ElementView* old, const ElementEffect& effect,
                                                     const RecordHead& head, Replay replay) {
  Versions versions;
  if (old != nullptr) versions = versions_of(*old, logs_);
  Joined joined;
  joined.changed = capstan::join_element(versions, effect, head, replay);
  joined.exists = !versions.empty();
  if (joined.changed && joined.exists) joined.element = view_of(effect.id, versions, logs_, value_);
  return joined;
}

void CollectionJoin::account(ElementKind kind, std::string_view id, const ElementView* old, const Joined& joined) {
  if (old != nullptr) form_.digest -= element_digest(key_hash_, kind, id, *old, logs_);
  if (joined.exists) form_.digest += element_digest(key_hash_, kind, id, joined.element, logs_);
}

void CollectionJoin::meet(const ElementView& element) {
  const std::string_view id = element.place.id;
  if (id.size() > kMaxInlineBytes || element.value.size() > kMaxInlineBytes) form_.met |= kMetLong;
  if (form_.count > kMaxInline) form_.met |= kMetMany;
  if (form_.count > kMaxPacked) form_.met |= kMetVeryMany;
  if (form_.kind == ElementKind::kMember && (form_.met & kMetText) == 0 && !parse_integer(id)) form_.met |= kMetText;
  if (!element.general) {
    form_.latest = std::max(form_.latest, element.hlc);
  } else {
    for (const Version& version : decoded(element.value)) form_.latest = std::max(form_.latest, version.hlc);
  }
}

}  // namespace capstan::lmdb_store
