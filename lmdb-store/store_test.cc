// What store.h promises, of both implementations; then what is LMDB's alone.
#include "lmdb-store/store.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <boost/mpl/list.hpp>
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <map>
#include <thread>
#include <vector>

#include "base/random.h"
#include "lmdb-store/lmdb_environment.h"
#include "lmdb-store/memory_store.h"

namespace capstan::lmdb_store {

namespace {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "store_test.XXXXXX").string();
    BOOST_REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path = pattern;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() { std::filesystem::remove_all(path); }
  std::string path;
};

std::unique_ptr<LmdbEnvironment> open_environment(const std::string& directory,
                                                  const LmdbEnvironment::Options& options = {}) {
  auto environment = LmdbEnvironment::open(directory, options);
  if (!environment.ok()) BOOST_FAIL(environment.error().message);
  return std::move(*environment);
}

struct OnDisk {
  TemporaryDirectory directory;
  std::unique_ptr<Store> store = open_environment(directory.path);
};
struct InMemory {
  std::unique_ptr<Store> store = std::make_unique<MemoryStore>();
};
using Stores = boost::mpl::list<OnDisk, InMemory>;

using Entries = std::map<std::string, std::string>;

std::unique_ptr<ReadView> view_of(Store& store) {
  auto view = store.read();
  BOOST_REQUIRE(view.ok());
  return std::move(*view);
}

std::unique_ptr<WriteBatch> batch_of(Store& store, uint64_t expected_bytes = 0) {
  auto batch = store.write(expected_bytes);
  BOOST_REQUIRE(batch.ok());
  return std::move(*batch);
}

void put_all(Store& store, Table table, const Entries& entries) {
  auto batch = batch_of(store);
  for (const auto& [key, value] : entries) BOOST_REQUIRE(batch->put(table, key, value).ok());
  BOOST_REQUIRE(batch->commit().ok());
}

Entries all_of(ReadView& view, Table table) {
  Entries entries;
  auto cursor = view.cursor(table);
  for (bool more = cursor->seek(""); more; more = cursor->next()) entries.emplace(cursor->key(), cursor->value());
  return entries;
}

// All but the rows that a store keeps for itself.
Entries rows_of(Store& store, Table table) { return all_of(*view_of(store), table); }

std::string numbered(uint64_t number) {
  std::string digits = std::to_string(number);
  return std::string(12 - digits.size(), '0') + digits;
}

