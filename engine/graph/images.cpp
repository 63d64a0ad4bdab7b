#include "engine/graph/images.h"

#include <algorithm>

#include "engine/graph/infer.h"

namespace konv {
namespace {

/// What every dimension 0 is called.
struct Batch {
  const Graph& graph;
  const std::vector<Fact>& facts;
  const Dim& size;

  const Fact& fact(ValueId id) const { return facts[static_cast<std::size_t>(id.index)]; }

  /// [size, ...], and no other dimension has to do with it.
  bool leads(ValueId id) const {
    const std::optional<Shape>& shape = fact(id).shape;
    if (!shape || shape->empty() || !shape->front().same_as(size)) return false;
    return std::none_of(shape->begin() + 1, shape->end(), [&](const Dim& d) { return d.same_as(size); });
  }
  std::size_t rank(ValueId id) const { return fact(id).shape->size(); }

  /// The same for every image: a constant without a leading dimension, or with one of 1.
  bool is_shared(ValueId id, std::size_t rank_of_result) const {
    const Tensor* constant = graph.constant(id);
    return constant && (constant->dims.size() < rank_of_result || (!constant->dims.empty() && constant->dims[0] == 1));
  }
};

bool keeps_axis(std::int64_t axis, std::size_t rank) { return axis != 0 && axis != -static_cast<std::int64_t>(rank); }

bool all_lead(const Batch& batch, const Node& node, std::size_t from = 0) {
  for (std::size_t i = from; i < node.inputs.size(); ++i) {
    if (node.inputs[i] && !batch.leads(node.inputs[i])) return false;
  }
  return true;
}

/// Elementwise operands: whole batches of the result's rank, or the same for every image.
bool broadcasts(const Batch& batch, const Node& node) {
  const std::size_t rank = batch.rank(node.output());
  return std::all_of(node.inputs.begin(), node.inputs.end(),
                     [&](ValueId id) { return !id || batch.is_shared(id, rank) || (batch.leads(id) && batch.rank(id) == rank); });
}

/// The output is known to begin with the batch.
bool is_independent(const Batch& batch, const Node& node) {
  const ValueId first = node.input(0);
  const auto constant = [&](int i) { return batch.graph.constant(node.input(i)) != nullptr; };
  const auto leads = [&] { return batch.leads(first); };
  return std::visit(
      [&](const auto& op) {
        using T = std::remove_cvref_t<decltype(op)>;
        if constexpr (std::is_same_v<T, Conv>) {
          return leads() && constant(Conv::kWeight) && (!node.input(Conv::kResidual) || batch.leads(node.input(Conv::kResidual)));
        } else if constexpr (std::is_same_v<T, ConvTranspose>) {
          return leads() && constant(ConvTranspose::kWeight);
        } else if constexpr (std::is_same_v<T, Gemm>) {
          return leads() && !op.transpose_a && constant(Gemm::kB) && (!node.input(Gemm::kC) || batch.is_shared(node.input(Gemm::kC), 2));
        } else if constexpr (std::is_same_v<T, MatMul>) {
          return leads() && batch.rank(first) >= 2 && batch.is_shared(node.input(MatMul::kB), batch.rank(first) + 1) &&
                 batch.graph.constant(node.input(MatMul::kB))->dims.size() <= 2;
        } else if constexpr (std::is_same_v<T, Pool>) {
          return leads() && op.kind != PoolKind::max_index;  // which counts through the batch
        } else if constexpr (std::is_same_v<T, BatchNorm> || std::is_same_v<T, InstanceNorm> || std::is_same_v<T, Lrn> ||
                             std::is_same_v<T, Unary> || std::is_same_v<T, Identity> || std::is_same_v<T, Flatten> ||
                             std::is_same_v<T, Reshape> || std::is_same_v<T, Squeeze> || std::is_same_v<T, Reduce> ||
                             std::is_same_v<T, DepthToSpace> || std::is_same_v<T, SpaceToDepth> || std::is_same_v<T, Pad> ||
                             std::is_same_v<T, Cast>) {
          return leads();  // rows stay rows, since the output begins with the batch too
        } else if constexpr (std::is_same_v<T, Transpose>) {
          return leads() && !op.permutation.empty() && op.permutation[0] == 0;
        } else if constexpr (std::is_same_v<T, Softmax>) {
          return leads() && keeps_axis(op.axis, batch.rank(first));
        } else if constexpr (std::is_same_v<T, LayerNorm>) {
          return leads() && keeps_axis(op.axis, batch.rank(first));
        } else if constexpr (std::is_same_v<T, Concat>) {
          return all_lead(batch, node) && keeps_axis(op.axis, batch.rank(first));
        } else if constexpr (std::is_same_v<T, Slice>) {
          if (!leads() || !node.input(Slice::kAxes)) return false;
          const std::optional<std::vector<Dim>>& axes = batch.fact(node.input(Slice::kAxes)).ints;
          return axes && std::all_of(axes->begin(), axes->end(),
                                     [&](const Dim& a) { return a.known() && keeps_axis(a.value(), batch.rank(first)); });
        } else if constexpr (std::is_same_v<T, Binary> || std::is_same_v<T, Where>) {
          return broadcasts(batch, node);
        } else {
          return false;
        }
      },
      node.op);
}

}  // namespace

bool has_independent_images(const Graph& graph) {
  if (graph.inputs().empty() || graph.outputs().empty()) return false;
  const std::vector<Fact> facts = infer(graph);
  const std::optional<Shape>& shape = facts[static_cast<std::size_t>(graph.inputs()[0].index)].shape;
  if (!shape || shape->empty() || shape->front().symbol().empty()) return false;
  const Batch batch{graph, facts, shape->front()};
  const auto leads = [&](ValueId id) { return batch.leads(id); };
  if (!std::all_of(graph.inputs().begin(), graph.inputs().end(), leads) ||
      !std::all_of(graph.outputs().begin(), graph.outputs().end(), leads))
    return false;
  for (NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    if (batch.fact(node.output()).ints) continue;  // shape arithmetic, done when planning
    if (!leads(node.output()) || !is_independent(batch, node)) return false;
  }
  return true;
}

}  // namespace konv
