#include "lmdb-store/page.h"

#include <algorithm>
#include <new>

#include "base/check.h"
#include "lmdb-store/inner_page.h"
#include "lmdb-store/row.h"

namespace capstan::lmdb_store {

namespace {

enum LeafBit : uint8_t { kAlone = 1, kPlacesOnly = 2, kAllBits = 3 };

constexpr size_t kCacheLineBytes = 64;

// Allocations of leaves that may grow, headers included; jemalloc's size classes.
constexpr size_t kAllocations[] = {256, 512, 1024, 2048, 3072, 4096};

Error damaged(std::string_view what) {
  return {ErrorCode::kCorrupt, std::string("a page of a collection is damaged: ").append(what)};
}

// An element of the form kPlaces: bytes of its id and the id.
size_t checked_place(std::string_view bytes) {
  Decoder in(bytes);
  const std::string_view id = in.bytes();
  const size_t size = bytes.size() - in.remaining();
  return in.ok() && size == varint_bytes(id.size()) + id.size() ? size : 0;
}

std::string_view stored_id(const char* at) {
  const uint64_t size = load_varint(at);
  return {at, size};
}

// The first in [0, count) of which `before` is false. Without branches that depend on what is compared: a processor
// guesses half of those wrong.
template <typename Before>
size_t first_not(size_t count, Before before) {
  size_t first = 0;
  for (size_t left = count; left > 0;) {
    const size_t half = (left + 1) / 2;
    first += before(first + half - 1) ? half : 0;
    left -= half;
  }
  return first;
}

}  // namespace

// ---- either kind ---------------------------------------------------------------------------------------------------

void Page::free(Page* page) {
  if (page->level != 0) {
    delete static_cast<InnerPage*>(page);
  } else {
    ::operator delete(static_cast<LeafPage*>(page));
  }
}

Page* Page::copy(const Page& page) {
  Page* copied = nullptr;
  if (page.level != 0) {
    copied = new InnerPage(static_cast<const InnerPage&>(page));
  } else {
    copied = static_cast<const LeafPage&>(page).slice(0, page.count, 0);
  }
  copied->flags = static_cast<uint8_t>(page.flags & kUsed);
  return copied;
}

void Page::encode(std::string& out) const {
  if (level != 0) return static_cast<const InnerPage*>(this)->encode(out);
  static_cast<const LeafPage*>(this)->encode(out);
}

size_t Page::allocated_bytes() const {
  if (level != 0) return static_cast<const InnerPage*>(this)->allocated_bytes();
  return static_cast<const LeafPage*>(this)->allocated_bytes();
}

// ---- leaves --------------------------------------------------------------------------------------------------------

LeafPage::LeafPage(LeafForm form, const ElementBase& base, size_t capacity, bool alone)
    : capacity_(static_cast<uint32_t>(capacity)),
      begin_(capacity_),
      form_(form),
      alone_(alone),
      base_log_(base.dot.log),
      base_number_(base.dot.number),
      base_hlc_(base.hlc) {}

LeafPage* LeafPage::make(LeafForm form, const ElementBase& base, size_t bytes, bool alone) {
  static_assert(sizeof(LeafPage) + kMaxBytes - kHeadBytes <= std::end(kAllocations)[-1]);
  size_t capacity = bytes;
  if (!alone) {
    CHECK(kHeadBytes + bytes <= kMaxBytes, "a leaf is too large");
    const size_t allocated =
        *std::lower_bound(std::begin(kAllocations), std::end(kAllocations), sizeof(LeafPage) + bytes);
    capacity = std::min(allocated - sizeof(LeafPage), kMaxBytes - kHeadBytes);
  }
  CHECK(capacity <= UINT32_MAX);
  return new (::operator new(sizeof(LeafPage) + capacity)) LeafPage(form, base, capacity, alone);
}

LeafPage* LeafPage::make_for(LeafForm form, const ElementView& first) {
  const bool versioned = form == LeafForm::kElements && !first.general;
  const ElementBase base = versioned ? ElementBase{first.dot, first.hlc} : ElementBase{};
  return make(form, base, kSlotBytes + stored_bytes(form, first, base), stands_alone(first));
}

size_t LeafPage::allocated_bytes() const { return TableRow::size_class(sizeof(LeafPage) + capacity_); }

std::string_view LeafPage::id_at(size_t slot) const {
  return form_ == LeafForm::kElements ? element_id(element_at(slot)) : stored_id(element_at(slot));
}

LeafPage::Found LeafPage::find(const Place& place) const {
  // A search of slots that are in no cache would wait for one line after the other; so it waits for all of them at
  // once.
  for (size_t at = 0; at < slots_bytes(); at += kCacheLineBytes) __builtin_prefetch(body() + at);
  size_t slot = first_not(count, [&](size_t i) { return word_at(i) < place.word; });
  // Rarely there are several of one word.
  while (slot < count && word_at(slot) == place.word) {
    const std::string_view id = id_at(slot);
    if (id == place.id) return {slot, true};
    if (id > place.id) break;
    ++slot;
    if (slot == count || word_at(slot) != place.word) break;
    const size_t same = first_not(count - slot, [&](size_t i) { return word_at(slot + i) == place.word; });
    slot += first_not(same, [&](size_t i) { return id_at(slot + i) < place.id; });
  }
  return {slot, false};
}

Place LeafPage::place(size_t slot) const { return {word_at(slot), id_at(slot)}; }

ElementView LeafPage::element(size_t slot) const {
  if (form_ == LeafForm::kElements) return read_element(element_at(slot), word_at(slot), base());
  ElementView element;
  element.place = place(slot);
  return element;
}

size_t LeafPage::stored_bytes(LeafForm form, const ElementView& element, const ElementBase& base) {
  if (form == LeafForm::kElements) return lmdb_store::element_bytes(element, base);
  return varint_bytes(element.place.id.size()) + element.place.id.size();
}

size_t LeafPage::stored_bytes(size_t slot) const {
  const char* const at = element_at(slot);
  if (form_ == LeafForm::kElements) return lmdb_store::element_bytes(at);
  const std::string_view id = stored_id(at);
  return static_cast<size_t>(id.data() - at) + id.size();
}

// For an element of so many bytes, which go to begin_.
void LeafPage::open_slot(size_t slot, uint64_t word, size_t bytes) {
  CHECK(slot <= count && count < UINT16_MAX && kSlotBytes + bytes <= room(), "a leaf has no room");
  begin_ -= static_cast<uint32_t>(bytes);
  element_bytes_ += static_cast<uint32_t>(bytes);
  char* const at = body() + slot * kSlotBytes;
  std::memmove(at + kSlotBytes, at, (count - slot) * kSlotBytes);
  store_le(at, word);
  store_le(at + sizeof word, static_cast<uint16_t>(begin_));
  ++count;
}

namespace {
void write_stored(char* to, LeafForm form, const ElementView& element, const ElementBase& base) {
  if (form == LeafForm::kElements) {
    write_element(to, element, base);
  } else {
    const std::string_view id = element.place.id;
    std::copy(id.begin(), id.end(), store_varint(to, id.size()));
  }
}
}  // namespace

void LeafPage::insert(size_t slot, const ElementView& element) {
  CHECK(alone_ == stands_alone(element) && (!alone_ || count == 0));
  open_slot(slot, element.place.word, stored_bytes(form_, element, base()));
  write_stored(body() + begin_, form_, element, base());
}

bool LeafPage::replace(size_t slot, const ElementView& element) {
  const size_t bytes = stored_bytes(form_, element, base());
  const size_t before = stored_bytes(slot);
  // An allocation of just one element's size is not kept for a smaller one.
  if (alone_ ? bytes != before : bytes > before) return false;
  if (alone_ != stands_alone(element)) return false;
  write_stored(body() + load_le<uint16_t>(slot_at(slot) + sizeof(uint64_t)), form_, element, base());
  element_bytes_ -= static_cast<uint32_t>(before - bytes);
  return true;
}

void LeafPage::erase(size_t slot) {
  CHECK(slot < count);
  element_bytes_ -= static_cast<uint32_t>(stored_bytes(slot));
  char* const at = body() + slot * kSlotBytes;
  std::memmove(at, at + kSlotBytes, (count - slot - 1) * kSlotBytes);
  --count;
  if (count == 0) begin_ = capacity_;
}

void LeafPage::append(const LeafPage& from, size_t slot) {
  if (from.base_log_ != base_log_ || from.base_number_ != base_number_ || from.base_hlc_ != base_hlc_) {
    return insert(count, from.element(slot));
  }
  const size_t bytes = from.stored_bytes(slot);
  open_slot(count, from.word_at(slot), bytes);
  std::memcpy(body() + begin_, from.element_at(slot), bytes);
}

LeafPage* LeafPage::slice(size_t begin, size_t end, size_t room) const {
  size_t bytes = room;
  for (size_t slot = begin; slot < end; ++slot) bytes += kSlotBytes + stored_bytes(slot);
  LeafPage* const page = make(form_, base(), bytes, alone_ && begin < end);
  for (size_t slot = begin; slot < end; ++slot) page->append(*this, slot);
  return page;
}

LeafPage* LeafPage::join(const LeafPage& left, const LeafPage& right) {
  if (left.alone_ || right.alone_ || left.bytes() + right.bytes() > kMaxJoinedBytes) return nullptr;
  // The base of the right page is another one.
  size_t bytes = 0;
  for (size_t slot = 0; slot < right.count; ++slot) bytes += left.bytes_of(right.element(slot));
  if (left.bytes() + bytes > kMaxJoinedBytes) return nullptr;
  LeafPage* const page = left.slice(0, left.count, bytes);
  for (size_t slot = 0; slot < right.count; ++slot) page->append(right, slot);
  return page;
}

size_t LeafPage::middle() const {
  CHECK(count >= 2);
  const size_t half = (slots_bytes() + element_bytes_) / 2;
  size_t slots = 0;
  for (size_t bytes = 0; bytes < half && slots < count; ++slots) bytes += kSlotBytes + stored_bytes(slots);
  return std::clamp<size_t>(slots, 1, count - size_t{1});
}

// The next smaller allocation would do, and leave room enough not to grow again at once.
bool LeafPage::wasteful() const {
  const size_t used = slots_bytes() + element_bytes_;
  const size_t* const own =
      std::lower_bound(std::begin(kAllocations), std::end(kAllocations), sizeof(LeafPage) + capacity_);
  return !alone_ && own != kAllocations && sizeof(LeafPage) + used + used / 8 <= own[-1];
}

// ---- on disk -------------------------------------------------------------------------------------------------------

// In the order of the slots and without gaps, so that equal elements and bases are equal bytes.
void LeafPage::encode(std::string& out) const {
  CHECK(count != 0 && (alone_ || bytes() <= kMaxBytes));
  const size_t begin = out.size();
  Encoder to(out);
  to.u8(0);
  to.u8(static_cast<uint8_t>((alone_ ? kAlone : 0) | (form_ == LeafForm::kPlaces ? kPlacesOnly : 0)));
  to.u16(count);
  to.u16(base_log_);
  to.u64(base_number_);
  to.u64(base_hlc_.value);
  size_t offset = kHeadBytes + slots_bytes();
  for (size_t slot = 0; slot < count; ++slot) {
    to.u64(word_at(slot));
    to.u16(static_cast<uint16_t>(offset));
    offset += stored_bytes(slot);
  }
  for (size_t slot = 0; slot < count; ++slot) to.raw({element_at(slot), stored_bytes(slot)});
  CHECK(out.size() - begin == bytes());
}

Result<LeafPage*> LeafPage::decode(std::string_view bytes) {
  Decoder in(bytes);
  const uint8_t level = in.u8();
  const uint8_t bits = in.u8();
  const uint16_t count = in.u16();
  ElementBase base;
  base.dot.log = in.u16();
  base.dot.number = in.u64();
  base.hlc = Hlc{in.u64()};
  const bool alone = (bits & kAlone) != 0;
  const LeafForm form = (bits & kPlacesOnly) != 0 ? LeafForm::kPlaces : LeafForm::kElements;
  if (!in.ok() || level != 0 || (bits & ~kAllBits) != 0 || count == 0) return damaged("its head");
  if (alone ? count != 1 : bytes.size() > kMaxBytes) return damaged("its size");
  if (form == LeafForm::kPlaces && (base.dot.log != 0 || base.dot.number != 0 || base.hlc.value != 0)) {
    return damaged("its base");
  }
  if (in.remaining() < count * kSlotBytes) return damaged("its slots");
  LeafPage* const page = make(form, base, in.remaining(), alone);
  page->count = count;
  Result<LeafPage*> decoded = decode_elements(bytes, page);
  if (!decoded) free(page);
  return decoded;
}

Result<LeafPage*> LeafPage::decode_elements(std::string_view bytes, LeafPage* page) {
  const size_t count = page->count;
  const char* const slots = bytes.data() + kHeadBytes;
  size_t offset = kHeadBytes + count * kSlotBytes;
  page->count = 0;
  for (size_t slot = 0; slot < count; ++slot) {
    const auto word = load_le<uint64_t>(slots + slot * kSlotBytes);
    if (load_le<uint16_t>(slots + slot * kSlotBytes + sizeof word) != offset) return damaged("a slot");
    const std::string_view rest = bytes.substr(offset);
    const size_t size = page->form_ == LeafForm::kElements ? checked_element(rest, page->base()) : checked_place(rest);
    if (size == 0) return damaged("an element");
    page->open_slot(slot, word, size);
    std::memcpy(page->body() + page->begin_, rest.data(), size);
    if (stands_alone(page->element(slot)) != page->alone_) return damaged("an element's size");
    if (slot > 0 && page->place(slot - 1) >= page->place(slot)) return damaged("the order of its elements");
    offset += size;
  }
  if (offset != bytes.size()) return damaged("its end");
  return page;
}

}  // namespace capstan::lmdb_store
