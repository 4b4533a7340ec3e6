#include "server/commands/version_text.h"

#include <boost/test/unit_test.hpp>

namespace capstan {

BOOST_AUTO_TEST_SUITE(version_text_test)

BOOST_AUTO_TEST_CASE(sixteen_digits_whatever_the_digest) {
  BOOST_TEST(VersionText(0).view() == "0000000000000000");
  BOOST_TEST(VersionText(0x0123456789abcdefu).view() == "0123456789abcdef");
  BOOST_TEST(VersionText(~uint64_t{0}).view() == "ffffffffffffffff");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
