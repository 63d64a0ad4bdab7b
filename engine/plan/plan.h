// A plan: everything decided about running one graph for one set of input shapes on one machine. It is data - no pointers into kernels, no device
// touched - so that it can be made, printed and tested for a machine that is not here, saved as JSON and replayed.
//
// A plan's values are the graph's values as they will lie in memory, plus those the plan makes itself (reordered copies). Its steps run in
// order; each covers 0 (a reorder), 1 or more nodes of the graph.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "engine/graph/graph.h"
#include "kernels/base/layout.h"
#include "kernels/base/machine.h"
#include "kernels/cpu/conv/conv.h"
#include "kernels/cpu/conv_transpose/conv_transpose.h"
#include "kernels/cpu/copy/copy.h"
#include "kernels/cpu/eltwise/eltwise.h"
#include "kernels/cpu/gather/gather.h"
#include "kernels/cpu/gemm/gemm.h"
#include "kernels/cpu/integer/conv.h"
#include "kernels/cpu/integer/quant.h"
#include "kernels/cpu/normalize/normalize.h"
#include "kernels/cpu/pool/pool.h"
#include "kernels/cpu/quant/quant.h"
#include "kernels/cpu/reduce/reduce.h"
#include "kernels/cpu/resize/resize.h"
#include "kernels/cpu/softmax/softmax.h"
#include "kernels/cpu/topk/topk.h"
#include "kernels/cpu/window/window.h"

