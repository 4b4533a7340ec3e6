#include "quorum/join.h"

#include <algorithm>

#include "base/check.h"
#include "quorum/element_value.h"
#include "quorum/mutant.h"

namespace capstan {

namespace {

constexpr auto kByDot = [](const Version& version, const Dot& dot) { return version.dot < dot; };
constexpr auto kByLog = [](const Amendment& amendment, LogId log) { return amendment.log < log; };

Version* find_version(Versions& versions, const Dot& dot) {
  auto at = std::lower_bound(versions.begin(), versions.end(), dot, kByDot);
  return at != versions.end() && at->dot == dot ? &*at : nullptr;
}

// Rule 2, first half: does this put take that version away?
bool replaces(const ElementEffect& put, const RecordHead& head, const Dot& dot) {
  if (put.has_over && !mutant(Mutant::kOverAsContext)) {
    return std::find(put.over.begin(), put.over.end(), dot) != put.over.end();
  }
  if (mutant(Mutant::kPutKeepsCovered)) return false;
  if (mutant(Mutant::kPutDropsConcurrent)) return true;
  return head.context.covers(dot);
}

void become_put(Version& version, const ElementEffect& put, const RecordHead& head) {
  version.dot = head.dot;
  version.hlc = put.stamp.value_or(head.hlc);
  version.additive = put.additive;
  version.value.assign(put.value);
  version.amendments.clear();
}

bool join_put(Versions& versions, const ElementEffect& put, const RecordHead& head) {
  // The usual case keeps the version's memory: the only version there is gives way.
  if (versions.size() == 1 && versions[0].dot != head.dot && replaces(put, head, versions[0].dot)) {
    become_put(versions[0], put, head);
    return true;
  }
  const auto gone = std::remove_if(versions.begin(), versions.end(),
                                   [&](const Version& version) { return replaces(put, head, version.dot); });
  bool changed = gone != versions.end();
  versions.erase(gone, versions.end());
  const auto at = std::lower_bound(versions.begin(), versions.end(), head.dot, kByDot);
  if (at == versions.end() || at->dot != head.dot) {
    become_put(*versions.emplace(at), put, head);
    changed = true;
  }
  return changed;
}

// Rule 4.
bool join_amend(Versions& versions, const ElementEffect& amend, const RecordHead& head, Replay replay) {
  Version* const version = find_version(versions, amend.anchor);
  if (version == nullptr) return false;  // the SET or DEL that replaced it counts as having come after
  auto& amendments = version->amendments;
  auto at = std::lower_bound(amendments.begin(), amendments.end(), head.dot.log, kByLog);
  if (at == amendments.end() || at->log != head.dot.log) at = amendments.insert(at, Amendment{head.dot.log, 0, {}});
  if (head.dot.number <= at->last && !mutant(Mutant::kReplayAmendmentTwice)) {
    CHECK(replay == Replay::kYes, "an amendment came twice");
    return false;
  }
  at->last = head.dot.number;
  const bool agreed = head.dot.log.agreed();
  if (amend.action == ElementEffect::Action::kSplice) {
    CHECK(agreed, "a splice of a writer's log");
    splice(version->value, amend.offset, amend.value);
    return true;
  }
  if (agreed) add_in_place(amend.kind, version->value, amend.addend);
  if (!agreed || mutant(Mutant::kContributionOfAgreed)) at->sum = at->sum + amend.addend;
  return true;
}

// Both have a version of this dot: of each log's amendments the later, and the value that R amended last.
Version join_amendments(const Version& a, const Version& b) {
  Version out = a;
  bool newer_value = false;
  for (const Amendment& theirs : b.amendments) {
    auto at = std::lower_bound(out.amendments.begin(), out.amendments.end(), theirs.log, kByLog);
    if (at == out.amendments.end() || at->log != theirs.log) {
      out.amendments.insert(at, theirs);
    } else if (at->last < theirs.last) {
      *at = theirs;
    } else {
      continue;
    }
    newer_value |= theirs.log.agreed();
  }
  if (newer_value) out.value = b.value;
  return out;
}

}  // namespace

bool join_element(Versions& versions, const ElementEffect& effect, const RecordHead& head, Replay replay) {
  switch (effect.action) {
    case ElementEffect::Action::kPut:
      return join_put(versions, effect, head);
    case ElementEffect::Action::kRemove:
      return join_removal(versions, head.context);
    case ElementEffect::Action::kAdd:
    case ElementEffect::Action::kSplice:
      return join_amend(versions, effect, head, replay);
  }
  CHECK(false, "an effect of no kind");
}

bool join_removal(Versions& versions, const Clock& context) {
  const auto gone = std::remove_if(versions.begin(), versions.end(), [&](const Version& version) {
    return context.covers(version.dot) || mutant(Mutant::kRemoveIgnoresContext);
  });
  const bool changed = gone != versions.end();
  versions.erase(gone, versions.end());
  return changed;
}

Versions join_answers(const Versions& a, const Clock& a_clock, const Versions& b, const Clock& b_clock) {
  Versions out;
  auto x = a.begin();
  auto y = b.begin();
  while (x != a.end() || y != b.end()) {
    if (y == b.end() || (x != a.end() && x->dot < y->dot)) {
      if (!b_clock.covers(x->dot)) out.push_back(*x);
      ++x;
    } else if (x == a.end() || y->dot < x->dot) {
      if (!a_clock.covers(y->dot)) out.push_back(*y);
      ++y;
    } else {
      out.push_back(join_amendments(*x++, *y++));
    }
  }
  return out;
}

void splice(std::string& value, uint64_t offset, std::string_view bytes) {
  if (value.size() < offset) value.resize(offset);
  value.replace(offset, bytes.size(), bytes);
}

}  // namespace capstan
