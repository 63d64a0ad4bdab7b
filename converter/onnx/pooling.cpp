// Pools and reductions.

#include <fmt/format.h>

#include "converter/onnx/operators.h"

namespace konv::converter {
namespace {

Pool read_pool(NodeReader& node, PoolKind kind) {
  Pool pool;
  pool.kind = kind;
  const std::optional<Ints> kernel = node.integers("kernel_shape");
  if (!kernel) node.fail("has no kernel_shape");
  pool.kernel = *kernel;
  pool.window = read_window(node);
  pool.ceil_mode = node.flag("ceil_mode", false);
  return pool;
}

/// The spatial axes, all behind batch and channels.
void finish_global_pool(NodeReader& node, ReduceKind kind) {
  const ValueId input = node.input(0, "input");
  const std::int64_t rank = node.rank(input, "its input");
  if (rank < 3) node.fail(fmt::format("its input has {} dimensions; expected batch, channels and at least one more", rank));
  Reduce reduce{kind, {}, true};
  for (std::int64_t axis = 2; axis < rank; ++axis) reduce.axes.push_back(axis);
  node.finish(reduce, {input});
}

/// `input_since`: the opset in which the axes became an input.
void finish_reduce(NodeReader& node, ReduceKind kind, std::int64_t input_since) {
  const ValueId input = node.input(0, "input");
  Reduce reduce{kind, {}, node.flag("keepdims", true)};
  bool nothing_is_everything = true;
  if (node.opset() < input_since) {
    if (node.has(1))
      node.fail(fmt::format("has axes as input, as from opset {}; expected an attribute in opset {}", input_since, node.opset()));
    reduce.axes = node.integers("axes").value_or(Ints{});
  } else {
    if (node.has(1)) reduce.axes = node.constant_integers(1, "axes");
    nothing_is_everything = !node.flag("noop_with_empty_axes", false);
  }
  if (reduce.axes.empty() && !nothing_is_everything) return node.finish(Identity{}, {input});
  node.finish(reduce, {input});
}

}  // namespace

void import_max_pool(NodeReader& node) {
  node.ignore("storage_order");  // of the indices
  node.only_first_output("indices");
  node.finish(read_pool(node, PoolKind::max), {node.input(0, "input")});
}

void import_average_pool(NodeReader& node) {
  Pool pool = read_pool(node, PoolKind::average);
  pool.count_include_pad = node.flag("count_include_pad", false);
  node.finish(pool, {node.input(0, "input")});
}

void import_global_average_pool(NodeReader& node) { finish_global_pool(node, ReduceKind::mean); }
void import_global_max_pool(NodeReader& node) { finish_global_pool(node, ReduceKind::max); }
void import_reduce_mean(NodeReader& node) { finish_reduce(node, ReduceKind::mean, 18); }
void import_reduce_sum(NodeReader& node) { finish_reduce(node, ReduceKind::sum, 13); }
void import_reduce_max(NodeReader& node) { finish_reduce(node, ReduceKind::max, 18); }
void import_reduce_min(NodeReader& node) { finish_reduce(node, ReduceKind::min, 18); }

}  // namespace konv::converter
