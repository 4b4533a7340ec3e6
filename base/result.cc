#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace capstan {

Error system_error(int error_number, std::string_view what) {
  const bool full = error_number == ENOSPC || error_number == EDQUOT;
  return Error{full ? ErrorCode::kFull : ErrorCode::kIo, std::string(what) + ": " + std::strerror(error_number)};
}

}  // namespace capstan
