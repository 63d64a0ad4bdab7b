#include <cmath>

#include <fmt/format.h>
#include <konv/error.hpp>

#include "engine/base/checked.h"
#include "engine/base/text.h"
#include "engine/graph/infer_node.h"
#include "engine/graph/verify.h"
#include "kernels/base/tensor_view.h"

namespace konv {
namespace {

[[noreturn]] void fail(const Value& value, const std::string& fact, const std::string& expected) {
  throw Error(fmt::format("value '{}': {}; expected {}", printable(value.name), fact, expected));
}

void verify_type(const Value& value, DType type) {
  if (static_cast<int>(type) >= kDTypeCount)
    fail(value, fmt::format("element type {}", static_cast<int>(type)), fmt::format("0 to {}", kDTypeCount - 1));
}

/// Ranks kernels take, sizes from 0, less than 2^40 elements. Returns how many there are.
std::int64_t verify_dims(const Value& value, const Dims& dims) {
  if (dims.size() > static_cast<std::size_t>(kMaxRank))
    fail(value, fmt::format("{} dimensions", dims.size()), fmt::format("at most {}", kMaxRank));
  std::int64_t count = 1;
  bool empty = false;
  for (const std::int64_t size : dims) {
    if (size < 0 || size >= kMostElements) fail(value, "shape " + to_string(dims), "sizes from 0 and fewer than 2^40 elements");
    empty |= size == 0;
    if (size > 0 && (count *= size) >= kMostElements) fail(value, "shape " + to_string(dims), "fewer than 2^40 elements");
  }
  return empty ? 0 : count;
}

void verify_constant(const Value& value) {
  const Tensor& tensor = *value.constant;
  verify_type(value, tensor.dtype);
  if (tensor.dtype != value.dtype) {
    fail(value, fmt::format("is {} and its constant {}", name(value.dtype), name(tensor.dtype)), "one type");
  }
  const std::int64_t count = verify_dims(value, tensor.dims);
  if (count > 0 && !tensor.bytes) fail(value, "constant without data", "its bytes");
  if (reinterpret_cast<std::uintptr_t>(tensor.bytes.get()) % 16 != 0) fail(value, "constant at an odd address", "alignment to 16 bytes");
}

bool holds_quantized(DType type) {
  switch (type) {
    case DType::float16:
    case DType::bfloat16:
    case DType::int32:
    case DType::int16:
    case DType::int8:
    case DType::int4:
    case DType::int2:
    case DType::uint16:
    case DType::uint8:
    case DType::uint4:
    case DType::uint2: return true;
    default: return false;
  }
}

bool is_signed(DType type) {
  return type == DType::int32 || type == DType::int16 || type == DType::int8 || type == DType::int4 || type == DType::int2;
}

void verify_quantization(const Value& value) {
  const Quantization& q = *value.quantization;
  if (!holds_quantized(value.dtype))
    fail(value, fmt::format("quantized {}", name(value.dtype)), "an integer of 2 to 32 bits, or 16-bit floats");
  if (is_float(value.dtype) && !value.constant) fail(value, fmt::format("computed {} with a scale", name(value.dtype)), "a constant");
  if (q.scale.empty()) fail(value, "no quantization scale", "one, or one per channel");
  if (q.zero_point.size() != q.scale.size()) {
    fail(value, fmt::format("{} zero points for {} scales", q.zero_point.size(), q.scale.size()), "equally many");
  }
  for (const float scale : q.scale) {
    if (!(scale > 0) || std::isinf(scale)) fail(value, fmt::format("quantization scale {}", scale), "a positive number");
  }
  if (is_float(value.dtype)) {
    for (const std::int64_t zero : q.zero_point) {
      if (zero != 0) fail(value, fmt::format("zero point {} of {}", zero, name(value.dtype)), "0");
    }
    return;
  }
  const int width = bits(value.dtype);
  const std::int64_t least = is_signed(value.dtype) ? -(std::int64_t{1} << (width - 1)) : 0, most = least + (std::int64_t{1} << width) - 1;
  for (const std::int64_t zero : q.zero_point) {
    if (zero < least || zero > most)
      fail(value, fmt::format("zero point {}", zero), fmt::format("{} to {} ({})", least, most, name(value.dtype)));
  }
}

void verify_kept_rows(const Value& value) {
  const KeptRows& kept = *value.kept_rows;
  if (!value.constant) fail(value, "kept rows of no constant", "a pruned weight");
  const Dims& dims = value.constant->dims;
  verify_dims(value, kept.dense_dims);
  if (kept.dense_dims.size() < 3) fail(value, "pruned from " + to_string(kept.dense_dims), "a convolution's weight");
  if (kept.granularity < 1) fail(value, fmt::format("pruning granularity {}", kept.granularity), "1 or more");
  if (dims != Dims{kept.dense_dims[0], std::ssize(kept.rows)}) {
    fail(value, fmt::format("shape {} with {} kept rows of {}", to_string(dims), kept.rows.size(), to_string(kept.dense_dims)),
         fmt::format("{}x{}", kept.dense_dims[0], kept.rows.size()));
  }
  const std::int64_t rows = element_count({kept.dense_dims.begin() + 1, kept.dense_dims.end()});
  std::int64_t before = -1;
  for (const std::int64_t row : kept.rows) {
    if (row <= before || row >= rows)
      fail(value, fmt::format("kept row {} behind {}", row, before), fmt::format("rising rows below {}", rows));
    before = row;
  }
}

}  // namespace

void verify_value(const Value& value) {
  verify_type(value, value.dtype);
  if (value.shape && value.shape->size() > static_cast<std::size_t>(kMaxRank)) {
    fail(value, fmt::format("{} dimensions", value.shape->size()), fmt::format("at most {}", kMaxRank));
  }
  if (value.shape && fully_known(*value.shape)) verify_dims(value, to_dims(*value.shape));
  if (value.constant) verify_constant(value);
  if (value.quantization) verify_quantization(value);
  if (value.kept_rows) verify_kept_rows(value);
}

void verify_quantization_axis(const Value& value) {
  if (!value.quantization || value.quantization->scale.size() <= 1 || !value.shape) return;
  const Quantization& q = *value.quantization;
  const Shape& shape = value.kept_rows ? to_shape(value.kept_rows->dense_dims) : *value.shape;
  if (q.axis < 0 || q.axis >= std::ssize(shape)) {
    fail(value, fmt::format("quantization axis {} of {}", q.axis, to_string(shape)), fmt::format("0 to {}", std::ssize(shape) - 1));
  }
  const Dim& size = shape[static_cast<std::size_t>(q.axis)];
  if (size.known() && size.value() != std::ssize(q.scale)) {
    fail(value, fmt::format("{} quantization scales", q.scale.size()),
         fmt::format("{} (axis {} of {})", size.value(), q.axis, to_string(shape)));
  }
}

}  // namespace konv
