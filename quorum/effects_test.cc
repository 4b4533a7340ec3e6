#include "quorum/effects.h"

#include <boost/test/unit_test.hpp>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <tuple>

#include "base/random.h"
#include "quorum/state.h"

namespace capstan {

namespace {

using Action = ElementEffect::Action;

constexpr LogId kR{LogId::kAgreedBit | 1};
constexpr Dot kOld{kR, 1};
constexpr Dot kOwn{kR, 2};

ElementEffect put(std::string_view value, ElementKind kind = ElementKind::kString, std::string_view id = {}) {
  return {.action = Action::kPut, .kind = kind, .id = id, .value = value};
}
ElementEffect add(int64_t addend, Dot anchor = kOld) {
  return {.action = Action::kAdd, .anchor = anchor, .addend = Number::integer(addend)};
}
ElementEffect splice_at(uint64_t offset, std::string_view bytes, Dot anchor = kOld) {
  return {.action = Action::kSplice, .value = bytes, .anchor = anchor, .offset = offset};
}
ElementEffect remove_element(ElementKind kind, std::string_view id) {
  return {.action = Action::kRemove, .kind = kind, .id = id};
}

// A record of R (or another log) under construction.
struct Building : Effects {
  explicit Building(LogId log = kR) { begin(log); }
  void begin(LogId log = kR) {
    reset();
    record().dot = {log, 2};
  }
};

// What the record does to string "k" of database 0, as one line.
std::string show(const Effects& effects) {
  const ElementEffect* const effect = effects.find(0, "k", ElementKind::kString, {});
  if (effect == nullptr) return "nothing";
  switch (effect->action) {
    case Action::kPut:
      return "put " + std::string(effect->value) + (effect->additive ? " additive" : "");
    case Action::kRemove:
      return "remove";
    case Action::kAdd: {
      std::string out = "add ";
      effect->addend.append_to(out);
      return out;
    }
    case Action::kSplice:
      return "splice " + std::to_string(effect->offset) + ' ' + std::string(effect->value);
  }
  return {};
}

// Random changes, made to a record under construction and, one after the other, to plain values.
class Changes {
 public:
  explicit Changes(uint64_t seed) : random_(seed) {
    for (int i = 0; i < 60; ++i) fields_.push_back("f" + std::to_string(i));
  }

  // The values that the changes one after the other give, and those that their net effect gives, joined.
  std::pair<std::map<std::string, std::string>, std::map<std::string, std::string>> run(bool wide) {
    wide_ = wide;
    values_.clear();
    State state = first_record();
    effects_.reset();
    effects_.record().dot = kOwn;
    for (uint64_t left = random_.below(wide ? 200 : 12) + 1; left > 0; --left) change();
    effects_.record().context = {kOld};
    for (const KeyEffect& key : effects_.record().keys) BOOST_REQUIRE(key.remove || !key.elements.empty());
    std::string bytes;
    Encoder encoder(bytes);
    encode_record(effects_.record(), encoder);
    Decoder in(bytes);
    const auto record = decode_record(kR, in);
    BOOST_REQUIRE(record.ok());
    state.apply(record.value());
    std::map<std::string, std::string> joined;
    for (const auto& [key, content] : state.keys()) {
      for (const ElementState& element : content.elements()) {
        std::string scratch;
        joined[prefix(key.first, key.second) + element.id] = *value_of(element.versions, scratch);
      }
    }
    return {values_, joined};
  }

 private:
  static std::string prefix(Database database) { return std::to_string(database) + '/'; }
  static std::string prefix(Database database, const std::string& key) { return prefix(database) + key + '/'; }

  State first_record() {
    effects_.reset();
    for (Database database = 0; database < 2; ++database) {
      for (const std::string& key : keys_) {
        if (random_.chance(0.4)) continue;
        effects_.element(database, key, put("10"));
        values_[prefix(database, key)] = "10";
      }
    }
    effects_.record().dot = kOld;
    State state;
    state.apply(effects_.record());
    return state;
  }

  void drop(const std::string& with_prefix) {
    std::erase_if(values_, [&](const auto& entry) { return entry.first.starts_with(with_prefix); });
  }

  void change() {
    const auto database = static_cast<Database>(random_.below(2));
    const std::string& key = keys_[random_.below(3)];
    const uint64_t dice = random_.below(wide_ ? 60 : 12);
    if (dice == 0) {
      effects_.clear(database);
      drop(prefix(database));
    } else if (dice == 1) {
      effects_.remove(database, key);
      drop(prefix(database, key));
    } else {
      change_element(database, key, dice);
    }
  }

