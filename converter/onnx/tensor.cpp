#include "converter/onnx/tensor.h"

#include <charconv>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "engine/base/text.h"

namespace konv::converter {
namespace {

namespace fs = std::filesystem;

const char* foreign_type(std::int32_t number) {
  switch (number) {
    case 0: return "undefined";
    case 8: return "string";
    case 14:
    case 15: return "complex";
    case 17:
    case 18:
    case 19:
    case 20:
    case 24: return "float8";
    case 23: return "float4";
    default: return "unknown to konv";
  }
}

Dims dims_of(const google::protobuf::RepeatedField<std::int64_t>& proto) {
  Dims dims(proto.begin(), proto.end());
  for (const std::int64_t size : dims) {
    if (size < 0) throw Error(fmt::format("has shape {}; expected sizes from 0 up", to_string(dims)));
  }
  if (dims.size() > 64) throw Error(fmt::format("has {} dimensions; expected 64 at most", dims.size()));
  return dims;
}

/// Bytes of a tensor of these dims. Throws for sizes that no file has.
std::int64_t checked_bytes(DType dtype, const Dims& dims) {
  const std::int64_t count = element_count(dims);
  if (count > INT64_MAX / 64) throw Error(fmt::format("has {} elements; expected fewer", count));
  return storage_bytes(dtype, count);
}

/// The elements of one of the typed fields, each narrowed to To: konv's machines and ONNX are little endian.
template <class To, class Field>
Tensor from_field(DType dtype, const Dims& dims, const Field& field, std::int64_t expected) {
  if (field.size() != expected)
    throw Error(fmt::format("has {} elements; expected {} for its shape {}", field.size(), expected, to_string(dims)));
  MutableTensor tensor(dtype, dims);
  auto* to = reinterpret_cast<To*>(tensor.bytes.get());
  for (const auto element : field) *to++ = static_cast<To>(element);
  return tensor;
}

std::uint64_t parse_number(const std::string& text, const char* what) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size())
    throw Error(fmt::format("has external {} '{}'; expected a number", what, printable(text)));
  return number;
}

}  // namespace

std::optional<DType> dtype_of(std::int32_t number) {
  switch (number) {
    case 1: return DType::float32;
    case 2: return DType::uint8;
    case 3: return DType::int8;
    case 4: return DType::uint16;
    case 5: return DType::int16;
    case 6: return DType::int32;
    case 7: return DType::int64;
    case 9: return DType::boolean;
    case 10: return DType::float16;
    case 11: return DType::float64;
    case 12: return DType::uint32;
    case 13: return DType::uint64;
    case 16: return DType::bfloat16;
    case 21: return DType::uint4;
    case 22: return DType::int4;
    case 25: return DType::uint2;
    case 26: return DType::int2;
    default: return {};
  }
}

DType require_dtype(std::int32_t number) {
  if (const std::optional<DType> dtype = dtype_of(number)) return *dtype;
  throw Error(fmt::format("has element type {} ({}); expected a float, integer or bool type", number, foreign_type(number)));
}

Tensor TensorReader::read(const onnx::TensorProto& proto) {
  const DType dtype = require_dtype(proto.data_type());
  Dims dims = dims_of(proto.dims());
  if (proto.has_segment()) throw Error("is stored in segments; expected it whole");
  const std::int64_t size = checked_bytes(dtype, dims);
  if (proto.data_location() == onnx::TensorProto::EXTERNAL) return read_external(proto, dtype, std::move(dims));

  if (proto.has_raw_data()) {
    const std::string& raw = proto.raw_data();
    if (static_cast<std::int64_t>(raw.size()) != size) {
      throw Error(fmt::format("has {} bytes; expected {} for {} elements of {}", raw.size(), size, to_string(dims), name(dtype)));
    }
    MutableTensor tensor(dtype, dims);
    if (size > 0) std::memcpy(tensor.bytes.get(), raw.data(), raw.size());
    return tensor;
  }
  const std::int64_t count = element_count(dims);
  switch (dtype) {
    case DType::float32: return from_field<float>(dtype, dims, proto.float_data(), count);
    case DType::float64: return from_field<double>(dtype, dims, proto.double_data(), count);
    case DType::int64: return from_field<std::int64_t>(dtype, dims, proto.int64_data(), count);
    case DType::uint64: return from_field<std::uint64_t>(dtype, dims, proto.uint64_data(), count);
    case DType::uint32: return from_field<std::uint32_t>(dtype, dims, proto.uint64_data(), count);
    case DType::int32: return from_field<std::int32_t>(dtype, dims, proto.int32_data(), count);
    case DType::float16:
    case DType::bfloat16:
    case DType::int16:
    case DType::uint16: return from_field<std::uint16_t>(dtype, dims, proto.int32_data(), count);
    case DType::int8:
    case DType::uint8:
    case DType::boolean:
    case DType::int4:
    case DType::uint4:
    case DType::int2:
    case DType::uint2: return from_field<std::uint8_t>(dtype, dims, proto.int32_data(), size);  // one int32 per byte, packed types too
  }
  throw Error("has no elements");
}

