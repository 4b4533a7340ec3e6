#include "base/bytes.h"

#include <boost/test/unit_test.hpp>

#include "base/random.h"

namespace capstan {

BOOST_AUTO_TEST_SUITE(bytes_test)

BOOST_AUTO_TEST_CASE(everything_comes_back_in_order) {
  std::string out;
  Encoder e(out);
  e.u8(7);
  e.u16(0xfffe);
  e.u32(1u << 31);
  e.u64(~uint64_t{0});
  e.u64_be(0x0102030405060708u);
  e.bytes("hello");
  e.signed_varint(-1);
  Decoder d(out);
  BOOST_TEST(d.u8() == 7);
  BOOST_TEST(d.u16() == 0xfffe);
  BOOST_TEST(d.u32() == 1u << 31);
  BOOST_TEST(d.u64() == ~uint64_t{0});
  BOOST_TEST(d.u64_be() == 0x0102030405060708u);
  BOOST_TEST(d.bytes() == "hello");
  BOOST_TEST(d.signed_varint() == -1);
  BOOST_TEST(d.done());
}

BOOST_AUTO_TEST_CASE(varints_of_every_length_round_trip) {
  Random random(1);
  for (int bits = 0; bits <= 64; ++bits) {
    for (int i = 0; i < 50; ++i) {
      const uint64_t value = bits == 0 ? 0 : random.next() >> (64 - bits);
      std::string out;
      Encoder(out).varint(value);
      Decoder d(out);
      BOOST_TEST(d.varint() == value);
      BOOST_TEST(d.done());
    }
  }
}

BOOST_AUTO_TEST_CASE(truncated_and_overlong_input_fails_and_stays_failed) {
  Decoder empty("");
  BOOST_TEST(empty.u32() == 0u);
  BOOST_TEST(!empty.ok());
  Decoder overlong("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02");
  BOOST_TEST(overlong.varint() == 0u);
  BOOST_TEST(!overlong.ok());
  Decoder lying(
      "\x05"
      "abc");
  BOOST_TEST(lying.bytes().empty());
  BOOST_TEST(lying.u8() == 0);
  BOOST_TEST(!lying.ok());
}

BOOST_AUTO_TEST_CASE(big_endian_sorts_as_bytes) {
  Random random(2);
  for (int i = 0; i < 1000; ++i) {
    const uint64_t a = random.next() >> random.below(64), b = random.next() >> random.below(64);
    std::string x, y;
    Encoder(x).u64_be(a);
    Encoder(y).u64_be(b);
    BOOST_TEST((a < b) == (x < y));
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
