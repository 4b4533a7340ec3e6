// What a leader knows of one peer: how far its log goes, and what is on its way to it (thesis §3.5; pipelining
// §10.2.1). Belongs to the group.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>

#include "consensus/types.h"

namespace capstan::consensus {

class Progress {
 public:
  enum class State : uint8_t {
    kProbe,      // where the logs agree is not known: one message without entries, then the answer is awaited
    kReplicate,  // entries are sent as they come, before earlier ones are answered
    kRebuild,    // it acknowledges nothing until its state was rebuilt; it gets heartbeats
  };
  // How much may be on its way unanswered. It begins with one message and doubles with every answer, so that little is
  // sent in vain to a peer that cannot take it.
  struct Window {
    uint64_t first;
    uint64_t max;
  };

  // Probes before `next`.
  Progress(Window window, Index next, Time now) : window_(window), next_(next), heard_at_(now), bytes_(window.first) {}

  State state() const { return state_; }
  Index match() const { return match_; }  // durably there
  Index next() const { return next_; }    // the first that was not sent; of a probe: where the logs may agree before
  Round answered() const { return answered_; }
  Time promised() const { return promised_; }  // with `answered`
  Time heard_at() const { return heard_at_; }
  Time sent_at() const { return sent_at_; }  // when entries were, last
  bool in_flight() const { return !in_flight_.empty(); }

  // Entries have been on their way for so long that a message behind them should find out whether they came.
  bool wants_check(Time now, Time after) const { return in_flight() && now >= std::max(sent_at_, checked_at_) + after; }
  void check_sent(Time now) { checked_at_ = now; }
  // A probe is due.
  bool wants_probe() const { return state_ == State::kProbe && probed_in_ == 0; }
  // Entries may be sent now.
  bool wants_entries() const { return state_ == State::kReplicate && bytes_in_flight_ < bytes_; }

  void probe_sent(Round round) { probed_in_ = round; }
  void entries_sent(Index last, uint64_t bytes, Round round, Time now);

  // Any answer of this term: it votes for nobody else for so long after that round came.
  void heard(Round round, Time promised, Time now);
  // As of that round it has everything up to match durably and up to `received` in memory; of what was sent in order,
  // what came before the round `ordered` has come. Answers come in the order of their messages or late; late ones cost
  // a message, never more.
  void accepted(Index match, Index received, Round round, Round ordered);
  // It cannot take what comes next, until a later answer says nothing of that.
  void gated(Index match, Index received);
  // Its log differs before `previous` + 1, but may agree up to `agreed`. False for an answer that is out of date.
  bool rejected(Index previous, Index agreed);
  void rebuilds();
  // The connection was lost, and with it perhaps what was on its way.
  void restart() { probe_from(match_ + 1); }

 private:
  struct InFlight {
    Index last;
    uint64_t bytes;
    Round round;
  };

  void probe_from(Index next);
  void drop_answered(Index received);

  Window window_;
  State state_ = State::kProbe;
  Index match_ = 0;
  Index next_;
  Round answered_ = 0;
  Time promised_ = 0;
  Time heard_at_;
  Time sent_at_ = 0;
  Time checked_at_ = 0;
  Round probed_in_ = 0;  // the round of the probe that is not answered yet; 0: none
  std::deque<InFlight> in_flight_;
  uint64_t bytes_in_flight_ = 0;
  uint64_t bytes_;  // the window now
};

}  // namespace capstan::consensus
