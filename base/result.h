// Errors as values. Result<T> is a T or an Error; Result<> is success or an Error. No exception crosses a library's
// edge.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace capstan {

enum class ErrorCode {
  kInvalid,   // the input is malformed or out of bounds
  kNotFound,  // what was asked for does not exist
  kCorrupt,   // stored data fails its checksum or its grammar
  kFull,      // no space left: on the disk, or in a bound
  kIo,        // the operating system refused a read, a write or a sync
  kExists,    // it is there already, or in use by another process
};

struct Error {
  ErrorCode code = ErrorCode::kInvalid;
  std::string message;  // one line for people: what, where, and the way out if there is one
};

// An Error of the operating system: "<what>: <strerror(errno)>"; ENOSPC and EDQUOT become kFull.
Error system_error(int error_number, std::string_view what);

template <typename T = void>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}
  Result(Error error) : state_(std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() {
    CHECK(ok(), error_message());
    return std::get<0>(state_);
  }
  const T& value() const {
    CHECK(ok(), error_message());
    return std::get<0>(state_);
  }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  const Error& error() const {
    CHECK(!ok());
    return std::get<1>(state_);
  }

 private:
  std::string_view error_message() const { return ok() ? std::string_view() : std::get<1>(state_).message; }
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}

  bool ok() const { return !error_; }
  explicit operator bool() const { return ok(); }
  const Error& error() const {
    CHECK(error_.has_value());
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace capstan
