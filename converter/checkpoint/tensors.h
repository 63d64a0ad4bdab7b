// From a pickle's values to named tensors: what the zip and the legacy format have in common.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "converter/checkpoint/pickle.h"
#include "models/architectures/architectures.h"

namespace konv::converter {

/// Where a tensor's elements lie, as a persistent id tells it.
struct StorageId {
  std::string key;
  DType dtype = DType::uint8;  ///< uint8 for untyped storages
  std::int64_t count = 0;      ///< elements of `dtype`
};

/// The bytes of a storage, aligned to 64, little endian. Called once per key.
using ReadStorage = std::function<std::shared_ptr<const std::byte>(const StorageId& id)>;

/// ('storage', class, key, location, count, ...) Throws konv::Error for anything else.
StorageId storage_id(const pickle::Value& persistent);

/// How many bytes of tensors a file of `file_size` bytes may unfold into: views may repeat elements, zip entries may be compressed.
std::int64_t unfolding_limit(std::size_t file_size);

/// The tensors of the state dict in `root`, contiguous. Throws konv::Error, without the file's name.
models::StateDict collect_tensors(const pickle::Value& root, const ReadStorage& read_storage, std::int64_t byte_limit);

/// The name a checkpoint's tensor has in its architecture: "module." and "_orig_mod." taken off. Empty for tensors that no network needs
/// (num_batches_tracked).
std::string_view parameter_name(std::string_view name);

}  // namespace konv::converter
