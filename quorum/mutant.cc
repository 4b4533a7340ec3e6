// The test variant's switch (mutant.h), and its checks: there a CHECK that fails throws, so that a mutant which a CHECK
// stops counts as caught.
#include "quorum/mutant.h"

#include <string>

#include "base/check.h"
#include "quorum/model_world.h"

namespace capstan {

namespace {
Mutant current = Mutant::kNone;
}

bool mutant(Mutant which) { return current == which; }
void set_mutant(Mutant which) { current = which; }

// In place of base/check.cc's.
void check_failed(const char* file, int line, const char* condition, std::string_view why) {
  throw Violation(std::string(file) + ":" + std::to_string(line) + ": " + condition + " " + std::string(why));
}

}  // namespace capstan
