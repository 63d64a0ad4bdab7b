// Shape inference of one node: what the infer_*.cpp files share. Not for other rooms.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/graph/infer.h"

namespace konv {

inline constexpr std::size_t kMostInts = 4096;                        ///< elements of one integer value that are remembered
inline constexpr std::size_t kMostReals = 64;                         ///< the same of a float value
inline constexpr std::int64_t kMostElements = std::int64_t{1} << 40;  ///< of one value

/// A node and what is known about its inputs. Absent optional inputs answer false to has().
class NodeFacts {
 public:
  NodeFacts(const Graph& graph, const Node& node, const std::vector<Fact>& facts) : graph_(graph), node_(node), facts_(facts) {}

  std::string who() const { return label(node_); }
  int input_count() const { return static_cast<int>(node_.inputs.size()); }
  bool has(int i) const { return static_cast<bool>(node_.input(i)); }
  const Fact& in(int i) const;  ///< throws when the input is absent
  /// The input's shape; null when not even its rank is known.
  const Shape* shape(int i) const;
  const std::vector<Dim>* ints(int i) const { return has(i) && in(i).ints ? &*in(i).ints : nullptr; }
  const std::vector<double>* reals(int i) const { return has(i) && in(i).reals ? &*in(i).reals : nullptr; }
  /// Axes of an operator that has them as an attribute or as input `slot`; nothing when the input's elements are not known.
  std::optional<Ints> axes(const Ints& attribute, int slot) const;
  /// ints(i), when all of them are numbers.
  std::optional<Ints> numbers(int i) const;
  const KeptRows* kept_rows(int i) const;
  /// The type of what the elements stand for: float32 for quantized integers.
  DType real_type(int i) const;

  /// Throws unless all inputs present are floats of one type; `what` they are for.
  void expect_floats() const;
  /// Throws unless input `i` is int8 or uint8, and its zero point, where there is one, too.
  void expect_bytes(int i, int zero_slot, std::string_view what) const;
  /// Throws unless the optional input has one element, or one per `many` (an unknown size: one only).
  void expect_one_or(int slot, std::string_view what, const std::optional<Dim>& many) const;
  /// Throws unless all inputs present have one type, whichever.
  void expect_one_type() const;
  void expect_integers(int i, std::string_view what) const;
  /// Throws unless the rank is as given.
  void expect_rank(int i, std::string_view what, std::size_t rank) const;
  /// Throws "<who>: <fact>; expected <expected>".
  [[noreturn]] void fail(const std::string& fact, const std::string& expected) const;

 private:
  const Graph& graph_;
  const Node& node_;
  const std::vector<Fact>& facts_;
};

/// A fact of the first input's type with this shape.
Fact like_input(const NodeFacts& node, std::optional<Shape> shape);

/// The same size seen twice: the more telling of both; nothing when they contradict each other.
std::optional<Dim> agreed(const Dim& a, const Dim& b);

/// Axes in [0, rank), each once. Throws for others.
Ints normalize_axes(const NodeFacts& node, const Ints& axes, std::size_t rank);

// infer_window.cpp
Fact infer_op(const Conv& op, const NodeFacts& node);
Fact infer_op(const ConvTranspose& op, const NodeFacts& node);
Fact infer_op(const Pool& op, const NodeFacts& node);
Fact infer_op(const ConvInteger& op, const NodeFacts& node);
// infer_math.cpp
Fact infer_op(const Gemm& op, const NodeFacts& node);
Fact infer_op(const MatMul& op, const NodeFacts& node);
Fact infer_op(const BatchNorm& op, const NodeFacts& node);
Fact infer_op(const Unary& op, const NodeFacts& node);
Fact infer_op(const Binary& op, const NodeFacts& node);
Fact infer_op(const Where& op, const NodeFacts& node);
Fact infer_op(const Softmax& op, const NodeFacts& node);
Fact infer_op(const LayerNorm& op, const NodeFacts& node);
Fact infer_op(const InstanceNorm& op, const NodeFacts& node);
Fact infer_op(const Lrn& op, const NodeFacts& node);
Fact infer_op(const Reduce& op, const NodeFacts& node);
Fact infer_op(const TopK& op, const NodeFacts& node);
Fact infer_op(const MatMulInteger& op, const NodeFacts& node);
// infer_resample.cpp
Fact infer_op(const Resize& op, const NodeFacts& node);
Fact infer_op(const Quantize& op, const NodeFacts& node);
Fact infer_op(const Dequantize& op, const NodeFacts& node);
// infer_shape_ops.cpp
Fact infer_op(const Flatten& op, const NodeFacts& node);
Fact infer_op(const Reshape& op, const NodeFacts& node);
Fact infer_op(const Transpose& op, const NodeFacts& node);
Fact infer_op(const Squeeze& op, const NodeFacts& node);
Fact infer_op(const Unsqueeze& op, const NodeFacts& node);
Fact infer_op(const Identity& op, const NodeFacts& node);
Fact infer_op(const ShapeOf& op, const NodeFacts& node);
Fact infer_op(const Cast& op, const NodeFacts& node);
Fact infer_op(const ConstantOfShape& op, const NodeFacts& node);
Fact infer_op(const Expand& op, const NodeFacts& node);
Fact infer_op(const Tile& op, const NodeFacts& node);
Fact infer_op(const DepthToSpace& op, const NodeFacts& node);
Fact infer_op(const SpaceToDepth& op, const NodeFacts& node);
Fact infer_op(const Arange& op, const NodeFacts& node);
// infer_index_ops.cpp
Fact infer_op(const Concat& op, const NodeFacts& node);
Fact infer_op(const Pad& op, const NodeFacts& node);
Fact infer_op(const Slice& op, const NodeFacts& node);
Fact infer_op(const Gather& op, const NodeFacts& node);

}  // namespace konv
