#include "quorum/key_state.h"

#include <boost/test/unit_test.hpp>
#include <string>

#include "base/random.h"
#include "quorum/element_value.h"
#include "quorum/random_record.h"

namespace capstan {

namespace {

constexpr LogId kA{1}, kB{2};

std::string time_value(int64_t ms) {
  std::string out;
  append_time(ms, out);
  return out;
}

bool decodes(std::initializer_list<ElementState> elements) {
  KeyState state;
  for (const ElementState& element : elements) state.add(element);
  std::string bytes;
  Encoder encoder(bytes);
  state.encode(encoder);
  Decoder in(bytes);
  return KeyState::decode(in, state) && in.done();
}

// A key, told which elements are put, each by a record of its own.
struct Key {
  KeyState state;

  void put(ElementKind kind, std::string_view id, std::string_view value, Dot dot, int64_t ms,
           const Clock& context = {}) {
    KeyEffect effect;
    effect.elements.push_back({.kind = kind, .id = id, .value = value});
    state.apply(effect, RecordHead{dot, Hlc::at_ms(ms), context}, Replay::kNo);
  }
  void expire(int64_t at_ms, Dot dot, int64_t ms, const Clock& context = {}) {
    const std::string value = time_value(at_ms);
    put(ElementKind::kTtl, {}, value, dot, ms, context);
  }
  void remove(Dot dot, const Clock& context) {
    KeyEffect effect;
    effect.remove = true;
    state.apply(effect, RecordHead{dot, Hlc(), context}, Replay::kNo);
  }
  std::string ids() const {
    std::string out;
    for (const ElementState& element : state.elements()) out += element.id + ' ';
    return out;
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(key_state_test)

BOOST_AUTO_TEST_CASE(elements_keep_the_order_in_which_they_came) {
  Key key;
  key.put(ElementKind::kField, "z", "1", {kA, 1}, 1);
  key.put(ElementKind::kField, "a", "2", {kA, 2}, 2);
  key.put(ElementKind::kField, "m", "3", {kA, 3}, 3);
  key.put(ElementKind::kField, "z", "4", {kA, 4}, 4, {{kA, 3}});
  BOOST_TEST(key.ids() == "z a m ");
  KeyEffect effect;
  effect.elements.push_back({.action = ElementEffect::Action::kRemove, .kind = ElementKind::kField, .id = "a"});
  key.state.apply(effect, RecordHead{{kA, 5}, Hlc(), {{kA, 4}}}, Replay::kNo);
  BOOST_TEST(key.ids() == "z m ");
}

BOOST_AUTO_TEST_CASE(equal_states_need_not_be_in_equal_order) {
  Key one, other;
  one.put(ElementKind::kField, "f", "1", {kA, 1}, 1);
  one.put(ElementKind::kField, "g", "2", {kB, 1}, 1);
  other.put(ElementKind::kField, "g", "2", {kB, 1}, 1);
  BOOST_TEST(!(one.state == other.state));
  other.put(ElementKind::kField, "f", "1", {kA, 1}, 1);
  BOOST_TEST((one.state == other.state));
  BOOST_TEST(one.state.digest(7) == other.state.digest(7));
}

BOOST_AUTO_TEST_CASE(a_ttl_alone_does_not_make_a_key_exist) {
  Key key;
  key.expire(100, {kA, 1}, 1);
  BOOST_TEST(!key.state.empty());
  BOOST_TEST(!key.state.exists());
  BOOST_TEST(!key.state.expired(1000));
}

BOOST_AUTO_TEST_CASE(removal_takes_what_it_covers_of_all_elements_the_ttl_too) {
  Key key;
  key.put(ElementKind::kString, {}, "v", {kA, 1}, 1);
  key.expire(100, {kA, 2}, 1);
  key.put(ElementKind::kField, "f", "late", {kB, 1}, 1);
  key.remove({kA, 3}, {{kA, 2}});
  BOOST_TEST(key.ids() == "f ");
  BOOST_TEST(key.state.expire_at_ms() == kNeverExpires);
  key.state.apply_clear({{kB, 1}});
  BOOST_TEST(key.state.empty());
}

BOOST_AUTO_TEST_CASE(of_concurrent_types_the_one_with_the_highest_stamp_shows) {
  Key key;
  key.put(ElementKind::kString, {}, "v", {kA, 1}, 5);
  BOOST_TEST((key.state.visible_kind() == ElementKind::kString));
  key.put(ElementKind::kField, "f", "1", {kB, 1}, 6);
  key.put(ElementKind::kMember, "m", "", {kB, 2}, 4);
  key.expire(100, {kB, 3}, 9);
  BOOST_TEST((key.state.visible_kind() == ElementKind::kField));
  key.put(ElementKind::kScore, "m", "12345678", {kB, 7}, 6);
  BOOST_TEST((key.state.visible_kind() == ElementKind::kScore));  // equal stamps: the higher dot
}

BOOST_AUTO_TEST_CASE(a_key_expires_after_its_time) {
  Key key;
  key.put(ElementKind::kString, {}, "v", {kA, 1}, 5);
  BOOST_TEST(key.state.expire_at_ms() == kNeverExpires);
  BOOST_TEST(!key.state.expired(1000));
  key.expire(100, {kA, 2}, 6);
  BOOST_TEST(key.state.expire_at_ms() == 100);
  BOOST_TEST(!key.state.expired(100));
  BOOST_TEST(key.state.expired(101));
  key.expire(kNeverExpires, {kA, 3}, 7, {{kA, 2}});
  BOOST_TEST(!key.state.expired(101));
}

BOOST_AUTO_TEST_CASE(a_ttl_that_passed_before_a_version_was_stamped_does_not_count) {
  Key key;
  key.expire(100, {kA, 2}, 6);
  key.put(ElementKind::kString, {}, "v", {kA, 3}, 100);
  BOOST_TEST(key.state.expired(200));
  key.put(ElementKind::kField, "f", "new life", {kB, 1}, 101);
  BOOST_TEST(!key.state.expired(200));
}

BOOST_AUTO_TEST_CASE(answers_are_joined_element_by_element) {
  Key a, b;
  a.put(ElementKind::kField, "f", "1", {kA, 1}, 1);
  b = a;
  a.put(ElementKind::kField, "g", "2", {kA, 2}, 2);
  b.put(ElementKind::kField, "h", "3", {kB, 1}, 1);
  b.put(ElementKind::kField, "f", "4", {kB, 2}, 2, {{kA, 1}});
  Key expected;
  expected.put(ElementKind::kField, "f", "4", {kB, 2}, 2);
  expected.put(ElementKind::kField, "g", "2", {kA, 2}, 2);
  expected.put(ElementKind::kField, "h", "3", {kB, 1}, 1);
  const Clock a_clock{{kA, 2}};
  const Clock b_clock{{kA, 1}, {kB, 2}};
  BOOST_TEST((join_answers(a.state, a_clock, b.state, b_clock) == expected.state));
  BOOST_TEST((join_answers(b.state, b_clock, a.state, a_clock) == expected.state));
  BOOST_TEST((join_answers(a.state, a_clock, KeyState(), Clock{{kA, 2}}) == KeyState()));
}

BOOST_AUTO_TEST_CASE(what_no_join_makes_is_refused) {
  Version version{.dot = {kA, 1}, .value = "1"};
  const auto element = [&](ElementKind kind, std::string id) { return ElementState{kind, std::move(id), {version}}; };
  BOOST_TEST(decodes({element(ElementKind::kString, ""), element(ElementKind::kField, "f")}));
  BOOST_TEST(!decodes({element(ElementKind::kString, "id")}));
  BOOST_TEST(!decodes({element(ElementKind::kField, "f"), element(ElementKind::kField, "f")}));
  BOOST_TEST(!decodes({{ElementKind::kField, "f", {}}}));
  KeyState many;
  for (const int twice : {0, 1}) {
    std::string bytes;
    Encoder encoder(bytes);
    for (int i = 0; i < 20; ++i) many.add(element(ElementKind::kField, std::to_string(i)));
    many.encode(encoder);
    Decoder in(bytes);
    KeyState decoded;
    BOOST_TEST(KeyState::decode(in, decoded) == (twice == 0));
  }
  version.additive = true;
  BOOST_TEST(decodes({element(ElementKind::kField, "f")}));
  BOOST_TEST(!decodes({element(ElementKind::kPosition, "12345678")}));
  version.additive = false;
  version.amendments = {{kB, 1, Number::integer(1)}};
  BOOST_TEST(decodes({element(ElementKind::kString, "")}));
  BOOST_TEST(!decodes({element(ElementKind::kEntry, "12345678")}));
}

BOOST_AUTO_TEST_CASE(key_states_come_back_as_they_were_and_damage_never_crashes) {
  RandomRecords records(1);
  Random& random = records.random();
  KeyState decoded;
  for (int i = 0; i < 2000; ++i) {
    KeyState state;
    for (uint64_t left = random.below(6); left > 0; --left) {
      const Record record = records.next();
      const RecordHead head{record.dot, record.hlc, record.context};
      for (const KeyEffect& key : record.keys) state.apply(key, head, Replay::kYes);
    }
    std::string bytes;
    Encoder encoder(bytes);
    state.encode(encoder);
    Decoder in(bytes);
    BOOST_REQUIRE(KeyState::decode(in, decoded));
    BOOST_REQUIRE(in.done());
    BOOST_REQUIRE(decoded == state);
    Decoder cut(std::string_view(bytes).substr(0, random.below(bytes.size())));
    BOOST_REQUIRE(!KeyState::decode(cut, decoded));
    for (int damage = 0; damage < 20; ++damage) {
      bytes[random.below(bytes.size())] = static_cast<char>(random.next());
      Decoder damaged(bytes);
      if (!KeyState::decode(damaged, decoded)) continue;
      for (const ElementState& element : decoded.elements()) BOOST_REQUIRE(!element.versions.empty());
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan
