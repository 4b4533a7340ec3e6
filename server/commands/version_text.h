// A key's version as VERSION shows it and IFVERSION compares it: the key's digest in 16 hexadecimal digits. To users an
// opaque word.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace capstan {

class VersionText {
 public:
  explicit VersionText(uint64_t digest) {
    for (size_t i = digits_.size(); i-- > 0; digest >>= 4) digits_[i] = "0123456789abcdef"[digest & 0xf];
  }
  // Into this object.
  std::string_view view() const { return {digits_.data(), digits_.size()}; }

 private:
  std::array<char, 16> digits_;
};

}  // namespace capstan
