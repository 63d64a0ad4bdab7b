#include "tools/data/npy.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <span>

#include <konv/error.hpp>

#include "tools/data/file.h"

namespace konv::tools {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

constexpr std::string_view kMagic = "\x93NUMPY"sv;
constexpr std::size_t kAlignment = 64;  // of the data, as NumPy does it

struct Header {
  std::string dtype;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

// The header is a Python dict literal with the keys descr, fortran_order and shape. Only what NumPy writes for plain
// arrays is understood; the rest is refused with the text in question.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& name) : rest_(text), name_(name) {}

  Header parse() {
    Header header;
    bool has_dtype = false, has_order = false, has_shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string_view key = string();
      expect(':');
      if (key == "descr") {
        if (peek() == '[') fail("has a structured dtype", "a plain one, such as <f4");
        header.dtype = string();
        has_dtype = true;
      } else if (key == "fortran_order") {
        header.fortran_order = boolean();
        has_order = true;
      } else if (key == "shape") {
        header.shape = shape();
        has_shape = true;
      } else {
        fail("has the unknown header entry '" + std::string(key) + "'", "descr, fortran_order and shape");
      }
      if (!accept(',') && peek() != '}') broken();
    }
    if (!has_dtype || !has_order || !has_shape) fail("has an incomplete header", "descr, fortran_order and shape");
    return header;
  }

 private:
  [[noreturn]] void fail(const std::string& fact, const std::string& expected) const {
    throw Error(name_ + ": " + fact + "; expected " + expected);
  }
  [[noreturn]] void broken() const {
    fail("has a broken header" + (rest_.empty() ? " (it ends early)"s : " at '" + printable(rest_.substr(0, 16)) + "'"),
         "a NumPy array file");
  }
  static std::string printable(std::string_view text) {
    std::string result(text);
    std::ranges::replace_if(
        result, [](char c) { return c < ' ' || c > '~'; }, '?');
    return result;
  }

  char peek() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\n"), rest_.size()));
    return rest_.empty() ? '\0' : rest_.front();
  }
  bool accept(char c) {
    if (peek() != c || rest_.empty()) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!accept(c)) broken();
  }
  std::string_view string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') broken();
    const std::size_t end = rest_.find(quote, 1);
    if (end == std::string_view::npos) broken();
    const std::string_view text = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return text;
  }
  bool boolean() {
    peek();
    for (const auto& [word, value] : {std::pair{"True"sv, true}, std::pair{"False"sv, false}}) {
      if (!rest_.starts_with(word)) continue;
      rest_.remove_prefix(word.size());
      return value;
    }
    broken();
  }
  std::vector<std::int64_t> shape() {
    std::vector<std::int64_t> sizes;
    expect('(');
    while (!accept(')')) {
      peek();
      std::int64_t size = 0;
      const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), size);
      if (error != std::errc() || size < 0) broken();
      rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
      accept('L');  // Python 2 wrote long integers so
      sizes.push_back(size);
      if (!accept(',') && peek() != ')') broken();
    }
    return sizes;
  }

  std::string_view rest_;
  const std::string& name_;
};

// Number of bytes, or nothing where it does not fit.
std::optional<std::uint64_t> byte_count(std::span<const std::int64_t> shape, std::size_t element_size) {
  if (std::ranges::find(shape, 0) != shape.end()) return 0;
  std::uint64_t bytes = element_size;
  for (const std::int64_t size : shape) {
    if (static_cast<std::uint64_t>(size) > std::numeric_limits<std::int64_t>::max() / bytes) return std::nullopt;
    bytes *= static_cast<std::uint64_t>(size);
  }
  return bytes;
}

std::uint64_t little_endian(std::span<const std::byte> bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | std::to_integer<std::uint64_t>(bytes[i]);
  return value;
}

}  // namespace

std::size_t npy_element_size(std::string_view dtype) {
  if (dtype.size() != 3) return 0;
  const std::string_view type = dtype.substr(1);
  const std::size_t size = static_cast<std::size_t>(type[1] - '0');
  constexpr std::array known = {"b1"sv, "i1"sv, "i2"sv, "i4"sv, "i8"sv, "u1"sv, "u2"sv, "u4"sv, "u8"sv, "f2"sv, "f4"sv, "f8"sv};
  if (std::ranges::find(known, type) == known.end()) return 0;
  if (dtype[0] != '<' && !(size == 1 && dtype[0] == '|')) return 0;
  return size;
}

