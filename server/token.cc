#include "server/token.h"

#include "base/bytes.h"

namespace capstan {
namespace {

constexpr char kDigits[] = "0123456789abcdef";
constexpr char kVersion = 1;

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::optional<std::string> from_hex(std::string_view word) {
  if (word.empty() || word.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (size_t i = 0; i < word.size(); i += 2) {
    const int high = digit_value(word[i]);
    const int low = digit_value(word[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(high * 16 + low));
  }
  return bytes;
}

}  // namespace

std::string encode_token(const Token& token) {
  std::string bytes;
  Encoder encoder(bytes);
  encoder.u8(kVersion);
  encoder.varint(token.size());
  for (const auto& [shard, clock] : token) {
    encoder.varint(shard);
    clock.encode(encoder);
  }
  std::string word;
  for (const char c : bytes) {
    word.push_back(kDigits[static_cast<uint8_t>(c) >> 4]);
    word.push_back(kDigits[static_cast<uint8_t>(c) & 15]);
  }
  return word;
}

std::optional<Token> decode_token(std::string_view word) {
  const std::optional<std::string> bytes = from_hex(word);
  if (!bytes) return std::nullopt;
  Decoder decoder(*bytes);
  if (decoder.u8() != kVersion) return std::nullopt;
  const uint64_t count = decoder.varint();
  Token token;
  for (uint64_t i = 0; i < count && decoder.ok(); ++i) {
    const uint64_t shard = decoder.varint();
    if (shard > UINT32_MAX) return std::nullopt;
    token.emplace_back(static_cast<ShardId>(shard), Clock::decode(decoder));
  }
  if (!decoder.done()) return std::nullopt;
  return token;
}

bool token_is_covered(std::string_view word, ShardId shard, const Clock& applied) {
  const std::optional<Token> token = decode_token(word);
  if (!token) return false;
  for (const auto& [named, clock] : *token) {
    if (named == shard && !applied.covers(clock)) return false;
  }
  return true;
}

}  // namespace capstan
