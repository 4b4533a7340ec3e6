#include "lmdb-store/row_key.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "base/hash.h"
#include "base/random.h"
#include "lmdb-store/memory_store.h"

namespace capstan::lmdb_store {

namespace {

RowSecret secret_of(uint64_t seed) {
  Random random(seed);
  RowSecret secret;
  for (char& byte : secret) byte = static_cast<char>(random.next());
  return secret;
}

const RowKeys kKeys(secret_of(1));

std::string random_bytes(Random& random, size_t size) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random.next());
  return bytes;
}

std::string value_of(const RowKey& key, std::string_view id, std::string_view payload) {
  std::string value(row_value_size(key, id, payload.size()), '\0');
  char* at = start_row_value(key, id, value.data());
  std::copy(payload.begin(), payload.end(), at);
  BOOST_REQUIRE((at + payload.size() == value.data() + value.size()));
  return value;
}

void check_round_trip(uint64_t word, std::string_view id, std::string_view payload) {
  const RowKey key = kKeys.row_key(word, id);
  BOOST_REQUIRE(key.view().size() <= kMaxKeyBytes);
  BOOST_REQUIRE(key.shortened() == (id.size() > kMaxPlainIdBytes));
  const std::string value = value_of(key, id, payload);
  BOOST_REQUIRE((row_payload(key, id, value) == payload));
  Result<StoredRow> row = decode_row(key, value);
  BOOST_REQUIRE(row.ok());
  BOOST_REQUIRE((row->word == word && row->id == id && row->payload == payload));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(row_key_test)

BOOST_AUTO_TEST_CASE(a_sort_key_is_database_slot_and_hash) {
  const uint64_t hash = hash64("key");
  const uint64_t key = sort_key(16, 16383, hash);
  BOOST_TEST(sort_key_database(key) == 16);
  BOOST_TEST(sort_key_slot(key) == 16383);
  BOOST_TEST(sort_key_hash(key) == (hash & 0xff'ffff'ffff));
  BOOST_TEST(sort_key(0, 0, ~uint64_t{0}) < sort_key(0, 1, 0));
  BOOST_TEST(sort_key(0, kSlots - 1, ~uint64_t{0}) < sort_key(1, 0, 0));
}

BOOST_AUTO_TEST_CASE(the_bytes_are_as_FORMAT_says) {
  BOOST_TEST((kKeys.row_key(0x0102030405060708, "id").view() == std::string_view("\1\2\3\4\5\6\7\10id", 10)));
  BOOST_TEST((kKeys.row_key(sort_key(3, 0x1234, 0xaabbccddee), "").view() == "\x03\x12\x34\xaa\xbb\xcc\xdd\xee"));
  BOOST_TEST((as_view(slot_key(3, 0x1234)) == "\x03\x12\x34"));
  BOOST_TEST((as_view(chunk_id(0x01020304)) == "\1\2\3\4"));

  const std::string id(600, 'i');
  const RowKey key = kKeys.row_key(7, id);
  const RowSecret secret = secret_of(1);
  const Hash128 hash = hash128(id, {secret.data(), secret.size()});
  std::string expected(std::string("\0\0\0\0\0\0\0\7", 8) + std::string(487, 'i'));
  for (const uint64_t half : {hash.high, hash.low}) {
    for (int shift = 56; shift >= 0; shift -= 8) expected.push_back(static_cast<char>(half >> shift));
  }
  BOOST_TEST((key.view() == expected));
  BOOST_TEST((value_of(key, id, "payload") == std::string("\xd8\x04") + id + "payload"));
}

BOOST_AUTO_TEST_CASE(order_on_disk_is_database_slot_hash_key) {
  constexpr uint64_t kSeed = 4711;
  BOOST_TEST_CONTEXT("seed " << kSeed) {
    Random random(kSeed);
    using Place = std::tuple<unsigned, unsigned, uint64_t, std::string>;
    std::vector<std::pair<Place, std::string>> rows;
    for (int i = 0; i < 3000; ++i) {
      const auto database = static_cast<Database>(random.below(kDatabases));
      const auto slot = static_cast<Slot>(random.chance(0.5) ? random.below(3) : random.below(kSlots));
      const uint64_t hash = random.chance(0.5) ? random.below(3) : random.next() & 0xff'ffff'ffff;
      const std::string key =
          random_bytes(random, random.chance(0.5) ? random.below(3) : random.below(kMaxPlainIdBytes + 1));
      rows.emplace_back(Place(database, slot, hash, key), kKeys.row_key(sort_key(database, slot, hash), key).view());
    }
    std::sort(rows.begin(), rows.end());
    for (size_t i = 1; i < rows.size(); ++i) {
      BOOST_REQUIRE((rows[i - 1].first == rows[i].first) == (rows[i - 1].second == rows[i].second));
      BOOST_REQUIRE((rows[i - 1].second <= rows[i].second));
    }
  }
}

BOOST_AUTO_TEST_CASE(ids_of_every_length_come_back) {
  constexpr uint64_t kSeed = 815;
  BOOST_TEST_CONTEXT("seed " << kSeed) {
    Random random(kSeed);
    for (size_t size = 0; size <= 5000; ++size) {
      check_round_trip(random.next(), random_bytes(random, size), random_bytes(random, random.below(50)));
    }
    check_round_trip(1, std::string(size_t{64} << 20, 'k'), "payload");
    check_round_trip(1, "k", std::string(size_t{64} << 20, 'p'));
  }
}

BOOST_AUTO_TEST_CASE(long_ids_that_differ_anywhere_have_keys_of_their_own) {
  std::set<std::string> keys;
  size_t ids = 0;
  const auto add = [&](const std::string& id) {
    keys.emplace(kKeys.row_key(0, id).view());
    ++ids;
  };
  for (const size_t size : {kMaxPlainIdBytes - 1, kMaxPlainIdBytes, kMaxPlainIdBytes + 1, size_t{5000}}) {
    const std::string base(size, 'x');
    add(base);
    for (size_t at = 0; at < size; ++at) {
      std::string id = base;
      id[at] = 'y';
      add(id);
    }
  }
  for (size_t size = 503; size < 4000; ++size) {
    if (size != 503 && size != 5000) add(std::string(size, 'x'));
  }
  BOOST_TEST(keys.size() == ids);
  // No plain key can be taken for a shortened one: they differ in length.
  BOOST_TEST(kKeys.row_key(0, std::string(kMaxPlainIdBytes, 'x')).view().size() == kMaxKeyBytes - 1);
}

BOOST_AUTO_TEST_CASE(another_environment_shortens_otherwise) {
  const RowKeys others(secret_of(2));
  const std::string id(1000, 'x');
  BOOST_TEST((kKeys.row_key(0, id).view() != others.row_key(0, id).view()));
  BOOST_TEST((kKeys.row_key(0, "short").view() == others.row_key(0, "short").view()));
  BOOST_TEST((new_row_secret() != new_row_secret()));
}

BOOST_AUTO_TEST_CASE(an_expiry_row_names_its_key_row_in_full) {
  for (const size_t size :
       {size_t{0}, size_t{10}, size_t{490}, size_t{494}, size_t{495}, size_t{502}, size_t{503}, size_t{9000}}) {
    const RowKey key = kKeys.row_key(sort_key(1, 2, 3), std::string(size, 'k'));
    check_round_trip(1'700'000'000'000, key.view(), "");
    BOOST_TEST(kKeys.row_key(1'700'000'000'000, key.view()).shortened() == (size > 494));
  }
}

BOOST_AUTO_TEST_CASE(damaged_rows_are_refused) {
  BOOST_TEST((decode_row("1234567", "").error().code == ErrorCode::kCorrupt));
  BOOST_TEST((decode_row(std::string(512, 'k'), "").error().code == ErrorCode::kCorrupt));
  const std::string id(600, 'i');
  const RowKey key = kKeys.row_key(1, id);
  const std::string value = value_of(key, id, "p");
  for (size_t size = 0; size < 602; ++size) {
    BOOST_TEST_CONTEXT(size) { BOOST_REQUIRE(!decode_row(key, value.substr(0, size)).ok()); }
  }
  BOOST_TEST(!decode_row(key, std::string("\2ii")).ok());
  BOOST_TEST(!decode_row(key, value_of(key, std::string(600, 'j'), "p")).ok());
}

BOOST_AUTO_TEST_CASE(the_secret_is_drawn_once) {
  MemoryStore store;
  BOOST_TEST((RowKeys::open(**store.read()).error().code == ErrorCode::kNotFound));
  const std::string id(1000, 'x');
  const std::string first(RowKeys::open(store, secret_of(5))->row_key(0, id).view());
  BOOST_TEST((RowKeys::open(store, secret_of(6))->row_key(0, id).view() == first));
  BOOST_TEST((RowKeys::open(**store.read())->row_key(0, id).view() == first));
  auto batch = store.write();
  BOOST_REQUIRE((*batch)->put(Table::kMeta, "secret", "short").ok());
  BOOST_REQUIRE((*batch)->commit().ok());
  BOOST_TEST((RowKeys::open(store, secret_of(5)).error().code == ErrorCode::kCorrupt));
}

BOOST_AUTO_TEST_CASE(rows_go_through_a_store) {
  MemoryStore store;
  const std::string long_id(700, 'l');
  auto batch = store.write();
  for (const std::string& id : {std::string("short"), long_id}) {
    BOOST_REQUIRE(put_row(**batch, Table::kElements, kKeys.row_key(9, id), id, "payload of " + id).ok());
  }
  BOOST_REQUIRE((*batch)->commit().ok());
  batch->reset();
  auto view = store.read();
  for (const std::string& id : {std::string("short"), long_id}) {
    const RowKey key = kKeys.row_key(9, id);
    const auto value = (*view)->get(Table::kElements, key);
    BOOST_REQUIRE(value.has_value());
    BOOST_TEST((row_payload(key, id, *value) == "payload of " + id));
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::lmdb_store
