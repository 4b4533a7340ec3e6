// Bytes on their way to a socket: replies are appended at the back, what was sent is consumed at the front. Contiguous,
// so that one send() takes all; appending writes in place, without initialising memory that is about to be written.
// Not thread-safe.
#pragma once

#include <cstddef>
#include <cstring>
#include <string_view>
#include <utility>

namespace capstan::resp {

class OutputBuffer {
 public:
  // An empty buffer holds on to at most so many bytes.
  static constexpr size_t kKeptBytes = 16 << 10;

  OutputBuffer() = default;
  ~OutputBuffer();
  OutputBuffer(OutputBuffer&& other) noexcept { swap(other); }
  OutputBuffer& operator=(OutputBuffer&& other) noexcept {
    swap(other);
    return *this;
  }

  std::string_view view() const { return {data_ + begin_, size()}; }
  size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  size_t capacity() const { return capacity_; }

  // Room for `bytes` bytes behind the content, to be written and then taken in by commit(). Invalidates views.
  char* prepare(size_t bytes) {
    if (capacity_ - end_ < bytes) [[unlikely]]
      make_room(bytes);
    return data_ + end_;
  }
  void commit(size_t bytes) { end_ += bytes; }
  void reserve(size_t bytes) { prepare(bytes); }

  void append(std::string_view bytes) {
    if (bytes.empty()) return;
    std::memcpy(prepare(bytes.size()), bytes.data(), bytes.size());
    end_ += bytes.size();
  }
  // Puts `bytes` before the byte that is now at `position` of view(); moves all from there on.
  void insert(size_t position, std::string_view bytes);

  // Drops `bytes` bytes, at most size(), from the front.
  void consume(size_t bytes);
  // Takes back what was appended since size() was `size`.
  void truncate(size_t size) { end_ = begin_ + size; }
  void clear() { consume(size()); }

 private:
  void make_room(size_t bytes);
  void swap(OutputBuffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(begin_, other.begin_);
    std::swap(end_, other.end_);
    std::swap(capacity_, other.capacity_);
  }

  char* data_ = nullptr;
  size_t begin_ = 0;
  size_t end_ = 0;
  size_t capacity_ = 0;
};

}  // namespace capstan::resp
