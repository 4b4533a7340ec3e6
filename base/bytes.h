// The one codec of the product: what journal, LMDB rows and (later) peers carry is written by Encoder and read by
// Decoder. Integers are little-endian or LEB128 varints; big-endian forms exist for keys that must sort.
// Decoder never reads past its input: the first malformed field makes it fail for good, and every later read gives
// zero or empty, so a caller checks ok() once, at the end, before it uses what it read.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace capstan {

static_assert(std::endian::native == std::endian::little, "fixed-width fields are copied as they lie in memory");

template <std::unsigned_integral T>
T load_le(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <std::unsigned_integral T>
void store_le(char* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

inline uint64_t load_be64(const char* from) { return __builtin_bswap64(load_le<uint64_t>(from)); }
inline void store_be64(char* to, uint64_t value) { store_le(to, __builtin_bswap64(value)); }

// 10 bytes hold any 64-bit varint.
inline constexpr size_t kMaxVarintBytes = 10;

// Writes at `to`, which has room for kMaxVarintBytes; returns the end.
inline char* store_varint(char* to, uint64_t value) {
  while (value >= 0x80) {
    *to++ = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *to++ = static_cast<char>(value);
  return to;
}

inline uint64_t zigzag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}
inline int64_t unzigzag(uint64_t value) { return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1); }

// Appends to a string that the caller owns.
class Encoder {
 public:
  explicit Encoder(std::string& out) : out_(out) {}

  void u8(uint8_t value) { out_.push_back(static_cast<char>(value)); }
  void u16(uint16_t value) { fixed(value); }
  void u32(uint32_t value) { fixed(value); }
  void u64(uint64_t value) { fixed(value); }
  void u64_be(uint64_t value) { fixed(__builtin_bswap64(value)); }
  void varint(uint64_t value) {
    char buffer[kMaxVarintBytes];
    out_.append(buffer, static_cast<size_t>(store_varint(buffer, value) - buffer));
  }
  void signed_varint(int64_t value) { varint(zigzag(value)); }
  void raw(std::string_view bytes) { out_.append(bytes); }
  // Length as varint, then the bytes.
  void bytes(std::string_view bytes) {
    varint(bytes.size());
    raw(bytes);
  }
  std::string& out() { return out_; }

 private:
  template <std::unsigned_integral T>
  void fixed(T value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  std::string& out_;
};

// Reads from bytes that outlive it; views it returns point into them.
class Decoder {
 public:
  explicit Decoder(std::string_view in) : at_(in.data()), end_(in.data() + in.size()) {}

  bool ok() const { return !failed_; }
  // Everything was read and nothing failed.
  bool done() const { return !failed_ && at_ == end_; }
  size_t remaining() const { return static_cast<size_t>(end_ - at_); }
  // Marks the input as malformed, for what only the caller can see (an unknown type, a length over a limit).
  void fail() {
    failed_ = true;
    at_ = end_;
  }

  uint8_t u8() { return fixed<uint8_t>(); }
  uint16_t u16() { return fixed<uint16_t>(); }
  uint32_t u32() { return fixed<uint32_t>(); }
  uint64_t u64() { return fixed<uint64_t>(); }
  uint64_t u64_be() { return __builtin_bswap64(fixed<uint64_t>()); }
  uint64_t varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && at_ != end_; shift += 7) {
      const auto byte = static_cast<uint8_t>(*at_++);
      if (shift == 63 && byte > 1) break;
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    fail();
    return 0;
  }
  int64_t signed_varint() { return unzigzag(varint()); }
  std::string_view raw(uint64_t size) {
    if (size > remaining()) {
      fail();
      return {};
    }
    const std::string_view view(at_, size);
    at_ += size;
    return view;
  }
  std::string_view bytes() { return raw(varint()); }
  std::string_view rest() { return raw(remaining()); }

 private:
  template <std::unsigned_integral T>
  T fixed() {
    if (remaining() < sizeof(T)) {
      fail();
      return 0;
    }
    const T value = load_le<T>(at_);
    at_ += sizeof(T);
    return value;
  }
  const char* at_;
  const char* end_;
  bool failed_ = false;
};

}  // namespace capstan
