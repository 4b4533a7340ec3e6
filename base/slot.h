// Slots: CRC16 (XMODEM) of the key, or of its {hash tag}, mod 16384, as the Redis Cluster specification defines them.
#pragma once

#include <cstdint>
#include <string_view>

namespace capstan {

using Slot = uint16_t;
inline constexpr Slot kSlots = 16384;

uint16_t crc16(std::string_view bytes);

// The part of the key that is hashed: between the first '{' and the first '}' after it if that is not empty, else all.
std::string_view hash_tag(std::string_view key);

inline Slot slot_of(std::string_view key) { return crc16(hash_tag(key)) % kSlots; }

}  // namespace capstan
