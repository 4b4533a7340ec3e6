// An event loop for tests: turned until something has happened, with a deadline and no sleeps.
#pragma once

#include <event2/event.h>

#include <chrono>
#include <functional>

#include "base/check.h"

namespace capstan::cluster {

class TestLoop {
 public:
  TestLoop() : base_(event_base_new()), tick_(event_new(base_, -1, EV_PERSIST, &TestLoop::nothing, nullptr)) {
    // So that a turn ends, and the condition is looked at, though nothing happens.
    const timeval interval{0, 5000};
    CHECK(event_add(tick_, &interval) == 0);
  }
  ~TestLoop() {
    event_free(tick_);
    event_base_free(base_);
  }
  TestLoop(const TestLoop&) = delete;
  TestLoop& operator=(const TestLoop&) = delete;

  event_base* base() { return base_; }
  // Called after every turn.
  void after_turn(std::function<void()> then) { after_turn_ = std::move(then); }

  void turn() {
    event_base_loop(base_, EVLOOP_ONCE);
    if (after_turn_) after_turn_();
  }
  // False: it has not become true in time.
  [[nodiscard]] bool until(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      turn();
    }
    return true;
  }

 private:
  static void nothing(evutil_socket_t, short, void*) {}

  event_base* base_;
  event* tick_;
  std::function<void()> after_turn_;
};

}  // namespace capstan::cluster
