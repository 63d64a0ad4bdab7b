// What the parts of the reference runner share. Only they include this.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/graph/ops.h"
#include "engine/graph/tensor.h"

namespace konv::test {

/// A tensor with elements wide enough for all types: `real` holds those of float types, `ints` those of the others.
struct Data {
  DType dtype = DType::float32;
  Dims dims;
  std::vector<double> real;
  std::vector<std::int64_t> ints;

  bool floating() const { return is_float(dtype); }
  std::int64_t rank() const { return static_cast<std::int64_t>(dims.size()); }
  std::int64_t dim(std::int64_t axis) const { return dims[static_cast<std::size_t>(axis)]; }
};

Data real_data(Dims dims);  ///< float32 zeros

/// The inputs of a node; absent ones are null.
using Inputs = std::vector<const Data*>;
inline const Data* input(const Inputs& in, int i) { return i < static_cast<int>(in.size()) ? in[static_cast<std::size_t>(i)] : nullptr; }

double activate(const Activation& a, double x);

/// Product of sizes[first, last).
std::int64_t product(const Dims& sizes, std::int64_t first, std::int64_t last);
inline std::int64_t product(const Dims& sizes) { return product(sizes, 0, static_cast<std::int64_t>(sizes.size())); }
/// The axis counted from the front.
inline std::int64_t from_front(std::int64_t axis, std::int64_t rank) { return axis < 0 ? axis + rank : axis; }

/// Row-major position of an index and back.
std::int64_t position(const Dims& dims, const Ints& index);
Ints index_of(const Dims& dims, std::int64_t position);
/// NumPy's broadcast of two shapes, and where the element `index` of the broadcast lies in a tensor of shape `dims`.
Dims broadcast_dims(const Dims& a, const Dims& b);
std::int64_t broadcast_position(const Dims& dims, const Ints& index);

// reference_window.cpp
Data run_op(const Conv&, const Inputs&);
Data run_op(const ConvTranspose&, const Inputs&);
Data run_op(const Pool&, const Inputs&);
Data run_op(const ConvInteger&, const Inputs&);
// reference_math.cpp
Data run_op(const Gemm&, const Inputs&);
Data run_op(const MatMul&, const Inputs&);
Data run_op(const BatchNorm&, const Inputs&);
Data run_op(const Unary&, const Inputs&);
Data run_op(const Binary&, const Inputs&);
Data run_op(const MatMulInteger&, const Inputs&);
Data run_op(const Where&, const Inputs&);
Data run_op(const Softmax&, const Inputs&);
Data run_op(const LayerNorm&, const Inputs&);
Data run_op(const InstanceNorm&, const Inputs&);
Data run_op(const Lrn&, const Inputs&);
Data run_op(const TopK&, const Inputs&);
Data run_op(const Quantize&, const Inputs&);
Data run_op(const Dequantize&, const Inputs&);
Data run_op(const Reduce&, const Inputs&);
Data run_op(const Cast&, const Inputs&);
// reference_data.cpp
Data run_op(const Concat&, const Inputs&);
Data run_op(const Pad&, const Inputs&);
Data run_op(const Slice&, const Inputs&);
Data run_op(const Flatten&, const Inputs&);
Data run_op(const Reshape&, const Inputs&);
Data run_op(const Transpose&, const Inputs&);
Data run_op(const Squeeze&, const Inputs&);
Data run_op(const Unsqueeze&, const Inputs&);
Data run_op(const Identity&, const Inputs&);
Data run_op(const ShapeOf&, const Inputs&);
Data run_op(const Gather&, const Inputs&);
Data run_op(const ConstantOfShape&, const Inputs&);
Data run_op(const Expand&, const Inputs&);
Data run_op(const Tile&, const Inputs&);
Data run_op(const DepthToSpace&, const Inputs&);
Data run_op(const SpaceToDepth&, const Inputs&);
Data run_op(const Arange&, const Inputs&);
Data run_op(const Resize&, const Inputs&);

}  // namespace konv::test
