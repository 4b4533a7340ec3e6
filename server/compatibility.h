// docs/compatibility.md, made from the command table and the directive table.
#pragma once

#include <string>

namespace capstan {

std::string compatibility_page();

}  // namespace capstan
