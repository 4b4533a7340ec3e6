// Test code: what Redis would answer, for worlds with STRONG commands only. Dumb and sequential, and without any code
// of the evaluation, the join or their numbers.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "quorum/model_commands.h"

namespace capstan {

class PlainRedis {
 public:
  // stamp: the record's, which names a stream's entry.
  std::vector<std::string> run(const std::vector<Command>& commands, Hlc stamp);

 private:
  struct Content {
    std::map<std::string, std::string> strings, hash, set, scores, stream;
    std::vector<std::string> list;
    bool empty() const {
      return strings.empty() && hash.empty() && set.empty() && scores.empty() && stream.empty() && list.empty();
    }
  };
  using Part = std::map<std::string, std::string>;

  std::string run(const Command& command, Hlc stamp);
  std::string run_collection(const Command& command, Content& content, Hlc stamp);
  std::string remembered(const Command& command);

  std::map<State::Key, Content> keys_;
};

}  // namespace capstan
