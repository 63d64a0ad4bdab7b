#include "tools/data/npy.h"

#include <doctest/doctest.h>

#include "tests/tools/files.h"

using namespace konv::test;
using konv::tools::NpyArray;
using konv::tools::read_npy;
using konv::tools::write_npy;

namespace {

std::vector<std::byte> counting(std::size_t count) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i);
  return bytes;
}

// A file as NumPy writes it, with any header.
std::string npy(int version, const std::string& header, const std::string& data) {
  std::string file("\x93NUMPY");
  file += static_cast<char>(version);
  file += '\0';
  for (std::size_t i = 0; i < (version == 1 ? 2u : 4u); ++i) file += static_cast<char>(header.size() >> (8 * i));
  return file + header + data;
}

}  // namespace

TEST_CASE("npy: what is written comes back") {
  const TemporaryFolder folder;
  const std::vector<std::vector<std::int64_t>> shapes = {{}, {5}, {2, 3}, {1, 3, 4, 5}, {0}, {3, 0, 2}};
  for (const char* dtype : {"<f2", "<f4", "<f8", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "|b1"}) {
    for (const auto& shape : shapes) {
      CAPTURE(dtype);
      CAPTURE(shape.size());
      std::size_t bytes = konv::tools::npy_element_size(dtype);
      for (const std::int64_t size : shape) bytes *= static_cast<std::size_t>(size);
      const NpyArray array{dtype, shape, counting(bytes)};
      write_npy(folder / "a.npy", array);
      const NpyArray back = read_npy(folder / "a.npy");
      CHECK(back.dtype == array.dtype);
      CHECK(back.shape == array.shape);
      CHECK(back.data == array.data);
    }
  }
}

TEST_CASE("npy: the bytes are those NumPy writes") {
  const TemporaryFolder folder;
  write_npy(folder / "a.npy", {"<f4", {2, 3}, counting(24)});
  const std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
  const std::string expected = npy(1, header + std::string(118 - header.size() - 1, ' ') + "\n", "");
  const std::string file = read_bytes(folder / "a.npy");
  CHECK(file.substr(0, 128) == expected);
  CHECK(file.size() == 128 + 24);
  write_npy(folder / "b.npy", {"|u1", {3}, counting(3)});
  CHECK(read_bytes(folder / "b.npy").find("'shape': (3,), }") != std::string::npos);
  write_npy(folder / "c.npy", {"|u1", {}, counting(1)});
  CHECK(read_bytes(folder / "c.npy").find("'shape': (), }") != std::string::npos);
}

TEST_CASE("npy: versions 1 to 3 are read") {
  const TemporaryFolder folder;
  for (const int version : {1, 2, 3}) {
    CAPTURE(version);
    const auto file = folder.write("a.npy", npy(version, "{'descr': '<i2', 'fortran_order': False, 'shape': (2,)}\n", "abcd"));
    CHECK(read_npy(file).shape == std::vector<std::int64_t>{2});
  }
  const std::vector<std::int64_t> long_shape(30000, 1);
  write_npy(folder / "long.npy", {"|u1", long_shape, counting(1)});
  CHECK(read_bytes(folder / "long.npy")[6] == 2);
  CHECK(read_npy(folder / "long.npy").shape == long_shape);
}

TEST_CASE("npy: what cannot be used is refused with the reason") {
  const TemporaryFolder folder;
  const auto why = [&](const std::string& bytes) { return error_of(folder, [&] { read_npy(folder.write("a.npy", bytes)); }); };
  const auto with = [&](const std::string& dtype, const std::string& order, const std::string& shape) {
    return why(npy(1, "{'descr': " + dtype + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }\n", "12345678"));
  };
  CHECK(with("'<f4'", "False", "(2,)") == "");
  CHECK(with("'<f4'", "True", "(2,)") == "");  // one dimension: both orders are the same
  CHECK(with("'<f4'", "True", "(2, 1)") == "a.npy: is in Fortran order; expected C order (numpy.ascontiguousarray)");
  CHECK(with("'>f4'", "False", "(2,)") == "a.npy: has dtype '>f4'; expected little-endian values");
  CHECK(with("'<c8'", "False", "(1,)") ==
        "a.npy: has dtype '<c8'; expected b1, i1, i2, i4, i8, u1, u2, u4, u8, f2, f4 or f8, little-endian");
  CHECK(with("[('x', '<f4')]", "False", "(2,)") == "a.npy: has a structured dtype; expected a plain one, such as <f4");
  CHECK(with("'<f4'", "False", "(3,)") == "a.npy: has 8 bytes of data; expected 12 (its shape and dtype)");
  CHECK(with("'<f4'", "False", "(1,)") == "a.npy: has 8 bytes of data; expected 4 (its shape and dtype)");
  CHECK(with("'<f4'", "False", "(4611686018427387904, 8)") ==
        "a.npy: claims a shape of more than 2^63 bytes; expected a shape that fits its data");
  CHECK(with("'<f4'", "False", "(-1,)").starts_with("a.npy: has a broken header at '-1,"));
  CHECK(with("'<f4'", "Maybe", "(2,)").starts_with("a.npy: has a broken header at 'Maybe"));
  CHECK(why("not numpy at all") == "a.npy: is no NumPy file; expected .npy");
  CHECK(why("") == "a.npy: is no NumPy file; expected .npy");
  CHECK(why(npy(4, "{}", "")) == "a.npy: is of format version 4; expected 1 to 3");
  CHECK(why(npy(1, "{}", "")) == "a.npy: has an incomplete header; expected descr, fortran_order and shape");
  const std::string whole = npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "12345678");
  for (std::size_t size = 0; size < whole.size(); ++size) CHECK(why(whole.substr(0, size)) != "");
}

TEST_CASE("npy: a failed write leaves nothing behind") {
  const TemporaryFolder folder;
  CHECK(error_of(folder, [&] {
          write_npy(folder / "none/a.npy", {"|u1", {1}, counting(1)});
        }).starts_with("none/a.npy: cannot be written (No such file or directory)"));
  std::filesystem::create_directory(folder / "taken");
  folder.write("taken/inside", "");
  CHECK(error_of(folder, [&] { write_npy(folder / "taken", {"|u1", {1}, counting(1)}); }).starts_with("taken: cannot be written"));
  CHECK(error_of(folder, [&] { write_npy(folder / "a.npy", {"<f4", {2}, counting(4)}); }).starts_with("a.npy: 4 bytes of dtype '<f4'"));
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.path())) ++count;
  CHECK(count == 1);
}
