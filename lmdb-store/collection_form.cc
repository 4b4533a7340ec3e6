#include "lmdb-store/collection_form.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"

namespace capstan::lmdb_store {

namespace {

constexpr ElementBase kFromZero;

bool is_kind(uint8_t kind) {
  return kind >= static_cast<uint8_t>(ElementKind::kField) && kind <= static_cast<uint8_t>(ElementKind::kPosition);
}

LogNumber read_log_number(Decoder& in) {
  LogNumber read;
  read.log = in.u16();
  read.number = in.u64();
  return read;
}

void append_log_number(const LogNumber& number, Encoder& out) {
  out.u16(number.log);
  out.u64(number.number);
}

CollectionForm::Tree read_tree(Decoder& in) {
  CollectionForm::Tree tree;
  tree.level = in.u8();
  tree.page = in.u64();
  return tree;
}

void append_tree(const CollectionForm::Tree& tree, Encoder& out) {
  out.u8(tree.level);
  out.u64(tree.page);
}

void read_touched(Decoder& in, CollectionForm& form) {
  form.touched.clear();
  for (uint64_t left = in.varint(); left > 0 && in.ok(); --left) {
    const LogNumber read = read_log_number(in);
    if (!form.touched.empty() && form.touched.back().log >= read.log) in.fail();
    form.touched.push_back(read);
  }
  if (form.touched.empty()) in.fail();
}

}  // namespace

void CollectionForm::touch(LogNumber record) {
  const auto at = std::lower_bound(touched.begin(), touched.end(), record.log,
                                   [](const LogNumber& entry, uint16_t log) { return entry.log < log; });
  if (at == touched.end() || at->log != record.log) {
    touched.insert(at, record);
  } else {
    at->number = std::max(at->number, record.number);
  }
}

bool CollectionForm::covered_by(const Clock& context, const LogDictionary& logs) const {
  return std::all_of(touched.begin(), touched.end(), [&](const LogNumber& record) {
    return context.covers(Dot{logs.at(record.log), record.number});
  });
}

bool CollectionForm::contains(const Dot& dot, const LogDictionary& logs) const {
  return std::any_of(touched.begin(), touched.end(), [&](const LogNumber& record) {
    return record.number >= dot.number && logs.at(record.log) == dot.log;
  });
}

bool is_collection(std::string_view payload) {
  return !payload.empty() && (static_cast<uint8_t>(payload[0]) & (kShapeInline | kShapeLarge)) != 0;
}

bool parse_collection_form(std::string_view payload, CollectionForm& form) {
  if (!is_collection(payload)) return false;
  Decoder in(payload);
  const uint8_t shape = in.u8();
  form.large = (shape & kShapeLarge) != 0;
  form.has_ttl = (shape & kShapeTtl) != 0;
  if ((shape & ~kShapeTtl) != (form.large ? kShapeLarge : kShapeInline)) return false;
  const uint8_t kind = in.u8();
  if (!is_kind(kind)) return false;
  form.kind = static_cast<ElementKind>(kind);
  form.met = in.u8();
  form.count = in.varint();
  form.digest = in.u64();
  form.latest = Hlc{in.u64()};
  read_touched(in, form);
  if (form.has_ttl) {
    const size_t at = payload.size() - in.remaining();
    const size_t size = checked_element(payload.substr(at), kFromZero);
    if (size == 0) return false;
    form.ttl = read_element(payload.data() + at, 0, kFromZero);
    in.raw(size);
  }
  if (form.large) {
    form.generation = in.u64();
    form.next_page = in.u64();
    form.by_id = read_tree(in);
    form.by_score = form.ordered_by_score() ? read_tree(in) : CollectionForm::Tree();
    form.elements = {};
    return in.done() && form.count > 0;
  }
  form.base.dot = read_log_number(in);
  form.base.hlc = Hlc{in.u64()};
  form.elements = in.rest();
  return in.ok() && form.count > 0 && form.count <= kMaxInline;
}

void append_collection_form(const CollectionForm& form, std::string& payload) {
  CHECK(!form.touched.empty(), "a collection of no log");
  Encoder out(payload);
  out.u8((form.large ? kShapeLarge : kShapeInline) | (form.has_ttl ? kShapeTtl : 0));
  out.u8(static_cast<uint8_t>(form.kind));
  out.u8(form.met);
  out.varint(form.count);
  out.u64(form.digest);
  out.u64(form.latest.value);
  out.varint(form.touched.size());
  for (const LogNumber& record : form.touched) append_log_number(record, out);
  if (form.has_ttl) {
    const size_t at = payload.size();
    payload.resize(at + element_bytes(form.ttl, kFromZero));
    write_element(payload.data() + at, form.ttl, kFromZero);
  }
  if (form.large) {
    out.u64(form.generation);
    out.u64(form.next_page);
    append_tree(form.by_id, out);
    if (form.ordered_by_score()) append_tree(form.by_score, out);
    return;
  }
  append_log_number(form.base.dot, out);
  out.u64(form.base.hlc.value);
  out.raw(form.elements);
}

}  // namespace capstan::lmdb_store
