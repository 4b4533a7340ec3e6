// A bounded run of the fuzz target: garbage, and streams of valid commands that were mutated here and there.
#include <boost/test/unit_test.hpp>
#include <cstdint>
#include <string>

#include "base/random.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace capstan::resp {

namespace {

void run(const std::string& stream) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(stream.data()), stream.size());
}

// Bytes that mean something to the parser, far more often than chance would have them.
char draw_byte(Random& random) {
  constexpr std::string_view kTelling = "*$\r\n\r\n \"'\\x0123456789-+:%~>|_";
  return random.chance(0.8) ? kTelling[random.below(kTelling.size())] : static_cast<char>(random.next());
}

std::string draw_bytes(Random& random, uint64_t max_size) {
  std::string out;
  for (uint64_t i = random.below(max_size + 1); i > 0; --i) out.push_back(draw_byte(random));
  return out;
}

std::string draw_command(Random& random) {
  if (random.chance(0.2)) return "SET \"a b\" 'c' " + draw_bytes(random, 10) + "\r\n";
  const uint64_t count = random.below(random.chance(0.1) ? 55 : 5);
  std::string out = "*" + std::to_string(count) + "\r\n";
  for (uint64_t i = 0; i < count; ++i) {
    const std::string word = draw_bytes(random, random.chance(0.05) ? 310 : 20);
    out += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
  }
  return out;
}

void mutate(std::string& stream, Random& random) {
  for (uint64_t i = random.below(4); i > 0 && !stream.empty(); --i) {
    const size_t at = random.below(stream.size());
    switch (random.below(3)) {
      case 0:
        stream[at] = draw_byte(random);
        break;
      case 1:
        stream.erase(at, 1 + random.below(3));
        break;
      default:
        stream.insert(at, 1, draw_byte(random));
    }
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(parser_fuzz_test)

BOOST_AUTO_TEST_CASE(nothing_upsets_the_parsers) {
  for (uint64_t seed = 1; seed <= 1500; ++seed) {
    BOOST_TEST_CHECKPOINT("seed " << seed);
    Random random(seed);
    run(draw_bytes(random, 200));
    std::string stream;
    for (uint64_t i = random.below(6); i > 0; --i) stream += draw_command(random);
    run(stream);
    mutate(stream, random);
    run(stream);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::resp