Tensor TensorReader::read_external(const onnx::TensorProto& proto, DType dtype, Dims dims) {
  const std::string* location = nullptr;
  std::uint64_t offset = 0;
  std::optional<std::uint64_t> length;
  for (const onnx::StringStringEntryProto& entry : proto.external_data()) {
    if (entry.key() == "location") location = &entry.value();
    if (entry.key() == "offset") offset = parse_number(entry.value(), "offset");
    if (entry.key() == "length") length = parse_number(entry.value(), "length");
  }
  if (!location) throw Error("is external and has no location");
  const auto size = static_cast<std::uint64_t>(checked_bytes(dtype, dims));
  if (length && *length != size) {
    throw Error(fmt::format("has {} external bytes; expected {} for {} elements of {}", *length, size, to_string(dims), konv::name(dtype)));
  }
  const MappedFile& file = external_file(*location);
  if (offset > file.size || size > file.size - offset) {
    throw Error(fmt::format("lies at bytes {} to {} of '{}', which has {}", offset, offset + size, printable(*location), file.size));
  }
  const std::byte* begin = file.bytes.get() + offset;
  if (offset % 16 == 0) return Tensor{dtype, std::move(dims), std::shared_ptr<const std::byte>(file.bytes, begin)};  // stays in the mapping
  MutableTensor tensor(dtype, std::move(dims));
  if (size > 0) std::memcpy(tensor.bytes.get(), begin, static_cast<std::size_t>(size));
  return tensor;
}

const MappedFile& TensorReader::external_file(const std::string& location) {
  const auto known = files_.find(location);
  if (known != files_.end()) return known->second;

  const auto refuse = [&](const char* why) { throw Error(fmt::format("lies in external file '{}', {}", printable(location), why)); };
  const fs::path relative(location);
  if (location.empty() || location.find('\0') != std::string::npos || relative.is_absolute())
    refuse("whose path is not relative to the model");
  for (const fs::path& part : relative) {
    if (part == "..") refuse("which is outside the model's folder");
  }
  std::error_code error;
  const fs::path folder = fs::weakly_canonical(fs::absolute(model_path_).parent_path(), error);
  const fs::path path = fs::canonical(folder / relative, error);  // follows links
  if (error) refuse("which cannot be found beside the model");
  const fs::path inside = path.lexically_relative(folder);
  if (inside.empty() || *inside.begin() == "..") refuse("which is outside the model's folder");
  try {
    return files_.emplace(location, map_file(path.string())).first->second;
  } catch (const Error& failure) {
    throw Error(fmt::format("lies in external file '{}', which {}", printable(location), failure.what()));
  }
}

Tensor TensorReader::read(const onnx::SparseTensorProto& proto) {
  const Dims dims = dims_of(proto.dims());
  const Tensor values = read(proto.values());
  const Tensor indices = read(proto.indices());
  const std::int64_t count = element_count(dims);
  const auto rank = static_cast<std::int64_t>(dims.size());
  if (count > dense_left_) throw Error(fmt::format("is sparse and has {} elements; expected {} at most", count, dense_left_));
  dense_left_ -= count;
  if (bits(values.dtype) < 8) throw Error(fmt::format("is sparse and of {}; expected a type of whole bytes", konv::name(values.dtype)));
  const bool linear = indices.dims.size() == 1;
  const bool per_axis = indices.dims.size() == 2 && indices.dims[1] == rank;
  if (values.dims.size() != 1 || (!linear && !per_axis) || indices.dims[0] != values.dims[0]) {
    throw Error("is sparse with indices that do not fit its values");
  }
  const std::vector<std::int64_t> at = to_i64(indices);
  const auto width = static_cast<std::size_t>(bits(values.dtype)) / 8;
  const std::size_t steps = linear ? 1 : dims.size();
  MutableTensor dense(values.dtype, dims);
  for (std::size_t i = 0; i < static_cast<std::size_t>(values.count()); ++i) {
    std::int64_t place = 0;
    for (std::size_t d = 0; d < steps; ++d) {
      const std::int64_t index = at[i * steps + d];
      const std::int64_t size = linear ? count : dims[d];
      if (index < 0 || index >= size) throw Error(fmt::format("is sparse with index {}; expected 0 up to {}", index, size - 1));
      place = place * size + index;
    }
    std::memcpy(dense.bytes.get() + static_cast<std::size_t>(place) * width, values.bytes.get() + i * width, width);
  }
  return dense;
}

}  // namespace konv::converter
