#include "lmdb-store/keyspace.h"

#include <boost/test/unit_test.hpp>
#include <iostream>
#include <map>
#include <set>

#include "base/hash.h"
#include "base/random.h"
#include "base/random_testing.h"
#include "lmdb-store/memory_store.h"
#include "quorum/effects.h"
#include "quorum/element_value.h"
#include "quorum/state.h"
#include "quorum/version.h"

namespace capstan::lmdb_store {
namespace {

const LogId kAgreed{LogId::kAgreedBit | 7};
const LogId kWriter{5};
const LogId kOtherWriter{9};

Keyspace::Options small_options() {
  Keyspace::Options options;
  options.batch_pages = 1;  // a transaction per few rows: flushes that are cut short stop in the middle
  return options;
}

// A keyspace, the journal it would have, and the plain map of quorum/state.h that it must equal.
struct World {
  explicit World(uint64_t seed, const Keyspace::Options& with = small_options()) : random(seed), options(with) {
    open();
  }
  ~World() { finish(); }

  void open() {
    Result<std::unique_ptr<Keyspace>> opened = Keyspace::open(store, options);
    BOOST_REQUIRE(opened.ok());
    keyspace = std::move(*opened);
    Record record;
    for (const auto& [log, bytes] : journal) {
      Decoder in(bytes);
      BOOST_REQUIRE(decode_record_into(log, in, record));
      if (keyspace->applied().covers(record.dot)) continue;
      keyspace->apply(record, Replay::kYes);
    }
  }
  void crash() {
    finish();
    keyspace.reset();
    open();
  }
  void finish() {
    if (!keyspace || !keyspace->flushing()) return;
    (void)job->run();
    while (keyspace->finish_flush()) {
    }
    job.reset();
  }
  void begin_flush(uint64_t bytes = Keyspace::kWhole) {
    if (keyspace->flushing() || !keyspace->needs_flush()) return;
    job = keyspace->begin_flush(0, bytes);
  }

  // The effects gathered in `effects` become the next record of log, whose author had applied everything, or `context`.
  void commit(LogId log = kAgreed) { commit(log, state.applied()); }
  void commit(LogId log, const Clock& context) {
    Record& record = effects.record();
    record.context = context;
    record.dot = Dot{log, state.applied()[log] + 1};
    record.hlc = Hlc::at_ms(1000 + static_cast<int64_t>(++steps));
    std::string bytes;
    Encoder out(bytes);
    encode_record(record, out);
    keyspace->apply(record, Replay::kNo);
    state.apply(record);
    journal.emplace_back(log, std::move(bytes));
    Clock& seen = authors[log] = context;
    seen.set(log, record.dot.number);
    closures.push_back(seen);
    effects.reset();
  }
  // What the author of log has applied by now: what it had, and now everything, or some records with their causes.
  Clock next_context(LogId log) {
    Clock context = authors[log];
    if (random.chance(0.4)) return state.applied();
    for (uint64_t more = random.below(3); more > 0 && !closures.empty(); --more) {
      context.merge(closures[random.below(closures.size())]);
    }
    return context;
  }

