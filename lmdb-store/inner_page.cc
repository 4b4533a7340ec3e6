#include "lmdb-store/inner_page.h"

#include <algorithm>
#include <memory>
#include <numeric>

#include "base/bytes.h"
#include "base/check.h"

namespace capstan::lmdb_store {

namespace {

constexpr size_t kChildBytes = 8 + 8 + 8 + 1;  // at least, on disk
constexpr size_t kChildBytesInMemory = 8 + 8 + 8 + 8 + 4;

Error damaged(std::string_view what) {
  return {ErrorCode::kCorrupt, std::string("an inner page of a collection is damaged: ").append(what)};
}

}  // namespace

size_t InnerPage::allocated_bytes() const {
  // The vectors grow together.
  return sizeof(InnerPage) + words_.capacity() * kChildBytesInMemory + ids_.capacity();
}

size_t InnerPage::child_for(const Place& place) const {
  const uint64_t* const words = words_.data();
  // How many separators are at or below the place. The first one always is.
  size_t below = 0;
  for (size_t left = count; left > 0;) {  // without branches that depend on what is compared
    const size_t half = (left + 1) / 2;
    below += words[below + half - 1] <= place.word ? half : 0;
    left -= half;
  }
  // Only those of the very word of the place are told apart by their ids.
  if (below > 1 && words[below - 1] == place.word && id(below - 1) > place.id) {
    const auto first = static_cast<size_t>(std::lower_bound(words, words + below, place.word) - words);
    size_t low = std::max<size_t>(first, 1);
    for (size_t high = below - 1; low < high;) {
      const size_t middle = (low + high) / 2;
      if (id(middle) <= place.id) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    below = low;
  }
  return below - 1;
}

size_t InnerPage::child_at(uint64_t& rank) const {
  size_t index = 0;
  while (rank >= counts_[index]) {
    rank -= counts_[index++];
    CHECK(index < count, "no element has that rank");
  }
  return index;
}

uint64_t InnerPage::elements_before(size_t index) const {
  return std::accumulate(counts_.data(), counts_.data() + index, uint64_t{0});
}

bool InnerPage::any_in_memory() const {
  return std::any_of(children_.begin(), children_.end(), [](const Page* page) { return page != nullptr; });
}

void InnerPage::set_separator(size_t index, const Place& separator) {
  const size_t begin = id_begin(index);
  const size_t before = id_ends_[index] - begin;
  ids_.replace(begin, before, separator.id);
  CHECK(ids_.size() <= UINT32_MAX, "separators are too long");
  words_[index] = separator.word;
  for (size_t i = index; i < count; ++i) id_ends_[i] += static_cast<uint32_t>(separator.id.size() - before);
}

void InnerPage::insert(size_t index, const Child& child, const Place& separator) {
  CHECK(index <= count && count < kMaxChildren);
  const auto at = static_cast<ptrdiff_t>(index);
  words_.insert(words_.begin() + at, 0);
  counts_.insert(counts_.begin() + at, child.elements);
  numbers_.insert(numbers_.begin() + at, child.number);
  children_.insert(children_.begin() + at, child.page);
  id_ends_.insert(id_ends_.begin() + at, static_cast<uint32_t>(id_begin(index)));
  ++count;
  if (index > 0) set_separator(index, separator);
}

void InnerPage::erase(size_t index) {
  CHECK(index < count);
  set_separator(index, {});
  const auto at = static_cast<ptrdiff_t>(index);
  words_.erase(words_.begin() + at);
  counts_.erase(counts_.begin() + at);
  numbers_.erase(numbers_.begin() + at);
  children_.erase(children_.begin() + at);
  id_ends_.erase(id_ends_.begin() + at);
  --count;
  if (index == 0 && count > 0) set_separator(0, {});
}

InnerPage* InnerPage::split(size_t begin) {
  auto right = std::make_unique<InnerPage>(level);
  for (size_t i = begin; i < count; ++i) right->insert(right->count, child(i), separator(i));
  while (count > begin) erase(count - size_t{1});
  return right.release();
}

InnerPage* InnerPage::join(const InnerPage& left, const InnerPage& right, const Place& separator) {
  if (left.count + right.count > kMaxJoinedChildren) return nullptr;
  auto joined = std::make_unique<InnerPage>(left);
  for (size_t i = 0; i < right.count; ++i) {
    joined->insert(joined->count, right.child(i), i == 0 ? separator : right.separator(i));
  }
  return joined.release();
}

void InnerPage::encode(std::string& out) const {
  CHECK(count != 0);
  Encoder to(out);
  to.u8(level);
  to.u8(0);
  to.u16(count);
  for (size_t i = 0; i < count; ++i) {
    to.u64(numbers_[i]);
    to.u64(counts_[i]);
    to.u64(words_[i]);
    to.bytes(id(i));
  }
}

Result<InnerPage*> InnerPage::decode(std::string_view bytes) {
  Decoder in(bytes);
  const uint8_t level = in.u8();
  const uint8_t zero = in.u8();
  const uint16_t count = in.u16();
  if (!in.ok() || level == 0 || level > kMaxLevel || zero != 0 || count == 0 || count > kMaxChildren) {
    return damaged("its head");
  }
  auto page = std::make_unique<InnerPage>(level);
  if (in.remaining() < count * kChildBytes) return damaged("its size");
  uint64_t total = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t number = in.u64();
    const uint64_t elements = in.u64();
    const uint64_t word = in.u64();
    const size_t before = in.remaining();
    const Place separator{word, in.bytes()};
    if (!in.ok() || before - in.remaining() != varint_bytes(separator.id.size()) + separator.id.size()) {
      return damaged("a child");
    }
    if (number == 0 || elements == 0) return damaged("a child's number or count");
    if (i == 0 ? separator != Place{} : page->separator(i - 1) >= separator) return damaged("a separator");
    total += elements;
    if (total < elements) return damaged("its counts");
    page->insert(i, {nullptr, number, elements}, separator);
  }
  if (!in.done()) return damaged("its end");
  return page.release();
}

}  // namespace capstan::lmdb_store