NpyArray read_npy(const std::filesystem::path& path) {
  const InputFile file(path);
  const std::string name = path.string();
  const auto fail = [&](const std::string& fact, const std::string& expected) {
    throw Error(name + ": " + fact + "; expected " + expected);
  };

  // magic, version (2 bytes), length of the header (2 bytes, from version 2 on 4)
  std::array<std::byte, 12> start = {};
  file.read(0, std::span(start).first(std::min<std::uint64_t>(file.size(), start.size())));
  if (std::string_view(reinterpret_cast<const char*>(start.data()), kMagic.size()) != kMagic) fail("is no NumPy file", ".npy");
  const int version = std::to_integer<int>(start[6]);
  if (version < 1 || version > 3) fail("is of format version " + std::to_string(version), "1 to 3");
  const std::size_t header_at = version == 1 ? 10 : 12;
  const std::uint64_t header_size = little_endian(std::span(start).subspan(8, header_at - 8));
  if (file.size() < header_at || header_size > file.size() - header_at) fail("ends inside its header", "a complete file");

  std::string text(header_size, '\0');
  file.read(header_at, std::as_writable_bytes(std::span(text)));
  Header header = HeaderParser(text, name).parse();

  const std::size_t element_size = npy_element_size(header.dtype);
  if (element_size == 0) {
    fail("has dtype '" + header.dtype + "'",
         header.dtype.starts_with('>') ? "little-endian values" : "b1, i1, i2, i4, i8, u1, u2, u4, u8, f2, f4 or f8, little-endian");
  }
  if (header.fortran_order && header.shape.size() > 1) fail("is in Fortran order", "C order (numpy.ascontiguousarray)");
  const std::optional<std::uint64_t> expected = byte_count(header.shape, element_size);
  const std::uint64_t data_at = header_at + header_size;
  if (!expected) fail("claims a shape of more than 2^63 bytes", "a shape that fits its data");
  if (*expected != file.size() - data_at) {
    fail("has " + std::to_string(file.size() - data_at) + " bytes of data", std::to_string(*expected) + " (its shape and dtype)");
  }

  NpyArray array{std::move(header.dtype), std::move(header.shape), std::vector<std::byte>(*expected)};
  file.read(data_at, array.data);
  return array;
}

void write_npy(const std::filesystem::path& path, const NpyArray& array) {
  const std::size_t element_size = npy_element_size(array.dtype);
  const std::optional<std::uint64_t> expected = byte_count(array.shape, element_size);
  if (element_size == 0 || expected != array.data.size()) {
    throw Error(path.string() + ": " + std::to_string(array.data.size()) + " bytes of dtype '" + array.dtype +
                "' do not make an array of this shape; expected a dtype and shape of the data's size");
  }

  std::string header = "{'descr': '" + array.dtype + "', 'fortran_order': False, 'shape': (";
  for (std::size_t i = 0; i < array.shape.size(); ++i) header += (i ? " " : "") + std::to_string(array.shape[i]) + ",";
  if (array.shape.size() > 1) header.pop_back();  // (3, 4) but (3,)
  header += "), }";

  // Spaces and a newline bring the data to its alignment.
  int version = 1;
  std::size_t start = 10;
  const auto padded = [&] { return (start + header.size() + 1 + kAlignment - 1) / kAlignment * kAlignment - start; };
  if (padded() > 0xffff) {
    version = 2;
    start = 12;
  }
  header.resize(padded() - 1, ' ');
  header += '\n';

  std::string prefix(kMagic);
  prefix += static_cast<char>(version);
  prefix += '\0';
  for (std::size_t i = 0; i < start - 8; ++i) prefix += static_cast<char>(header.size() >> (8 * i) & 0xff);
  write_file(path, {std::as_bytes(std::span(prefix)), std::as_bytes(std::span(header)), array.data});
}

}  // namespace konv::tools
