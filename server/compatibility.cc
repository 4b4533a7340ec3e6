#include "server/compatibility.h"

namespace capstan {

std::string compatibility_page() { return ""; }

}  // namespace capstan
