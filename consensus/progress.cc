#include "consensus/progress.h"

#include <algorithm>

#include "base/check.h"

namespace capstan::consensus {

void Progress::entries_sent(Index last, uint64_t bytes, Round round, Time now) {
  CHECK(state_ == State::kReplicate && last >= next_);
  in_flight_.push_back({last, bytes, round});
  bytes_in_flight_ += bytes;
  next_ = last + 1;
  sent_at_ = now;
}

void Progress::heard(Round round, Time promised, Time now) {
  if (round >= answered_) {
    answered_ = round;
    promised_ = promised;
  }
  heard_at_ = std::max(heard_at_, now);
}

void Progress::accepted(Index match, Index received, Round round, Round ordered) {
  match_ = std::max(match_, match);
  const Index known = std::max(received, match_);
  switch (state_) {
    case State::kRebuild:
      probe_from(known + 1);
      break;
    case State::kProbe:
      // Of what it has durably it may not know yet that it is the leader's: it has started anew.
      if (received + 1 >= next_) {
        state_ = State::kReplicate;
        next_ = known + 1;
        probed_in_ = 0;
      } else if (probed_in_ != 0 && round > probed_in_) {
        probed_in_ = 0;  // the probe, or its rejection, was lost
      }
      break;
    case State::kReplicate: {
      drop_answered(received);
      // Or it had them in memory, and has started anew.
      const bool lost = in_flight_.empty() ? received + 1 < next_ : in_flight_.front().round < ordered;
      if (lost || received < match_) {
        probe_from(known + 1);
      } else {
        bytes_ = std::min(bytes_ * 2, window_.max);
      }
      break;
    }
  }
}

void Progress::gated(Index match, Index received) {
  match_ = std::max(match_, match);
  probe_from(std::max(received, match_) + 1);
  probed_in_ = std::max<Round>(answered_, 1);  // after a later round
}

bool Progress::rejected(Index previous, Index agreed) {
  if (previous <= match_ || state_ == State::kRebuild) return false;
  if (state_ == State::kProbe && previous + 1 != next_) return false;
  probe_from(std::max(std::min(agreed, previous - 1), match_) + 1);
  return true;
}

void Progress::rebuilds() {
  probe_from(match_ + 1);
  state_ = State::kRebuild;
}

void Progress::probe_from(Index next) {
  state_ = State::kProbe;
  next_ = next;
  probed_in_ = 0;
  in_flight_.clear();
  bytes_in_flight_ = 0;
  bytes_ = window_.first;
}

void Progress::drop_answered(Index received) {
  while (!in_flight_.empty() && in_flight_.front().last <= received) {
    bytes_in_flight_ -= in_flight_.front().bytes;
    in_flight_.pop_front();
  }
}

}  // namespace capstan::consensus
