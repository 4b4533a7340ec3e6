#include "bench/workload.h"

#include <algorithm>
#include <cstring>

namespace capstan::bench {

namespace {

void append_bulk(std::string& out, const std::string& text) {
  out += "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n";
}

// Writes `value` with leading zeros over `digits` bytes.
void write_decimal(char* at, size_t digits, uint64_t value) {
  for (size_t i = digits; i-- > 0; value /= 10) at[i] = static_cast<char>('0' + value % 10);
}

}  // namespace

CommandWriter::CommandWriter(const WorkloadOptions& options, uint64_t seed) : options_(options), random_(seed) {
  noise_.resize(kNoise + options_.value_bytes);
  for (char& c : noise_) c = static_cast<char>('!' + random_.below(94));
  set_ = make_template("SET", true);
  get_ = make_template("GET", false);
  incr_ = make_template("INCR", false);
}

CommandWriter::Template CommandWriter::make_template(const std::string& name, bool with_value) const {
  Template made;
  made.text = with_value ? "*3\r\n" : "*2\r\n";
  append_bulk(made.text, name);
  append_bulk(made.text, options_.key_prefix + std::string(kDigits, '0'));
  made.digits_at = made.text.size() - 2 - kDigits;
  if (with_value) {
    append_bulk(made.text, std::string(options_.value_bytes, 'x'));
    made.value_at = made.text.size() - 2 - options_.value_bytes;
  }
  return made;
}

void CommandWriter::fill_value(char* at) {
  std::memcpy(at, noise_.data() + random_.below(kNoise), options_.value_bytes);
}

void CommandWriter::append(uint64_t index, std::string& out) {
  uint64_t key = options_.sequential ? index % options_.keys : random_.below(options_.keys);
  const Template* command = &set_;
  if (options_.operation == Operation::kGet) command = &get_;
  if (options_.operation == Operation::kIncr) command = &incr_;
  if (options_.operation == Operation::kMixed && random_.below(100) < options_.get_percent) command = &get_;
  size_t start = out.size();
  out += command->text;
  write_decimal(out.data() + start + command->digits_at, kDigits, key);
  if (command->value_at != 0) fill_value(out.data() + start + command->value_at);
}

}  // namespace capstan::bench
