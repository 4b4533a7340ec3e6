#include "lmdb-store/file.h"

#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <filesystem>

#include "base/random.h"

namespace capstan::lmdb_store {
namespace {

struct Directory {
  Directory() {
    char name[] = "/tmp/capstan-file-test-XXXXXX";
    CHECK(::mkdtemp(name) != nullptr);
    path = name;
  }
  ~Directory() { std::filesystem::remove_all(path); }
  std::string path;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(file_test)

BOOST_FIXTURE_TEST_CASE(what_is_written_is_read_and_reading_ends_with_the_file, Directory) {
  FileSystem& files = posix_file_system();
  auto file = files.open(path + "/a", FileSystem::Open::kCreate);
  BOOST_REQUIRE(file.ok());
  BOOST_TEST((*file)->pwrite("hello", 3).ok());
  BOOST_TEST((*file)->datasync().ok());
  BOOST_TEST((*file)->size().value() == 8);
  char buffer[16];
  BOOST_TEST((*file)->pread(buffer, sizeof buffer, 4).value() == 4);
  BOOST_TEST(std::string_view(buffer, 4) == "ello");
  BOOST_TEST((*file)->pread(buffer, sizeof buffer, 100).value() == 0);
}

BOOST_FIXTURE_TEST_CASE(what_is_overwritten_is_what_every_reader_sees, Directory) {
  constexpr size_t kSize = (3u << 20) + 1000;  // no whole number of pages
  auto file = posix_file_system().open(path + "/a", FileSystem::Open::kCreate);
  BOOST_REQUIRE(file.ok());
  std::string expected(kSize, '-');
  BOOST_REQUIRE((*file)->pwrite(expected, 0).ok());
  Random random(1);
  for (int i = 0; i < 2000; ++i) {
    const std::string bytes(1 + random.below(i % 50 == 0 ? 100'000 : 300), static_cast<char>('a' + i % 26));
    // Mostly onwards, as a journal writes; also back, across windows, at the very end, and beyond it.
    const uint64_t at = i % 10 == 0 ? random.below(kSize) : i % 97 == 0 ? kSize - 50 : 1700u * static_cast<unsigned>(i);
    const bool by_call = i % 7 == 0;
    BOOST_REQUIRE((by_call ? (*file)->pwrite(bytes, at) : (*file)->overwrite(bytes, at)).ok());
    if (expected.size() < at + bytes.size()) expected.resize(at + bytes.size(), '\0');
    expected.replace(at, bytes.size(), bytes);
  }
  BOOST_TEST((*file)->datasync().ok());
  const auto other = posix_file_system().open(path + "/a", FileSystem::Open::kExisting);
  std::string read(expected.size() + 1, ' ');
  BOOST_TEST((*other)->pread(read.data(), read.size(), 0).value() == expected.size());
  read.pop_back();
  BOOST_TEST((read == expected));
}

BOOST_FIXTURE_TEST_CASE(directories_list_their_names_in_order, Directory) {
  FileSystem& files = posix_file_system();
  BOOST_TEST(files.make_directory(path + "/d").ok());
  BOOST_TEST(files.make_directory(path + "/d").ok());
  for (const char* name : {"/d/b", "/d/a"}) BOOST_TEST(files.open(path + name, FileSystem::Open::kCreate).ok());
  BOOST_TEST(files.rename(path + "/d/b", path + "/d/c").ok());
  BOOST_TEST(files.sync_directory(path + "/d").ok());
  BOOST_TEST(files.list(path + "/d").value() == (std::vector<std::string>{"a", "c"}), boost::test_tools::per_element());
  BOOST_TEST(!files.remove_directory(path + "/d").ok());
  BOOST_TEST(files.unlink(path + "/d/a").ok());
  BOOST_TEST(files.unlink(path + "/d/c").ok());
  BOOST_TEST(files.remove_directory(path + "/d").ok());
  BOOST_TEST((files.list(path + "/d").error().code == ErrorCode::kNotFound));
  BOOST_TEST(!files.open(path + "/none", FileSystem::Open::kExisting).ok());
}

BOOST_FIXTURE_TEST_CASE(a_data_directory_has_one_owner_at_a_time, Directory) {
  {
    const auto first = lock_directory(path);
    BOOST_REQUIRE(first.ok());
    const auto second = lock_directory(path);
    BOOST_REQUIRE(!second.ok());
    BOOST_TEST((second.error().code == ErrorCode::kExists));
  }
  BOOST_TEST(lock_directory(path).ok());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::lmdb_store
