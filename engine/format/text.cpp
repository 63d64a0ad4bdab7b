#include "engine/format/text.h"

#include <algorithm>
#include <cstddef>

#include <fmt/format.h>

#include <konv/error.hpp>

#include "engine/base/text.h"

namespace konv::format {

bool is_utf8(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  for (std::size_t i = 0; i < text.size();) {
    const unsigned lead = byte(i);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const std::size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (lead < 0xc2 || lead > 0xf4 || text.size() - i < length) return false;
    // The second byte's range keeps out overlong forms (e0, f0), surrogates (ed) and what lies beyond U+10FFFF (f4).
    const unsigned lowest = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80, highest = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (byte(i + 1) < lowest || byte(i + 1) > highest) return false;
    for (std::size_t k = 2; k < length; ++k) {
      if ((byte(i + k) & 0xc0) != 0x80) return false;
    }
    i += length;
  }
  return true;
}

void check_text(std::string_view what, std::string_view text) {
  if (!is_utf8(text)) throw Error(fmt::format("{} is not UTF-8; expected UTF-8 text", what));
}

void check_name(std::string_view what, std::string_view text, std::size_t longest) {
  if (text.empty()) throw Error(fmt::format("{} is empty; expected a name", what));
  if (text.size() > longest) throw Error(fmt::format("{} is {} bytes long; expected at most {}", what, text.size(), longest));
  check_text(what, text);
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (std::any_of(text.begin(), text.end(), is_control)) {
    throw Error(fmt::format("{} '{}' holds a control character; expected a printable name", what, printable(text)));
  }
}

}  // namespace konv::format
