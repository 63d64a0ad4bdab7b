// What a file that is no konv model looks like, for the error that says so.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace konv::format {

/// "begins like a zip archive", "begins with \"ab\\x01\"", ...: judged by the first bytes alone.
std::string describe_beginning(std::span<const std::byte> bytes);

}  // namespace konv::format
