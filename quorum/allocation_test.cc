// The hot path allocates nothing once warm: the net effect of a SET, its encoding, its decoding, its join.
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <new>
#include <string>

#include "quorum/effects.h"
#include "quorum/join.h"

namespace {
uint64_t allocations = 0;
}

// Counts, for the whole test program.
[[gnu::noinline]] void* operator new(size_t size) {
  ++allocations;
  if (void* const memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace capstan {

BOOST_AUTO_TEST_SUITE(allocation_test)

BOOST_AUTO_TEST_CASE(a_set_with_a_ttl_allocates_nothing_once_warm) {
  constexpr LogId kR{LogId::kAgreedBit | 1};
  const std::string key = "a key that is longer than a string's own room";
  const std::string value(64, 'v');
  Effects effects;
  std::string bytes;
  Record read;
  Versions versions;
  uint64_t before = 0;
  for (uint64_t number = 2; number < 100; ++number) {
    if (number == 10) before = allocations;
    effects.reset();
    effects.remove(0, key);
    effects.element(0, key, {.value = effects.keep(value)});
    effects.element(0, key, {.kind = ElementKind::kTtl, .value = "12345678"});
    effects.record().dot = {kR, number};
    effects.record().context.set(kR, number - 1);
    bytes.clear();
    Encoder encoder(bytes);
    encode_record(effects.record(), encoder);
    Decoder in(bytes);
    BOOST_REQUIRE(decode_record_into(kR, in, read));
    join_element(versions, read.keys[0].elements[0], RecordHead{read.dot, read.hlc, read.context}, Replay::kNo);
  }
  BOOST_TEST(allocations == before);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
