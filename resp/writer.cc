#include "resp/writer.h"

#include <algorithm>

#include "base/check.h"
#include "resp/number.h"

namespace capstan::resp {

void Writer::line(char marker, std::string_view text) {
  char* const to = out_.prepare(text.size() + 3);
  *to = marker;
  char* const end = std::replace_copy_if(
      text.begin(), text.end(), to + 1, [](char c) { return c == '\r' || c == '\n'; }, ' ');
  end[0] = '\r';
  end[1] = '\n';
  out_.commit(text.size() + 3);
}

void Writer::bulk_integer(int64_t value) {
  char digits[kMaxNumberLineBytes];
  const char* const end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  bulk({digits, static_cast<size_t>(end - digits)});
}

void Writer::real(double value) {
  char digits[kMaxDoubleBytes];
  const std::string_view text(digits, static_cast<size_t>(store_double(digits, value) - digits));
  if (resp3())
    line(',', text);
  else
    bulk(text);
}

void Writer::long_double(long double value) {
  const std::string text = format_long_double(value);
  if (resp3())
    line(',', text);
  else
    bulk(text);
}

void Writer::big_number(std::string_view digits) {
  if (resp3())
    line('(', digits);
  else
    bulk(digits);
}

void Writer::verbatim(std::string_view format, std::string_view text) {
  CHECK(format.size() == 3);
  if (!resp3()) return bulk(text);
  char* const to = out_.prepare(kMaxNumberLineBytes);
  out_.commit(static_cast<size_t>(store_number_line(to, '=', static_cast<int64_t>(text.size() + 4)) - to));
  for (const std::string_view part : {format, std::string_view(":"), text, std::string_view("\r\n")}) raw(part);
}

void Writer::attribute(size_t pairs) {
  CHECK(resp3());
  number_line('|', static_cast<int64_t>(pairs));
}

void Writer::number_line_at(size_t position, char marker, int64_t value) {
  char header[kMaxNumberLineBytes];
  out_.insert(position, {header, static_cast<size_t>(store_number_line(header, marker, value) - header)});
}

void Writer::array_at(size_t position, size_t elements) {
  number_line_at(position, '*', static_cast<int64_t>(elements));
}

void Writer::map_at(size_t position, size_t pairs) {
  number_line_at(position, resp3() ? '%' : '*', static_cast<int64_t>(resp3() ? pairs : 2 * pairs));
}

void Writer::set_at(size_t position, size_t members) {
  number_line_at(position, resp3() ? '~' : '*', static_cast<int64_t>(members));
}

}  // namespace capstan::resp
