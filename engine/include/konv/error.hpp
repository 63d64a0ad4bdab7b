// What konv throws when something the caller handed in cannot be used.
#pragma once

#include <stdexcept>
#include <string>

#include <konv/export.h>

namespace konv {

/// The message is one line: "<file or node>: <fact>; expected <what>".
class KONV_API Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

}  // namespace konv