namespace konv::plan {

enum class Storage : std::uint8_t {
  arena,     ///< a slot of its own
  view,      ///< part of `parent`: a reshape, or one input of a concat
  constant,  ///< a weight of the graph
  literal,   ///< integers that shape arithmetic worked out at plan time
  band,      ///< between the steps of a pipeline: some rows of one image, at `offset` of the workspace; dims are those of the whole
};

struct Value {
  std::string name;
  ValueId origin;  ///< the graph's value; none for those the plan makes
  Dims dims;
  Layout layout;
  Storage storage = Storage::arena;
  std::int64_t bytes = 0;   ///< of the slot, pad lanes and halo included
  std::int64_t offset = 0;  ///< of the slot in the arena
  int parent = -1;          ///< views
  std::int64_t start = 0;   ///< elements from the slot's (parent's) begin to element (0, ..., 0)
  Ints strides;             ///< elements
  Ints ints;                ///< literals
};

// What a step does, by kernel family. inputs[] of the step are listed behind each.

struct ConvStep {  // in, weight, bias or -1, residual or -1
  ConvShape shape;
  Activation activation;
};
struct ConvTransposeStep {  // in, weight, bias or -1
  ConvTransposeShape shape;
  Activation activation;
};
struct GemmStep {  // a, b, c or -1
  GemmShape shape;
  bool transpose_a = false, transpose_b = false;
  float alpha = 1, beta = 1;
  Activation activation;
};
struct PoolStep {  // in
  PoolShape shape;
};
struct UnaryStep {  // in
  UnaryShape shape;
};
struct BinaryStep {  // a, b
  BinaryShape shape;
  Activation activation;
};
struct BatchNormStep {  // in, gamma, beta, mean, variance
  BatchNormShape shape;
  float epsilon = 0;
};
struct SoftmaxStep {  // in
  SoftmaxShape shape;
};
struct ReduceStep {  // in
  ReduceShape shape;
  Ints axes;
};
/// One strided copy: sizes, and for either side the first element and the element strides.
struct Piece {
  int input = 0;  ///< index into the step's inputs
  Ints dims, in_strides, out_strides;
  std::int64_t in_start = 0, out_start = 0;
};
/// The same between blocked images of one block size, before layouts are final: indices instead of strides. Channels are whole blocks of the input.
struct BlockedPiece {
  Ints dims;               ///< [N, C, H, W]
  Ints in_first, in_step;  ///< in_step of the channels is 1
  Ints out_first;
};
struct CopyStep {   // one or more
  CopyShape shape;  ///< of all pieces together
  std::vector<Piece> pieces;
  std::vector<BlockedPiece> blocked;  ///< turned into pieces when the layouts are final
  bool fill_first = false;            ///< the output gets `fill` before the pieces land in it
  double fill = 0;
};
struct GatherStep {  // data, indices
  GatherShape shape;
};
struct CastStep {  // in
  CastShape shape;
};
struct ReorderStep {  // in
  ReorderShape shape;
};
struct HaloStep {  // none; writes the ring of its output
  ReorderShape shape;
};
struct WindowStep {  // in, weight or -1, bias or -1, residual or -1, zero point of in or -1, of weight or -1
  WindowShape shape;
  Activation activation;
};
struct SelectStep {  // condition, a, b
  SelectShape shape;
};
struct RangeStep {  // start, delta
  RangeShape shape;
};
struct NormalizeStep {  // in, gamma, beta or -1
  NormalizeShape shape;
  float epsilon = 0;
};
struct LrnStep {  // in
  LrnShape shape;
  float alpha = 0, beta = 0, bias = 0;
};
struct TopKStep {  // in
  TopKShape shape;
};
/// What ResizeAxisArgs points at.
struct ResizeAxis {
  std::int64_t taps = 1;
  Ints index;
  std::vector<double> weight;
  std::vector<std::uint8_t> outside;
};
struct ResizeStep {  // in
  ResizeShape shape;
  std::vector<ResizeAxis> axes;
  double extrapolation = 0;
};
struct QuantizeStep {  // in, scale, zero point or -1
  QuantizeShape shape;
};
struct IntegerGemmStep {  // a, b, zero point of a or -1, of b or -1
  IntegerGemmShape shape;
};

// Integers that stand for real numbers (kernels/cpu/integer). Scales are those of the graph's values; `output` is requantize.h's.
struct IntegerConvStep {  // in, weight, bias or -1, residual or -1; a matrix product is a convolution of images of one pixel
  IntegerConvShape shape;
  float in_scale = 1;
  float out_scale = 1;  ///< 1: v is a real number
  Requantize output;
  std::int32_t in_zero = 0;
  bool transposed = false;  ///< the weight is [in, out]
};
struct RequantizeStep {  // in
  RequantizeShape shape;
  float divisor = 1, multiplier = 1;
  std::int32_t in_zero = 0;
  Requantize output;
};
struct IntegerAddStep {  // a, b
  IntegerAddShape shape;
  float multiplier = 1;
  std::int32_t zero = 0;
  Requantize output;
};
struct IntegerPoolStep {  // in
  IntegerPoolShape shape;
  float multiplier = 1;
  std::int32_t in_zero = 0;
  Requantize output;
};

using Work =
    std::variant<ConvStep, ConvTransposeStep, GemmStep, PoolStep, UnaryStep, BinaryStep, BatchNormStep, SoftmaxStep, ReduceStep, CopyStep,
                 GatherStep, CastStep, ReorderStep, HaloStep, WindowStep, SelectStep, RangeStep, NormalizeStep, LrnStep, TopKStep,
                 ResizeStep, QuantizeStep, IntegerGemmStep, IntegerConvStep, RequantizeStep, IntegerAddStep, IntegerPoolStep>;

/// A kernel that could have run a step: refused with a reason, or slower by the cost model.
struct Candidate {
  std::string kernel;
  std::string refused;  ///< empty: it applies
  double cost = 0;      ///< predicted seconds on one core
};

struct Step {
  std::string name;  ///< of the first node it covers, or what it prepares
  std::string op;    ///< as a person calls it
  std::string kernel;
  Work work;
  std::vector<NodeId> nodes;
  std::vector<int> inputs;  ///< values; -1 for an absent optional one
  int output = -1;
  std::int64_t chunks = 1;
  std::int64_t workspace = 0;  ///< bytes per thread
  std::int64_t packed = 0;     ///< bytes of the weight as the kernel wants it; 0: it reads the constant
  std::int64_t macs = 0;
  double cost = 0;
  DType weight_type = DType::float32, input_type = DType::float32;  ///< what real numbers are rounded to before they are multiplied
  std::vector<Candidate> candidates;                                ///< all but the chosen one, in the list's order
  bool far_weights = false;                                         ///< ConvArgs::far_weights
  bool with_previous = false;                                       ///< runs together with the step before it: pipelines.h
  std::int64_t rows_at_once = 0;  ///< of a pipeline's first step: rows of the last output that are computed at a time
};

struct Plan {
  std::string device = "cpu";
  Isa isa = Isa::portable;
  std::vector<Value> values;
  std::vector<Step> steps;
  std::vector<Step> once;  ///< what a new arena needs before its first run: halos that stay
  std::vector<int> inputs, outputs;  ///< values, in the graph's order
  std::int64_t arena_bytes = 0;
  std::int64_t workspace_bytes = 0;  ///< per thread: the largest of the steps
  std::int64_t packed_bytes = 0;     ///< of all steps: besides the model's own weights
};

/// "conv", "gemm", ...: the kernel family of a step.
const char* family(const Work& work);

/// Kernel lists and limits; the defaults are the real ones. Tests hand in lists of their own.
struct Options {
  std::span<const ConvKernel> conv_kernels = konv::conv_kernels();
  std::span<const IntegerConvKernel> integer_conv_kernels = konv::integer_conv_kernels();
  /// Of held_bytes(); 0 = none. Where it is exceeded, kernels that pack a weight into more than twice its size are left out.
  std::int64_t memory_limit = 0;
  std::int64_t threads = 1;   ///< for the workspace's share of the memory limit only: no choice depends on it
  std::int64_t arenas = 1;    ///< for the memory limit only: runs at a time, each in an arena of its own
  bool spare_memory = false;  ///< leave those kernels out from the start
  bool pipelines = true;      ///< convolutions may run together, some rows at a time (pipelines.h)
  double max_error = 0;       ///< relative error allowed to a convolution's algorithm; 0: all but those that are opt-in, F(6x6,3x3)
  bool bfloat16 = false;      ///< matrix products and convolutions may round weights and inputs to it; sums stay float32
  std::map<std::string, std::string>
      asked_for;  ///< node name to kernel name: no choice there, an error where that kernel refuses (convolutions, matrix products)
};

/// What running the plan holds: the model's weights, packed ones, arenas, and a workspace for each thread.
std::int64_t held_bytes(const Plan& plan, std::int64_t arenas, std::int64_t threads);

/// Throws konv::Error naming the node for shapes that do not fit and for nodes no kernel takes.
/// `input_values`: of shape_inputs(graph); the plan holds for these values alone.
Plan make(const Graph& graph, const std::map<ValueId, Dims>& input_shapes, const Machine& machine, const Options& options = {},
          const std::map<ValueId, Tensor>& input_values = {});

}  // namespace konv::plan
