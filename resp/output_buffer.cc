#include "resp/output_buffer.h"

#include <algorithm>
#include <cstdlib>

#include "base/check.h"

namespace capstan::resp {

namespace {
constexpr size_t kFirstBytes = 512;
}

OutputBuffer::~OutputBuffer() { std::free(data_); }

void OutputBuffer::insert(size_t position, std::string_view bytes) {
  CHECK(position <= size());
  prepare(bytes.size());
  char* const at = data_ + begin_ + position;
  std::memmove(at + bytes.size(), at, size() - position);
  std::memcpy(at, bytes.data(), bytes.size());
  end_ += bytes.size();
}

void OutputBuffer::consume(size_t bytes) {
  CHECK(bytes <= size());
  begin_ += bytes;
  if (begin_ != end_) return;
  begin_ = end_ = 0;
  if (capacity_ <= kKeptBytes) return;
  std::free(data_);
  data_ = nullptr;
  capacity_ = 0;
}

// Slides the content to the front when that frees at least as many bytes as it moves, else moves to a larger block, so
// that each byte is moved a bounded number of times.
void OutputBuffer::make_room(size_t bytes) {
  const size_t held = size();
  if (begin_ >= held && capacity_ - held >= bytes) {
    if (held > 0) std::memcpy(data_, data_ + begin_, held);
  } else {
    const size_t wanted = std::max({held + bytes, 2 * held, kFirstBytes});
    char* const larger = static_cast<char*>(std::malloc(wanted));
    CHECK(larger != nullptr, "out of memory");
    if (held > 0) std::memcpy(larger, data_ + begin_, held);
    std::free(data_);
    data_ = larger;
    capacity_ = wanted;
  }
  begin_ = 0;
  end_ = held;
}

}  // namespace capstan::resp
