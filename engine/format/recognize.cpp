#include "engine/format/recognize.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

namespace konv::format {
namespace {

using namespace std::string_view_literals;

struct Mark {
  std::size_t at;
  std::string_view bytes;
  const char* what;
};

constexpr Mark kMarks[] = {
    {0, "PK\x03\x04"sv, "a zip archive (PyTorch checkpoints and .npz files are some)"},
    {0, "PK\x05\x06"sv, "an empty zip archive"},
    {0, "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19."sv, "an old PyTorch checkpoint"},
    {0, "\x89PNG\r\n"sv, "a PNG image"},
    {0, "\xff\xd8\xff"sv, "a JPEG image"},
    {0, "\x93NUMPY"sv, "a NumPy array"},
    {0, "\x89HDF\r\n"sv, "an HDF5 file"},
    {0, "GGUF"sv, "a GGUF model"},
    {4, "TFL3"sv, "a TensorFlow Lite model"},
    {0, "\x1f\x8b"sv, "a gzip file"},
    {0,
     "\x7f"
     "ELF"sv,
     "a program or library"},
};

bool is_text(std::string_view head) {
  return std::all_of(head.begin(), head.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 ? byte != 0x7f : byte == '\n' || byte == '\r' || byte == '\t';
  });
}

/// Protobuf fields of ONNX' ModelProto: ir_version (a small number), then one of the fields that writers put next.
bool is_onnx(std::string_view head) {
  if (head.size() < 4 || head[0] != '\x08' || head[1] < 1 || head[1] > 32) return false;
  return "\x12\x1a\x22\x28\x32\x3a\x42"sv.find(head[2]) != std::string_view::npos;
}

/// A little-endian length below 100 MB, then JSON.
bool is_safetensors(std::string_view head) { return head.size() > 9 && head.substr(5, 3) == "\0\0\0"sv && head[8] == '{'; }

std::string escaped(std::string_view head) {
  std::string text;
  for (const char c : head) {
    const auto byte = static_cast<unsigned char>(c);
    text += byte >= 0x20 && byte < 0x7f ? std::string(1, c) : fmt::format("\\x{:02x}", byte);
  }
  return text;
}

}  // namespace

std::string describe_beginning(std::span<const std::byte> bytes) {
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()), std::min<std::size_t>(bytes.size(), 256));
  for (const Mark& mark : kMarks) {
    if (head.size() >= mark.at && head.substr(mark.at).starts_with(mark.bytes)) return fmt::format("begins like {}", mark.what);
  }
  if (is_onnx(head)) return "begins like an ONNX model";
  if (is_safetensors(head)) return "begins like a safetensors file";
  if (head.size() > 8 && is_text(head)) return fmt::format("is text that begins with \"{}\"", escaped(head.substr(0, 16)));
  return fmt::format("begins with \"{}\"", escaped(head.substr(0, 4)));
}

}  // namespace konv::format
