#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace capstan {

void check_failed(const char* file, int line, const char* condition, std::string_view why) {
  std::fprintf(stderr, "%s:%d: CHECK(%s) failed%s%.*s\n", file, line, condition, why.empty() ? "" : ": ",
               static_cast<int>(why.size()), why.data());
  std::fflush(stderr);
  std::abort();
}

}  // namespace capstan
