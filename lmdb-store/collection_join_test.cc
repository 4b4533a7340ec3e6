// The join on collections as they lie in rows, beside quorum's KeyState.
#include "lmdb-store/collection_join.h"

#include <bit>
#include <boost/test/unit_test.hpp>
#include <deque>

#include "base/hash.h"
#include "base/random_testing.h"
#include "lmdb-store/collection_testing.h"
#include "lmdb-store/inline_elements.h"
#include "quorum/element_value.h"

namespace capstan::lmdb_store {

BOOST_AUTO_TEST_SUITE(collection_join_test)

namespace {

using Action = ElementEffect::Action;

constexpr std::string_view kKey = "key";
constexpr ElementKind kKinds[] = {ElementKind::kField, ElementKind::kMember, ElementKind::kScore,
                                  ElementKind::kPosition};

// One key's life under records of log R and of two writers, with contexts that cover more or less.
class KeyLife {
 public:
  explicit KeyLife(uint64_t seed) : random_(seed), kind_(kKinds[random_.below(4)]), concurrent_(random_.unit()) {}

  void run(int records) {
    for (int left = records; left > 0; --left) {
      texts_.clear();
      const Record record = next();
      apply(record);
      verify(record);
      applied_.set(record.dot.log, record.dot.number);
    }
  }

  uint64_t most() const { return most_; }
  // The key row; empty: there is none.
  const std::string& payload() const { return payload_; }

 private:
  static LogId log(uint64_t index) { return LogId{(index == 0 ? LogId::kAgreedBit : 0) | (index + 1)}; }

  std::string_view text(std::string bytes) { return texts_.emplace_back(std::move(bytes)); }

  Record next() {
    Record record;
    const LogId own = log(random_.chance(0.6) ? 0 : random_.below(3));
    record.dot = {own, applied_[own] + 1 + random_.below(3)};
    record.hlc = Hlc{stamp_ += random_.below(1000)};
    const bool behind = random_.chance(concurrent_);
    for (uint64_t i = 0; i < 3; ++i) {
      const uint64_t known = applied_[log(i)];
      record.context.set(log(i), behind && known > 0 ? random_.below(known + 1) : known);
    }
    record.context.set(own, record.dot.number - 1);
    KeyEffect& key = record.keys.emplace_back();
    key.key = kKey;
    key.remove = random_.chance(0.03);
    for (uint64_t left = random_.below(5) + (key.remove ? 0 : 1); left > 0; --left) add_effect(key);
    return record;
  }

  void add_effect(KeyEffect& key) {
    ElementEffect effect;
    effect.kind = random_.chance(0.1) ? ElementKind::kTtl : kind_;
    if (has_id(effect.kind)) effect.id = text(draw_id());
    for (const ElementEffect& other : key.elements) {
      if (other.kind == effect.kind && other.id == effect.id) return;
    }
    effect.action = random_.chance(0.4) ? Action::kRemove : Action::kPut;
    const ElementState* const old = state_.find(effect.kind, effect.id);
    if (old != nullptr && holds_numbers(effect.kind) && random_.chance(0.4)) effect.action = Action::kAdd;
    if (effect.action == Action::kPut) {
      effect.value = text(draw_value(effect.kind));
      effect.additive = holds_numbers(effect.kind) && random_.chance(0.2);
      if (random_.chance(0.1)) effect.stamp = Hlc{stamp_ / 2};
      effect.has_over = random_.chance(0.05);
      if (effect.has_over && old != nullptr) effect.over.push_back(old->versions[0].dot);
    } else if (effect.action == Action::kAdd) {
      effect.anchor = old->versions[random_.below(old->versions.size())].dot;
      effect.addend = random_.chance(0.5) ? Number::integer(static_cast<int64_t>(random_.below(100)))
                                          : Number::real(static_cast<long double>(random_.unit()));
    }
    key.elements.push_back(effect);
  }

  std::string draw_id() {
    const uint64_t number = random_.below(20);
    return kind_ == ElementKind::kPosition || random_.chance(0.5) ? std::string(1, static_cast<char>(1 + number))
                                                                  : std::to_string(number) + "th";
  }

