// Long strings: chunks of 64 KiB in element rows, named by the key row's generation.
#include <algorithm>

#include "base/check.h"
#include "base/hash.h"
#include "lmdb-store/keyspace.h"

namespace capstan::lmdb_store {

std::string chunk_row_key(uint64_t generation, uint32_t chunk) {
  std::string key(12, '\0');
  store_be64(key.data(), generation);
  const auto id = chunk_id(chunk);
  std::memcpy(key.data() + 8, id.data(), id.size());
  return key;
}

// The chunk's row; nullptr if it is in no place.
TableRow* Keyspace::chunk(uint64_t generation, uint32_t index) {
  const std::string key = chunk_row_key(generation, index);
  const uint64_t hash = hash64(key);
  TableRow* row = elements_.find(static_cast<uint8_t>(generation >> 56), key, hash);
  return row || complete_ ? row : read_element_row(key, hash);
}

void Keyspace::write_chunks(uint64_t generation, std::string_view value, size_t bucket) {
  for (uint32_t index = 0; !value.empty(); ++index) {
    const std::string_view piece = value.substr(0, kChunkBytes);
    value.remove_prefix(piece.size());
    const std::string key = chunk_row_key(generation, index);
    TableRow* row = writable(elements_, nullptr, generation, key, hash64(key), piece.size(), bucket);
    std::memcpy(row->payload_data(), piece.data(), piece.size());
  }
}

// Writes bytes at offset, with zero bytes up to there if the value is shorter. form.size grows with it.
void Keyspace::splice_chunks(StringForm& form, uint64_t offset, std::string_view bytes, size_t bucket) {
  const uint64_t end = offset + bytes.size();
  // From the end of what there is, where a gap is to be filled.
  for (uint64_t at = std::min(offset, form.size); at < end;) {
    const auto index = static_cast<uint32_t>(at / kChunkBytes);
    const uint64_t begin = uint64_t{index} * kChunkBytes;
    const uint64_t until = std::min(end, begin + kChunkBytes);
    const std::string key = chunk_row_key(form.generation, index);
    TableRow* row = chunk(form.generation, index);
    std::string piece(row ? row->payload() : std::string_view());
    piece.resize(std::max<uint64_t>(piece.size(), until - begin));
    if (until > offset) {
      const uint64_t from = std::max(at, offset);
      std::memcpy(piece.data() + (from - begin), bytes.data() + (from - offset), until - from);
    }
    row = writable(elements_, row, form.generation, key, hash64(key), piece.size(), bucket);
    std::memcpy(row->payload_data(), piece.data(), piece.size());
    at = until;
  }
  form.size = std::max(form.size, end);
}

// The chunks of a value that is no more. The flush that writes the key row erases them from LMDB.
void Keyspace::drop_chunks(const StringForm& form, size_t bucket) {
  for (uint64_t at = 0; at < form.size; at += kChunkBytes) {
    const std::string key = chunk_row_key(form.generation, static_cast<uint32_t>(at / kChunkBytes));
    const uint64_t hash = hash64(key);
    TableRow* row = elements_.find(static_cast<uint8_t>(form.generation >> 56), key, hash);
    if (!row) continue;
    if (row->has(TableRow::kDirty)) {
      writable(elements_, row, form.generation, key, hash, 0, bucket);
    } else {
      forget_row(elements_, row);
    }
  }
}

bool Keyspace::read_chunks(const StringForm& form, uint64_t offset, uint64_t size, std::string& out,
                           std::vector<WantedRow>& missing) {
  const uint64_t end = std::min(form.size, offset + std::min(size, form.size));
  const size_t wanted_before = missing.size();
  for (uint64_t at = offset; at < end;) {
    const auto index = static_cast<uint32_t>(at / kChunkBytes);
    const uint64_t begin = uint64_t{index} * kChunkBytes;
    const uint64_t until = std::min(end, begin + kChunkBytes);
    const Found found = find_element(form.generation, index);
    if (found.presence == Presence::kUnknown) {
      missing.push_back(WantedRow{true, 0, chunk_row_key(form.generation, index)});
    } else {
      CHECK(found.row && found.row->payload_bytes >= until - begin, "a chunk of a string is missing");
      if (missing.size() == wanted_before) out.append(found.row->payload().substr(at - begin, until - at));
    }
    at = until;
  }
  return missing.size() == wanted_before;
}

}  // namespace capstan::lmdb_store
