// Values of directives as text.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace capstan {

// Bytes, with an optional unit in any case: b; k, m, g (powers of 1000); kb, mb, gb (powers of 1024). No sign.
std::optional<uint64_t> parse_memory(std::string_view text);

// The word as a file or an inline command would hold it: bare where that is possible, else in double quotes.
std::string quote_word(std::string_view word);
std::string join_words(std::span<const std::string_view> words);

// Splits a line into words as inline commands are split. nullopt: a quote is not closed, or text follows one.
std::optional<std::vector<std::string>> split_words(std::string_view line);

std::vector<std::string_view> views_of(std::span<const std::string> words);

}  // namespace capstan
