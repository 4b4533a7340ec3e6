#include "consensus/log.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace capstan::consensus {
namespace {

constexpr size_t kBlockBytes = 256 * 1024;

}  // namespace

Log::Log(Base base) : base_(std::move(base)) { configurations_.emplace_back(base_.index, base_.configuration); }

const Log::Slot& Log::slot(Index index) const {
  CHECK(index > base_.index && index <= last());
  return slots_[index - base_.index - 1];
}

Term Log::term_at(Index index) const { return index == base_.index ? base_.term : slot(index).term; }

bool Log::matches(Index index, Term term) const {
  return index >= base_.index && index <= last() && term_at(index) == term;
}

Entry Log::entry(Index index) const {
  const Slot& at = slot(index);
  return {at.term, {at.bytes, at.record_size}, {at.bytes + at.record_size, at.configuration_size}};
}

size_t Log::bytes_at(Index index) const {
  const Slot& at = slot(index);
  return at.record_size + at.configuration_size;
}

char* Log::allocate(size_t size) {
  if (blocks_.empty() || blocks_.back().size - blocks_.back().used < size) {
    const size_t block_size = std::max(size, kBlockBytes);
    blocks_.push_back({std::make_unique_for_overwrite<char[]>(block_size), block_size, 0, 0});
    bytes_ += block_size;
  }
  Block& block = blocks_.back();
  char* const at = block.bytes.get() + block.used;
  block.used += size;
  block.last = last() + 1;
  return at;
}

void Log::append(const Entry& entry) {
  CHECK(entry.term >= last_term(), "terms of a log never fall");
  CHECK(entry.record.size() <= UINT32_MAX && entry.configuration.size() <= UINT32_MAX);
  char* const at = allocate(entry.record.size() + entry.configuration.size());
  std::copy(entry.record.begin(), entry.record.end(), at);
  std::copy(entry.configuration.begin(), entry.configuration.end(), at + entry.record.size());
  slots_.push_back(
      {entry.term, at, static_cast<uint32_t>(entry.record.size()), static_cast<uint32_t>(entry.configuration.size())});
  if (entry.configuration.empty()) return;
  Result<Configuration> configuration = Configuration::decode(entry.configuration);
  configurations_.emplace_back(last(), std::move(configuration.value()));
}

void Log::truncate_from(Index index) {
  CHECK(index > base_.index);
  if (index > last()) return;
  slots_.resize(index - base_.index - 1);
  while (configurations_.back().first >= index) configurations_.pop_back();
  for (auto block = blocks_.rbegin(); block != blocks_.rend() && block->last >= index; ++block) block->last = index - 1;
}

void Log::cut_to(Index index) {
  CHECK(index >= base_.index && index <= last());
  if (index == base_.index) return;
  const Term term = term_at(index);
  slots_.erase(slots_.begin(), slots_.begin() + static_cast<ptrdiff_t>(index - base_.index));
  size_t in_force = configurations_.size() - 1;
  while (configurations_[in_force].first > index) --in_force;
  configurations_.erase(configurations_.begin(), configurations_.begin() + static_cast<ptrdiff_t>(in_force));
  configurations_.front().first = std::max(configurations_.front().first, index);
  base_ = {index, term, configurations_.front().second};
  while (!blocks_.empty() && blocks_.front().last <= index) {
    bytes_ -= blocks_.front().size;
    blocks_.pop_front();
  }
}

const Configuration& Log::configuration_at(Index index) const {
  CHECK(index >= base_.index && index <= last());
  size_t in_force = configurations_.size() - 1;
  while (in_force > 0 && configurations_[in_force].first > index) --in_force;
  return configurations_[in_force].second;
}

Index Log::last_of_term_at_most(Term term, Index from) const {
  const Index index = std::min(from, last());
  if (index <= base_.index) return base_.index;
  // Terms never fall, so this is a search in an ascending sequence.
  const auto begin = slots_.begin();
  const auto end = begin + static_cast<ptrdiff_t>(index - base_.index);
  const auto above = std::upper_bound(begin, end, term, [](Term wanted, const Slot& at) { return wanted < at.term; });
  return base_.index + static_cast<Index>(above - begin);
}

}  // namespace capstan::consensus