bool has(ReadView& view, Table table, std::string_view key, std::string_view value) {
  return view.get(table, key) == std::optional<std::string_view>(value);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(store_test)

BOOST_AUTO_TEST_CASE_TEMPLATE(what_was_committed_is_there, Kind, Stores) {
  Kind kind;
  put_all(*kind.store, Table::kKeys, {{"a", "1"}, {"b", ""}, {"c", std::string(100'000, 'x')}});
  auto view = view_of(*kind.store);
  BOOST_TEST(has(*view, Table::kKeys, "a", "1"));
  BOOST_TEST(has(*view, Table::kKeys, "b", ""));
  BOOST_TEST(has(*view, Table::kKeys, "c", std::string(100'000, 'x')));
  BOOST_TEST(!view->get(Table::kKeys, "d").has_value());
  BOOST_TEST(!view->get(Table::kElements, "a").has_value());
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_batch_sees_its_own_changes_and_nobody_else_does, Kind, Stores) {
  Kind kind;
  put_all(*kind.store, Table::kKeys, {{"a", "old"}, {"b", "old"}});
  auto batch = batch_of(*kind.store);
  BOOST_REQUIRE(batch->put(Table::kKeys, "a", "new").ok());
  BOOST_REQUIRE(batch->erase(Table::kKeys, "b").ok());
  BOOST_REQUIRE(batch->erase(Table::kKeys, "nothing").ok());
  BOOST_REQUIRE(batch->put(Table::kKeys, "c", "new").ok());
  BOOST_TEST(has(*batch, Table::kKeys, "a", "new"));
  BOOST_TEST(!batch->get(Table::kKeys, "b").has_value());
  BOOST_TEST((all_of(*batch, Table::kKeys) == Entries{{"a", "new"}, {"c", "new"}}));
  BOOST_TEST((rows_of(*kind.store, Table::kKeys) == Entries{{"a", "old"}, {"b", "old"}}));
  BOOST_REQUIRE(batch->commit().ok());
  BOOST_TEST((rows_of(*kind.store, Table::kKeys) == Entries{{"a", "new"}, {"c", "new"}}));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_dropped_batch_leaves_nothing, Kind, Stores) {
  Kind kind;
  put_all(*kind.store, Table::kSlots, {{"a", "1"}});
  {
    auto batch = batch_of(*kind.store);
    BOOST_REQUIRE(batch->put(Table::kSlots, "a", "2").ok());
    BOOST_REQUIRE(batch->put(Table::kSlots, "b", "2").ok());
  }
  BOOST_TEST((rows_of(*kind.store, Table::kSlots) == Entries{{"a", "1"}}));
  put_all(*kind.store, Table::kSlots, {{"c", "3"}});
  BOOST_TEST((rows_of(*kind.store, Table::kSlots) == Entries{{"a", "1"}, {"c", "3"}}));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_view_keeps_seeing_one_state, Kind, Stores) {
  Kind kind;
  put_all(*kind.store, Table::kKeys, {{"a", "1"}});
  auto before = view_of(*kind.store);
  for (int round = 2; round < 6; ++round) {
    put_all(*kind.store, Table::kKeys, {{"a", std::to_string(round)}, {"b", "1"}});
    BOOST_TEST(has(*before, Table::kKeys, "a", "1"));
    BOOST_TEST(!before->get(Table::kKeys, "b").has_value());
  }
  BOOST_TEST((all_of(*before, Table::kKeys) == Entries{{"a", "1"}}));
  BOOST_TEST((rows_of(*kind.store, Table::kKeys) == Entries{{"a", "5"}, {"b", "1"}}));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(cursors_go_both_ways_in_byte_order, Kind, Stores) {
  Kind kind;
  const std::string high = "\xff", zero("a\0", 2);
  put_all(*kind.store, Table::kExpiry, {{"a", "1"}, {zero, "2"}, {"ab", "3"}, {"b", "4"}, {high, "5"}});
  auto view = view_of(*kind.store);
  auto cursor = view->cursor(Table::kExpiry);
  std::vector<std::string> keys;
  for (bool more = cursor->seek(""); more; more = cursor->next()) keys.emplace_back(cursor->key());
  BOOST_TEST((keys == std::vector<std::string>{"a", zero, "ab", "b", high}));
  keys.clear();
  for (bool more = cursor->last(); more; more = cursor->previous()) keys.emplace_back(cursor->key());
  BOOST_TEST((keys == std::vector<std::string>{high, "b", "ab", zero, "a"}));

  BOOST_REQUIRE(cursor->seek("aa"));
  BOOST_TEST((cursor->key() == "ab"));
  BOOST_TEST((cursor->value() == "3"));
  BOOST_REQUIRE(cursor->previous());
  BOOST_TEST((cursor->key() == zero));
  BOOST_REQUIRE(cursor->next());
  BOOST_TEST((cursor->key() == "ab"));
  BOOST_TEST(!cursor->seek("\xff\x01"));
  BOOST_TEST(!view->cursor(Table::kKeys)->seek(""));
  BOOST_TEST(!view->cursor(Table::kKeys)->last());
}

BOOST_AUTO_TEST_CASE_TEMPLATE(reserved_room_is_the_value, Kind, Stores) {
  constexpr size_t kLargest = size_t{64} << 20;
  Kind kind;
  auto batch = batch_of(*kind.store, 2 * kLargest);
  for (const size_t size : {size_t{0}, size_t{1}, size_t{100}, size_t{2000}, size_t{70'000}}) {
    // Also over what was there, larger and smaller.
    for (const size_t previous : {size / 2, size * 2, size}) {
      BOOST_REQUIRE(batch->put(Table::kKeys, numbered(size), std::string(previous, 'p')).ok());
      Result<char*> room = batch->reserve(Table::kKeys, numbered(size), size);
      BOOST_REQUIRE(room.ok());
      std::fill_n(*room, size, 'r');
      BOOST_TEST(has(*batch, Table::kKeys, numbered(size), std::string(size, 'r')));
    }
  }
  BOOST_REQUIRE(batch->put(Table::kKeys, numbered(kLargest), std::string(kLargest, 'r')).ok());
  BOOST_REQUIRE(batch->commit().ok());
  auto view = view_of(*kind.store);
  for (const size_t size : {size_t{0}, size_t{1}, size_t{100}, size_t{2000}, size_t{70'000}, kLargest}) {
    BOOST_TEST(has(*view, Table::kKeys, numbered(size), std::string(size, 'r')));
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(keys_have_up_to_511_bytes, Kind, Stores) {
  Kind kind;
  put_all(*kind.store, Table::kKeys, {{std::string(1, '\0'), "1"}, {std::string(kMaxKeyBytes, 'k'), "2"}});
  BOOST_TEST(has(*view_of(*kind.store), Table::kKeys, std::string(kMaxKeyBytes, 'k'), "2"));
  BOOST_TEST(!view_of(*kind.store)->get(Table::kKeys, std::string(kMaxKeyBytes + 1, 'k')).has_value());
}

// Random changes in sorted and unsorted order, against a std::map.
BOOST_AUTO_TEST_CASE_TEMPLATE(random_batches_agree_with_a_map, Kind, Stores) {
  constexpr uint64_t kSeed = 20'250'101;
  BOOST_TEST_CONTEXT("seed " << kSeed) {
    Kind kind;
    Random random(kSeed);
    Entries expected;
    for (int round = 0; round < 60; ++round) {
      Entries changed = expected;
      auto batch = batch_of(*kind.store);
      const bool sorted = random.chance(0.5);
      uint64_t number = random.below(1000);
      for (uint64_t left = random.below(400); left > 0; --left) {
        number = sorted ? number + random.below(20) : random.below(4000);
        const std::string key = numbered(number);
        if (random.chance(0.3)) {
          BOOST_REQUIRE(batch->erase(Table::kKeys, key).ok());
          changed.erase(key);
        } else {
          if (random.chance(0.5)) {
            const auto old = changed.find(key);
            BOOST_REQUIRE((batch->get(Table::kKeys, key).has_value() == (old != changed.end())));
          }
          const std::string value(random.chance(0.05) ? random.below(10'000) : random.below(200), 'v');
          BOOST_REQUIRE(batch->put(Table::kKeys, key, value).ok());
          changed[key] = value;
        }
      }
      BOOST_REQUIRE((all_of(*batch, Table::kKeys) == changed));
      if (random.chance(0.8)) {
        BOOST_REQUIRE(batch->commit().ok());
        expected = std::move(changed);
      }
      batch.reset();
      BOOST_REQUIRE((rows_of(*kind.store, Table::kKeys) == expected));
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(size_and_touched_pages_follow_what_is_written, Kind, Stores) {
  Kind kind;
  const uint64_t empty = kind.store->size_bytes();
  auto batch = batch_of(*kind.store);
  BOOST_TEST(batch->touched_pages() == 0u);
  for (uint64_t i = 0; i < 10'000; ++i) {
    BOOST_REQUIRE(batch->put(Table::kKeys, numbered(i), std::string(100, 'v')).ok());
  }
  const uint64_t pages = batch->touched_pages();
  // 1.2 to 1.3 MB in full leaves.
  BOOST_TEST(pages > 250u);
  BOOST_TEST(pages < 450u);
  BOOST_REQUIRE(batch->put(Table::kKeys, "large", std::string(1 << 20, 'v')).ok());
  BOOST_TEST(batch->touched_pages() >= pages + 256);
  BOOST_TEST(batch->touched_pages() <= pages + 260);
  BOOST_REQUIRE(batch->commit().ok());
  batch.reset();
  BOOST_TEST(kind.store->size_bytes() > empty + (2u << 20));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(readers_on_other_threads_see_whole_batches, Kind, Stores) {
  Kind kind;
  put_all(*kind.store, Table::kKeys, {{"left", "0"}, {"right", "0"}});
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> torn{0}, views{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        auto view = kind.store->read();
        if (!view.ok() || (*view)->get(Table::kKeys, "left") != (*view)->get(Table::kKeys, "right")) ++torn;
        ++views;
      }
    });
  }
  for (int round = 1; round < 40 || views < 1000; ++round) {
    put_all(*kind.store, Table::kKeys, {{"left", std::to_string(round)}, {"right", std::to_string(round)}});
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  BOOST_TEST(torn == 0u);
}

// --- failures that are planned

BOOST_AUTO_TEST_CASE(a_failed_commit_in_memory_leaves_nothing_and_a_full_disk_may_heal) {
  MemoryStore store;
  store.fail_commits(1, ErrorCode::kFull);
  put_all(store, Table::kKeys, {{"a", "1"}});
  auto batch = batch_of(store);
  BOOST_REQUIRE(batch->put(Table::kKeys, "a", "2").ok());
  BOOST_TEST((batch->commit().error().code == ErrorCode::kFull));
  batch.reset();
  BOOST_TEST((rows_of(store, Table::kKeys) == Entries{{"a", "1"}}));
  put_all(store, Table::kKeys, {{"a", "3"}});
  BOOST_TEST((rows_of(store, Table::kKeys) == Entries{{"a", "3"}}));
}

BOOST_AUTO_TEST_CASE(after_a_broken_disk_in_memory_no_batch_follows) {
  MemoryStore store;
  store.fail_commits(0, ErrorCode::kIo);
  auto batch = batch_of(store);
  BOOST_TEST((batch->commit().error().code == ErrorCode::kIo));
  batch.reset();
  BOOST_TEST((store.write().error().code == ErrorCode::kIo));
  BOOST_TEST((store.write().error().code == ErrorCode::kIo));
}

// --- LMDB

BOOST_AUTO_TEST_CASE(an_environment_is_found_again) {
  TemporaryDirectory directory;
  const std::string path = directory.path + "/shard";
  put_all(*open_environment(path), Table::kKeys, {{"a", "1"}});
  auto again = open_environment(path);
  BOOST_TEST((rows_of(*again, Table::kKeys) == Entries{{"a", "1"}}));
  put_all(*again, Table::kKeys, {{"b", "2"}});
  again.reset();
  auto read_only = open_environment(path, {.read_only = true});
  BOOST_TEST((rows_of(*read_only, Table::kKeys) == Entries{{"a", "1"}, {"b", "2"}}));
}

BOOST_AUTO_TEST_CASE(what_is_no_environment_is_refused) {
  TemporaryDirectory directory;
  BOOST_TEST((LmdbEnvironment::open(directory.path + "/a/b", {}).error().code != ErrorCode::kCorrupt));
  auto missing = LmdbEnvironment::open(directory.path + "/missing", {.read_only = true});
  BOOST_REQUIRE(!missing.ok());
  BOOST_TEST((missing.error().code == ErrorCode::kNotFound));
  BOOST_TEST(missing.error().message.find(directory.path + "/missing") != std::string::npos);

  const int file = ::open((directory.path + "/data.mdb").c_str(), O_CREAT | O_WRONLY, 0600);
  const std::string noise(8192, 'n');
  BOOST_REQUIRE(::write(file, noise.data(), noise.size()) == static_cast<ssize_t>(noise.size()));
  ::close(file);
  auto garbage = LmdbEnvironment::open(directory.path, {});
  BOOST_REQUIRE(!garbage.ok());
  BOOST_TEST((garbage.error().code == ErrorCode::kCorrupt));
}

BOOST_AUTO_TEST_CASE(another_format_is_refused) {
  TemporaryDirectory directory;
  put_all(*open_environment(directory.path), Table::kMeta, {{"format", "next"}});
  auto refused = LmdbEnvironment::open(directory.path, {});
  BOOST_REQUIRE(!refused.ok());
  BOOST_TEST((refused.error().code == ErrorCode::kCorrupt));
}

BOOST_AUTO_TEST_CASE(the_map_grows_under_a_batch_done_again) {
  TemporaryDirectory directory;
  auto environment = open_environment(directory.path, {.min_map_bytes = 1 << 20});
  // 100 MB in one batch that did not say so.
  constexpr uint64_t kRows = 10'000;
  const std::string value(10'000, 'v');
  int attempts = 0;
  for (bool done = false; !done; ++attempts) {
    BOOST_REQUIRE(attempts < 10);
    auto batch = batch_of(*environment);
    Result<> put;
    for (uint64_t i = 0; i < kRows && put.ok(); ++i) put = batch->put(Table::kKeys, numbered(i), value);
    if (put.ok()) {
      done = batch->commit().ok();
      BOOST_REQUIRE(done);
    } else {
      BOOST_REQUIRE((put.error().code == ErrorCode::kFull));
      BOOST_REQUIRE(environment->needs_growth());
    }
  }
  BOOST_TEST(attempts > 1);
  BOOST_TEST(!environment->needs_growth());
  BOOST_TEST(environment->size_bytes() > kRows * value.size());
  BOOST_TEST(environment->statistics()->tables[static_cast<size_t>(Table::kKeys)].entries == kRows);
}

BOOST_AUTO_TEST_CASE(an_expected_batch_finds_room_at_once) {
  TemporaryDirectory directory;
  auto environment = open_environment(directory.path, {.min_map_bytes = 1 << 20});
  Random random(7);
  for (int round = 0; round < 4; ++round) {
    constexpr uint64_t kRows = 20'000;
    auto batch = environment->write(kRows * 512);
    BOOST_REQUIRE(batch.ok());
    for (uint64_t i = 0; i < kRows; ++i) {
      BOOST_REQUIRE((*batch)->put(Table::kKeys, numbered(random.below(1 << 30)), std::string(500, 'v')).ok());
    }
    BOOST_REQUIRE((*batch)->commit().ok());
  }
}

BOOST_AUTO_TEST_CASE(readers_go_on_while_the_map_grows) {
  TemporaryDirectory directory;
  auto environment = open_environment(directory.path, {.min_map_bytes = 1 << 20});
  put_all(*environment, Table::kKeys, {{"constant", "c"}});
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> wrong{0}, views{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        auto view = environment->read();
        if (!view.ok() || !has(**view, Table::kKeys, "constant", "c")) ++wrong;
        auto cursor = (*view)->cursor(Table::kKeys);
        for (bool more = cursor->last(); more; more = cursor->previous()) {
          if (cursor->value().size() != 1 && cursor->value().size() != 4000) ++wrong;
        }
        ++views;
      }
    });
  }
  // Each batch in the file makes the map outgrown again and again.
  for (uint64_t round = 0; round < 12; ++round) {
    auto batch = environment->write(round << 21);
    BOOST_REQUIRE(batch.ok());
    for (uint64_t i = 0; i < 200; ++i) {
      BOOST_REQUIRE((*batch)->put(Table::kKeys, numbered(round * 200 + i), std::string(4000, 'v')).ok());
    }
    BOOST_REQUIRE((*batch)->commit().ok());
    batch->reset();
    BOOST_REQUIRE(environment->release_memory().ok());
    const uint64_t seen = views;
    while (views == seen) std::this_thread::yield();
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  BOOST_TEST(wrong == 0u);
}

BOOST_AUTO_TEST_CASE(another_process_may_read_what_grows) {
  TemporaryDirectory directory;
  auto environment = open_environment(directory.path, {.min_map_bytes = 1 << 20});
  put_all(*environment, Table::kKeys, {{"a", "1"}});
  int go[2];
  BOOST_REQUIRE(::pipe(go) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    // LMDB forbids to use an environment after fork; this one opens its own.
    auto mine = LmdbEnvironment::open(directory.path, {.min_map_bytes = 1 << 20, .read_only = true});
    bool right = mine.ok() && rows_of(**mine, Table::kKeys).size() == 1;
    char byte;
    ::close(go[1]);
    right = right && ::read(go[0], &byte, 1) == 1;
    right = right && rows_of(**mine, Table::kKeys).size() == 1 + 1000;
    ::_exit(right ? 0 : 1);
  }
  ::close(go[0]);
  for (uint64_t round = 0; round < 10; ++round) {
    auto batch = environment->write(8 << 20);
    BOOST_REQUIRE(batch.ok());
    for (uint64_t i = 0; i < 100; ++i) {
      BOOST_REQUIRE((*batch)->put(Table::kKeys, numbered(round * 100 + i), std::string(20'000, 'v')).ok());
    }
    BOOST_REQUIRE((*batch)->commit().ok());
  }
  BOOST_REQUIRE(::write(go[1], "g", 1) == 1);
  ::close(go[1]);
  int status = 0;
  BOOST_REQUIRE(::waitpid(child, &status, 0) == child);
  BOOST_TEST((WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

// A limit on the size of files stands for a full disk: the write that reaches it comes short, the next one fails.
BOOST_AUTO_TEST_CASE(a_full_disk_is_an_error_and_passes) {
  TemporaryDirectory directory;
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    bool right = true;
    auto environment = LmdbEnvironment::open(directory.path, {});
    right = right && environment.ok();
    put_all(**environment, Table::kKeys, {{"a", "1"}});
    const rlimit tight{2'500'000, RLIM_INFINITY}, none{RLIM_INFINITY, RLIM_INFINITY};
    ::setrlimit(RLIMIT_FSIZE, &tight);
    const auto fill = [&]() -> Result<> {
      auto batch = (*environment)->write();
      if (!batch.ok()) return batch.error();
      for (uint64_t i = 0; i < 1000; ++i) {
        if (auto put = (*batch)->put(Table::kKeys, numbered(i), std::string(5000, 'v')); !put.ok()) return put;
      }
      return (*batch)->commit();
    };
    for (int attempt = 0; attempt < 3; ++attempt) {
      const Result<> filled = fill();
      right = right && !filled.ok() && filled.error().code == ErrorCode::kFull && !(*environment)->needs_growth();
      right = right && rows_of(**environment, Table::kKeys) == Entries{{"a", "1"}};
    }
    ::setrlimit(RLIMIT_FSIZE, &none);
    right = right && fill().ok() && rows_of(**environment, Table::kKeys).size() == 1001;
    ::_exit(right ? 0 : 1);
  }
  int status = 0;
  BOOST_REQUIRE(::waitpid(child, &status, 0) == child);
  BOOST_TEST((WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

BOOST_AUTO_TEST_CASE(what_was_committed_survives_the_death_of_the_process) {
  TemporaryDirectory directory;
  const pid_t child = ::fork();
  if (child == 0) {
    auto environment = LmdbEnvironment::open(directory.path, {});
    put_all(**environment, Table::kKeys, {{"a", "1"}});
    auto batch = (*environment)->write();
    (void)(*batch)->put(Table::kKeys, "b", "2").ok();
    ::raise(SIGKILL);
  }
  int status = 0;
  BOOST_REQUIRE(::waitpid(child, &status, 0) == child);
  auto environment = open_environment(directory.path);
  BOOST_TEST((rows_of(*environment, Table::kKeys) == Entries{{"a", "1"}}));
  put_all(*environment, Table::kKeys, {{"c", "3"}});
}

BOOST_AUTO_TEST_CASE(a_copy_is_an_environment_of_its_own) {
  TemporaryDirectory directory;
  auto environment = open_environment(directory.path + "/original");
  put_all(*environment, Table::kKeys, {{"a", "1"}, {"b", std::string(50'000, 'b')}});
  const std::string path = directory.path + "/copy";
  BOOST_REQUIRE(environment->copy_to(path).ok());
  put_all(*environment, Table::kKeys, {{"a", "2"}});
  auto copy = open_environment(path);
  BOOST_TEST((rows_of(*copy, Table::kKeys) == Entries{{"a", "1"}, {"b", std::string(50'000, 'b')}}));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::lmdb_store
