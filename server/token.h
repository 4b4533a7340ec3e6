// The tokens of CONSISTENCY TOKEN and AFTER: per shard a clock; "everything up to there". One opaque word to clients.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "quorum/clock.h"

namespace capstan {

using Token = std::vector<std::pair<ShardId, Clock>>;

std::string encode_token(const Token& token);
// nullopt: this is no token.
std::optional<Token> decode_token(std::string_view word);
// Whether a replica of the shard that has applied `applied` has all that the token names of it. False for no token.
bool token_is_covered(std::string_view word, ShardId shard, const Clock& applied);

}  // namespace capstan
