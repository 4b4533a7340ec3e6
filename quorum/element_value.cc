#include "quorum/element_value.h"

#include <bit>
#include <cmath>

#include "base/check.h"

namespace capstan {

namespace {

std::optional<double> score_in(std::string_view value) {
  if (value.size() != sizeof(double)) return std::nullopt;
  const auto score = std::bit_cast<double>(load_le<uint64_t>(value.data()));
  if (std::isnan(score)) return std::nullopt;
  return score;
}

void append_score(double score, std::string& out) { Encoder(out).u64(std::bit_cast<uint64_t>(score)); }

}  // namespace

void append_time(int64_t at_ms, std::string& out) { Encoder(out).u64(static_cast<uint64_t>(at_ms)); }

int64_t time_in(std::string_view value) {
  CHECK(is_value_of(ElementKind::kTtl, value), "a time has eight bytes");
  return static_cast<int64_t>(load_le<uint64_t>(value.data()));
}

bool is_value_of(ElementKind kind, std::string_view value) {
  switch (kind) {
    case ElementKind::kScore:
      return score_in(value).has_value();
    case ElementKind::kTtl:
      return value.size() == sizeof(int64_t);
    case ElementKind::kMember:
      return value.empty();
    default:
      return true;
  }
}

std::optional<Number> number_in(ElementKind kind, std::string_view value) {
  if (kind != ElementKind::kScore) return Number::parse(value);
  if (const auto score = score_in(value)) return Number::real(*score);
  return std::nullopt;
}

void append_number(ElementKind kind, const Number& number, std::string& out) {
  if (kind == ElementKind::kScore) {
    append_score(static_cast<double>(number.as_real()), out);
  } else {
    number.append_to(out);
  }
}

void add_in_place(ElementKind kind, std::string& value, const Number& addend) {
  if (kind == ElementKind::kScore) {
    const auto score = score_in(value);
    if (!score) return;
    // In double, not in long double, which would round twice.
    const double sum = *score + static_cast<double>(addend.as_real());
    value.clear();
    append_score(std::isnan(sum) ? 0 : sum, value);
  } else if (const auto number = Number::parse(value)) {
    const Number sum = *number + addend;
    value.clear();
    sum.append_to(value);
  }
}

}  // namespace capstan
