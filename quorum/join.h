// The join of one element (model, "Join", rules 2–4): the only way state changes. Pure functions over Versions; the
// caller decides which element, in which order (rule 1), and stores the outcome. Commutative, associative and
// idempotent over every delivery that rule 1 admits.
#pragma once

#include "quorum/record.h"
#include "quorum/version.h"

namespace capstan {

// While a replica replays records over a state that may already hold some of their effects (after a rebuild, or after a
// crash during a flush), amendments that a version already has are skipped. Else one that comes twice is a CHECK.
enum class Replay : bool { kNo, kYes };

// What every effect of a record has in common.
struct RecordHead {
  Dot dot;
  Hlc hlc;
  const Clock& context;
};

// put, remove, add or splice. True if versions changed.
bool join_element(Versions& versions, const ElementEffect& effect, const RecordHead& head, Replay replay);
// remove(key) and clear(db), for each element of the key: drops what the context covers. True if versions changed.
bool join_removal(Versions& versions, const Clock& context);

// The join of two replicas' versions of one element under their clocks, for the *answer* to a read of R replicas; never
// stored. A version in only one is kept exactly when the other's clock does not cover its dot; of one log's
// contribution the later is kept.
Versions join_answers(const Versions& a, const Clock& a_clock, const Versions& b, const Clock& b_clock);

// splice: value with bytes written at offset, padded with zero bytes up to there.
void splice(std::string& value, uint64_t offset, std::string_view bytes);

}  // namespace capstan
