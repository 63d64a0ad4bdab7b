// Text in model files: UTF-8, names without control characters, so that whoever prints or writes them on needs no second thought.
#pragma once

#include <string_view>

namespace konv::format {

/// Well-formed UTF-8 as RFC 3629 has it: nothing overlong, no surrogates, nothing beyond U+10FFFF.
bool is_utf8(std::string_view text);

/// Throws konv::Error unless `text` is UTF-8. `what` begins the message: "label 3".
void check_text(std::string_view what, std::string_view text);

/// Also not empty, at most `longest` bytes, without control characters.
void check_name(std::string_view what, std::string_view text, std::size_t longest);

}  // namespace konv::format
