#include "lmdb-store/read_pool.h"

#include <atomic>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "lmdb-store/memory_store.h"

namespace capstan::lmdb_store {

namespace {

// A worker's end: waits to be woken, as an event loop would.
class Worker {
 public:
  Worker() : completions([this] { wake(); }) {}

  // Drains until `condition` holds; false after ten seconds.
  template <typename Condition>
  bool work_until(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition()) {
      {
        std::unique_lock lock(mutex_);
        if (!woken_changed_.wait_until(lock, deadline, [this] { return woken_; })) return false;
        woken_ = false;
      }
      completions.drain();
    }
    return true;
  }
  uint64_t wakes() const { return wakes_; }

  Completions completions;

 private:
  void wake() {
    std::lock_guard lock(mutex_);
    woken_ = true;
    ++wakes_;
    woken_changed_.notify_one();
  }
  std::mutex mutex_;
  std::condition_variable woken_changed_;
  bool woken_ = false;
  std::atomic<uint64_t> wakes_{0};
};

// Holds jobs back until it is opened.
class Barrier {
 public:
  void open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

void put(Store& store, std::string_view key, std::string_view value) {
  auto batch = store.write();
  BOOST_REQUIRE((*batch)->put(Table::kKeys, key, value).ok());
  BOOST_REQUIRE((*batch)->commit().ok());
}

// Whose reads fail.
class BrokenStore final : public Store {
 public:
  Result<std::unique_ptr<ReadView>> read() override { return Error{ErrorCode::kIo, "broken"}; }
  Result<std::unique_ptr<WriteBatch>> write(uint64_t) override { return Error{ErrorCode::kIo, "broken"}; }
  bool needs_growth() const override { return false; }
  uint64_t size_bytes() const override { return 0; }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(read_pool_test)

BOOST_AUTO_TEST_CASE(a_job_reads_elsewhere_and_is_done_here) {
  MemoryStore store;
  put(store, "a", "1");
  Worker worker;
  ReadPool pool;
  auto value = std::make_unique<std::string>();
  std::string* const read = value.get();
  std::thread::id read_on, done_on;
  std::string answer;
  BOOST_REQUIRE(pool.submit(
      store,
      [read, &read_on](ReadView& view) {
        *read = *view.get(Table::kKeys, "a");
        read_on = std::this_thread::get_id();
      },
      worker.completions,
      [value = std::move(value), &done_on, &answer](Result<> result) {
        if (result.ok()) answer = *value;
        done_on = std::this_thread::get_id();
      }));
  BOOST_REQUIRE(worker.work_until([&] { return !answer.empty(); }));
  BOOST_TEST(answer == "1");
  BOOST_TEST((done_on == std::this_thread::get_id()));
  BOOST_TEST((read_on != std::this_thread::get_id()));
  BOOST_TEST(worker.completions.outstanding() == 0u);
}

BOOST_AUTO_TEST_CASE(a_store_that_cannot_be_read_is_an_error) {
  BrokenStore store;
  Worker worker;
  ReadPool pool(1);
  bool ran = false, failed = false;
  BOOST_REQUIRE(pool.submit(
      store, [&](ReadView&) { ran = true; }, worker.completions,
      [&](Result<> result) { failed = !result.ok() && result.error().code == ErrorCode::kIo; }));
  BOOST_REQUIRE(worker.work_until([&] { return failed; }));
  BOOST_TEST(!ran);
}

BOOST_AUTO_TEST_CASE(a_full_queue_refuses_and_recovers) {
  MemoryStore store;
  Worker worker;
  Barrier barrier;
  size_t accepted = 0, done = 0;
  {
    ReadPool pool(1, 10);
    const auto submit = [&] {
      const bool taken = pool.submit(
          store, [&](ReadView&) { barrier.pass(); }, worker.completions, [&](Result<>) { ++done; });
      accepted += taken;
      return taken;
    };
    while (submit()) BOOST_REQUIRE(accepted < 20);
    // Ten wait, and the thread may have taken one.
    BOOST_TEST((accepted == 10 || accepted == 11));
    BOOST_TEST(worker.completions.outstanding() == accepted);
    barrier.open();
    BOOST_REQUIRE(worker.work_until([&] { return done == accepted; }));
    BOOST_TEST(submit());
  }
  worker.completions.drain();
  BOOST_TEST(done == accepted);
}

BOOST_AUTO_TEST_CASE(the_worker_is_woken_once_per_batch) {
  MemoryStore store;
  Worker worker;
  size_t done = 0;
  {
    ReadPool pool;
    for (int i = 0; i < 100; ++i) {
      BOOST_REQUIRE(pool.submit(
          store, [](ReadView&) {}, worker.completions, [&](Result<>) { ++done; }));
    }
  }
  BOOST_TEST(worker.wakes() == 1u);
  BOOST_TEST(worker.completions.drain() == 100u);
  BOOST_TEST(done == 100u);
  BOOST_TEST(worker.completions.drain() == 0u);
}

BOOST_AUTO_TEST_CASE(the_end_of_the_pool_runs_what_waits) {
  MemoryStore store;
  Worker worker;
  Barrier barrier;
  std::atomic<int> ran{0};
  int done = 0;
  {
    ReadPool pool(2);
    for (int i = 0; i < 50; ++i) {
      BOOST_REQUIRE(pool.submit(
          store,
          [&](ReadView&) {
            barrier.pass();
            ++ran;
          },
          worker.completions, [&](Result<>) { ++done; }));
    }
    barrier.open();
  }
  BOOST_TEST(ran == 50);
  worker.completions.drain();
  BOOST_TEST(done == 50);
}

BOOST_AUTO_TEST_CASE(callbacks_may_submit_again) {
  MemoryStore store;
  put(store, "counter", "x");
  Worker worker;
  ReadPool pool;
  int rounds = 0;
  std::function<void()> again = [&] {
    BOOST_REQUIRE(pool.submit(
        store, [](ReadView& view) { (void)view.get(Table::kKeys, "counter"); }, worker.completions,
        [&](Result<>) {
          if (++rounds < 100) again();
        }));
  };
  again();
  BOOST_TEST(worker.work_until([&] { return rounds == 100; }));
}

BOOST_AUTO_TEST_CASE(many_workers_share_a_pool) {
  constexpr int kWorkers = 3, kJobs = 2000;
  MemoryStore store;
  put(store, "a", "1");
  ReadPool pool(4, 64);
  std::atomic<int> finished{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kWorkers; ++i) {
    threads.emplace_back([&] {
      Worker worker;
      int submitted = 0, done = 0, right = 0;
      const bool in_time = worker.work_until([&] {
        while (submitted < kJobs) {
          auto found = std::make_shared<bool>(false);
          if (!pool.submit(
                  store, [found](ReadView& view) { *found = view.get(Table::kKeys, "a") == "1"; }, worker.completions,
                  [&, found](Result<>) {
                    ++done;
                    right += *found;
                  })) {
            // Others' jobs may fill the queue: then nothing of ours wakes us.
            if (submitted > done) break;
            std::this_thread::yield();
            continue;
          }
          ++submitted;
        }
        return done == kJobs;
      });
      if (in_time && right == kJobs) ++finished;
    });
  }
  for (std::thread& thread : threads) thread.join();
  BOOST_TEST(finished == kWorkers);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::lmdb_store
