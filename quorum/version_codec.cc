// The byte grammar is in lmdb-store/FORMAT.md, "Records and versions".
#include "quorum/version.h"

namespace capstan {

namespace {

enum Flag : uint8_t { kAdditive = 1, kAmended = 2 };

void encode_version(const Version& version, Encoder& out) {
  out.u8((version.additive ? kAdditive : 0) | (version.amendments.empty() ? 0 : kAmended));
  out.u64(version.dot.log.value);
  out.varint(version.dot.number);
  out.u64(version.hlc.value);
  out.bytes(version.value);
  if (version.amendments.empty()) return;
  out.varint(version.amendments.size());
  for (const Amendment& amendment : version.amendments) {
    out.u64(amendment.log.value);
    out.varint(amendment.last);
    if (!amendment.log.agreed()) amendment.sum.encode(out);
  }
}

void decode_amendments(Decoder& in, Version& version) {
  LogId before;
  uint64_t left = in.varint();
  if (left == 0) in.fail();
  for (; left != 0 && in.ok(); --left) {
    Amendment& amendment = version.amendments.emplace_back();
    amendment.log.value = in.u64();
    amendment.last = in.varint();
    if (!amendment.log.agreed()) amendment.sum = Number::decode(in);
    if (amendment.log <= before || amendment.last == 0) in.fail();
    before = amendment.log;
  }
}

void decode_version(Decoder& in, Version& version) {
  const uint8_t flags = in.u8();
  if ((flags & ~(kAdditive | kAmended)) != 0) in.fail();
  version.additive = (flags & kAdditive) != 0;
  version.dot.log.value = in.u64();
  version.dot.number = in.varint();
  version.hlc.value = in.u64();
  version.value = in.bytes();
  version.amendments.clear();
  if ((flags & kAmended) != 0) decode_amendments(in, version);
  if (version.dot.log == LogId() || version.dot.number == 0) in.fail();
}

}  // namespace

void encode_versions(const Versions& versions, Encoder& out) {
  out.varint(versions.size());
  for (const Version& version : versions) encode_version(version, out);
}

bool decode_versions(Decoder& in, Versions& out) {
  out.clear();
  Dot before;
  for (uint64_t left = in.varint(); left != 0 && in.ok(); --left) {
    Version& version = out.emplace_back();
    decode_version(in, version);
    if (version.dot <= before) in.fail();
    before = version.dot;
  }
  return in.ok();
}

}  // namespace capstan
