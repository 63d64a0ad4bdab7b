// The plan under construction: which value lies where, and the steps so far. Lowering (lower_*.cpp) speaks to kernels through it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <konv/error.hpp>

#include "engine/graph/infer.h"
#include "engine/plan/choose.h"
#include "engine/plan/memory.h"
#include "engine/plan/plan.h"

namespace konv::plan {

/// What a kernel asks of a value it reads.
struct Need {
  Format format = Format::plain;
  int block = 1;
  Halo halo;           ///< physical, at least
  bool dense = false;  ///< row-major without gaps (plain only)
  int row_block = 1;   ///< matrices: rows are padded to a multiple of so many elements
};

/// Blocks of so many channels; 1 is plain.
inline Need blocks_of(int block) { return {.format = block > 1 ? Format::blocked : Format::plain, .block = block}; }

class Builder {
 public:
  Builder(const Graph& graph, std::vector<Fact> facts, const Machine& machine, const Options& options);

  const Graph& graph;
  const Machine& machine;
  const Options& options;

  const Dims& dims(ValueId id) const { return dims_[static_cast<std::size_t>(id.index)]; }
  /// As it lies in memory: activations of 2 and 4 bits take a byte, constants that stand for real numbers are float32.
  DType dtype(ValueId id) const { return facts_[static_cast<std::size_t>(id.index)].dtype; }
  /// The elements of an integer value that must be known when planning. Throws konv::Error naming the node.
  Ints ints(const Node& node, ValueId id) const;
  /// The same for a small float value; nothing for an absent input.
  std::optional<std::vector<double>> reals(const Node& node, ValueId id) const;
  bool is_literal(ValueId id) const;

  /// The graph's value as `need` asks: itself, or a copy that a reorder makes (once). -1 for an absent input.
  int read(ValueId id, const Need& need = {});
  /// As the value lies: its blocks where it is blocked in whole blocks (`whole`: else plain), for steps that take any layout.
  Need lies(ValueId id, bool whole = true);
  /// What `need` would cost: 0 where the value has the format or is a constant.
  double reorder_seconds(ValueId id, const Need& need);
  /// A slot for a node's output.
  int define(ValueId id, const Need& as = {});
  void define_input(ValueId id);
  /// The node's output is the input's bytes under other dims; a copy where the input is not dense.
  void alias(const Node& node, NodeId id, ValueId input);
  /// Tries to make `part` lie inside `whole` (both plain) at `index` along `axis`, so that whoever produces it writes there. False when it cannot.
  bool place_inside(ValueId part, int whole, int axis, std::int64_t index);

  /// Appends a step and fills in what the kernel says about the shape.
  template <class W, class K>
  Step& add(NodeId id, W work, const Choice<K>& choice, std::vector<int> inputs, int output, std::int64_t macs = 0);
  /// Chooses from `kernels` and adds; throws konv::Error naming the node when every kernel refuses.
  template <class W, class K>
  Step& add(NodeId id, W work, std::span<const K> kernels, std::vector<int> inputs, int output, std::int64_t macs = 0);

  /// Layouts final: strides, halo fills, arena.
  Plan finish();

 private:
  struct Extra {
    bool dense = false;  // somebody relies on row-major without gaps
    int axis = -1;       // of a view by place_inside; -1: alias
    std::int64_t index = 0;
  };

  int new_value(Value value);
  int source(ValueId id);
  int copy_as(int from, const Need& need);
  bool satisfies(int value, const Need& need);
  void settle_views();
  void insert_halo_fills();

  std::vector<Fact> facts_;
  std::vector<Dims> dims_;
  std::vector<int> index_;  // by ValueId: plan value or -1
  std::vector<Extra> extra_;
  std::vector<std::pair<int, int>> copies_;  // (original, reordered)
  Plan plan_;
};

template <class W, class... Steps>
inline constexpr bool is_one_of = (std::is_same_v<W, Steps> || ...);

/// A constant that plans treat as a dense float32 tensor, whatever the model stores: quantized or pruned.
bool stands_for_reals(const konv::Value& value);

/// Why a kernel may not run a node that the options ask another one for; null where they do not.
const char* refuse_unasked(const Builder& b, const Node& node, const char* kernel);

/// Why a kernel that rounds its factors to these types may not run with `weight`; null where it may, or where it loses nothing.
const char* refuse_rounding(const Builder& b, ValueId weight, DType weight_type, DType input_type);

std::string describe_node(const Node& node);  ///< "node 'conv1' (Conv)"

template <class W, class K>
Step& Builder::add(NodeId id, W work, const Choice<K>& choice, std::vector<int> inputs, int output, std::int64_t macs) {
  Step step;
  if (id) {
    step.name = graph.node(id).name;
    step.op = display_name(graph.node(id).op);
    step.nodes = {id};
  }
  step.kernel = choice.kernel->name;
  step.chunks = choice.kernel->code->chunks(work.shape);
  step.workspace = static_cast<std::int64_t>(choice.kernel->code->workspace(work.shape));
  if constexpr (is_one_of<W, ConvStep, IntegerConvStep>) {
    if (choice.kernel->code->packed_bytes) step.packed = static_cast<std::int64_t>(choice.kernel->code->packed_bytes(work.shape));
    const auto count = [&](const auto& variant) {
      if (variant.workspace) step.workspace = std::max(step.workspace, static_cast<std::int64_t>(variant.workspace(work.shape)));
    };
    count(choice.kernel->code->alone);
    count(choice.kernel->code->pair);
  }
  if constexpr (std::is_same_v<W, ConvStep>) {
    step.far_weights = machine.hidden > 0 && machine.network_weights > machine.l2_bytes;
    step.weight_type = choice.kernel->code->weight_type;
    step.input_type = choice.kernel->code->input_type;
  }
  step.inputs = std::move(inputs);
  step.output = output;
  step.macs = macs;
  step.cost = choice.cost;
  step.candidates = choice.others;
  // These write row-major without gaps where plain, so nobody may put a ring around their output later.
  constexpr bool dense_output = is_one_of<W, CopyStep, SoftmaxStep, GatherStep, CastStep, WindowStep, RangeStep, NormalizeStep, LrnStep,
                                          TopKStep, ResizeStep, QuantizeStep, RequantizeStep, IntegerAddStep>;
  if (dense_output && plan_.values[static_cast<std::size_t>(output)].layout.format == Format::plain)
    extra_[static_cast<std::size_t>(output)].dense = true;
  step.work = std::move(work);
  plan_.steps.push_back(std::move(step));
  return plan_.steps.back();
}

template <class W, class K>
Step& Builder::add(NodeId id, W work, std::span<const K> kernels, std::vector<int> inputs, int output, std::int64_t macs) {
  const Choice<K> choice = choose(kernels, work.shape, machine);
  if (!choice.kernel) {
    const std::string who = id ? describe_node(graph.node(id)) : "reorder";
    throw Error(fmt::format("{}: no kernel runs it ({}); expected a shape that one takes", who, reasons(choice.others)));
  }
  return add(id, std::move(work), choice, std::move(inputs), output, macs);
}

/// Adds the steps of one node.
void lower(Builder& builder, NodeId id);

}  // namespace konv::plan
