// Rules that a test can switch off, to show that the simulator would notice (simulation_test.cc). Only the library's
// test variant (capstan-consensus-testing) has the switch; elsewhere every question is a constant "no" and compiles to
// nothing.
#pragma once

namespace capstan::consensus {

enum class Mutant {
  kNone,
  kCommitConfirmsRead,        // a read is released when what it saw has committed, whoever leads
  kReadBeforeFirstCommit,     // a new leader reads before an entry of its own term is committed
  kVoteBeforeLeaseEnd,        // a promise to a leader binds nobody
  kVoteAfterRestart,          // nobody waits after a restart for promises that he has forgotten
  kLeaseFromAnswer,           // a lease counts from the answers, not from what they answer
  kLeaseSurvivesTransfer,     // a leader that asked its successor to campaign still has its lease
  kVoteTwice,                 // for two candidates in one term
  kVoteForShorterLog,         // for a candidate that lacks entries
  kVoteBeforeDurable,         // a vote is told before it is durable
  kAcknowledgeBeforeDurable,  // a follower's copy counts before it is durable
  kOwnCopyBeforeDurable,      // a leader's copy does
  kCountOlderTerms,           // entries of older terms commit by being counted
  kCommitBeyondVerified,      // what a follower has behind the leader's entries counts as committed, too
  kTruncateBehind,            // an append cuts off what follows its entries
  kIncomingMajorityAlone,     // in a joint configuration the old voters are not asked
  kLearnEntrysTerm,           // with a learned prefix comes its entries' term, not its sender's
  kRebuiltKeepsTerm,          // a rebuild does not bring its source's term
  kNoGate,                    // a record is taken without its context
  // The simulator's own.
  kSameVoterAfterLostDisk,  // a replica that lost its disk votes on under its identity
};

#ifdef CAPSTAN_TESTING
bool mutant(Mutant which);
void set_mutant(Mutant which);
#else
constexpr bool mutant(Mutant) { return false; }
#endif

}  // namespace capstan::consensus