  void put(Database database, std::string_view name, std::string_view value, bool remove = true,
           ElementKind kind = ElementKind::kString, std::string_view id = {}, bool additive = false) {
    const std::string_view key = effects.keep(name);  // keys given to effects must outlive the record
    if (remove) effects.remove(database, key);
    ElementEffect effect;
    effect.kind = kind;
    effect.id = id;
    effect.value = effects.keep(value);
    effect.additive = additive;
    effects.element(database, key, effect);
  }
  void expire(Database database, std::string_view key, int64_t at_ms) {
    std::string value;
    append_time(at_ms, value);
    put(database, key, value, false, ElementKind::kTtl);
  }
  // A time put again with its key, under the stamp that it had.
  void repeat_expiry(Database database, std::string_view key, int64_t at_ms, Hlc stamp) {
    std::string value;
    append_time(at_ms, value);
    ElementEffect effect{.kind = ElementKind::kTtl, .value = effects.keep(value), .stamp = stamp};
    effects.element(database, key, effect);
  }
  // The string's versions that an author with that context sees.
  std::vector<Dot> seen_versions(Database database, std::string_view key, const Clock& context) const {
    std::vector<Dot> dots;
    const KeyState* now = state.find(database, key);
    const ElementState* text = now ? now->find(ElementKind::kString) : nullptr;
    for (const Version& version : text ? text->versions : Versions()) {
      if (context.covers(version.dot)) dots.push_back(version.dot);
    }
    return dots;
  }
  // add or splice of the string's winning version; nothing if there is none.
  void amend(Database database, std::string_view key, const ElementEffect& change) {
    const KeyState* now = state.find(database, key);
    const ElementState* text = now ? now->find(ElementKind::kString) : nullptr;
    if (!text) return;
    if (change.action == ElementEffect::Action::kSplice && !is_simple(text->versions)) return;
    ElementEffect effect = change;
    effect.anchor = text->versions[winner(text->versions)].dot;
    effects.element(database, effects.keep(key), effect);
  }

  std::optional<std::string> text(Database database, const std::string& key) {
    const Keyspace::Found found = keyspace->find(database, key, hash64(key));
    if (!found.row) return std::nullopt;
    KeyState decoded;
    std::vector<WantedRow> missing;
    while (!keyspace->decode(*found.row, decoded, missing)) keyspace->read_now(missing);
    const ElementState* element = decoded.find(ElementKind::kString);
    if (!element) return std::nullopt;
    std::string scratch;
    return std::string(*value_of(element->versions, scratch));
  }
  std::set<std::string> scan_all(Database database, size_t count) {
    std::set<std::string> names;
    std::vector<Keyspace::ScannedKey> page;
    for (uint64_t position = 0;;) {
      page.clear();
      keyspace->scan(database, position, count, Keyspace::kEverything, page, position);
      for (const auto& key : page) BOOST_TEST(names.insert(key.name).second, "met twice: " << key.name);
      if (position == 0) return names;
    }
  }

  void check() {
    BOOST_TEST((keyspace->applied() == state.applied()));
    std::map<Database, uint64_t> keys;
    std::map<Database, uint64_t> expiring;
    std::map<std::pair<Database, Slot>, uint64_t> leaves;
    std::map<Database, std::set<std::string>> names;
    for (const auto& [name, expected] : state.keys()) {
      const uint64_t hash = hash64(name.second);
      const Keyspace::Found found = keyspace->find(name.first, name.second, hash);
      BOOST_REQUIRE_MESSAGE(found.row || expected.empty(), "missing key " << name.second);
      if (!found.row) continue;
      KeyState decoded;
      std::vector<WantedRow> missing;
      while (!keyspace->decode(*found.row, decoded, missing)) keyspace->read_now(missing);
      BOOST_REQUIRE_MESSAGE(decoded == expected, "wrong state of " << name.second);
      BOOST_TEST(keyspace->digest(*found.row, hash) == expected.digest(hash));
      const int64_t now_ms = random.between(1, 9000);
      const Keyspace::KeyInfo info = keyspace->info(*found.row, now_ms);
      BOOST_TEST(info.exists == expected.exists());
      if (expected.exists()) {
        BOOST_TEST((info.kind == expected.visible_kind()));
        BOOST_TEST(info.expired == expected.expired(now_ms));
      }
      keys[name.first] += expected.exists() ? 1 : 0;
      expiring[name.first] += expected.exists() && expected.expire_at_ms() != kNeverExpires ? 1 : 0;
      leaves[{name.first, slot_of(name.second)}] += expected.digest(hash);
      names[name.first].insert(name.second);
    }
    for (Database database = 0; database < 3; ++database) {
      BOOST_TEST(keyspace->keys(database) == keys[database]);
      BOOST_TEST(keyspace->expiring_keys(database) == expiring[database]);
      BOOST_TEST((scan_all(database, 1 + random.below(5)) == names[database]));
    }
    for (const auto& [at, digest] : leaves) BOOST_TEST(keyspace->slots().at(at.first, at.second).digest == digest);
  }

