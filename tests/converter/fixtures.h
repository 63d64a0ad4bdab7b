// Where the fixtures of make_fixtures.py lie, and what the tests of this folder do with files.
#pragma once

#include <cstdint>
#include <string>

#include "engine/graph/tensor.h"
#include "models/architectures/architectures.h"
#include "tests/tools/files.h"

namespace konv::test {

inline std::string fixture(const std::string& name) { return std::string(KONV_SOURCE_DIR "/tests/converter/fixtures/") + name; }

/// The message of the konv::Error that `action` throws, "" where it throws none.
template <class Action>
std::string message_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// The input that make_fixtures.py ran its networks on.
inline Tensor ramp(Dims dims) {
  MutableTensor tensor(DType::float32, std::move(dims));
  std::int64_t i = 0;
  for (float& x : tensor.f32()) x = static_cast<float>(static_cast<double>(i++ * 7919 % 1000) / 500 - 1);
  return tensor;
}

/// Reads damaged copies of a file: cut off after every `step` bytes, and with single bits flipped. Each must be read or refused with konv::Error.
/// Returns how many were refused.
template <class Read>
int read_damaged(const std::string& bytes, std::size_t step, const char* name, const Read& read) {
  const TemporaryFolder folder;
  int refused = 0;
  const auto attempt = [&](const std::string& damaged) {
    std::filesystem::remove(folder / name);  // file systems take a truncated and rewritten file to the disk at once
    const std::string path = folder.write(name, damaged).string();
    try {
      read(path);
    } catch (const Error&) {
      ++refused;
    }
  };
  for (std::size_t size = 0; size < bytes.size(); size += step) attempt(bytes.substr(0, size));
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << (at / step % 8)));
    attempt(damaged);
  }
  return refused;
}

}  // namespace konv::test
