#include "quorum/effects.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "quorum/element_value.h"
#include "quorum/join.h"
#include "quorum/mutant.h"

namespace capstan {

namespace {

using Action = ElementEffect::Action;

// What the builder keeps between commands: more than this is given back.
constexpr size_t kKeptKeys = 1024;

bool is_amend(const ElementEffect& effect) { return effect.action == Action::kAdd || effect.action == Action::kSplice; }

uint64_t splice_end(const ElementEffect& splice) { return splice.offset + splice.value.size(); }

void sort_over(ElementEffect& put) {
  std::sort(put.over.begin(), put.over.end());
  put.over.erase(std::unique(put.over.begin(), put.over.end()), put.over.end());
}

bool overlap_or_touch(const ElementEffect& a, const ElementEffect& b) {
  return a.offset <= splice_end(b) && b.offset <= splice_end(a);
}

// Whether a record of that log may add the sum in place of one after the other. Integers saturate. Log R adds floats in
// its order, each sum rounded, so that the sum would be another; in a contribution they are summed in any case.
bool may_sum(const Number& a, const Number& b, LogId log) {
  int64_t sum;
  if (a.is_real() || b.is_real()) return !log.agreed();
  return !__builtin_add_overflow(a.as_integer(), b.as_integer(), &sum);
}

}  // namespace

void Effects::clear(Database database) {
  auto& keys = record_.keys;
  if (std::erase_if(keys, [&](const KeyEffect& effect) { return effect.database == database; }) != 0) {
    keys_.clear();
    elements_.clear();
    for (size_t i = 0; i < keys.size(); ++i) {
      index_key(i);
      index_elements(i);
    }
  }
  auto& clears = record_.clears;
  const auto at = std::lower_bound(clears.begin(), clears.end(), database);
  if (at == clears.end() || *at != database) clears.insert(at, database);
}

void Effects::remove(Database database, std::string_view name) {
  KeyEffect& effect = key(database, name);
  effect.remove = true;
  if (!mutant(Mutant::kNoNetEffect)) drop_elements(static_cast<size_t>(&effect - record_.keys.data()));
}

void Effects::element(Database database, std::string_view name, ElementEffect effect) {
  effect.amended = 0;
  if (effect.has_over) sort_over(effect);
  KeyEffect& target = key(database, name);
  const auto index = static_cast<size_t>(&target - record_.keys.data());
  const ptrdiff_t earlier = element_index(index, effect.kind, effect.id);
  if (earlier >= 0 && !mutant(Mutant::kNoNetEffect)) {
    extend(target.elements[static_cast<size_t>(earlier)], std::move(effect));
    return;
  }
  const ElementEffect& added = target.elements.emplace_back(std::move(effect));
  if (target.elements.size() == kScanned + 1) {
    index_elements(index);
  } else if (target.elements.size() > kScanned) {
    elements_.emplace(std::tuple(index, added.kind, added.id), target.elements.size() - 1);
  }
}

void Effects::extend(ElementEffect& earlier, ElementEffect&& effect) {
  if (!is_amend(effect)) {
    earlier = std::move(effect);
    return;
  }
  CHECK(extends(earlier, effect), "an amend that may_amend() refuses");
  if (effect.action == Action::kAdd) {
    if (earlier.action == Action::kAdd) {
      earlier.addend = earlier.addend + effect.addend;
    } else {
      std::string& value = own_value(earlier);
      add_in_place(earlier.kind, value, effect.addend);
      earlier.value = value;
    }
    return;
  }
  std::string& value = own_value(earlier);
  const uint64_t from = earlier.action == Action::kSplice ? earlier.offset : 0;
  if (effect.offset < from) {
    // Both touch, so what the later one does not cover is the earlier one's end.
    const uint64_t covered = splice_end(effect) - from;
    value.replace(0, std::min<size_t>(covered, value.size()), effect.value);
    earlier.offset = effect.offset;
  } else {
    splice(value, effect.offset - from, effect.value);
  }
  earlier.value = value;
}

bool Effects::may_amend(Database database, std::string_view name, const ElementEffect& amend) const {
  if (amend.action == Action::kSplice && splice_end(amend) > kMaxValueBytes) return false;
  const ElementEffect* const earlier = find(database, name, amend.kind, amend.id);
  return earlier == nullptr || extends(*earlier, amend);
}

bool Effects::extends(const ElementEffect& earlier, const ElementEffect& amend) const {
  if (earlier.action == Action::kPut) return amend.anchor == record_.dot;
  if (earlier.action != amend.action || earlier.anchor != amend.anchor) return false;
  if (amend.action == Action::kSplice) return overlap_or_touch(earlier, amend);
  return may_sum(earlier.addend, amend.addend, record_.dot.log);
}

const ElementEffect* Effects::find(Database database, std::string_view name, ElementKind kind,
                                   std::string_view id) const {
  const ptrdiff_t index = key_index(database, name);
  if (index < 0) return nullptr;
  const ptrdiff_t at = element_index(static_cast<size_t>(index), kind, id);
  return at < 0 ? nullptr : &record_.keys[static_cast<size_t>(index)].elements[static_cast<size_t>(at)];
}

const KeyEffect* Effects::find(Database database, std::string_view name) const {
  const ptrdiff_t index = key_index(database, name);
  return index < 0 ? nullptr : &record_.keys[static_cast<size_t>(index)];
}

bool Effects::clears(Database database) const {
  return std::find(record_.clears.begin(), record_.clears.end(), database) != record_.clears.end();
}

std::string_view Effects::keep(std::string_view bytes) { return kept_.add(bytes); }

// The effect's value as a string that only it views, so that many amendments of one value copy it once.
std::string& Effects::own_value(ElementEffect& effect) {
  if (effect.amended != 0) return amended_[effect.amended - 1];
  amended_.emplace_back(effect.value);
  effect.amended = static_cast<uint32_t>(amended_.size());
  return amended_.back();
}

void Effects::reset() {
  record_.dot = {};
  record_.hlc = {};
  record_.context.clear();
  record_.clears.clear();
  record_.keys.clear();
  if (record_.keys.capacity() > kKeptKeys) record_.keys.shrink_to_fit();
  if (!keys_.empty()) keys_.clear();
  if (!elements_.empty()) elements_.clear();
  kept_.reset();
  if (!amended_.empty()) amended_.clear();
}

std::string_view Effects::Arena::add(std::string_view bytes) {
  if (bytes.empty()) return "";
  const size_t size = bytes.size();
  char* to = at_;
  if (size > left_ && size > kBlockBytes / 4) {
    to = large_.emplace_back(std::make_unique_for_overwrite<char[]>(size)).get();
  } else {
    if (size > left_) {
      to = blocks_.emplace_back(std::make_unique_for_overwrite<char[]>(kBlockBytes)).get();
      left_ = kBlockBytes;
    }
    at_ = to + size;
    left_ -= size;
  }
  std::memcpy(to, bytes.data(), size);
  return {to, size};
}

void Effects::Arena::reset() {
  if (!large_.empty()) large_.clear();
  if (blocks_.empty()) return;
  if (blocks_.size() > 1) blocks_.resize(1);
  at_ = blocks_[0].get();
  left_ = kBlockBytes;
}

KeyEffect& Effects::key(Database database, std::string_view name) {
  const ptrdiff_t found = key_index(database, name);
  if (found >= 0) return record_.keys[static_cast<size_t>(found)];
  KeyEffect& added = record_.keys.emplace_back();
  added.database = database;
  added.key = name;
  if (record_.keys.size() == kScanned + 1) {
    for (size_t i = 0; i <= kScanned; ++i) keys_.emplace(std::pair(record_.keys[i].database, record_.keys[i].key), i);
  } else if (record_.keys.size() > kScanned) {
    index_key(record_.keys.size() - 1);
  }
  return added;
}

ptrdiff_t Effects::key_index(Database database, std::string_view name) const {
  const auto& keys = record_.keys;
  if (keys.size() > kScanned) {
    const auto found = keys_.find(std::pair(database, name));
    return found == keys_.end() ? -1 : static_cast<ptrdiff_t>(found->second);
  }
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i].key == name && keys[i].database == database) return static_cast<ptrdiff_t>(i);
  }
  return -1;
}

