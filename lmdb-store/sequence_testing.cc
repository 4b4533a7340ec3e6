#include "lmdb-store/sequence_testing.h"

namespace capstan::lmdb_store {

using Answer = Sequence::Answer;

namespace {

TestPlace place_in(const std::pair<const TestPlace, TestElement>& entry) { return entry.first; }
TestPlace place_in(const TestPlace& place) { return place; }

PageRef ref_of(const Sequence::Root& root, LeafForm form) { return {root.number, root.level, form, root.elements}; }

}  // namespace

SequenceLife::SequenceLife(uint64_t seed)
    : random_(seed),
      words_(static_cast<unsigned>(random_.below(4))),
      value_bytes_(std::array<size_t, 4>{0, 20, 200, 900}[random_.below(4)]),
      large_(std::array<double, 4>{0, 0, 0.05, 0.9}[random_.below(4)]),
      prefix_bytes_(random_.chance(0.2) ? random_.below(300) : 0),
      universe_(100 + random_.below(4000)),
      low_(universe_),
      high_(universe_),
      store_(std::make_unique<TestStore>()) {
  open();
}

void SequenceLife::open() {
  elements_ = std::make_unique<Sequence>(*store_, LeafForm::kElements, stored_.elements);
  places_ = std::make_unique<Sequence>(*store_, LeafForm::kPlaces, stored_.places);
  store_->set_next_page(stored_.next_page);
}

// ---- changes -------------------------------------------------------------------------------------------------------

TestPlace SequenceLife::draw_place() {
  const uint64_t drawn = random_.below(universe_);
  const std::string id = std::string(prefix_bytes_, 'p') + std::to_string(drawn);
  switch (words_) {
    case 0:
      return {hash64(id), id};
    case 1:
      return {hash64(id) % 3, id};  // nearly all collide
    case 2:
      return {drawn % 2 == 0 ? 0 : UINT64_MAX, id};
    default:
      return {drawn, ""};  // as positions
  }
}

// Few scores, so that many are equal.
TestPlace SequenceLife::second_place(const TestPlace& place, const TestElement& element) const {
  const double score = static_cast<double>(element.value.size() % 5) - 2;
  return TestPlace(place_by_score(score, std::to_string(place.word) + place.id));
}

void SequenceLife::put(const TestPlace& place) {
  const size_t bytes = random_.chance(large_) ? 1001 + random_.below(6000) : random_.below(2 * value_bytes_ + 1);
  TestElement element = random_element(random_, bytes);
  const auto old = state_.elements.find(place);
  if (old != state_.elements.end()) {
    const TestPlace gone = second_place(place, old->second);
    BOOST_REQUIRE(places_->erase(gone.view()));
    state_.places.erase(gone);
  }
  BOOST_REQUIRE(elements_->put(element.view(place)) == (old == state_.elements.end()));
  const TestPlace second = second_place(place, element);
  ElementView view;
  view.place = second.view();
  BOOST_REQUIRE(places_->put(view));
  state_.places.insert(second);
  state_.elements[place] = std::move(element);
}

void SequenceLife::erase(const TestPlace& place) {
  const auto old = state_.elements.find(place);
  BOOST_REQUIRE(elements_->erase(place.view()) == (old != state_.elements.end()));
  if (old == state_.elements.end()) return;
  const TestPlace gone = second_place(place, old->second);
  BOOST_REQUIRE(places_->erase(gone.view()));
  state_.places.erase(gone);
  state_.elements.erase(old);
}

void SequenceLife::change(uint64_t pattern) {
  switch (pattern) {
    case 0:
      return put({++high_ << 20, ""});
    case 1:
      return put({low_-- << 20, ""});
    case 2:
      if (!state_.elements.empty()) erase(TestPlace(state_.elements.begin()->first));
      return;
    case 3:
      if (!state_.elements.empty()) erase(TestPlace(state_.elements.rbegin()->first));
      return;
    case 4:
      return erase(draw_place());
    default:
      return random_.chance(0.7) ? put(draw_place()) : erase(draw_place());
  }
}

// ---- reading -------------------------------------------------------------------------------------------------------

// Asks again while pages are missing, once they were read.
template <typename Ask>
Answer SequenceLife::ask(Ask ask) {
  for (;;) {
    std::vector<MissingPage> pages;
    const Answer answer = ask(Missing{&pages, 1 + random_.below(4)});
    if (answer != Answer::kUnknown) return answer;
    BOOST_REQUIRE(!pages.empty());
    for (const MissingPage& page : pages) store_->deliver(page);
  }
}

void SequenceLife::read() {
  const TestPlace place = draw_place();
  const auto found = state_.elements.find(place);
  ElementView element;
  const Answer there = found == state_.elements.end() ? Answer::kNo : Answer::kYes;
  BOOST_REQUIRE(ask([&](Missing missing) { return elements_->find(place.view(), element, missing); }) == there);
  if (there == Answer::kYes) BOOST_REQUIRE(same(element, found->second.view(place)));
  const auto behind = state_.elements.lower_bound(place);
  const auto expected = static_cast<uint64_t>(std::distance(state_.elements.begin(), behind));
  uint64_t below = 0;
  BOOST_REQUIRE(ask([&](Missing missing) { return elements_->rank(place.view(), below, missing); }) == there);
  BOOST_REQUIRE(below == expected);
  Sequence::Cursor cursor;
  const Answer more = behind == state_.elements.end() ? Answer::kNo : Answer::kYes;
  BOOST_REQUIRE(ask([&](Missing missing) { return elements_->at(below, cursor, missing); }) == more);
  if (more == Answer::kYes) BOOST_REQUIRE(same(cursor.element(), behind->second.view(behind->first)));
  read_range(place);
}

// Some steps from there, in either direction.
void SequenceLife::read_range(const TestPlace& from) {
  auto at = state_.elements.lower_bound(from);
  Sequence::Cursor cursor;
  const Answer any = at == state_.elements.end() ? Answer::kNo : Answer::kYes;
  BOOST_REQUIRE(ask([&](Missing missing) { return elements_->seek(from.view(), cursor, missing); }) == any);
  if (any == Answer::kNo) return;
  const bool forward = random_.chance(0.5);
  for (uint64_t steps = random_.below(30); steps > 0; --steps) {
    BOOST_REQUIRE(same(cursor.element(), at->second.view(at->first)));
    BOOST_REQUIRE(cursor.rank() == static_cast<uint64_t>(std::distance(state_.elements.begin(), at)));
    const bool end = forward ? std::next(at) == state_.elements.end() : at == state_.elements.begin();
    const Answer stepped = ask([&](Missing missing) {
      return forward ? elements_->next(cursor, missing) : elements_->previous(cursor, missing);
    });
    BOOST_REQUIRE(stepped == (end ? Answer::kNo : Answer::kYes));
    if (end) return;
    forward ? ++at : --at;
  }
}

// ---- flushes -------------------------------------------------------------------------------------------------------

void SequenceLife::begin_flush() {
  flush_ = std::make_unique<Flush>();
  flush_->row = {elements_->root(), places_->root(), store_->next_page(), state_};
  flush_->job = &store_->begin_flush();
  for (const Page* const page : flush_->job->pages) page->encode(flush_->frozen.emplace_back());
}

void SequenceLife::step_flush() {
  const auto& pages = flush_->job->pages;
  for (uint64_t left = 1 + random_.below(20); left > 0 && flush_->written < pages.size(); --left) {
    const Page* const page = pages[flush_->written];
    std::string bytes;
    page->encode(bytes);
    BOOST_REQUIRE(bytes == flush_->frozen[flush_->written]);
    flush_->batch[page->number] = std::move(bytes);
    ++flush_->written;
  }
  if (flush_->written < pages.size() && random_.chance(0.7)) return;
  commit();
  if (flush_->written < pages.size()) return;
  // The key row, and what it does not name any more; or it stays at that.
  stored_ = flush_->row;
  named_.clear();
  if (stored_.elements.number != 0) store_->collect(ref_of(stored_.elements, LeafForm::kElements), named_);
  if (stored_.places.number != 0) store_->collect(ref_of(stored_.places, LeafForm::kPlaces), named_);
  if (random_.chance(0.1)) return end_flush(false);
  for (const uint64_t number : flush_->job->obsolete) {
    BOOST_REQUIRE_MESSAGE(named_.count(number) == 0, "page " << number << " is erased and named");
    store_->rows.erase(number);
  }
  end_flush(random_.chance(0.8));
}

// What a key row names never changes.
void SequenceLife::commit() {
  for (auto& [number, bytes] : flush_->batch) {
    BOOST_REQUIRE(named_.count(number) == 0 || store_->rows[number] == bytes);
    store_->rows[number] = std::move(bytes);
  }
  flush_->batch.clear();
}

void SequenceLife::end_flush(bool succeeded) {
  flush_.reset();
  // In slices, with changes in between.
  while (store_->finish_flush(succeeded, 1 + random_.below(20))) {
    if (random_.chance(0.5)) change(5);
  }
}

// What was not committed is gone; numbers from the stored one on are given again.
void SequenceLife::crash() {
  flush_.reset();
  std::map<uint64_t, std::string> rows;
  for (const uint64_t number : named_) rows[number] = store_->rows.at(number);
  elements_.reset();
  places_.reset();
  store_ = std::make_unique<TestStore>();
  store_->rows = std::move(rows);
  state_ = stored_.state;
  open();
}

// ---- verifying -----------------------------------------------------------------------------------------------------

template <typename Keys>
void SequenceLife::verify_walk(Sequence& sequence, const Keys& keys) {
  BOOST_REQUIRE(sequence.count() == keys.size());
  if (keys.empty()) return;
  Sequence::Cursor cursor;
  BOOST_REQUIRE(ask([&](Missing missing) { return sequence.seek({}, cursor, missing); }) == Answer::kYes);
  size_t left = keys.size();
  for (const auto& key : keys) {
    BOOST_REQUIRE(TestPlace(cursor.element().place) == place_in(key));
    const Answer expected = --left == 0 ? Answer::kNo : Answer::kYes;
    BOOST_REQUIRE(ask([&](Missing missing) { return sequence.next(cursor, missing); }) == expected);
  }
  BOOST_REQUIRE(cursor.rank() + 1 == keys.size());
}

void SequenceLife::verify() {
  verify_walk(*elements_, state_.elements);
  verify_walk(*places_, state_.places);
  for (const Sequence* const sequence : {elements_.get(), places_.get()}) {
    const auto checked = sequence->check();
    BOOST_REQUIRE_MESSAGE(checked.ok(), why(checked));
  }
}

// After a flush of everything the disk has the tree and nothing else.
void SequenceLife::verify_disk() {
  while (flush_) step_flush();
  while (store_->dirty()) {
    begin_flush();
    while (flush_) step_flush();
  }
  std::set<uint64_t> rows;
  for (const auto& [number, bytes] : store_->rows) rows.insert(number);
  BOOST_REQUIRE(rows == named_);
}

void SequenceLife::run(int phases) {
  for (int phase = 0; phase < phases; ++phase) {
    const uint64_t pattern = random_.below(9);
    for (uint64_t step = random_.below(400); step > 0; --step) {
      change(pattern);
      if (random_.chance(0.05)) read();
      if (random_.chance(0.1)) elements_->evict(random_.below(30));
      if (random_.chance(0.1)) places_->evict(random_.below(30));
      if (flush_ && random_.chance(0.2)) step_flush();
      if (!flush_ && random_.chance(0.03)) begin_flush();
      if (flush_ && random_.chance(0.01)) end_flush(false);
    }
    if (random_.chance(0.15)) crash();
    verify();
    if (random_.chance(0.2)) verify_disk();
  }
}

}  // namespace capstan::lmdb_store
