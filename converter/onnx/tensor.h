// Constants of an ONNX file: TensorProto to Tensor.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include <onnx/onnx_pb.h>

#include "converter/mapped_file.h"
#include "engine/graph/tensor.h"

namespace konv::converter {

/// Element type by its number in TensorProto.DataType: libonnx' own enum may be older than the file. Nothing for strings, complex numbers and
/// types konv does not store.
std::optional<DType> dtype_of(std::int32_t number);

/// As dtype_of; throws konv::Error "has element type 8 (string); expected ...".
DType require_dtype(std::int32_t number);

/// Reads tensors, those in files beside the model too. Throws konv::Error without a name in front: the caller knows what the tensor is for.
class TensorReader {
 public:
  /// `path` of the model: external data lies in its folder.
  explicit TensorReader(const std::string& path) : model_path_(path) {}

  Tensor read(const onnx::TensorProto& proto);
  /// Values and their places, made dense.
  Tensor read(const onnx::SparseTensorProto& proto);

 private:
  Tensor read_external(const onnx::TensorProto& proto, DType dtype, Dims dims);
  const MappedFile& external_file(const std::string& location);

  std::string model_path_;
  std::map<std::string, MappedFile> files_;
  std::int64_t dense_left_ = std::int64_t{1} << 26;  ///< elements that all sparse tensors together may unfold to
};

}  // namespace konv::converter