ptrdiff_t Effects::element_index(size_t index, ElementKind kind, std::string_view id) const {
  const auto& elements = record_.keys[index].elements;
  if (elements.size() > kScanned) {
    const auto found = elements_.find(std::tuple(index, kind, id));
    return found == elements_.end() ? -1 : static_cast<ptrdiff_t>(found->second);
  }
  for (size_t i = 0; i < elements.size(); ++i) {
    if (elements[i].kind == kind && elements[i].id == id) return static_cast<ptrdiff_t>(i);
  }
  return -1;
}

void Effects::index_key(size_t index) {
  if (record_.keys.size() <= kScanned) return;
  keys_.emplace(std::pair(record_.keys[index].database, record_.keys[index].key), index);
}

void Effects::index_elements(size_t index) {
  const auto& elements = record_.keys[index].elements;
  if (elements.size() <= kScanned) return;
  for (size_t i = 0; i < elements.size(); ++i)
    elements_.emplace(std::tuple(index, elements[i].kind, elements[i].id), i);
}

void Effects::drop_elements(size_t index) {
  auto& elements = record_.keys[index].elements;
  if (elements.size() > kScanned) {
    for (const ElementEffect& effect : elements) elements_.erase(std::tuple(index, effect.kind, effect.id));
  }
  elements.clear();
}

}  // namespace capstan
