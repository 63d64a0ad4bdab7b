#include "engine/base/text.h"

namespace konv {

std::string printable(std::string_view text) {
  constexpr std::size_t kLongest = 200;
  std::string line(text.substr(0, kLongest));
  for (char& c : line) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) c = '?';
  }
  if (text.size() > kLongest) line += "...";
  return line;
}

}  // namespace konv
