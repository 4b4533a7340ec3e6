#include "base/result.h"

#include <boost/test/unit_test.hpp>
#include <cerrno>

namespace capstan {

BOOST_AUTO_TEST_SUITE(result_test)

BOOST_AUTO_TEST_CASE(a_result_is_a_value_or_an_error) {
  Result<int> good = 3, bad = Error{ErrorCode::kNotFound, "gone"};
  BOOST_TEST(good.ok());
  BOOST_TEST(*good == 3);
  BOOST_TEST(!bad.ok());
  BOOST_TEST(bad.error().message == "gone");
  Result<> fine;
  BOOST_TEST(fine.ok());
}

BOOST_AUTO_TEST_CASE(a_full_disk_is_told_from_other_failures) {
  BOOST_TEST((system_error(ENOSPC, "write").code == ErrorCode::kFull));
  BOOST_TEST((system_error(EIO, "write").code == ErrorCode::kIo));
  BOOST_TEST(system_error(EIO, "write x").message == "write x: Input/output error");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
