// The passes in their order. To add one: its file, its line in list.h, its line here with the reason for its place.
#include <algorithm>
#include <konv/error.hpp>

#include "engine/passes/list.h"

namespace konv::passes {

namespace {

constexpr Pass kPipeline[] = {
    {"remove-dead-nodes", "removed", "nodes whose results nobody reads",
     "first: a dead reader makes a value look shared, and the fusions below leave shared values alone", remove_dead_nodes},
    {"remove-identity", "removed", "Identity, Cast to the type it has, activation that does nothing",
     "before all that match neighbours: an Identity in between hides them, and exporters share weights through one", remove_identity},
    {"fold-constants", "folded", "nodes that compute the same result on every run",
     "before the fusions, which want constant weights: exporters cast and transpose them in the graph", fold_constants},
    {"merge-duplicates", "merged", "the same operator on the same inputs twice  =>  once",
     "behind fold-constants, which leaves less to compare, and before the rules that follow one value from node to node", merge_duplicates},
    {"store-activations", "stored", "Quantize -> Dequantize  =>  a value stored in integers",
     "behind fold-constants, which has made the scales known, and before the fusions: it moves activations to the nodes that take them in",
     store_activations, not_stored},
    {"cancel-transposes", "cancelled", "Transpose -> Transpose  =>  one or none, also across an activation",
     "before the fusions: a transpose in between hides the neighbours from each other", cancel_transposes},
    {"merge-reshapes", "merged", "a chain of Reshape, Flatten, Squeeze, Unsqueeze  =>  one Reshape or none",
     "behind fold-constants, which has made the shapes known", merge_reshapes},
    {"recognize-activations", "recognized", "Silu, HardSwish, Gelu, Mish, Softplus from their parts",
     "before fold-scale, which would take the constants that are parts of them", recognize_activations},
    {"global-pool", "replaced", "pooling over the whole image  =>  ReduceMean or ReduceMax", "anywhere: nothing else looks at pools",
     global_pool},
    {"fuse-pad", "fused", "Pad with zeros -> Conv  =>  Conv with more padding",
     "before fold-leading-batch-norm, which asks what a convolution pads", fuse_pad},
    {"merge-batch-norms", "merged", "BatchNorm -> BatchNorm  =>  BatchNorm",
     "before the norms are folded: of two in a row only one touches the convolution", merge_batch_norms},
    {"fold-batch-norm", "folded", "Conv, ConvTranspose or Gemm -> BatchNorm  =>  one node",
     "before fuse-repvgg, which adds kernels and needs the scales inside them, and before a residual or an activation gets in between",
     fold_batch_norm},
    {"fold-leading-batch-norm", "folded", "BatchNorm -> Conv  =>  Conv, where padding allows it",
     "behind fold-batch-norm: a norm between two convolutions goes to the one in front, whose padding does not matter",
     fold_leading_batch_norm},
    {"fold-scale", "folded", "Conv, ConvTranspose or Gemm -> Mul, Add, Sub or Div with a constant  =>  one node",
     "behind fold-batch-norm: norms and constants in a row are folded from the front; before fuse-repvgg, which adds finished kernels",
     fold_scale},
    {"fuse-repvgg", "fused", "a sum of parallel convolutions of one input (RepVGG, ACNet, identity)  =>  one Conv",
     "before fuse-residual, which would take the sum as the residual of one branch", fuse_repvgg},
    {"fuse-residual", "fused", "Conv -> Add of a value of the same shape  =>  Conv with a residual",
     "before fuse-activation: the activation behind the Add then follows a Conv and is fused by one rule", fuse_residual},
    {"fuse-activation", "fused", "Conv, ConvTranspose, Gemm or arithmetic -> activation  =>  one node",
     "behind all other fusions: a node with an activation takes in nothing more", fuse_activation},
    {"integer-layers", "computes in integers, with", "layers between stored integers compute with them  =>  no real numbers in between",
     "last: it takes finished layers, with all that was fused into them", integer_layers, integers_refused},
};

const Pass* find(std::string_view name) {
  for (const Pass& pass : kPipeline) {
    if (name == pass.name) return &pass;
  }
  return nullptr;
}

}  // namespace

std::span<const Pass> pipeline() { return kPipeline; }

std::vector<const Pass*> select(std::string_view list) {
  std::vector<const Pass*> selected;
  if (list == "none") return selected;
  if (list == "default") {
    for (const Pass& pass : kPipeline) selected.push_back(&pass);
    return selected;
  }
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    const std::string_view name = list.substr(begin, end - begin);
    const Pass* pass = find(name);
    if (!pass) {
      std::string names;
      for (const Pass& known : kPipeline) names += std::string(names.empty() ? "" : ", ") + known.name;
      throw Error("passes: '" + std::string(name) + "' is unknown; expected default, none or some of " + names);
    }
    selected.push_back(pass);
    begin = end + 1;
  }
  return selected;
}

}  // namespace konv::passes