  // Keys whose elements lie in pages.
  size_t large() {
    size_t count = 0;
    for (const auto& [name, expected] : state.keys()) {
      const Keyspace::Found found = keyspace->find(name.first, name.second, hash64(name.second));
      CollectionForm form;
      count += found.row && parse_collection_form(found.row->payload(), form) && form.large;
    }
    return count;
  }
  // Without keys LMDB has nothing of them, whatever flushes failed or were cut off before.
  void check_nothing_stays() {
    finish();
    for (Database database = 0; database < 3; ++database) effects.clear(database);
    commit();
    for (int pass = 0; pass < 5; ++pass) begin_flush(), finish();  // some may fail
    const auto view = store.read();
    for (const Table table : {Table::kKeys, Table::kElements, Table::kExpiry, Table::kSlots}) {
      BOOST_TEST(!(*view)->cursor(table)->seek({}));
    }
    for (const std::string_view mark : {"dead", "building"}) {
      const auto cursor = (*view)->cursor(Table::kMeta);
      BOOST_TEST((!cursor->seek(mark) || !cursor->key().starts_with(mark)));
    }
  }

  Random random;
  Keyspace::Options options;
  MemoryStore store;
  std::unique_ptr<Keyspace> keyspace;
  std::shared_ptr<FlushJob> job;
  State state;
  Effects effects;
  std::vector<std::pair<LogId, std::string>> journal;
  std::map<LogId, Clock> authors;  // the context of each log's last record, and the record
  std::vector<Clock> closures;     // each record with its context
  uint64_t steps = 0;
  bool only_agreed = false;
};

std::string some_key(Random& random) {
  std::string name = "k" + std::to_string(random.below(12));
  switch (random.below(6)) {
    case 0:
      return "{tag}" + name;
    case 1:
      return name + std::string(600, 'x');
    default:
      return name;
  }
}

std::string some_value(Random& random) {
  switch (random.below(8)) {
    case 0:
      return std::string(kChunkBytes + random.below(3 * kChunkBytes), static_cast<char>('a' + random.below(26)));
    case 1:
      return std::string(random.below(300), 'v');
    default:
      return std::to_string(random.between(-50, 50));
  }
}

// RESOLVE, of some of the siblings that are seen, and of what may be gone.
void random_resolve(World& world, Database database, std::string_view key, const Clock& context) {
  ElementEffect effect;
  effect.value = world.effects.keep(some_value(world.random));
  effect.has_over = true;
  for (const Dot& dot : world.seen_versions(database, key, context)) {
    if (world.random.chance(0.6)) effect.over.push_back(dot);
  }
  for (const Dot& entry : context) {
    if (world.random.chance(0.1)) effect.over.push_back(entry);
  }
  world.effects.element(database, key, effect);
}

// add or, in log R, splice of a version that is seen, or (no author does that) of one that may be gone.
void random_amend(World& world, LogId log, Database database, std::string_view key, const Clock& context) {
  Random& random = world.random;
  std::vector<Dot> seen = world.seen_versions(database, key, context);
  if (random.chance(0.1) && context[log] != 0) seen = {Dot{log, 1 + random.below(context[log])}};
  if (seen.empty()) return;
  ElementEffect amend;
  amend.anchor = seen[random.below(seen.size())];
  amend.action = log.agreed() && random.chance(0.5) ? ElementEffect::Action::kSplice : ElementEffect::Action::kAdd;
  if (amend.action == ElementEffect::Action::kSplice) {
    amend.value = "splice";
    amend.offset = random.chance(0.3) ? random.below(3 * kChunkBytes) : random.below(20);
  } else {
    amend.addend = random.chance(0.2) ? Number::real(0.5L) : Number::integer(random.between(-3, 3));
  }
  world.effects.element(database, key, amend);
}

// Collections, each usually of its own kind: some elements are put, removed and added to, or so many at once that no
// key row holds them.
void random_elements(World& world, LogId log, Database database, const Clock& context) {
  Random& random = world.random;
  const uint64_t number = random.below(6);
  const std::string_view key = world.effects.keep("c" + std::to_string(number));
  if (world.effects.find(database, key)) return;
  if (random.chance(0.05)) return world.effects.remove(database, key);
  if (random.chance(0.1)) return world.expire(database, key, random.between(1, 9000));
  const ElementKind kind = static_cast<ElementKind>(1 + (random.chance(0.03) ? random.below(4) : number % 4));
  const KeyState* const state = world.state.find(database, key);
  const uint64_t ids = random.chance(0.3) ? 300 : 20;
  for (uint64_t left = random.chance(0.05) ? 150 : 1 + random.below(4); left > 0; --left) {
    std::string id = "i" + std::to_string(random.below(ids));
    if (random.chance(0.01)) id += std::string(100, 'l');
    if (world.effects.find(database, key, kind, id)) continue;
    ElementEffect effect;
    effect.kind = kind;
    effect.id = world.effects.keep(id);
    const ElementState* const old = state == nullptr ? nullptr : state->find(kind, id);
    if (old != nullptr && random.chance(0.5)) {
      effect.action = ElementEffect::Action::kRemove;
    } else if (old != nullptr && holds_numbers(kind) && random.chance(0.5) &&
               (log.agreed() || context.covers(old->versions[0].dot))) {
      effect.action = ElementEffect::Action::kAdd;
      effect.anchor = old->versions[0].dot;
      effect.addend = random.chance(0.3) ? Number::real(0.5L) : Number::integer(random.between(-3, 3));
    } else if (kind == ElementKind::kScore) {
      std::string score;
      append_number(kind, Number::real(static_cast<long double>(random.below(4))), score);
      effect.value = world.effects.keep(score);
    } else if (kind != ElementKind::kMember) {
      effect.value = world.effects.keep(std::to_string(random.below(1000)));
    }
    world.effects.element(database, key, effect);
  }
}

void random_effect(World& world, LogId log, const Clock& context) {
  Random& random = world.random;
  const Database database = static_cast<Database>(random.below(3));
  if (random.chance(0.4)) return random_elements(world, log, database, context);
  const std::string_view key = world.effects.keep(some_key(random));
  if (world.effects.find(database, key)) return;
  const int64_t time = random.chance(0.2) ? kNeverExpires : random.between(1, 9000);
  switch (random.below(14)) {
    case 0:
    case 1:
    case 2:
      return world.put(database, key, some_value(random));
    case 3:
      return world.put(database, key, some_value(random), false);
    case 4:
      return world.put(database, key, "1", false, ElementKind::kString, {}, true);
    case 5:
      return world.expire(database, key, time);
    case 6:
      if (random.chance(0.5)) world.put(database, key, some_value(random), random.chance(0.3));
      return world.repeat_expiry(database, key, time, Hlc::at_ms(random.between(1, 1000)));
    case 7:
      return world.effects.remove(database, key);
    case 8:
      return world.put(database, key, "f", random.chance(0.5), ElementKind::kField, "field");
    case 9:
      if (random.chance(0.2)) world.effects.clear(database);
      return;
    case 10:
      return random_resolve(world, database, key, context);
    default:
      return random_amend(world, log, database, key, context);
  }
}

void random_step(World& world) {
  Random& random = world.random;
  switch (random.below(20)) {
    case 0:
      return world.begin_flush(random.chance(0.3) ? Keyspace::kWhole : 1 + random.below(1000));
    case 1:
      return world.finish();
    case 2:
      if (!world.keyspace->flushing()) world.keyspace->set_limits(random.chance(0.5) ? 0 : uint64_t{1} << 30, 1 << 20);
      world.keyspace->evict(1000);
      return;
    case 3:
      if (random.chance(0.3)) world.store.fail_commits(random.below(4), ErrorCode::kFull);
      return;
    case 4:
      if (random.chance(0.3)) world.crash();
      return;
    default:
      break;
  }
  const LogId log = world.only_agreed || random.chance(0.6) ? kAgreed : random.chance(0.5) ? kWriter : kOtherWriter;
  const Clock context = world.next_context(log);
  for (uint64_t count = 1 + random.below(3); count > 0; --count) random_effect(world, log, context);
  if (!world.effects.empty()) world.commit(log, context);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(keyspace_test)

BOOST_AUTO_TEST_CASE(what_is_put_is_read_before_and_after_a_flush_and_a_restart) {
  World world(1);
  world.put(0, "a", "1");
  world.commit();
  BOOST_TEST(*world.text(0, "a") == "1");
  world.begin_flush();
  world.put(0, "a", "2");
  world.commit();
  world.finish();
  BOOST_TEST(*world.text(0, "a") == "2");
  world.crash();
  BOOST_TEST(*world.text(0, "a") == "2");
  BOOST_TEST(world.keyspace->keys(0) == 1u);
}

BOOST_AUTO_TEST_CASE(a_long_string_lies_in_chunks_that_a_splice_changes_one_by_one) {
  World world(1);
  std::string value(5 * kChunkBytes + 17, 'x');
  world.put(0, "long", value);
  world.commit();
  world.begin_flush();
  world.finish();
  ElementEffect splice_effect;
  splice_effect.action = ElementEffect::Action::kSplice;
  splice_effect.offset = 3 * kChunkBytes - 2;
  splice_effect.value = "abcd";
  world.amend(0, "long", splice_effect);
  world.commit();
  splice(value, splice_effect.offset, splice_effect.value);
  BOOST_TEST((*world.text(0, "long") == value));
  // Two chunks and the key row, not six.
  BOOST_TEST(world.keyspace->dirty_bytes() < 3 * kChunkBytes);
  world.crash();
  BOOST_TEST((*world.text(0, "long") == value));
}

BOOST_AUTO_TEST_CASE(replaced_and_removed_long_strings_leave_no_chunks_behind) {
  World world(1);
  for (int i = 0; i < 3; ++i) {
    world.put(0, "long", std::string((4 - i) * kChunkBytes, 'x'));
    world.commit();
    world.begin_flush();
    world.finish();
  }
  world.effects.remove(0, "long");
  world.commit();
  world.begin_flush();
  world.finish();
  const auto view = world.store.read();
  BOOST_TEST(!(*view)->cursor(Table::kElements)->seek({}));
  BOOST_TEST(!(*view)->cursor(Table::kKeys)->seek({}));
  BOOST_TEST(!(*view)->cursor(Table::kSlots)->seek({}));
}

BOOST_AUTO_TEST_CASE(a_cleared_database_is_empty_at_once_and_on_disk_after_the_flush) {
  World world(1);
  for (int i = 0; i < 100; ++i) world.put(i % 2, "k" + std::to_string(i), "v"), world.commit();
  world.begin_flush();
  world.finish();
  world.effects.clear(0);
  world.commit();
  BOOST_TEST(!world.text(0, "k0"));
  BOOST_TEST(world.keyspace->keys(0) == 0u);
  world.put(0, "k2", "new");
  world.commit();
  world.check();
  world.begin_flush();
  world.finish();
  world.crash();
  BOOST_TEST(*world.text(0, "k2") == "new");
  BOOST_TEST(!world.text(0, "k0"));
  BOOST_TEST(*world.text(1, "k1") == "v");
}

BOOST_AUTO_TEST_CASE(expired_keys_are_found_in_memory_and_on_disk_and_only_while_they_are_due) {
  World world(1);
  std::vector<std::pair<Database, std::string>> due;
  for (const char* name : {"soon", "later", "persisted"}) {
    world.put(0, name, "v");
    world.expire(0, name, name == std::string("later") ? 90000 : 5000);
    world.commit();
  }
  world.expire(0, "persisted", kNeverExpires);
  world.commit();
  for (int pass = 0; pass < 3; ++pass) {
    due.clear();
    world.keyspace->expired_keys(6000, 10, due);
    BOOST_REQUIRE(due.size() == 1u);
    BOOST_TEST(due[0].second == "soon");
    if (pass == 0) world.begin_flush(), world.finish();
    if (pass == 1) world.crash();
  }
  due.clear();
  world.keyspace->expired_keys(5000, 10, due);
  BOOST_TEST(due.empty());
}

BOOST_AUTO_TEST_CASE(evicted_rows_come_back_from_disk) {
  World world(1);
  for (int i = 0; i < 500; ++i) world.put(0, "k" + std::to_string(i), std::to_string(i)), world.commit();
  world.begin_flush();
  world.finish();
  world.keyspace->set_limits(0, 1 << 20);
  while (world.keyspace->evict(1000)) {
  }
  world.keyspace->evict(1000);
  BOOST_TEST(world.keyspace->rows() == 0u);
  for (int i = 0; i < 500; ++i) BOOST_TEST(*world.text(0, "k" + std::to_string(i)) == std::to_string(i));
  BOOST_TEST(!world.text(0, "k500"));
}

// The operator's word cut off records that rows in LMDB contain: these rows are still keys as others.
BOOST_AUTO_TEST_CASE(rows_that_are_newer_than_the_journal_can_be_removed) {
  World world(1);
  for (int i = 0; i < 50; ++i) world.put(0, "k" + std::to_string(i), "v"), world.commit();
  world.begin_flush(1);
  world.finish();
  world.journal.clear();
  world.crash();
  BOOST_REQUIRE(world.keyspace->has_newer_rows());
  BOOST_TEST(world.keyspace->keys(0) > 0u);
  BOOST_TEST(world.keyspace->keys(0) < 50u);
  world.keyspace->accept_newer_rows();
  BOOST_TEST((world.keyspace->applied() == world.state.applied()));
  for (int i = 0; i < 50; ++i) world.effects.remove(0, world.effects.keep("k" + std::to_string(i)));
  world.commit(kWriter, world.keyspace->applied());
  BOOST_TEST(world.keyspace->keys(0) == 0u);
  for (int i = 0; i < 50; ++i) BOOST_TEST(!world.text(0, "k" + std::to_string(i)));
}

// Random records of a shard's log R and of two writers, whose authors had applied all or less, flushes in parts that
// fail or are cut short by a crash at any transaction, restarts, evictions: always what the plain map says.
BOOST_AUTO_TEST_CASE(it_equals_the_plain_map_whatever_happens) {
  size_t large = 0;
  const auto run = [&large](uint64_t seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      World world(seed);
      world.only_agreed = seed % 3 == 0;
      for (int step = 0; step < 150; ++step) {
        random_step(world);
        if (step % 15 == 14) world.check();
      }
      world.crash();
      world.check();
      large += world.large();
      world.store.fail_commits(0, ErrorCode::kFull);
      world.check_nothing_stays();
    }
  };
  for (uint64_t seed = 1; seed <= 60; ++seed) run(seed);
  // Pages that were erased, or never, after a job that failed behind a cleared database.
  for (const uint64_t seed : {2'097'321'980u, 3'137'005'992u}) run(seed);
  BOOST_TEST(large > 10u);
  with_new_seeds(10, run);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::lmdb_store
