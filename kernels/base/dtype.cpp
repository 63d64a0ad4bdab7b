#include "kernels/base/dtype.h"

namespace konv {
namespace {

struct Row {
  const char* name;
  int bits;
};

constexpr Row kRows[kDTypeCount] = {
    {"float32", 32}, {"float64", 64}, {"float16", 16}, {"bfloat16", 16}, {"int64", 64},  {"int32", 32},
    {"int16", 16},   {"int8", 8},     {"int4", 4},     {"int2", 2},      {"uint64", 64}, {"uint32", 32},
    {"uint16", 16},  {"uint8", 8},    {"uint4", 4},    {"uint2", 2},     {"bool", 8},
};

}  // namespace

int bits(DType type) { return kRows[static_cast<int>(type)].bits; }

const char* name(DType type) { return kRows[static_cast<int>(type)].name; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (int i = 0; i < kDTypeCount; ++i) {
    if (name == kRows[i].name) return static_cast<DType>(i);
  }
  return {};
}

bool is_float(DType type) { return type == DType::float32 || type == DType::float64 || type == DType::float16 || type == DType::bfloat16; }

std::int64_t storage_bytes(DType type, std::int64_t count) { return (count * bits(type) + 7) / 8; }

}  // namespace konv
