// Which container a checkpoint is, told by its first bytes.

#include <fmt/format.h>

#include "converter/checkpoint/formats.h"
#include "converter/import.h"
#include "converter/mapped_file.h"
#include "engine/format/recognize.h"

namespace konv::converter {
namespace {

models::StateDict read_pytorch_file(const MappedFile& file) {
  if (is_zip(file.span())) return read_zip(file);
  if (is_legacy(file.span())) return read_legacy(file);
  throw Error(fmt::format("{}; expected a PyTorch checkpoint, as torch.save writes it", format::describe_beginning(file.span())));
}

}  // namespace

models::StateDict read_pytorch(const std::string& path) {
  return naming_file(path, [&] { return read_pytorch_file(map_file(path)); });
}

models::StateDict read_safetensors(const std::string& path) {
  return naming_file(path, [&] { return read_safetensors(map_file(path)); });
}

models::StateDict read_checkpoint(const std::string& path) {
  return naming_file(path, [&] {
    const MappedFile file = map_file(path);
    if (is_zip(file.span()) || is_legacy(file.span())) return read_pytorch_file(file);
    if (is_safetensors(file.span())) return read_safetensors(file);
    throw Error(fmt::format("{}; expected a PyTorch checkpoint or a safetensors file", format::describe_beginning(file.span())));
  });
}

}  // namespace konv::converter
