// Versions of an element, and what is read from them (model, "Words", "Join", "Resolution").
#pragma once

#include <absl/container/inlined_vector.h>

#include <string>
#include <string_view>

#include "base/hlc.h"
#include "quorum/clock.h"
#include "quorum/number.h"
#include "quorum/record.h"

namespace capstan {

// What one log did to a version: the number of its last amendment and, for a writer's log, the sum of its additions
// (its contribution). R's amendments are in the value itself; for R the sum stays zero.
struct Amendment {
  LogId log;
  uint64_t last = 0;
  Number sum;
  bool operator==(const Amendment&) const = default;
};

struct Version {
  Dot dot;
  Hlc hlc;
  bool additive = false;
  std::string value;
  absl::InlinedVector<Amendment, 1> amendments;  // sorted by log
  bool operator==(const Version&) const = default;
};

// Sorted by dot, so that equal sets are equal sequences. Usually one; two or more are siblings.
using Versions = absl::InlinedVector<Version, 1>;

// Index of the version that is shown: plain before additive, then the highest stamp, then the highest dot (policy lww).
// Precondition: not empty.
size_t winner(const Versions& versions);
// The value read: the winner, its contributions, then the additive versions that count (all if the winner is additive,
// else those newer than it), in order of log (model, "Join", after rule 5). A view into the winner when nothing is
// added, else into scratch. Empty optional if there are no versions. The kind tells how numbers are added.
std::optional<std::string_view> value_of(const Versions& versions, std::string& scratch,
                                         ElementKind kind = ElementKind::kString);
// The same with the version at `chosen` in the winner's place, as another policy would have it (resolve.h).
std::string_view value_with(const Versions& versions, size_t chosen, std::string& scratch, ElementKind kind);
// One version, plain and without contributions (R's amendments are none): what a splice at STRONG needs.
bool is_simple(const Versions& versions);

// Whether an add of that log to the winner changes the value read by exactly addend, where value + addend itself does
// not overflow. Integers saturate one by one, so that with contributions of other writers it may not; the caller then
// puts the sum. Floats are added as they come: always true. Precondition: not empty.
bool adds_exactly(const Versions& versions, LogId log, const Number& addend, ElementKind kind = ElementKind::kString);

// The part that one version adds to its key's digest; key_hash = hash64(key). Additive over versions (a sum mod 2^64).
// Covers the element, the dot and each log's last amendment; value and sums are what these name.
uint64_t version_digest(uint64_t key_hash, ElementKind kind, std::string_view id, const Version& version);
// The same from its parts, for rows that keep a single version in a compact form: a version without amendments
// (own_last = 0), or amended by the log of its own dot alone, last with number own_last. Equal to the above by
// construction (a test compares them). One that any other log amended, be it an earlier or a later identity of R, does
// not fit this form.
uint64_t plain_digest(uint64_t key_hash, ElementKind kind, std::string_view id, Dot dot, uint64_t own_last);

void encode_versions(const Versions& versions, Encoder& out);
bool decode_versions(Decoder& in, Versions& out);

}  // namespace capstan
