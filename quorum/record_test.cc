#include "quorum/record.h"

#include <boost/test/unit_test.hpp>
#include <string>

#include "quorum/random_record.h"

namespace capstan {

namespace {

constexpr LogId kR{LogId::kAgreedBit | 77};
constexpr LogId kW{5};

bool same(const ElementEffect& a, const ElementEffect& b) {
  return a.action == b.action && a.kind == b.kind && a.id == b.id && a.value == b.value && a.additive == b.additive &&
         a.stamp == b.stamp && a.has_over == b.has_over && a.over == b.over && a.anchor == b.anchor &&
         a.addend == b.addend && a.offset == b.offset;
}

bool same(const KeyEffect& a, const KeyEffect& b) {
  return a.database == b.database && a.remove == b.remove && a.key == b.key &&
         std::equal(a.elements.begin(), a.elements.end(), b.elements.begin(), b.elements.end(),
                    [](const auto& x, const auto& y) { return same(x, y); });
}

bool same(const Record& a, const Record& b) {
  return a.dot == b.dot && a.hlc == b.hlc && a.context == b.context && a.clears == b.clears &&
         std::equal(a.keys.begin(), a.keys.end(), b.keys.begin(), b.keys.end(),
                    [](const auto& x, const auto& y) { return same(x, y); });
}

std::string encoded(const Record& record) {
  std::string out;
  Encoder encoder(out);
  encode_record(record, encoder);
  return out;
}

bool decodes(LogId log, std::string_view bytes) {
  Decoder in(bytes);
  const Result<Record> record = decode_record(log, in);
  return record.ok() && in.done();
}

// A record of one SET, as the hot path makes it.
Record one_set(std::string_view key, std::string_view value) {
  Record record;
  record.dot = {kR, 1000};
  record.hlc = Hlc::at_ms(1700000000000);
  record.context = {{kR, 999}};
  KeyEffect& effect = record.keys.emplace_back();
  effect.key = key;
  effect.remove = true;
  effect.elements.emplace_back().value = value;
  return record;
}

// Each with one thing about it that no writer writes.
void refuses(LogId log, std::initializer_list<uint8_t> tail) {
  std::string bytes("\x02\0\0\0\0\0\0\0\0", 9);  // number 2, stamp 0
  for (const uint8_t byte : tail) bytes += static_cast<char>(byte);
  BOOST_TEST(!decodes(log, bytes));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(record_test)

BOOST_AUTO_TEST_CASE(records_of_every_kind_come_back_as_they_were) {
  RandomRecords records(1);
  Record reused;
  for (int i = 0; i < 30000; ++i) {
    const Record record = records.next();
    const std::string bytes = encoded(record);
    Decoder in(bytes);
    BOOST_REQUIRE_MESSAGE(decode_record_into(record.dot.log, in, reused), "record " << i);
    BOOST_REQUIRE(in.done());
    BOOST_REQUIRE_MESSAGE(same(record, reused), "record " << i);
    BOOST_REQUIRE(encoded(reused) == bytes);
  }
}

BOOST_AUTO_TEST_CASE(a_record_ends_where_it_ends_and_the_next_one_follows) {
  std::string bytes;
  Encoder encoder(bytes);
  encode_record(one_set("k", "v"), encoder);
  encode_record(one_set("l", "w"), encoder);
  Decoder in(bytes);
  Record record;
  BOOST_TEST(decode_record_into(kR, in, record));
  BOOST_TEST(record.keys[0].key == "k");
  BOOST_TEST(decode_record_into(kR, in, record));
  BOOST_TEST(record.keys[0].key == "l");
  BOOST_TEST(in.done());
}

BOOST_AUTO_TEST_CASE(a_set_costs_sixteen_bytes_beside_key_and_value) {
  // Number 2 (of 1000), stamp 8, flags 1, count of keys 1; the key's head 1 and length 1; the value's head 1 and
  // length 1.
  BOOST_TEST(encoded(one_set("", "")).size() == 16u);
}

BOOST_AUTO_TEST_CASE(a_value_of_64_mib_passes) {
  const std::string value(64 << 20, 'v');
  const std::string bytes = encoded(one_set("k", value));
  Decoder in(bytes);
  Record record;
  BOOST_TEST(decode_record_into(kR, in, record));
  BOOST_TEST((record.keys[0].elements[0].value == value));
}

BOOST_AUTO_TEST_CASE(every_truncation_is_refused) {
  RandomRecords records(2);
  for (int i = 0; i < 300; ++i) {
    const Record record = records.next();
    const std::string bytes = encoded(record);
    for (size_t size = 0; size < bytes.size(); ++size) {
      BOOST_REQUIRE(!decodes(record.dot.log, std::string_view(bytes).substr(0, size)));
    }
  }
}

BOOST_AUTO_TEST_CASE(damaged_records_are_refused_or_are_records) {
  RandomRecords records(3);
  Random& random = records.random();
  Record read;
  int refused = 0;
  for (int i = 0; i < 60000; ++i) {
    const Record record = records.next();
    std::string bytes = encoded(record);
    for (uint64_t left = random.below(4) + 1; left > 0; --left) {
      bytes[random.below(bytes.size())] = static_cast<char>(random.next());
    }
    Decoder in(bytes);
    if (!decode_record_into(record.dot.log, in, read)) {
      ++refused;
      continue;
    }
    const std::string again = encoded(read);
    Decoder second(again);
    Record twice;
    BOOST_REQUIRE(decode_record_into(record.dot.log, second, twice));
    BOOST_REQUIRE(same(read, twice));
  }
  BOOST_TEST(refused > 1000);
}

BOOST_AUTO_TEST_CASE(random_bytes_never_crash) {
  Random random(4);
  Record record;
  for (int i = 0; i < 100000; ++i) {
    std::string bytes;
    for (uint64_t left = random.below(80); left > 0; --left)
      bytes += static_cast<char>(random.next() >> random.below(60));
    Decoder in(bytes);
    if (decode_record_into(random.chance(0.5) ? kR : kW, in, record)) BOOST_REQUIRE(record.dot.number != 0);
  }
}

BOOST_AUTO_TEST_CASE(what_no_writer_writes_is_refused) {
  constexpr uint8_t kOwn = 1, kClears = 2, kOneElement = 0x40;
  BOOST_TEST(!decodes(kR, std::string_view("\0\0\0\0\0\0\0\0\0\1\0", 11)));            // number zero
  refuses(kR, {4, 0});                                                                 // unknown flag
  refuses(kR, {kOwn | kClears, 0, 0});                                                 // no database to clear, flag set
  refuses(kR, {kOwn | kClears, 2, 3, 3, 0});                                           // a database twice
  refuses(kR, {kOwn | kClears, 1, kDatabases, 0});                                     // unknown database
  refuses(kR, {kOwn, 1, kDatabases | kOneElement, 1, 'k', 0, 0});                      // unknown database
  refuses(kR, {kOwn, 1, 0, 1, 'k'});                                                   // a key without any effect
  refuses(kR, {kOwn, 1, 0xc0, 1, 'k', 2, 0, 0, 0, 0});                                 // a short count spelled long
  refuses(kR, {kOwn, 1, kOneElement, 1, 'k', 7 << 2, 0, 0});                           // unknown kind
  refuses(kR, {kOwn, 1, kOneElement, 1, 'k', 6 << 2, 1, 'x'});                         // a time of one byte
  refuses(kR, {kOwn, 1, kOneElement, 1, 'k', 2 << 2, 1, 'm', 1, 'x'});                 // a member with a value
  refuses(kR, {kOwn, 1, kOneElement, 1, 'k', 1 | 0x20});                               // a remove with a put's flag
  refuses(kR, {kOwn, 1, kOneElement, 1, 'k', 2 | 0x20, 0, 0, 2});                      // an anchor of number zero
  refuses(kW, {kOwn, 1, kOneElement, 1, 'k', 3 | 0x20, 1, 0, 1, 'x'});                 // a splice of a writer's log
  refuses(kR, {kOwn, 1, kOneElement, 1, 'k', 3 | 1 << 2 | 0x20, 0, 1, 0, 1, 'x'});     // a splice of a field
  refuses(kR, {kOwn, 1, kOneElement, 1, 'k', 2 << 2 | 0x20, 1, 'm', 0});               // an additive member
  refuses(kR, {kOwn, 1, kOneElement, 1, 'k', 2 | 4 << 2 | 0x20, 1, 'p', 1, 0, 2});     // an addition to a position
  refuses(kR, {kOwn, 1, kOneElement, 1, 'k', 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2});     // an anchor of no log
  refuses(kR, {kOwn, 1, kOneElement, 1, 'k', 0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0});  // a put over no log's dot
  refuses(LogId(), {kOwn, 0});                                                         // no log
  // A splice beyond any value's size.
  refuses(kR, {kOwn, 1, kOneElement, 1, 'k', 3 | 0x20, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 'x'});
  // The own context spelled out.
  refuses(kW, {0, 1, 5, 0, 0, 0, 0, 0, 0, 0, 1, 0});
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
