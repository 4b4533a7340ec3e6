#include "server/once.h"

#include "base/bytes.h"

namespace capstan {
namespace {

constexpr uint8_t kVersion = 1;

}  // namespace

std::string Remembered::encode() const {
  const bool keep = reply.size() <= kMaxRememberedBytes;
  std::string bytes;
  Encoder out(bytes);
  out.u8(kVersion);
  out.varint(serial);
  out.u8(static_cast<uint8_t>(protocol));
  out.u8(keep);
  out.u8(aborted);
  out.varint(keep ? reply_ends.size() : 0);
  if (!keep) return bytes;
  for (const size_t end : reply_ends) out.varint(end);
  out.bytes(reply);
  return bytes;
}

std::optional<Remembered> Remembered::decode(std::string_view bytes) {
  Decoder in(bytes);
  if (in.u8() != kVersion) return std::nullopt;
  Remembered last;
  last.serial = in.varint();
  const uint8_t protocol = in.u8();
  last.protocol = static_cast<resp::Protocol>(protocol);
  last.kept = in.u8() != 0;
  last.aborted = in.u8() != 0;
  size_t before = 0;
  for (uint64_t left = in.varint(); left > 0 && in.ok(); --left) {
    const size_t end = in.varint();
    if (end < before) return std::nullopt;
    last.reply_ends.push_back(before = end);
  }
  if (last.kept) last.reply = in.bytes();
  if (!in.done() || (protocol != 2 && protocol != 3) || before > last.reply.size()) return std::nullopt;
  return last;
}

std::optional<std::string> check_repetition(const Remembered& last, uint64_t serial, resp::Protocol protocol) {
  if (serial > last.serial) return std::nullopt;
  if (serial < last.serial) {
    return "ERR ID: serial " + std::to_string(serial) + " is older than " + std::to_string(last.serial) +
           ", the latest of this client; it is not executed";
  }
  if (!last.kept) return "ERR ID: this was executed, its reply was too long to be remembered";
  if (protocol != last.protocol) {
    return "ERR ID: this was executed, its reply was given in RESP" + std::to_string(static_cast<int>(last.protocol));
  }
  return "";
}

}  // namespace capstan
