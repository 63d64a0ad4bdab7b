// The containers of checkpoints. All readers throw konv::Error without the file's name.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "converter/mapped_file.h"
#include "models/architectures/architectures.h"

namespace konv::converter {

/// torch.save since PyTorch 1.6: a zip archive of data.pkl (the pickle) and data/KEY (the storages).
bool is_zip(std::span<const std::byte> bytes);
models::StateDict read_zip(const MappedFile& file);

/// torch.save before: pickles (magic number, protocol, system, the object, storage keys), then the storages' bytes.
bool is_legacy(std::span<const std::byte> bytes);
models::StateDict read_legacy(const MappedFile& file);

/// safetensors: 8 bytes of header length, a JSON header, the tensors' bytes without holes.
bool is_safetensors(std::span<const std::byte> bytes);
models::StateDict read_safetensors(const MappedFile& file);

}  // namespace konv::converter
