// Text from files, made fit for a one-line message.
#pragma once

#include <string>
#include <string_view>

namespace konv {

/// Control characters become '?', and what is longer than 200 bytes ends in "...".
std::string printable(std::string_view text);

}  // namespace konv
