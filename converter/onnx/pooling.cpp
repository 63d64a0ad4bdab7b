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

}  // namespace

void finish_reduce(NodeReader& node, ReduceKind kind, std::int64_t input_since) {
  const ValueId input = node.input(0, "input");
  Reduce reduce{kind, {}, node.flag("keepdims", true)};
  if (node.opset() < input_since) {
    if (node.has(1))
      node.fail(fmt::format("has axes as input, as from opset {}; expected an attribute in opset {}", input_since, node.opset()));
    reduce.axes = node.integers("axes").value_or(Ints{});
    return node.finish(reduce, {input});
  }
  reduce.none_is_none = node.flag("noop_with_empty_axes", false);
  if (node.has(1) && !node.graph().constant(node.input(1, "axes"))) return node.finish(reduce, {input, node.int64_input(1, "axes")});
  if (node.has(1)) reduce.axes = node.constant_integers(1, "axes");
  node.finish(reduce, {input});
}

/// The first of one element, as an index.
void import_arg_max(NodeReader& node) {
  TopK top{node.integer("axis", 0), true, node.flag("select_last_index", false), TopKPart::indices};
  const bool keep = node.flag("keepdims", true);
  const std::vector<ValueId> inputs = {node.input(0, "input"), node.constant("k", Ints{1})};
  if (keep) return node.finish(top, inputs);
  node.finish(Squeeze{{top.axis}}, {node.emit("kept", top, inputs)});
}

/// Values and indices, one node for each that is read. Sorted, whether that is asked for or not.
void import_top_k(NodeReader& node) {
  const ValueId input = node.input(TopK::kInput, "input");
  ValueId k;
  if (node.opset() < 10) {
    if (!node.attribute("k")) node.fail("has no k");
    k = node.constant("k", Ints{node.integer("k", 1)});
  } else {
    k = node.int64_input(TopK::kK, "k");
  }
  TopK top{node.integer("axis", -1)};
  if (node.opset() >= 11) {
    top.largest = node.flag("largest", true);
    node.ignore("sorted");
  }
  if (node.output_read(1)) {
    TopK indices = top;
    indices.part = TopKPart::indices;
    node.finish_output(1, indices, {input, k});
  }
  node.finish(top, {input, k});
}

void import_max_pool(NodeReader& node) {
  const Pool pool = read_pool(node, PoolKind::max);
  const bool column_major = node.flag("storage_order", false);
  if (node.output_read(1)) {
    Pool indices = pool;
    indices.kind = PoolKind::max_index;
    indices.column_major = column_major;
    node.finish_output(1, indices, {node.input(0, "input")});
  }
  node.finish(pool, {node.input(0, "input")});
}

void import_lp_pool(NodeReader& node) {
  Pool pool = read_pool(node, PoolKind::lp);
  pool.order = node.integer("p", 2);
  node.finish(pool, {node.input(0, "input")});
}

void import_average_pool(NodeReader& node) {
  Pool pool = read_pool(node, PoolKind::average);
  pool.count_include_pad = node.flag("count_include_pad", false);
  node.finish(pool, {node.input(0, "input")});
}

void import_global_average_pool(NodeReader& node) { finish_global_pool(node, ReduceKind::mean); }
void import_global_max_pool(NodeReader& node) { finish_global_pool(node, ReduceKind::max); }

}  // namespace konv::converter
