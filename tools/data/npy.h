// NumPy's .npy files (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html): one raw tensor each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace konv::tools {

struct NpyArray {
  std::string dtype;                // NumPy's name: "<f4", "<i8", "|u1", "|b1" ...
  std::vector<std::int64_t> shape;  // empty: a 0-d array, one element
  std::vector<std::byte> data;      // little-endian, C order
};

// Bytes of one element, 0 for a dtype that is not one of b1, i1 i2 i4 i8, u1 u2 u4 u8, f2 f4 f8 in little-endian or of one byte.
std::size_t npy_element_size(std::string_view dtype);

// Reads format versions 1 to 3. Throws konv::Error for other dtypes, big-endian or Fortran order, and for a file whose length does not
// match its header.
NpyArray read_npy(const std::filesystem::path& path);

// Writes version 1 (version 2 where a shape is so long that version 1 cannot hold it). The file appears whole or not at all.
void write_npy(const std::filesystem::path& path, const NpyArray& array);

}  // namespace konv::tools
