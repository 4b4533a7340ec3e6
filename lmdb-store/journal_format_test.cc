#include "lmdb-store/journal_format.h"

#include <boost/test/unit_test.hpp>

namespace capstan::lmdb_store {

BOOST_AUTO_TEST_SUITE(journal_format_test)

BOOST_AUTO_TEST_CASE(a_frame_is_intact_in_its_place_and_nowhere_else) {
  constexpr uint64_t kIdentity = 0x1234567890abcdef;
  const Position position = position_of(7, 4096);
  std::string frame(align_frame(kFrameHeaderBytes + 13), '\0');
  frame.replace(kFrameHeaderBytes, 13, "thirteen byte");
  seal_frame(frame.data(), kIdentity, position, 13, false, position_of(6, 5000));
  BOOST_TEST(frame_is_intact(frame, kIdentity, position));
  BOOST_TEST(!frame_is_intact(frame, kIdentity + 1, position));
  BOOST_TEST(!frame_is_intact(frame, kIdentity, position_of(8, 4096)));
  BOOST_TEST(!frame_is_intact(frame, kIdentity, position_of(7, 4104)));
  const FrameHeader header = peek_frame(frame.data());
  BOOST_TEST(header.entry_bytes == 13u);
  BOOST_TEST(header.frame_bytes() == frame.size());
  BOOST_TEST(header.synced == position_of(6, 5000));
  BOOST_TEST(!header.ends_segment);
  for (size_t bit = 0; bit < frame.size() * 8; ++bit) {
    std::string damaged = frame;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    BOOST_TEST(!frame_is_intact(damaged, kIdentity, position));
  }
}

BOOST_AUTO_TEST_CASE(a_segment_header_comes_back_and_none_of_its_bits_may_differ) {
  const SegmentHeader header{42, 9, 8, 1u << 20, position_of(8, 77)};
  const std::string bytes = encode_segment_header(header);
  const auto back = decode_segment_header(bytes);
  BOOST_REQUIRE(back.has_value());
  BOOST_TEST(back->identity == 42u);
  BOOST_TEST(back->segment == 9u);
  BOOST_TEST(back->start == 8u);
  BOOST_TEST(back->segment_bytes == 1u << 20);
  BOOST_TEST(back->synced == position_of(8, 77));
  for (size_t bit = 0; bit < bytes.size() * 8; bit += bit < 512 ? 1 : 97) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    BOOST_TEST(!decode_segment_header(damaged).has_value());
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::lmdb_store