  std::string draw_value(ElementKind kind) {
    std::string value;
    if (kind == ElementKind::kTtl) {
      append_time(static_cast<int64_t>(random_.below(1 << 20)), value);
    } else if (kind == ElementKind::kScore) {
      append_number(kind, Number::real(static_cast<long double>(random_.below(5)) - 2), value);
    } else if (kind != ElementKind::kMember) {
      value = random_.chance(0.5) ? std::to_string(random_.below(1000)) : random_bytes(random_, random_.below(30));
    }
    return value;
  }

  void apply(const Record& record) {
    const RecordHead head{record.dot, record.hlc, record.context};
    state_.apply(record.keys[0], head, Replay::kNo);
    CollectionForm form;
    form.kind = kind_;
    BOOST_REQUIRE(payload_.empty() || parse_collection_form(payload_, form));
    if (record.keys[0].remove && form.covered_by(record.context, logs_)) {
      form = {};
      form.kind = kind_;
      payload_.clear();
    }
    InlineElements elements(form);
    CollectionJoin join(form, elements, logs_, hash64(kKey), applied_);
    const uint64_t digest = form.digest;
    if (!join.apply(record.keys[0], head, Replay::kNo)) {
      BOOST_TEST(digest == form.digest);
      return;
    }
    most_ = std::max(most_, form.count);
    std::string payload;
    // Of a TTL alone there is no row of this form.
    if (form.count > 0) append_collection_form(form, payload);
    payload_ = payload;
    if (form.count == 0 && form.has_ttl) state_ = KeyState();
  }

  void verify(const Record& record) {
    if (payload_.empty()) {
      BOOST_TEST(!state_.exists());
      return;
    }
    CollectionForm form;
    BOOST_REQUIRE(parse_collection_form(payload_, form));
    BOOST_TEST(InlineElements::valid(form));
    InlineElements elements(form);
    BOOST_TEST((collection_state(form, elements, logs_) == state_));
    BOOST_TEST(form.digest == state_.digest(hash64(kKey)));
    BOOST_TEST(form.count == state_.elements().size() - (form.has_ttl ? 1 : 0));
    const ElementView* before = nullptr;
    ElementView last;
    elements.visit([&](const ElementView& element) {
      for (const Version& version : versions_of(element, logs_)) BOOST_TEST((version.hlc <= form.latest));
      if (kind_ == ElementKind::kPosition && before != nullptr) BOOST_TEST(last.place.id < element.place.id);
      if (kind_ == ElementKind::kScore && before != nullptr) BOOST_TEST(score_in(last) <= score_in(element));
      last = element;
      before = &last;
    });
    for (const LogNumber& touched : form.touched) {
      const LogId log = logs_.at(touched.log);
      BOOST_TEST(touched.number <= std::max(applied_[log], log == record.dot.log ? record.dot.number : 0));
    }
  }

  Random random_;
  const ElementKind kind_;
  const double concurrent_;
  std::deque<std::string> texts_;
  uint64_t stamp_ = uint64_t{1} << 30;
  Clock applied_;
  LogDictionary logs_;
  KeyState state_;
  std::string payload_;
  uint64_t most_ = 0;
};

}  // namespace

BOOST_AUTO_TEST_CASE(rows_are_joined_as_states_are) {
  uint64_t most = 0;
  with_new_seeds(200, [&](uint64_t seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
      KeyLife life(seed);
      life.run(150);
      most = std::max(most, life.most());
    }
  });
  BOOST_TEST(most > 10u);
}

// Whatever the bytes, reading them stays within them; what is accepted says the same when it is written again.
BOOST_AUTO_TEST_CASE(damaged_rows_are_refused_or_mean_something_else) {
  size_t refused = 0;
  with_new_seeds(200, [&](uint64_t seed) {
    Random random(seed);
    KeyLife life(seed);
    life.run(40);
    for (int i = 0; i < 50 && !life.payload().empty(); ++i) {
      const std::vector<char> bytes = damaged(random, life.payload());
      CollectionForm form;
      if (!parse_collection_form({bytes.data(), bytes.size()}, form) || form.large || !InlineElements::valid(form)) {
        ++refused;
        continue;
      }
      std::string again;
      append_collection_form(form, again);
      CollectionForm same;
      BOOST_TEST((parse_collection_form(again, same) && same.elements == form.elements && same.count == form.count));
    }
  });
  BOOST_TEST(refused > 100u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace capstan::lmdb_store
