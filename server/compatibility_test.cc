#include "server/compatibility.h"

#include <boost/test/unit_test.hpp>
#include <fstream>
#include <iterator>
#include <string>

namespace capstan {

BOOST_AUTO_TEST_SUITE(compatibility_test)

// capstan-server --print-compatibility > docs/compatibility.md
BOOST_AUTO_TEST_CASE(the_committed_page_is_that_of_the_table) {
  std::ifstream file(CAPSTAN_SOURCE_DIR "/docs/compatibility.md");
  BOOST_REQUIRE(file.is_open());
  const std::string committed{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  BOOST_TEST((committed == compatibility_page()),
             "docs/compatibility.md is not what `capstan-server --print-compatibility` writes");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