  void change_element(Database database, const std::string& key, uint64_t dice) {
    const bool field = random_.chance(wide_ ? 0.9 : 0.3);
    ElementEffect effect = put("");
    if (field) effect = put("", ElementKind::kField, fields_[random_.below(wide_ ? 60 : 3)]);
    const std::string name = prefix(database, key) + std::string(effect.id);
    if (dice == 2) {
      effect.action = Action::kRemove;
      values_.erase(name);
    } else if (dice < 7 && !field && values_.contains(name)) {
      effect = amend(values_[name]);
      const ElementEffect* const earlier = effects_.find(database, key, effect.kind, effect.id);
      if (earlier != nullptr && earlier->action == Action::kPut) effect.anchor = kOwn;
      if (!effects_.may_amend(database, key, effect)) effect = put(effects_.keep(values_[name]));
    } else {
      effect.value = effects_.keep(std::to_string(random_.below(100)));
      values_[name] = effect.value;
    }
    effects_.element(database, key, effect);
  }

  // An amend of value, which it has changed already.
  ElementEffect amend(std::string& value) {
    const bool number = Number::parse(value).has_value() && value.size() < 6;
    if (number && random_.chance(0.5)) {
      const int64_t addend = random_.between(-9, 9);
      value = std::to_string(std::stoll(value) + addend);
      return add(addend);
    }
    const uint64_t offset = random_.below(value.size() + 1);
    splice(value, offset, "77");
    return splice_at(offset, "77");
  }

