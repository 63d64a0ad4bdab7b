// Element types of tensors, as a model file stores them and as kernels read them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace konv {

/// Types below 8 bits are packed: element 0 sits in the lowest bits of byte 0 (ONNX INT4/INT2 order).
enum class DType : std::uint8_t {
  float32,
  float64,
  float16,
  bfloat16,
  int64,
  int32,
  int16,
  int8,
  int4,
  int2,
  uint64,
  uint32,
  uint16,
  uint8,
  uint4,
  uint2,
  boolean,
};

inline constexpr int kDTypeCount = 17;

/// Bits of one element: 2, 4, 8, 16, 32 or 64.
int bits(DType type);

/// The type's name as files and the command line spell it, e.g. "float32".
const char* name(DType type);

std::optional<DType> dtype_from_name(std::string_view name);

bool is_float(DType type);

/// Bytes that `count` elements take, packed types rounded up to whole bytes.
std::int64_t storage_bytes(DType type, std::int64_t count);

}  // namespace konv
