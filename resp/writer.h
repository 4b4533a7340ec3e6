// Writes replies in RESP2 or RESP3, byte for byte as redis-server 7.0 does. A type that RESP2 lacks becomes what Redis
// makes of it there: a map the array of its 2n keys and values, a set or push an array, a double, big number or
// verbatim text a bulk string, a boolean :1 or :0.
//
// An aggregate is its header followed by its elements, written by the caller. One that is not known to be short enough
// to count first is deferred: note position(), write the elements, then put the header before them.
//
// Cheap to construct; lives no longer than its buffer.
#pragma once

#include <charconv>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "resp/output_buffer.h"

namespace capstan::resp {

// Whole replies, for Writer::raw().
inline constexpr std::string_view kOk = "+OK\r\n";
inline constexpr std::string_view kPong = "+PONG\r\n";
inline constexpr std::string_view kQueued = "+QUEUED\r\n";
inline constexpr std::string_view kZero = ":0\r\n";
inline constexpr std::string_view kOne = ":1\r\n";
inline constexpr std::string_view kEmptyArray = "*0\r\n";
inline constexpr std::string_view kEmptyBulk = "$0\r\n\r\n";

enum class Protocol : uint8_t { kResp2 = 2, kResp3 = 3 };

class Writer {
 public:
  Writer(OutputBuffer& out, Protocol protocol) : out_(out), protocol_(protocol) {}

  Protocol protocol() const { return protocol_; }
  OutputBuffer& out() { return out_; }

  // Bytes that are already RESP.
  void raw(std::string_view bytes) { out_.append(bytes); }
  void ok() { raw(kOk); }

  // One line each; '\r' and '\n' in it become spaces. An error's text begins with its code: "ERR syntax error".
  void simple(std::string_view text) { line('+', text); }
  void error(std::string_view text) { line('-', text); }

  void integer(int64_t value) { number_line(':', value); }
  void bulk(std::string_view bytes) {
    char* const to = bulk_room(bytes.size());
    if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
  }
  // A bulk string whose `size` bytes the caller writes to where this points, before it uses the buffer again.
  [[nodiscard]] char* bulk_room(size_t size);
  // An integer as a bulk string, as GET replies a counter.
  void bulk_integer(int64_t value);

  void null() { raw(resp3() ? "_\r\n" : "$-1\r\n"); }
  void null_array() { raw(resp3() ? "_\r\n" : "*-1\r\n"); }
  void boolean(bool value) { raw(resp3() ? (value ? "#t\r\n" : "#f\r\n") : (value ? kOne : kZero)); }
  // See format_double().
  void real(double value);
  // See format_long_double(); RESP3's double, but with all its digits, as GEOPOS replies a coordinate.
  void long_double(long double value);
  // Decimal digits, after a sign or none.
  void big_number(std::string_view digits);
  // `format` is three letters: "txt" or "mkd".
  void verbatim(std::string_view format, std::string_view text);

  void array(size_t elements) { number_line('*', static_cast<int64_t>(elements)); }
  void map(size_t pairs) { number_line(resp3() ? '%' : '*', static_cast<int64_t>(resp3() ? pairs : 2 * pairs)); }
  void set(size_t members) { number_line(resp3() ? '~' : '*', static_cast<int64_t>(members)); }
  void push(size_t elements) { number_line(resp3() ? '>' : '*', static_cast<int64_t>(elements)); }
  // Attributes of the reply that follows. RESP2 has none: do not write them there.
  void attribute(size_t pairs);

  // Deferred headers. Nothing may be consumed from the buffer between position() and the call that uses it.
  [[nodiscard]] size_t position() const { return out_.size(); }
  void array_at(size_t position, size_t elements);
  void map_at(size_t position, size_t pairs);
  void set_at(size_t position, size_t members);

 private:
  static constexpr size_t kMaxNumberLineBytes = 24;

  bool resp3() const { return protocol_ == Protocol::kResp3; }
  void line(char marker, std::string_view text);
  static char* store_number_line(char* to, char marker, int64_t value) {
    *to = marker;
    char* const end = std::to_chars(to + 1, to + kMaxNumberLineBytes, value).ptr;
    end[0] = '\r';
    end[1] = '\n';
    return end + 2;
  }
  void number_line(char marker, int64_t value) {
    char* const to = out_.prepare(kMaxNumberLineBytes);
    out_.commit(static_cast<size_t>(store_number_line(to, marker, value) - to));
  }
  void number_line_at(size_t position, char marker, int64_t value);

  OutputBuffer& out_;
  Protocol protocol_;
};

inline char* Writer::bulk_room(size_t size) {
  char* const to = out_.prepare(size + kMaxNumberLineBytes + 2);
  char* const bytes = store_number_line(to, '$', static_cast<int64_t>(size));
  bytes[size] = '\r';
  bytes[size + 1] = '\n';
  out_.commit(static_cast<size_t>(bytes - to) + size + 2);
  return bytes;
}

}  // namespace capstan::resp
