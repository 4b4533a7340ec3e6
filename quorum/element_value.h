// What an element's value is as a number, and how numbers are added to it. A sorted set's score is a binary double and
// is added to as ZINCRBY does; every other value is text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "quorum/number.h"
#include "quorum/record.h"

namespace capstan {

// A ttl element's value: Unix time in ms or kNeverExpires, as 8 bytes. Precondition of reading: is_value_of(kTtl,
// value).
void append_time(int64_t at_ms, std::string& out);
int64_t time_in(std::string_view value);

// Whether an element of that kind can have that value (a score or a time has 8 bytes, a score is no NaN, a set's member
// has none).
bool is_value_of(ElementKind kind, std::string_view value);
// Nullopt if the value is no number.
std::optional<Number> number_in(ElementKind kind, std::string_view value);
void append_number(ElementKind kind, const Number& number, std::string& out);
// value + addend in place, as R's additions have it; what is no number stays as it is.
void add_in_place(ElementKind kind, std::string& value, const Number& addend);

}  // namespace capstan
