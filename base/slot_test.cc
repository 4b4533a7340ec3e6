#include "base/slot.h"

#include <boost/test/unit_test.hpp>

namespace capstan {

BOOST_AUTO_TEST_SUITE(slot_test)

BOOST_AUTO_TEST_CASE(crc16_has_the_check_value_of_xmodem) {
  BOOST_TEST(crc16("123456789") == 0x31c3);
  BOOST_TEST(crc16("") == 0);
}

// The slicing loop against the definition, a bit at a time, at every length around its stride.
BOOST_AUTO_TEST_CASE(crc16_agrees_with_its_definition) {
  std::string bytes;
  for (int length = 0; length < 40; ++length) {
    unsigned crc = 0;
    for (const char c : bytes) {
      crc ^= static_cast<unsigned>(static_cast<uint8_t>(c)) << 8;
      for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000) ? (crc << 1) ^ 0x1021 : crc << 1;
      crc &= 0xffff;
    }
    BOOST_TEST(crc16(bytes) == crc);
    bytes.push_back(static_cast<char>(length * 37 + 11));
  }
}

// redis-server's CLUSTER KEYSLOT says the same.
BOOST_AUTO_TEST_CASE(slots_are_those_of_redis_cluster) {
  BOOST_TEST(slot_of("foo") == 12182);
  BOOST_TEST(slot_of("bar") == 5061);
  BOOST_TEST(slot_of("{foo}x") == slot_of("foo"));
  BOOST_TEST(slot_of("a{foo}b{bar}") == slot_of("foo"));
  BOOST_TEST(hash_tag("{}x") == "{}x");
  BOOST_TEST(hash_tag("{x") == "{x");
  BOOST_TEST(hash_tag("a{{b}}") == "{b");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
