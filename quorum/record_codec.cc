// The byte grammar is in lmdb-store/FORMAT.md, "Records and versions".
#include <algorithm>

#include "base/check.h"
#include "quorum/element_value.h"
#include "quorum/record.h"

namespace capstan {

namespace {

using Action = ElementEffect::Action;

// First byte of a record's body.
enum RecordFlag : uint8_t { kOwnContext = 1, kClears = 2 };
// First byte of a key: five bits of database, then these; the two highest bits count the elements.
constexpr uint8_t kDatabaseBits = 0x1f;
constexpr uint8_t kRemovesKey = 0x20;
constexpr unsigned kCountShift = 6;
constexpr uint8_t kCountFollows = 3;
static_assert(kDatabases <= kDatabaseBits + 1);
// First byte of an element: two bits of action, three of kind, then these (the first three of a put, the last of an
// amend).
constexpr unsigned kKindShift = 2;
constexpr uint8_t kAdditive = 0x20;
constexpr uint8_t kStamped = 0x40;
constexpr uint8_t kOver = 0x80;
constexpr uint8_t kOwnAnchor = 0x20;

bool names_a_record(const Dot& dot) { return dot.log != LogId() && dot.number != 0; }

// What the joins rely on, whoever made the effect: checked before it is written and after it was read.
bool is_put(const ElementEffect& effect) {
  return is_value_of(effect.kind, effect.value) && (!effect.additive || holds_numbers(effect.kind));
}

bool is_amend(const ElementEffect& effect, LogId log) {
  if (!names_a_record(effect.anchor)) return false;
  if (effect.action == Action::kAdd) return holds_numbers(effect.kind);
  const bool fits = effect.offset <= kMaxValueBytes && effect.value.size() <= kMaxValueBytes - effect.offset;
  return fits && log.agreed() && effect.kind == ElementKind::kString;
}

// Gathers what is small, so that a record of one SET costs one append.
class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}
  ~Writer() { flush(); }

  void u8(uint8_t value) {
    reserve(1);
    *at_++ = static_cast<char>(value);
  }
  void u64(uint64_t value) {
    reserve(sizeof value);
    store_le(at_, value);
    at_ += sizeof value;
  }
  void varint(uint64_t value) {
    reserve(kMaxVarintBytes);
    at_ = store_varint(at_, value);
  }
  void signed_varint(int64_t value) { varint(zigzag(value)); }
  void bytes(std::string_view bytes) {
    varint(bytes.size());
    if (bytes.size() <= static_cast<size_t>(std::end(buffer_) - at_)) {
      at_ = std::copy(bytes.begin(), bytes.end(), at_);
    } else {
      flush();
      out_.append(bytes);
    }
  }
  // For the parts that encode themselves.
  Encoder encoder() {
    flush();
    return Encoder(out_);
  }

 private:
  void reserve(size_t size) {
    if (static_cast<size_t>(std::end(buffer_) - at_) < size) [[unlikely]] {
      flush();
    }
  }
  void flush() {
    out_.append(buffer_, static_cast<size_t>(at_ - buffer_));
    at_ = buffer_;
  }

  std::string& out_;
  char buffer_[192];
  char* at_ = buffer_;
};

void encode_dot(const Dot& dot, Writer& out) {
  CHECK(names_a_record(dot));
  out.u64(dot.log.value);
  out.varint(dot.number);
}

void encode_put(const ElementEffect& effect, Writer& out) {
  CHECK(is_put(effect));
  if (effect.stamp) out.u64(effect.stamp->value);
  if (effect.has_over) {
    out.varint(effect.over.size());
    Dot before;
    for (const Dot& dot : effect.over) {
      CHECK(before < dot);
      encode_dot(dot, out);
      before = dot;
    }
  }
  out.bytes(effect.value);
}

void encode_amend(const ElementEffect& effect, bool own_anchor, Writer& out) {
  if (own_anchor) {
    out.varint(effect.anchor.number);
  } else {
    encode_dot(effect.anchor, out);
  }
  if (effect.action == Action::kAdd) {
    effect.addend.encode(out);
  } else {
    out.varint(effect.offset);
    out.bytes(effect.value);
  }
}

void encode_element(const ElementEffect& effect, LogId log, Writer& out) {
  const bool amend = effect.action == Action::kAdd || effect.action == Action::kSplice;
  const bool own_anchor = amend && effect.anchor.log == log;
  uint8_t head = static_cast<uint8_t>(effect.action) | static_cast<uint8_t>(effect.kind) << kKindShift;
  if (effect.action == Action::kPut) {
    head |= (effect.additive ? kAdditive : 0) | (effect.stamp ? kStamped : 0) | (effect.has_over ? kOver : 0);
  } else if (own_anchor) {
    head |= kOwnAnchor;
  }
  out.u8(head);
  if (has_id(effect.kind)) {
    out.bytes(effect.id);
  } else {
    CHECK(effect.id.empty());
  }
  if (amend) CHECK(is_amend(effect, log));
  if (effect.action == Action::kPut) encode_put(effect, out);
  if (amend) encode_amend(effect, own_anchor, out);
}

void encode_key(const KeyEffect& key, LogId log, Writer& out) {
  CHECK(key.database < kDatabases && (key.remove || !key.elements.empty()));
  const size_t count = key.elements.size();
  const auto short_count = static_cast<uint8_t>(std::min<size_t>(count, kCountFollows));
  out.u8(static_cast<uint8_t>(key.database | (key.remove ? kRemovesKey : 0) | short_count << kCountShift));
  out.bytes(key.key);
  if (short_count == kCountFollows) out.varint(count);
  for (const ElementEffect& effect : key.elements) encode_element(effect, log, out);
}

