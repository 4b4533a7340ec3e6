// Comparing secrets, and what may be a client's name.
#pragma once

#include <string_view>

namespace capstan {

// In time that does not depend on where they differ.
inline bool same_secret(std::string_view a, std::string_view b) {
  unsigned char difference = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < b.size(); ++i) {
    difference |= static_cast<unsigned char>(a.empty() ? 1 : a[i % a.size()] ^ b[i]);
  }
  return difference == 0;
}

// Printable ASCII without spaces, so that CLIENT LIST can be read by programs.
inline bool valid_client_name(std::string_view name) {
  for (const char c : name) {
    if (c < '!' || c > '~') return false;
  }
  return true;
}

}  // namespace capstan
