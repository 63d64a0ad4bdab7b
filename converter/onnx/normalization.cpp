// Normalization by the data's own statistics, or by neighbouring channels.

#include <fmt/format.h>

#include "converter/onnx/operators.h"

namespace konv::converter {

void import_lrn(NodeReader& node) {
  if (!node.attribute("size")) node.fail("has no size");
  node.finish(Lrn{node.integer("size", 1), node.real("alpha", 1e-4f), node.real("beta", 0.75f), node.real("bias", 1)},
              {node.input(0, "input")});
}

void import_instance_normalization(NodeReader& node) {
  node.finish(InstanceNorm{node.real("epsilon", 1e-5f)},
              {node.input(InstanceNorm::kInput, "input"), node.input(InstanceNorm::kGamma, "scale"), node.input(InstanceNorm::kBeta, "B")});
}

/// Mean and inverse standard deviation, the outputs behind the first, are computed on their own where somebody reads them.
void import_layer_normalization(NodeReader& node) {
  const ValueId input = node.input(LayerNorm::kInput, "X");
  const LayerNorm norm{node.integer("axis", -1), node.real("epsilon", 1e-5f)};
  if (const std::int64_t stash = node.integer("stash_type", 1); stash != 1)
    node.fail(fmt::format("stash_type is {}; expected 1 (float32)", stash));
  if (node.output_read(1) || node.output_read(2)) {
    const std::int64_t rank = node.rank(input, "its input");
    const std::int64_t axis = normalize_axis(node.name(), norm.axis, rank);
    Reduce mean{ReduceKind::mean, {}, true};
    for (std::int64_t d = axis; d < rank; ++d) mean.axes.push_back(d);
    if (node.output_read(1)) node.finish_output(1, mean, {input});
    if (node.output_read(2)) {
      const auto scalar = [](float value) { return make_f32({}, {&value, 1}); };
      const ValueId centered = node.emit("centered", Binary{BinaryKind::sub, {}}, {input, node.emit("mean", mean, {input})});
      const ValueId variance = node.emit("variance", mean, {node.emit("squares", Binary{BinaryKind::mul, {}}, {centered, centered})});
      const ValueId positive =
          node.emit("positive", Binary{BinaryKind::add, {}}, {variance, node.constant("epsilon", scalar(norm.epsilon))});
      const ValueId deviation = node.emit("deviation", Unary{{ActivationKind::sqrt, 0, 0}}, {positive});
      node.finish_output(2, Binary{BinaryKind::div, {}}, {node.constant("one", scalar(1)), deviation});
    }
  }
  node.finish(norm, {input, node.input(LayerNorm::kGamma, "scale"), node.optional_input(LayerNorm::kBeta, "B")});
}

}  // namespace konv::converter
