// Shape inference, and with it the values of small integer tensors: the shape arithmetic that exporters write (Shape, Gather, Concat,
// Reshape ...) is evaluated here, symbolically where sizes are symbols. One mechanism serves both the symbolic graph and the concrete plan.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "engine/graph/graph.h"

namespace konv {

/// What is known about a value.
struct Fact {
  DType dtype = DType::float32;
  std::optional<Shape> shape;                     ///< absent only when even the rank is unknown
  std::optional<std::vector<Dim>> ints;           ///< elements of an integer tensor of rank <= 1 (shape arithmetic), at most 4096
  std::optional<std::vector<double>> reals = {};  ///< elements of a float tensor of rank <= 1 (scales of Resize and the like), at most 64
};

/// Facts by ValueId::index. Throws konv::Error naming the node whose inputs do not fit.
/// `input_shapes` replaces the declared shapes of graph inputs (must agree with their known sizes, and symbols must bind consistently);
/// `input_values` are the elements of those inputs that shapes depend on.
std::vector<Fact> infer(const Graph& graph, const std::map<ValueId, Dims>& input_shapes = {},
                        const std::map<ValueId, Tensor>& input_values = {});

/// Graph inputs whose elements decide shapes (Reshape's second operand and the like, also by way of arithmetic), in the graph's order: a plan holds for
/// one value of theirs.
std::vector<ValueId> shape_inputs(const Graph& graph);

/// For a graph under construction, node by node in topological order: appends the facts of the values that came since `facts` was filled last.
void extend(const Graph& graph, std::vector<Fact>& facts);

/// infer(graph) written into the values.
void infer_shapes(Graph& graph);

/// A window operator's geometry with the padding resolved.
struct WindowGeometry {
  Ints kernel, strides, dilations, pads_begin, pads_end;
  Shape output;  ///< spatial sizes
};

/// Resolves auto_pad and defaults for spatial sizes `input`. Same padding on unknown sizes leaves pads empty.
/// Throws konv::Error("<node>: ...") for a window that does not fit.
WindowGeometry window_geometry(const std::string& node, const Window& window, const Ints& kernel, const Shape& input,
                               bool ceil_mode = false);

/// The same for a transposed convolution: output pixel o gathers from input pixel i with tap k where o + pads_begin = i stride + k dilation.
/// `output` may reach beyond the last tap (output_padding, output_shape): those pixels hold the bias.
WindowGeometry transposed_geometry(const std::string& node, const ConvTranspose& op, const Ints& kernel, const Shape& input);

/// Geometry of Conv-like nodes whose kernel sizes come from the weight's shape.
Ints kernel_of(const Dims& weight_dims);

/// Axis in [0, rank). Throws konv::Error naming the node.
std::int64_t normalize_axis(const std::string& node, std::int64_t axis, std::int64_t rank);

/// The broadcast of two shapes (NumPy's rule). Throws konv::Error naming the node.
Shape broadcast(const std::string& node, const Shape& a, const Shape& b);

/// Pads of the listed axes (all when `axes` is absent) as pads of all dimensions, begins first. Throws konv::Error naming the node.
Ints spread_pads(const std::string& node, const Ints& pads, const std::optional<Ints>& axes, std::size_t rank);

/// Resize along one dimension, in the terms of ONNX: outputs, scale, and the part of the input that is looked at (tf_crop_and_resize).
struct ResizedAxis {
  std::int64_t size = 0;
  double scale = 1, roi_start = 0, roi_end = 1;
};

/// One per dimension of `dims`. Throws konv::Error naming the node. `roi`, `scales` and `sizes` are null where absent.
std::vector<ResizedAxis> resize_geometry(const std::string& node, const Resize& op, const Dims& dims, const std::vector<double>* roi,
                                         const std::vector<double>* scales, const Ints* sizes);

/// Slice's starts, ends, axes and steps made concrete for a known shape: per dimension the first index, the step and the count.
struct SliceGeometry {
  Ints first, step, count;
};
SliceGeometry slice_geometry(const std::string& node, const Dims& dims, const Ints& starts, const Ints& ends, const Ints& axes,
                             const Ints& steps);

}  // namespace konv