// Everything of the own log before this record, and nothing else.
bool is_own(const Clock& context, LogId log, uint64_t number) {
  if (number == 1) return context.empty();
  return context.end() - context.begin() == 1 && *context.begin() == Dot{log, number - 1};
}

Dot decode_dot(Decoder& in) {
  Dot dot;
  dot.log.value = in.u64();
  dot.number = in.varint();
  if (!names_a_record(dot)) in.fail();
  return dot;
}

void decode_put(Decoder& in, uint8_t head, ElementEffect& effect) {
  effect.additive = (head & kAdditive) != 0;
  if ((head & kStamped) != 0) effect.stamp = Hlc{in.u64()};
  effect.has_over = (head & kOver) != 0;
  if (effect.has_over) {
    for (uint64_t left = in.varint(); left != 0 && in.ok(); --left) {
      const Dot dot = decode_dot(in);
      if (!effect.over.empty() && dot <= effect.over.back()) in.fail();
      effect.over.push_back(dot);
    }
  }
  effect.value = in.bytes();
  if (!is_put(effect)) in.fail();
}

void decode_amend(Decoder& in, uint8_t head, LogId log, ElementEffect& effect) {
  if ((head & kOwnAnchor) != 0) {
    effect.anchor = Dot{log, in.varint()};
  } else {
    effect.anchor = decode_dot(in);
    if (effect.anchor.log == log) in.fail();
  }
  if (effect.action == Action::kAdd) {
    effect.addend = Number::decode(in);
  } else {
    effect.offset = in.varint();
    effect.value = in.bytes();
  }
  if (!is_amend(effect, log)) in.fail();
}

void decode_element(Decoder& in, LogId log, ElementEffect& effect) {
  const uint8_t head = in.u8();
  const uint8_t kind = head >> kKindShift & 7;
  effect.action = static_cast<Action>(head & 3);
  if (kind >= kElementKinds) in.fail();
  effect.kind = static_cast<ElementKind>(kind);
  if (has_id(effect.kind)) effect.id = in.bytes();
  if (effect.action == Action::kPut) {
    decode_put(in, head, effect);
    return;
  }
  const uint8_t flags = head & (kAdditive | kStamped | kOver);
  const bool amend = effect.action != Action::kRemove;
  if ((flags & ~(amend ? kOwnAnchor : 0)) != 0) in.fail();
  if (amend) decode_amend(in, head, log, effect);
}

void decode_key(Decoder& in, LogId log, KeyEffect& key) {
  const uint8_t head = in.u8();
  key.database = head & kDatabaseBits;
  key.remove = (head & kRemovesKey) != 0;
  key.key = in.bytes();
  uint64_t count = head >> kCountShift;
  if (count == kCountFollows) {
    count = in.varint();
    if (count < kCountFollows) in.fail();
  }
  if (key.database >= kDatabases || (count == 0 && !key.remove)) in.fail();
  key.elements.clear();
  for (; count != 0 && in.ok(); --count) decode_element(in, log, key.elements.emplace_back());
}

void decode_context(Decoder& in, bool own, Record& out) {
  if (!own) {
    out.context.decode_from(in);
    if (is_own(out.context, out.dot.log, out.dot.number)) in.fail();
    return;
  }
  out.context.clear();
  if (out.dot.number > 1) out.context.set(out.dot.log, out.dot.number - 1);
}

void decode_clears(Decoder& in, Record& out) {
  uint64_t left = in.varint();
  if (left == 0) in.fail();
  for (; left != 0 && in.ok(); --left) {
    const Database database = in.u8();
    if (database >= kDatabases || (!out.clears.empty() && database <= out.clears.back())) in.fail();
    out.clears.push_back(database);
  }
}

}  // namespace

void encode_record(const Record& record, Encoder& encoder) {
  CHECK(names_a_record(record.dot));
  Writer out(encoder.out());
  const bool own = is_own(record.context, record.dot.log, record.dot.number);
  out.varint(record.dot.number);
  out.u64(record.hlc.value);
  out.u8((own ? kOwnContext : 0) | (record.clears.empty() ? 0 : kClears));
  if (!own) {
    Encoder context = out.encoder();
    record.context.encode(context);
  }
  if (!record.clears.empty()) {
    out.varint(record.clears.size());
    for (const Database database : record.clears) out.u8(database);
  }
  out.varint(record.keys.size());
  for (const KeyEffect& key : record.keys) encode_key(key, record.dot.log, out);
}

bool decode_record_into(LogId log, Decoder& in, Record& out) {
  out.dot = Dot{log, in.varint()};
  out.hlc.value = in.u64();
  const uint8_t flags = in.u8();
  if (!names_a_record(out.dot) || (flags & ~(kOwnContext | kClears)) != 0) in.fail();
  decode_context(in, (flags & kOwnContext) != 0, out);
  out.clears.clear();
  if ((flags & kClears) != 0) decode_clears(in, out);
  const uint64_t count = in.varint();
  size_t read = 0;  // entries that are there already keep their memory
  for (; read < count && in.ok(); ++read) {
    if (read == out.keys.size()) out.keys.emplace_back();
    decode_key(in, log, out.keys[read]);
  }
  out.keys.resize(read);
  return in.ok();
}

Result<Record> decode_record(LogId log, Decoder& in) {
  Record record;
  if (!decode_record_into(log, in, record)) return Error{ErrorCode::kCorrupt, "a record does not follow its grammar"};
  return record;
}

}  // namespace capstan