  Random random_;
  bool wide_ = false;  // many elements: the indexed form
  Effects effects_;
  std::map<std::string, std::string> values_;
  const std::vector<std::string> keys_{"a", "b", "c"};
  std::vector<std::string> fields_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(effects_test)

BOOST_AUTO_TEST_CASE(put_after_anything_is_that_put) {
  for (const ElementEffect& earlier : {put("1"), add(5), splice_at(0, "x"), remove_element(ElementKind::kString, {})}) {
    Effects effects;
    effects.element(0, "k", earlier);
    effects.element(0, "k", put("2"));
    BOOST_TEST(show(effects) == "put 2");
    BOOST_TEST(effects.record().keys.size() == 1u);
    BOOST_TEST(effects.record().keys[0].elements.size() == 1u);
  }
}

BOOST_AUTO_TEST_CASE(an_amend_of_the_records_own_put_changes_the_put) {
  Building effects;
  ElementEffect increment = put("5");
  increment.additive = true;
  effects.element(0, "k", increment);
  effects.element(0, "k", add(3, kOwn));
  BOOST_TEST(show(effects) == "put 8 additive");
  effects.element(0, "k", put("hello"));
  effects.element(0, "k", splice_at(5, " world", kOwn));
  effects.element(0, "k", splice_at(0, "J", kOwn));
  BOOST_TEST(show(effects) == "put Jello world");
}

BOOST_AUTO_TEST_CASE(an_amend_of_a_sibling_of_the_records_own_put_must_be_put) {
  Building effects;
  effects.element(0, "k", put("5"));
  BOOST_TEST(effects.may_amend(0, "k", add(3, kOwn)));
  BOOST_TEST(!effects.may_amend(0, "k", add(3, kOld)));
  BOOST_TEST(!effects.may_amend(0, "k", splice_at(0, "x", kOld)));
}

// R adds 2^64 and -2^64 + 1 one after the other, each sum rounded as Redis rounds it; a contribution is a sum anyway.
BOOST_AUTO_TEST_CASE(two_additions_of_floats_are_one_in_a_writers_log_alone) {
  ElementEffect half = add(0);
  half.addend = Number::real(0.5L);
  for (const LogId log : {kR, LogId{7}}) {
    for (const auto& [first, second] : {std::pair(half, half), std::pair(half, add(1)), std::pair(add(1), half)}) {
      Building effects(log);
      effects.element(0, "k", first);
      BOOST_TEST(effects.may_amend(0, "k", second) == !log.agreed());
    }
  }
}

BOOST_AUTO_TEST_CASE(additions_are_summed) {
  Building effects;
  effects.element(0, "k", add(3));
  effects.element(0, "k", add(-5));
  BOOST_TEST(show(effects) == "add -2");
}

BOOST_AUTO_TEST_CASE(splices_that_touch_or_overlap_are_one) {
  struct Case {
    uint64_t offset;
    const char* bytes;
    const char* result;
  };
  for (const Case& c :
       {Case{14, "XY", "splice 10 abcdXY"}, Case{12, "XY", "splice 10 abXY"}, Case{11, "X", "splice 10 aXcd"},
        Case{13, "XYZ", "splice 10 abcXYZ"}, Case{8, "XY", "splice 8 XYabcd"}, Case{8, "XYZ", "splice 8 XYZbcd"},
        Case{8, "XYZXYZXYZ", "splice 8 XYZXYZXYZ"}, Case{10, "WXYZ", "splice 10 WXYZ"}}) {
    Building effects;
    effects.element(0, "k", splice_at(10, "abcd"));
    BOOST_TEST(effects.may_amend(0, "k", splice_at(c.offset, c.bytes)));
    effects.element(0, "k", splice_at(c.offset, c.bytes));
    BOOST_TEST(show(effects) == c.result);
  }
}

BOOST_AUTO_TEST_CASE(what_no_single_mutation_says_must_be_put) {
  Building effects;
  effects.element(0, "k", splice_at(10, "abcd"));
  BOOST_TEST(!effects.may_amend(0, "k", splice_at(15, "x")));
  BOOST_TEST(!effects.may_amend(0, "k", splice_at(8, "x")));
  BOOST_TEST(!effects.may_amend(0, "k", add(1)));
  effects.begin();
  effects.element(0, "k", add(1));
  BOOST_TEST(effects.may_amend(0, "k", add(1)));
  BOOST_TEST(!effects.may_amend(0, "k", splice_at(0, "x")));
  BOOST_TEST(!effects.may_amend(0, "k", add(1, Dot{kR, 2})));
  // Their sum would saturate, while one after the other they fit the highest number.
  effects.begin();
  effects.element(0, "k", add(std::numeric_limits<int64_t>::min()));
  BOOST_TEST(!effects.may_amend(0, "k", add(-1)));
  BOOST_TEST(effects.may_amend(0, "k", add(1)));
  effects.begin();
  BOOST_TEST(effects.may_amend(0, "k", splice_at(0, "x")));
  BOOST_TEST(effects.may_amend(0, "k", splice_at(kMaxValueBytes - 1, "x")));
  BOOST_TEST(!effects.may_amend(0, "k", splice_at(kMaxValueBytes, "x")));
}

BOOST_AUTO_TEST_CASE(remove_of_what_the_record_put_is_a_remove) {
  Effects effects;
  effects.element(0, "k", put("1"));
  effects.element(0, "k", remove_element(ElementKind::kString, {}));
  BOOST_TEST(show(effects) == "remove");
}

BOOST_AUTO_TEST_CASE(remove_of_a_key_takes_its_elements_and_stays_before_later_ones) {
  Effects effects;
  effects.element(0, "k", put("1", ElementKind::kField, "f"));
  effects.element(0, "l", put("2"));
  effects.remove(0, "k");
  BOOST_TEST(effects.find(0, "k")->remove);
  BOOST_TEST(effects.find(0, "k")->elements.empty());
  effects.element(0, "k", put("3"));
  BOOST_TEST(show(effects) == "put 3");
  BOOST_TEST(effects.find(0, "k")->remove);
  BOOST_TEST(effects.find(0, "l")->elements.size() == 1u);
}

BOOST_AUTO_TEST_CASE(clear_takes_what_came_before_in_its_database_alone) {
  Effects effects;
  effects.element(0, "k", put("1"));
  effects.element(1, "k", put("2"));
  effects.remove(0, "l");
  effects.clear(0);
  effects.clear(0);
  BOOST_TEST(effects.clears(0));
  BOOST_TEST(!effects.clears(1));
  BOOST_TEST(effects.find(0, "k") == nullptr);
  BOOST_TEST(effects.find(1, "k") != nullptr);
  effects.clear(3);
  effects.clear(2);
  BOOST_TEST((effects.record().clears == decltype(Record::clears){0, 2, 3}));
}

BOOST_AUTO_TEST_CASE(over_is_sorted_and_each_dot_once) {
  Effects effects;
  ElementEffect resolve = put("v");
  resolve.has_over = true;
  resolve.over = {Dot{kR, 9}, Dot{kR, 2}, Dot{kR, 9}};
  effects.element(0, "k", put("1"));
  effects.element(0, "k", resolve);
  effects.element(0, "l", resolve);
  const decltype(resolve.over) sorted{Dot{kR, 2}, Dot{kR, 9}};
  BOOST_TEST((effects.find(0, "k", ElementKind::kString, {})->over == sorted));
  BOOST_TEST((effects.find(0, "l", ElementKind::kString, {})->over == sorted));
}

BOOST_AUTO_TEST_CASE(reset_leaves_nothing) {
  Effects effects;
  effects.clear(1);
  effects.remove(0, "k");
  effects.record().context.set(kR, 4);
  effects.record().dot = {kR, 5};
  effects.keep("something");
  effects.reset();
  BOOST_TEST(effects.empty());
  BOOST_TEST(effects.record().context.empty());
  BOOST_TEST((effects.record().dot == Dot()));
}

BOOST_AUTO_TEST_CASE(kept_bytes_stay_where_they_are) {
  Effects effects;
  for (int round = 0; round < 3; ++round) {
    std::vector<std::pair<std::string, std::string_view>> kept;
    for (int i = 0; i < 1000; ++i) {
      const std::string bytes(static_cast<size_t>(i % 40), static_cast<char>('a' + i % 26));
      kept.emplace_back(bytes, effects.keep(bytes));
    }
    for (const auto& [bytes, view] : kept) BOOST_REQUIRE(bytes == view);
    effects.reset();
  }
}

BOOST_AUTO_TEST_CASE(amending_one_value_leaves_others_that_view_the_same_bytes) {
  Building effects;
  const std::string_view shared = effects.keep("a value too long to be inside of a string");
  effects.element(0, "k", put(shared));
  effects.element(0, "l", put(shared));
  for (int i = 0; i < 20; ++i) {
    effects.element(0, "k", splice_at(shared.size() + static_cast<size_t>(i), "!", kOwn));
    effects.element(0, "l", splice_at(0, "A", kOwn));
  }
  BOOST_TEST(show(effects) == "put a value too long to be inside of a string!!!!!!!!!!!!!!!!!!!!");
  BOOST_TEST(effects.find(0, "l", ElementKind::kString, {})->value == "A value too long to be inside of a string");
  BOOST_TEST(shared == "a value too long to be inside of a string");
}

// Else a MULTI with an APPEND to each of some keys in turn would keep a whole value per APPEND.
BOOST_AUTO_TEST_CASE(many_amendments_of_many_values_keep_one_copy_of_each) {
  Building effects;
  const std::string value(100000, 'v');
  const std::string names = "0123456789abcdef";
  for (const char& name : names) effects.element(0, std::string_view(&name, 1), put(value));
  std::set<const char*> copies;
  for (size_t round = 0; round < 20; ++round) {
    for (const char& name : names) {
      const std::string_view key(&name, 1);
      effects.element(0, key, splice_at(value.size(), "!", kOwn));
      copies.insert(effects.find(0, key, ElementKind::kString, {})->value.data());
    }
  }
  // The first amendment copies; the string may grow once.
  BOOST_TEST(copies.size() <= 2 * names.size());
}

BOOST_AUTO_TEST_CASE(an_effect_that_was_read_from_a_record_does_not_share_its_copy) {
  Building effects;
  effects.element(0, "k", put("1"));
  effects.element(0, "k", add(1, kOwn));
  const ElementEffect seen = *effects.find(0, "k", ElementKind::kString, {});
  ElementEffect again = seen;
  again.value = effects.keep(seen.value);
  effects.element(0, "l", again);
  effects.element(0, "l", add(5, kOwn));
  BOOST_TEST(show(effects) == "put 2");
  BOOST_TEST(effects.find(0, "l", ElementKind::kString, {})->value == "7");
  effects.element(0, "k", again);
  effects.element(0, "k", add(1, kOwn));
  BOOST_TEST(effects.find(0, "l", ElementKind::kString, {})->value == "7");
}

BOOST_AUTO_TEST_CASE(a_hundred_thousand_keys_and_elements_are_found_again) {
  Effects effects;
  std::vector<std::string> names;
  for (int i = 0; i < 100000; ++i) names.push_back("name:" + std::to_string(i));
  for (int round = 0; round < 2; ++round) {
    for (const std::string& name : names) effects.element(0, name, put(name));
    for (const std::string& name : names) effects.element(1, "hash", put(name, ElementKind::kField, name));
  }
  BOOST_TEST(effects.record().keys.size() == names.size() + 1);
  BOOST_TEST(effects.find(1, "hash")->elements.size() == names.size());
  BOOST_TEST(effects.find(0, names[77777])->key == names[77777]);
  BOOST_TEST(effects.find(1, "hash", ElementKind::kField, names[99999])->value == names[99999]);
  BOOST_TEST(effects.find(1, "hash", ElementKind::kMember, names[99999]) == nullptr);
  effects.clear(0);
  BOOST_TEST(effects.record().keys.size() == 1u);
  BOOST_TEST(effects.find(1, "hash", ElementKind::kField, names[5])->value == names[5]);
  effects.remove(1, "hash");
  BOOST_TEST(effects.find(1, "hash", ElementKind::kField, names[5]) == nullptr);
}

BOOST_AUTO_TEST_CASE(the_net_effect_is_that_of_all_effects_in_their_order) {
  Changes changes(1);
  for (int run = 0; run < 3000; ++run) {
    const auto [one_by_one, joined] = changes.run(run % 10 == 0);
    BOOST_REQUIRE_MESSAGE(one_by_one == joined, "run " << run);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
