#include "server/machine_memory.h"

#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace capstan {

BOOST_AUTO_TEST_SUITE(machine_memory_test)

namespace {

class FakeHierarchy {
 public:
  FakeHierarchy() {
    std::string name = (std::filesystem::temp_directory_path() / "capstan-cgroup-XXXXXX").string();
    BOOST_REQUIRE(mkdtemp(name.data()) != nullptr);
    root_ = name;
  }
  ~FakeHierarchy() { std::filesystem::remove_all(root_); }
  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  std::optional<uint64_t> limit(std::string_view groups) const { return cgroup_limit_bytes(root_.string(), groups); }

 private:
  std::filesystem::path root_;
};

}  // namespace

BOOST_AUTO_TEST_CASE(version_2_the_lowest_limit_upwards_counts) {
  const FakeHierarchy fake;
  fake.write("a/memory.max", "1000000\n");
  fake.write("a/b/memory.max", "max\n");
  fake.write("a/b/c/memory.max", "2000000\n");
  BOOST_TEST((fake.limit("0::/a/b/c\n") == 1000000));
  BOOST_TEST((fake.limit("0::/a/b\n") == 1000000));
  BOOST_TEST(!fake.limit("0::/\n"));
  BOOST_TEST(!fake.limit("0::/elsewhere\n"));
}

BOOST_AUTO_TEST_CASE(version_1_has_a_hierarchy_for_memory) {
  const FakeHierarchy fake;
  fake.write("memory/memory.limit_in_bytes", "9223372036854771712\n");
  fake.write("memory/docker/x/memory.limit_in_bytes", "536870912\n");
  BOOST_TEST((fake.limit("12:cpu,cpuacct:/docker/x\n4:hugetlb,memory:/docker/x\n0::/\n") == 536870912));
  BOOST_TEST((fake.limit("4:memory:/\n") == 9223372036854771712u));
}

BOOST_AUTO_TEST_CASE(text_that_is_none_is_no_limit) {
  const FakeHierarchy fake;
  for (const std::string_view groups : {"", "\n", "0", "0:", "x:y", "::"}) BOOST_TEST(!fake.limit(groups));
  BOOST_TEST(available_memory_bytes() > 0u);
  BOOST_TEST(available_memory_bytes() <= physical_memory_bytes());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
