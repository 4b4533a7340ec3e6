// What is LMDB's alone; store_test.cc has what all stores share.
#include "lmdb-store/lmdb_environment.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <filesystem>
#include <thread>
#include <vector>

#include "base/random.h"
#include "lmdb-store/store_testing.h"

namespace capstan::lmdb_store {

namespace {

enum ChildStatus { kPassed = 0, kFailed = 1, kSkipped = 2 };

// Runs `story` in a process of its own; LMDB forbids to use an environment of the parent there.
template <typename Story>
int in_child(Story story) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(story());
  int status = 0;
  BOOST_REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// The environment holds a = 1, and its disk is too small for 5 MB until `make_room`.
template <typename MakeRoom>
int full_disk_story(LmdbEnvironment& environment, MakeRoom make_room) {
  const auto fill = [&]() -> Result<> {
    auto batch = environment.write();
    if (!batch.ok()) return batch.error();
    for (uint64_t i = 0; i < 1000; ++i) {
      if (auto put = (*batch)->put(Table::kKeys, numbered(i), std::string(5000, 'v')); !put.ok()) return put;
    }
    return (*batch)->commit();
  };
  for (int attempt = 0; attempt < 3; ++attempt) {
    const Result<> filled = fill();
    if (filled.ok() || filled.error().code != ErrorCode::kFull || environment.needs_growth()) return kFailed;
    if (rows_of(environment, Table::kKeys) != Entries{{"a", "1"}}) return kFailed;
  }
  make_room();
  return fill().ok() && rows_of(environment, Table::kKeys).size() == 1001 ? kPassed : kFailed;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(lmdb_environment_test)

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

// A small file system of its own where the system lets us mount one.
BOOST_AUTO_TEST_CASE(a_full_disk_is_an_error_and_passes) {
  TemporaryDirectory directory;
  const int status = in_child([&]() -> int {
    // Seen by this process alone.
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", directory.path.c_str(), "tmpfs", 0, "size=3m") != 0) {
      return kSkipped;
    }
    auto environment = open_environment(directory.path);
    put_all(*environment, Table::kKeys, {{"a", "1"}});
    return full_disk_story(*environment, [&] {
      if (::mount("none", directory.path.c_str(), "tmpfs", MS_REMOUNT, "size=64m") != 0) ::_exit(kFailed);
    });
  });
  BOOST_TEST((status == kPassed || status == kSkipped));
}

// The write that reaches the limit comes short, the next one fails.
BOOST_AUTO_TEST_CASE(a_limit_on_file_sizes_is_a_full_disk) {
  TemporaryDirectory directory;
  const int status = in_child([&]() -> int {
    ::signal(SIGXFSZ, SIG_IGN);
    auto environment = open_environment(directory.path);
    put_all(*environment, Table::kKeys, {{"a", "1"}});
    const rlimit tight{2'500'000, RLIM_INFINITY}, none{RLIM_INFINITY, RLIM_INFINITY};
    ::setrlimit(RLIMIT_FSIZE, &tight);
    return full_disk_story(*environment, [&] { ::setrlimit(RLIMIT_FSIZE, &none); });
  });
  BOOST_TEST(status == kPassed);
}

BOOST_AUTO_TEST_CASE(after_a_broken_disk_no_batch_follows_and_reads_go_on) {
  TemporaryDirectory directory;
  auto environment = open_environment(directory.path);
  put_all(*environment, Table::kKeys, {{"a", "1"}});
  // All writes fail from now on: the environment's descriptors become read-only ones.
  const std::string data = std::filesystem::canonical(directory.path + "/data.mdb");
  for (int descriptor = 0; descriptor < 256; ++descriptor) {
    std::error_code error;
    if (std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(descriptor), error) != data) continue;
    const int read_only = ::open(data.c_str(), O_RDONLY);
    BOOST_REQUIRE(::dup2(read_only, descriptor) == descriptor);
    ::close(read_only);
  }
  auto batch = batch_of(*environment);
  BOOST_REQUIRE(batch->put(Table::kKeys, "a", "2").ok());
  BOOST_TEST((batch->commit().error().code == ErrorCode::kIo));
  batch.reset();
  for (int i = 0; i < 2; ++i) BOOST_TEST((environment->write().error().code == ErrorCode::kIo));
  BOOST_TEST((rows_of(*environment, Table::kKeys) == Entries{{"a", "1"}}));
}

BOOST_AUTO_TEST_CASE(what_was_committed_survives_the_death_of_the_process) {
  TemporaryDirectory directory;
  const int status = in_child([&]() -> int {
    auto dying = open_environment(directory.path);
    put_all(*dying, Table::kKeys, {{"a", "1"}});
    auto batch = batch_of(*dying);
    (void)batch->put(Table::kKeys, "b", "2").ok();
    ::raise(SIGKILL);
    return kFailed;
  });
  BOOST_TEST(status == -1);
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
