// The operating system's clocks. Pure code (consensus/, quorum/, and what the simulator runs) is handed times instead.
#pragma once

#include <cstdint>

namespace capstan {

// Milliseconds and microseconds since the Unix epoch. May jump.
int64_t wall_ms();
int64_t wall_us();
// Nanoseconds from an arbitrary start; never goes back.
int64_t monotonic_ns();
// The same, and it goes on while the system sleeps: for promises to others (consensus/group.h).
int64_t boot_ns();
inline int64_t monotonic_ms() { return monotonic_ns() / 1'000'000; }

}  // namespace capstan
