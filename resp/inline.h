// Splits the line of an inline command into words, as redis-server 7.0 does: separated by white space; "…" with the
// escapes \n \r \t \b \a \xHH and \<any byte>, '…' with \' alone; a closing quote ends its word.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace capstan::resp {

// `line` comes without its newline. Words are added to `words` as views into the line or, where quotes had to be
// removed, into `unescaped`, which is overwritten and which they must not outlive. Returns false if a quote is not
// closed or a closing quote is followed by something other than white space; `words` is then undefined.
[[nodiscard]] bool split_inline(std::string_view line, std::vector<std::string_view>& words, std::string& unescaped);

}  // namespace capstan::resp
