// Rules that a test can switch off, to show that the tests would notice (model_test.cc). Only the library's test
// variant (capstan-quorum-testing) has the switch; elsewhere every question is a constant "no" and compiles to nothing.
#pragma once

namespace capstan {

enum class Mutant {
  kNone,
  kNoNetEffect,              // a record lists every command's mutations instead of their net effect
  kAppliedBeforeContext,     // a record is applied before its context (rule 1)
  kLateTtl,                  // a TTL that had passed before a version was stamped expires the key
  kReplayAmendmentTwice,     // while replaying, amendments that a version already has are added again
  kRemoveIgnoresContext,     // a remove takes what it has not seen
  kPutKeepsCovered,          // a put leaves the versions that it has seen
  kPutDropsConcurrent,       // a put takes the versions that it has not seen
  kContributionOfAgreed,     // R's additions count as a contribution besides changing the value
  kOlderAdditiveCounts,      // an additive version older than the plain winner is added to it
  kDigestWithoutAmendments,  // a key's digest forgets its versions' amendments
  kOverAsContext,            // put … over removes what the context covers
  // Rules that belong to those who use the library; the tests' world stands in for them.
  kSingleKeyRepair,      // the joined answer of an R-read is stored
  kReuseWriterIdentity,  // a writer that lost its tail goes on under its identity
  kNoTtlRepeat,          // a put into a key that has a TTL does not put the TTL again
  kRebuildAtMaximum,     // a rebuilt replica takes the maximum of the pieces' clocks as applied
  kRebuildFromMinimum,   // its journal begins at their minimum, above settled
  kRebuildAnySource,     // it rebuilds from one that lacks what it has cut itself
  kServeWhileRebuilding,
  kFlushWithoutSync,     // a flushed state covers what the journal may lose
  kCutAboveSettled,      // records are cut that no majority need have
  kHintWithoutContext,   // a hint counts though its holder lacks its causes
  kNoGate,               // a follower takes a record of R without its context
  kReadUnsettled,        // a STRONG read of keys that unsettled records touched carries no record
  kNewLeaderSettlesHeld  // a leader's first record settles what it holds, applied or not
};

#ifdef CAPSTAN_TESTING
bool mutant(Mutant which);
void set_mutant(Mutant which);
#else
constexpr bool mutant(Mutant) { return false; }
#endif

}  // namespace capstan
