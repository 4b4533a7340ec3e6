// The test variant's switch (mutant.h), and its checks: there a CHECK that fails throws, so that a mutant which a CHECK
// stops counts as caught.
#include "consensus/mutant.h"

#include <stdexcept>
#include <string>

#include "base/check.h"

namespace capstan {

namespace consensus {

namespace {
Mutant current = Mutant::kNone;
}

bool mutant(Mutant which) { return current == which; }
void set_mutant(Mutant which) { current = which; }

}  // namespace consensus

// In place of base/check.cc's.
void check_failed(const char* file, int line, const char* condition, std::string_view why) {
  throw std::runtime_error(std::string(file) + ":" + std::to_string(line) + ": " + condition + " " + std::string(why));
}

}  // namespace capstan
