#include "lmdb-store/element_codec.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"

namespace capstan::lmdb_store {

namespace {

enum ElementBit : uint8_t { kAdditive = 1, kAmended = 2, kGeneral = 4, kOtherLog = 8, kAllBits = 15 };

constexpr size_t kWordBytes = sizeof(uint64_t);
constexpr uint64_t kSignBit = uint64_t{1} << 63;

uint8_t bits_of(const ElementView& element, const ElementBase& base) {
  if (element.general) return kGeneral;
  return static_cast<uint8_t>((element.additive ? kAdditive : 0) | (element.amended_last != 0 ? kAmended : 0) |
                              (element.dot.log != base.dot.log ? kOtherLog : 0));
}

// Differences of unsigned numbers wrap, so that any two have one.
uint64_t difference(uint64_t value, uint64_t base) { return zigzag(static_cast<int64_t>(value - base)); }

// Everything behind the size.
size_t body_bytes(const ElementView& element, const ElementBase& base) {
  const size_t id = element.place.id.size();
  const size_t bytes = varint_bytes(id) + id + element.value.size();
  if (element.general) return bytes;
  return bytes + varint_bytes(difference(element.dot.number, base.dot.number)) +
         varint_bytes(difference(element.hlc.value, base.hlc.value)) +
         (element.dot.log != base.dot.log ? sizeof(uint16_t) : 0) +
         (element.amended_last != 0 ? varint_bytes(element.amended_last - element.dot.number) : 0);
}

char* write_raw(char* to, std::string_view bytes) { return std::copy(bytes.begin(), bytes.end(), to); }

}  // namespace

Place place_by_id(ElementKind kind, std::string_view id) {
  if (kind != ElementKind::kPosition) return {hash64(id), id};
  char word[kWordBytes] = {};
  const size_t in_word = std::min(id.size(), kWordBytes);
  std::copy_n(id.data(), in_word, word);
  return {load_be64(word), id.substr(in_word)};
}

Place place_by_score(double score, std::string_view member) { return {ordered_score(score), member}; }

// IEEE 754 numbers of one sign compare as their bits do, negative ones in reverse.
uint64_t ordered_score(double score) {
  CHECK(!std::isnan(score), "a score is no number");
  const auto bits = std::bit_cast<uint64_t>(score == 0 ? 0.0 : score);
  return (bits & kSignBit) != 0 ? ~bits : bits | kSignBit;
}

double score_of(uint64_t ordered) {
  return std::bit_cast<double>((ordered & kSignBit) != 0 ? ordered & ~kSignBit : ~ordered);
}

// A position never ends in 0, so the zeros at the end of its word are padding.
void append_position(const Place& place, std::string& out) {
  char word[kWordBytes];
  store_be64(word, place.word);
  size_t in_word = kWordBytes;
  while (place.id.empty() && in_word > 0 && word[in_word - 1] == 0) --in_word;
  out.append(word, in_word).append(place.id);
}

Place separator_between(const Place& left, const Place& right, bool low) {
  CHECK(left < right);
  if (left.word != right.word) return {low ? left.word + 1 : right.word, {}};
  const auto [differ, _] = std::mismatch(right.id.begin(), right.id.end(), left.id.begin(), left.id.end());
  return {right.word, right.id.substr(0, static_cast<size_t>(differ - right.id.begin()) + 1)};
}

size_t element_bytes(const ElementView& element, const ElementBase& base) {
  const size_t body = body_bytes(element, base);
  return 1 + varint_bytes(body) + body;
}

char* write_element(char* to, const ElementView& element, const ElementBase& base) {
  const uint8_t bits = bits_of(element, base);
  *to++ = static_cast<char>(bits);
  to = store_varint(to, body_bytes(element, base));
  to = store_varint(to, element.place.id.size());
  to = write_raw(to, element.place.id);
  if (!element.general) {
    to = store_varint(to, difference(element.dot.number, base.dot.number));
    to = store_varint(to, difference(element.hlc.value, base.hlc.value));
    if ((bits & kOtherLog) != 0) {
      store_le(to, element.dot.log);
      to += sizeof element.dot.log;
    }
    if ((bits & kAmended) != 0) to = store_varint(to, element.amended_last - element.dot.number);
  }
  return write_raw(to, element.value);
}

size_t element_bytes(const char* at) {
  const char* body = at + 1;
  const uint64_t size = load_varint(body);
  return static_cast<size_t>(body - at) + size;
}

std::string_view element_id(const char* at) {
  ++at;
  load_varint(at);
  const uint64_t size = load_varint(at);
  return {at, size};
}

ElementView read_element(const char* at, uint64_t word, const ElementBase& base) {
  const auto bits = static_cast<uint8_t>(*at++);
  const uint64_t size = load_varint(at);
  const char* const end = at + size;
  const uint64_t id_size = load_varint(at);
  ElementView element;
  element.place = {word, {at, id_size}};
  at += id_size;
  element.general = (bits & kGeneral) != 0;
  if (!element.general) {
    element.additive = (bits & kAdditive) != 0;
    element.dot = {base.dot.log, base.dot.number + static_cast<uint64_t>(unzigzag(load_varint(at)))};
    element.hlc = Hlc{base.hlc.value + static_cast<uint64_t>(unzigzag(load_varint(at)))};
    if ((bits & kOtherLog) != 0) {
      element.dot.log = load_le<uint16_t>(at);
      at += sizeof element.dot.log;
    }
    if ((bits & kAmended) != 0) element.amended_last = element.dot.number + load_varint(at);
  }
  element.value = {at, static_cast<size_t>(end - at)};
  return element;
}

size_t checked_element(std::string_view bytes, const ElementBase& base) {
  Decoder in(bytes);
  const uint8_t bits = in.u8();
  if ((bits & ~kAllBits) != 0 || ((bits & kGeneral) != 0 && bits != kGeneral)) return 0;
  Decoder body(in.bytes());
  body.bytes();
  if ((bits & kGeneral) == 0) {
    body.varint();
    body.varint();
    if ((bits & kOtherLog) != 0) body.u16();
    if ((bits & kAmended) != 0) body.varint();
  }
  if (!in.ok() || !body.ok()) return 0;
  // What it says can be read now; it was not written here if it could be said in fewer bytes.
  const size_t size = bytes.size() - in.remaining();
  const ElementView element = read_element(bytes.data(), 0, base);
  return bits_of(element, base) == bits && element_bytes(element, base) == size ? size : 0;
}

}  // namespace capstan::lmdb_store
