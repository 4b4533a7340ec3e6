// What a sequence costs per element: capstan-sequence-bench [elements]. Members of 20 bytes in hash order, and list
// elements pushed at one end, all in memory; beside them std::set and absl::btree_set of the same members, which have
// neither ranks nor versions. Bytes are what is allocated, rounded up to the allocator's size classes.
#include <absl/container/btree_set.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <set>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/hash.h"
#include "base/random.h"
#include "lmdb-store/row.h"
#include "lmdb-store/sequence.h"

namespace capstan::lmdb_store {
namespace {

constexpr Missing kAtOnce{};

int64_t cpu_ns() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

// Nothing is ever missing here.
class MemoryStore : public PageStore {
 public:
  Page* load(const PageRef&, bool) override {
    CHECK(false, "no page is stored");
    return nullptr;
  }
};

size_t allocated = 0;

template <typename T>
struct CountingAllocator {
  using value_type = T;
  CountingAllocator() = default;
  template <typename U>
  CountingAllocator(const CountingAllocator<U>&) {}
  T* allocate(size_t count) {
    allocated += TableRow::size_class(count * sizeof(T));
    return static_cast<T*>(::operator new(count * sizeof(T)));
  }
  void deallocate(T* at, size_t count) {
    allocated -= TableRow::size_class(count * sizeof(T));
    ::operator delete(at);
  }
  bool operator==(const CountingAllocator&) const { return true; }
};
using Text = std::basic_string<char, std::char_traits<char>, CountingAllocator<char>>;

// Names lie one behind the other, so that reading one costs a cache miss and no more.
struct Member {
  static constexpr size_t kBytes = 20;
  char name[kBytes + 1];
  std::string_view view() const { return {name, kBytes}; }
};

Member member(uint64_t number) {
  Member made;
  std::snprintf(made.name, sizeof made.name, "member:%013lu", number % 10'000'000'000'000);
  return made;
}

template <typename Run>
void measure(const char* what, uint64_t runs, Run run) {
  const int64_t begin_ns = cpu_ns();
  for (uint64_t i = 0; i < runs; ++i) run(i);
  std::printf("  %-44s %7.1f ns\n", what, static_cast<double>(cpu_ns() - begin_ns) / static_cast<double>(runs));
}

ElementView view_of(const Place& place, uint64_t number, std::string_view value = {}) {
  ElementView element;
  element.place = place;
  element.value = value;
  element.dot = {0, number};
  element.hlc = Hlc{(uint64_t{1'700'000'000'000} << 16) + number * 65536 / 1000};
  return element;
}

void report(const Sequence& sequence, const PageStore& store) {
  auto census = sequence.check();
  CHECK(census.ok());
  const auto count = static_cast<double>(sequence.count());
  std::printf(
      "  %.1f bytes an element in memory, %.1f on disk; pages %.0f %% full, level of the root %u\n",
      static_cast<double>(store.memory_bytes()) / count, static_cast<double>(census->leaf_bytes) / count,
      100.0 * static_cast<double>(census->leaf_bytes) / static_cast<double>(census->leaves * LeafPage::kMaxBytes),
      sequence.root().level);
}

void measure_members(const std::vector<Member>& members) {
  std::printf("%zu members of 20 bytes, in random order\n", members.size());
  MemoryStore store;
  Sequence sequence(store, LeafForm::kElements);
  Random random(1);
  ElementView element;
  Sequence::Cursor cursor;
  uint64_t below = 0;
  const auto drawn = [&] { return members[random.below(members.size())].view(); };
  const auto place = [](std::string_view id) { return place_by_id(ElementKind::kMember, id); };
  measure("(to draw a member and hash it)", 1'000'000, [&](uint64_t) { below += place(drawn()).word; });
  measure("put, new", members.size(), [&](uint64_t i) { sequence.put(view_of(place(members[i].view()), i + 1)); });
  report(sequence, store);
  measure("put, there already", 1'000'000, [&](uint64_t i) { sequence.put(view_of(place(drawn()), i + 1)); });
  measure("find", 1'000'000, [&](uint64_t) { sequence.find(place(drawn()), element, kAtOnce); });
  measure("find one of 100, in the processor's caches", 1'000'000,
          [&](uint64_t i) { sequence.find(place(members[i % 100].view()), element, kAtOnce); });
  measure("rank", 1'000'000, [&](uint64_t) { sequence.rank(place(drawn()), below, kAtOnce); });
  size_t bytes = 0;
  measure("at a random rank", 1'000'000, [&](uint64_t) {
    sequence.at(random.below(members.size()), cursor, kAtOnce);
    bytes += cursor.element().place.id.size();
  });
  sequence.seek({}, cursor, kAtOnce);
  measure("next", members.size() - 1, [&](uint64_t) {
    sequence.next(cursor, kAtOnce);
    bytes += cursor.element().place.id.size();
  });
  CHECK(bytes == Member::kBytes * (1'000'000 + members.size() - 1));
  measure("at a random rank, and erase it", members.size() / 2, [&](uint64_t) {
    sequence.at(random.below(sequence.count()), cursor, kAtOnce);
    sequence.erase(cursor.element().place);
  });
  report(sequence, store);
}

// Numbers as positions have them: their bytes are the word.
void measure_list(uint64_t count) {
  std::printf("%lu list elements of 3 bytes\n", count);
  MemoryStore store;
  Sequence sequence(store, LeafForm::kElements);
  Sequence::Cursor cursor;
  const uint64_t begin = uint64_t{1} << 40;
  measure("push at the back", count, [&](uint64_t i) { sequence.put(view_of({begin + i, {}}, i + 1, "abc")); });
  report(sequence, store);
  measure("push at the front", count, [&](uint64_t i) { sequence.put(view_of({begin - i - 1, {}}, i + 1, "abc")); });
  report(sequence, store);
  measure("pop from the front", count, [&](uint64_t) {
    sequence.at(0, cursor, kAtOnce);
    sequence.erase(cursor.element().place);
  });
  measure("pop from the back", count, [&](uint64_t) {
    sequence.at(sequence.count() - 1, cursor, kAtOnce);
    sequence.erase(cursor.element().place);
  });
  uint64_t built = 0;
  measure("build", 1, [&](uint64_t) {
    sequence.build(count, [&] {
      ++built;
      return view_of({built, {}}, built, "abc");
    });
  });
  measure("drop", 1, [&](uint64_t) { sequence.drop(SIZE_MAX); });
}

template <typename Set>
void measure_set(const char* name, const std::vector<Member>& members) {
  std::printf("%s of the same members\n", name);
  Random random(1);
  size_t found = 0;
  const size_t before = allocated;
  {
    Set set;
    measure("insert", members.size(), [&](uint64_t i) { set.emplace(members[i].view()); });
    std::printf("  %.1f bytes an element in memory\n",
                static_cast<double>(allocated - before) / static_cast<double>(members.size()));
    measure("find", 1'000'000,
            [&](uint64_t) { found += set.count(Text(members[random.below(members.size())].view())); });
    measure("pop from the front", members.size(), [&](uint64_t) { set.erase(set.begin()); });
  }
  CHECK(found == 1'000'000);
}

void measure_all(uint64_t count) {
  std::vector<Member> members;
  for (uint64_t i = 0; i < count; ++i) members.push_back(member(hash64(member(i).view())));
  measure_members(members);
  measure_list(count);
  measure_set<std::set<Text, std::less<Text>, CountingAllocator<Text>>>("std::set", members);
  measure_set<absl::btree_set<Text, std::less<Text>, CountingAllocator<Text>>>("absl::btree_set", members);
}

}  // namespace
}  // namespace capstan::lmdb_store

int main(int count, char** arguments) {
  capstan::lmdb_store::measure_all(count < 2 ? 1'000'000 : std::strtoull(arguments[1], nullptr, 10));
}
