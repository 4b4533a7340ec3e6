// What a client may make the server hold before it has sent a whole command. One object per server or worker, shared
// by its parsers and changed at run time (CONFIG SET) between two calls of theirs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace capstan::resp {

struct Limits {
  // Bytes of one argument (proto-max-bulk-len).
  uint64_t max_bulk_bytes = 64ull << 20;
  // Bytes of a line of an inline command (proto-inline-max-size), without its newline.
  size_t max_inline_bytes = 64 << 10;
  // Arguments of one command, its name included.
  uint32_t max_arguments = 1024 * 1024;
};

// What takes their place until the connection is authenticated, where a password is required (Redis 7.0).
inline constexpr uint32_t kMaxUnauthenticatedArguments = 10;
inline constexpr uint64_t kMaxUnauthenticatedBulkBytes = 16384;

// Bytes in which a `*` or `$` header has to end (Redis 7.0).
inline constexpr size_t kMaxHeaderBytes = 64 << 10;

}  // namespace capstan::resp
