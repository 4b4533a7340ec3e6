#include "lmdb-store/row_key.h"

#include <sys/random.h>

#include <cerrno>
#include <cstring>

#include "base/bytes.h"
#include "base/hash.h"

namespace capstan::lmdb_store {
namespace {

constexpr std::string_view kSecretKey = "secret";
constexpr size_t kWordBytes = 8;
constexpr size_t kHashBytes = 16;
constexpr size_t kPrefixBytes = kMaxKeyBytes - kWordBytes - kHashBytes;

Result<RowSecret> to_secret(std::string_view bytes) {
  RowSecret secret;
  if (bytes.size() != secret.size()) {
    return Error{ErrorCode::kCorrupt, "the secret of the row keys has " + std::to_string(bytes.size()) + " bytes"};
  }
  std::memcpy(secret.data(), bytes.data(), secret.size());
  return secret;
}

}  // namespace

RowSecret new_row_secret() {
  RowSecret secret;
  size_t done = 0;
  while (done < secret.size()) {
    const ssize_t n = getrandom(secret.data() + done, secret.size() - done, 0);
    CHECK(n > 0 || errno == EINTR, "the system gives no random numbers");
    if (n > 0) done += static_cast<size_t>(n);
  }
  return secret;
}

Result<RowKeys> RowKeys::open(ReadView& view) {
  const std::optional<std::string_view> stored = view.get(Table::kMeta, kSecretKey);
  if (!stored) return Error{ErrorCode::kNotFound, "the environment has no secret of row keys"};
  Result<RowSecret> secret = to_secret(*stored);
  if (!secret) return secret.error();
  return RowKeys(*secret);
}

Result<RowKeys> RowKeys::open(Store& store, const RowSecret& secret) {
  {
    Result<std::unique_ptr<ReadView>> view = store.read();
    if (!view) return view.error();
    Result<RowKeys> found = open(**view);
    if (found || found.error().code != ErrorCode::kNotFound) return found;
  }
  Result<std::unique_ptr<WriteBatch>> batch = store.write();
  if (!batch) return batch.error();
  if (Result<> put = (*batch)->put(Table::kMeta, kSecretKey, {secret.data(), secret.size()}); !put) return put.error();
  if (Result<> committed = (*batch)->commit(); !committed) return committed.error();
  return RowKeys(secret);
}

RowKey RowKeys::row_key(uint64_t word, std::string_view id) const {
  RowKey key;
  char* to = key.bytes_.data();
  store_be64(to, word);
  to += kWordBytes;
  if (id.size() <= kMaxPlainIdBytes) [[likely]] {
    if (!id.empty()) std::memcpy(to, id.data(), id.size());
    key.size_ = kWordBytes + id.size();
    return key;
  }
  std::memcpy(to, id.data(), kPrefixBytes);
  to += kPrefixBytes;
  const Hash128 hash = hash128(id, {secret_.data(), secret_.size()});
  store_be64(to, hash.high);
  store_be64(to + 8, hash.low);
  key.size_ = kMaxKeyBytes;
  return key;
}

size_t row_value_size(const RowKey& key, std::string_view id, size_t payload_size) {
  if (!key.shortened()) return payload_size;
  char buffer[kMaxVarintBytes];
  return static_cast<size_t>(store_varint(buffer, id.size()) - buffer) + id.size() + payload_size;
}

char* start_row_value(const RowKey& key, std::string_view id, char* value) {
  if (!key.shortened()) return value;
  value = store_varint(value, id.size());
  std::memcpy(value, id.data(), id.size());
  return value + id.size();
}

Result<char*> reserve_row(WriteBatch& batch, Table table, const RowKey& key, std::string_view id, size_t payload_size) {
  Result<char*> value = batch.reserve(table, key, row_value_size(key, id, payload_size));
  if (!value) return value;
  return start_row_value(key, id, *value);
}

Result<> put_row(WriteBatch& batch, Table table, const RowKey& key, std::string_view id, std::string_view payload) {
  Result<char*> room = reserve_row(batch, table, key, id, payload.size());
  if (!room) return room.error();
  if (!payload.empty()) std::memcpy(*room, payload.data(), payload.size());
  return {};
}

Result<StoredRow> decode_row(std::string_view key, std::string_view value) {
  if (key.size() < kWordBytes || key.size() > kMaxKeyBytes) {
    return Error{ErrorCode::kCorrupt, "a row key of " + std::to_string(key.size()) + " bytes"};
  }
  StoredRow row{load_be64(key.data()), key.substr(kWordBytes), value};
  if (key.size() < kMaxKeyBytes) return row;
  Decoder in(value);
  row.id = in.bytes();
  row.payload = in.rest();
  if (!in.ok() || row.id.size() <= kMaxPlainIdBytes ||
      row.id.substr(0, kPrefixBytes) != key.substr(kWordBytes, kPrefixBytes)) {
    return Error{ErrorCode::kCorrupt, "a row whose value does not begin with its id"};
  }
  return row;
}

std::string_view row_payload(const RowKey& key, std::string_view id, std::string_view value) {
  if (!key.shortened()) return value;
  Decoder in(value);
  CHECK(in.bytes() == id, "two ids with one keyed hash, or a damaged row");
  return in.rest();
}

std::array<char, 4> chunk_id(uint32_t number) {
  std::array<char, 4> id;
  store_le(id.data(), __builtin_bswap32(number));
  return id;
}

SlotKey slot_key(Database database, Slot slot) {
  return {static_cast<char>(database), static_cast<char>(slot >> 8), static_cast<char>(slot)};
}

}  // namespace capstan::lmdb_store
