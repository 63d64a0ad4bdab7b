#include "engine/format/read_value.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include <konv/error.hpp>

#include "engine/base/checked.h"
#include "engine/format/flat.h"
#include "engine/format/limits.h"
#include "kernels/base/tensor_view.h"

namespace konv::format {
namespace {

static_assert(static_cast<int>(schema::DType::MAX) + 1 == kDTypeCount, "model.fbs and dtype.h list the same types in the same order");

Dims dims_of(const flatbuffers::Vector<std::int64_t>* sizes, const char* what) {
  if (!sizes) throw Error(fmt::format("{} is missing; expected one size per dimension", what));
  if (sizes->size() > kMaxRank) throw Error(fmt::format("{} has {} dimensions; expected at most {}", what, sizes->size(), kMaxRank));
  Dims dims(sizes->begin(), sizes->end());
  std::int64_t extent = 64;  // bits; strides are products, too, and must fit where another size is 0
  for (const std::int64_t size : dims) {
    if (size < 0) throw Error(fmt::format("{} {} has a negative size; expected sizes from 0", what, to_string(dims)));
    if (__builtin_mul_overflow(extent, std::max<std::int64_t>(size, 1), &extent)) {
      throw Error(fmt::format("{} {} is too large; expected a size that memory can have", what, to_string(dims)));
    }
  }
  return dims;
}

/// The smallest and the largest number of an integer type.
std::pair<std::int64_t, std::int64_t> range(DType type) {
  const bool is_unsigned = name(type)[0] == 'u' || type == DType::boolean;
  const int width = std::min(bits(type), 32);
  const std::int64_t top = std::int64_t{1} << (is_unsigned ? width : width - 1);
  return {is_unsigned ? 0 : -top, top - 1};
}

}  // namespace

DType read_dtype(const schema::Value& value) {
  const auto type = static_cast<int>(value.dtype());
  if (type >= kDTypeCount) throw Error(fmt::format("has element type {}; expected one of 0 to {}", type, kDTypeCount - 1));
  return static_cast<DType>(type);
}

Shape read_shape(const schema::Value& value, const std::vector<std::string>& symbols) {
  const auto* sizes = value.shape();
  if (!sizes) throw Error("has no shape; expected one");
  if (sizes->size() > kMaxRank) throw Error(fmt::format("has {} dimensions; expected at most {}", sizes->size(), kMaxRank));
  Shape shape;
  for (const std::int64_t size : *sizes) {
    const std::int64_t symbol = -2 - std::min<std::int64_t>(size, 0);
    if (size >= 0) {
      shape.emplace_back(size);
    } else if (size == -1) {
      shape.emplace_back();
    } else if (symbol < std::ssize(symbols)) {
      shape.push_back(Dim::symbol(symbols[static_cast<std::size_t>(symbol)]));
    } else {
      throw Error(fmt::format("has a size {}; expected the names of sizes to end at {}", size, -1 - std::ssize(symbols)));
    }
  }
  return shape;
}

std::optional<Tensor> read_constant(const schema::Value& value, const Bytes& weights) {
  const schema::Span* span = value.constant();
  if (!span) return {};
  Tensor tensor{read_dtype(value), dims_of(value.shape(), "shape"), {}};
  const auto bytes = static_cast<std::uint64_t>(tensor.size_bytes());
  if (span->size() != bytes) {
    throw Error(
        fmt::format("has {} bytes of weights; expected {} ({} of {})", span->size(), bytes, to_string(tensor.dims), name(tensor.dtype)));
  }
  if (span->offset() % kAlignment != 0) {
    throw Error(fmt::format("has weights at offset {}; expected a multiple of {}", span->offset(), kAlignment));
  }
  if (span->offset() > weights.size || span->size() > weights.size - span->offset()) {
    throw Error(fmt::format("has {} bytes of weights at offset {}; expected them within the {} bytes of the weights section", span->size(),
                            span->offset(), weights.size));
  }
  tensor.bytes = std::shared_ptr<const std::byte>(weights.data, weights.data.get() + span->offset());
  return tensor;
}

std::optional<Quantization> read_quantization(const schema::Value& value) {
  const schema::Quantization* stored = value.quantization();
  if (!stored) return {};
  Quantization q;
  q.scale.assign(items(stored->scale()).begin(), items(stored->scale()).end());
  q.zero_point.assign(items(stored->zero_point()).begin(), items(stored->zero_point()).end());
  q.axis = stored->axis();
  if (q.scale.empty() || q.scale.size() != q.zero_point.size()) {
    throw Error(
        fmt::format("has {} scales and {} zero points; expected as many of both, at least one", q.scale.size(), q.zero_point.size()));
  }
  if (q.axis < 0 || q.axis >= kMaxRank)
    throw Error(fmt::format("has scales along axis {}; expected an axis from 0 below {}", q.axis, kMaxRank));
  if (q.scale.size() > 1 && value.constant()) {
    const Dims dims = dims_of(value.shape(), "shape");
    if (q.axis >= std::ssize(dims) || dims[static_cast<std::size_t>(q.axis)] != std::ssize(q.scale)) {
      throw Error(
          fmt::format("has {} scales along axis {} of {}; expected as many as that axis is long", q.scale.size(), q.axis, to_string(dims)));
    }
  }
  const auto [lowest, highest] = range(read_dtype(value));
  for (std::size_t i = 0; i < q.scale.size(); ++i) {
    if (!(q.scale[i] > 0) || !std::isfinite(q.scale[i])) throw Error(fmt::format("has scale {}; expected a positive number", q.scale[i]));
    if (q.zero_point[i] < lowest || q.zero_point[i] > highest) {
      throw Error(fmt::format("has zero point {}; expected one from {} to {}", q.zero_point[i], lowest, highest));
    }
  }
  return q;
}

std::optional<KeptRows> read_kept_rows(const schema::Value& value) {
  const schema::KeptRows* stored = value.kept_rows();
  if (!stored) return {};
  KeptRows kept;
  kept.rows.assign(items(stored->rows()).begin(), items(stored->rows()).end());
  kept.granularity = stored->granularity();
  kept.dense_dims = dims_of(stored->dense_dims(), "dense shape");
  if (!value.constant()) throw Error("has kept rows but no weights; expected both");
  const Dims dims = dims_of(value.shape(), "shape");
  if (kept.dense_dims.size() < 3 || kept.granularity < 1 || kept.granularity > std::max<std::int64_t>(kept.dense_dims[1], 1)) {
    throw Error(fmt::format("has kept rows of {} with granularity {}; expected a convolution's weight and at most its input channels",
                            to_string(kept.dense_dims), kept.granularity));
  }
  std::int64_t k = 1;
  for (std::size_t i = 1; i < kept.dense_dims.size(); ++i) k = checked_mul(k, kept.dense_dims[i]);
  if (dims.size() != 2 || dims[0] != kept.dense_dims[0] || dims[1] != std::ssize(kept.rows)) {
    throw Error(fmt::format("has {} kept rows of {} in a shape of {}; expected output channels x kept rows", kept.rows.size(),
                            to_string(kept.dense_dims), to_string(dims)));
  }
  std::int64_t last = -1;
  for (const std::int32_t row : kept.rows) {
    if (row <= last || row >= k) throw Error(fmt::format("has kept row {} behind {}; expected rising ones below {}", row, last, k));
    last = row;
  }
  return kept;
}

}  // namespace konv::format
