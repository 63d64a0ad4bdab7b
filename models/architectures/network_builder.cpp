#include "models/architectures/network_builder.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <konv/error.hpp>

#include "engine/base/text.h"

namespace konv::models {
namespace {

constexpr std::int64_t kLargest = 1 << 24;  // sizes that layers are counted with; beyond them a tensor just does not fit
constexpr std::size_t kMostProblems = 30;   // listed; a checkpoint of another network has hundreds

std::string pattern(const Dims& dims) {
  std::vector<std::string> sizes;
  for (const std::int64_t size : dims) sizes.push_back(size < 0 ? "?" : std::to_string(size));
  return sizes.empty() ? "scalar" : fmt::format("{}", fmt::join(sizes, "x"));
}

bool fits(const Dims& dims, const Dims& wanted) {
  return std::equal(dims.begin(), dims.end(), wanted.begin(), wanted.end(),
                    [](std::int64_t size, std::int64_t w) { return w < 0 || size == w; });
}

}  // namespace

NetworkBuilder::NetworkBuilder(std::string architecture, const StateDict& weights)
    : architecture_(std::move(architecture)), weights_(weights) {
  graph_.name = architecture_;
}

void NetworkBuilder::fail(const std::string& fact) const { throw Error(fmt::format("{}: {}", architecture_, fact)); }

// What the checkpoint holds.

bool NetworkBuilder::has_any(const std::string& prefix) const {
  const auto first = weights_.lower_bound(prefix);
  return first != weights_.end() && first->first.starts_with(prefix);
}

std::int64_t NetworkBuilder::size(const std::string& name, std::size_t dim) const {
  const auto found = weights_.find(name);
  if (found == weights_.end() || dim >= found->second.dims.size()) return 0;
  const std::int64_t size = found->second.dims[dim];
  return size <= kLargest ? size : 0;
}

int NetworkBuilder::count_blocks(const std::string& prefix) const {
  int count = 0;
  while (has_any(fmt::format("{}{}.", prefix, count))) ++count;
  return count;
}

ValueId NetworkBuilder::tensor(const std::string& name, const Dims& dims) {
  used_.insert(name);
  const auto found = weights_.find(name);
  if (found == weights_.end()) {
    problems_.push_back(fmt::format("{} is missing ({})", name, pattern(dims)));
  } else if (!fits(found->second.dims, dims)) {
    problems_.push_back(fmt::format("{} has shape {}, expected {}", name, to_string(found->second.dims), pattern(dims)));
  } else if (!is_float(found->second.dtype)) {
    problems_.push_back(fmt::format("{} is of {}, expected floats", name, konv::name(found->second.dtype)));
  } else if (found->second.dtype == DType::float32) {
    return graph_.add_constant(name, found->second);
  } else {
    return graph_.add_constant(name, make_f32(found->second.dims, to_f32(found->second)));
  }
  return graph_.add_constant(name, make_f32({0}, {}));  // stands in until finish() throws
}

// Layers.

Feature NetworkBuilder::input(std::int64_t channels, std::int64_t side) {
  return {graph_.add_input("input", DType::float32, {Dim::symbol("N"), channels, side, side}), channels, side};
}

Feature NetworkBuilder::conv(const Feature& x, const std::string& name, const ConvOptions& options) {
  const std::string weight_name = name + ".weight", bias_name = name + ".bias";
  const std::int64_t out = options.out_channels > 0 ? options.out_channels : size(weight_name, 0);
  const std::int64_t kernel = options.kernel > 0 ? options.kernel : std::max<std::int64_t>(size(weight_name, 2), 1);
  const ValueId weight = tensor(weight_name, {out > 0 ? out : -1, x.channels, kernel, kernel});
  const bool with_bias = options.bias == Bias::required || (options.bias == Bias::optional && has(bias_name));

  Conv conv;
  const std::int64_t pad = options.pad_same ? kernel / 2 : 0;
  conv.window.strides = {options.stride, options.stride};
  conv.window.pads = {pad, pad, pad, pad};
  std::vector<ValueId> inputs = {x.value, weight};
  if (with_bias) inputs.push_back(tensor(bias_name, {out > 0 ? out : -1}));
  const std::int64_t side = (x.side + 2 * pad - kernel) / options.stride + 1;
  return {graph_.add(name, conv, std::move(inputs)), out, side};
}

Feature NetworkBuilder::batch_norm(const Feature& x, const std::string& name) {
  const Dims dims = {x.channels > 0 ? x.channels : -1};
  const ValueId gamma = tensor(name + ".weight", dims), beta = tensor(name + ".bias", dims);
  const ValueId mean = tensor(name + ".running_mean", dims), variance = tensor(name + ".running_var", dims);
  return {graph_.add(name, BatchNorm{1e-5f}, {x.value, gamma, beta, mean, variance}), x.channels, x.side};  // PyTorch's epsilon
}

Feature NetworkBuilder::relu(const Feature& x, const std::string& name) {
  return {graph_.add(name, Unary{{ActivationKind::relu, 0, 0}}, {x.value}), x.channels, x.side};
}

Feature NetworkBuilder::add(const Feature& a, const Feature& b, const std::string& name) {
  return {graph_.add(name, Binary{BinaryKind::add, {}}, {a.value, b.value}), a.channels, a.side};
}

Feature NetworkBuilder::max_pool2(const Feature& x, const std::string& name) {
  Pool pool;
  pool.kind = PoolKind::max;
  pool.kernel = {2, 2};
  pool.window.strides = {2, 2};
  return {graph_.add(name, pool, {x.value}), x.channels, x.side / 2};
}

Feature NetworkBuilder::flatten(const Feature& x, const std::string& name) {
  return {graph_.add(name, Flatten{1}, {x.value}), x.channels * x.side * x.side, 1};
}

Feature NetworkBuilder::linear(const Feature& x, const std::string& name, std::int64_t out) {
  const std::string weight_name = name + ".weight";
  if (out < 0) out = std::max<std::int64_t>(size(weight_name, 0), 0);
  const std::int64_t wanted = out > 0 ? out : -1;
  const ValueId weight = tensor(weight_name, {wanted, x.channels}), bias = tensor(name + ".bias", {wanted});
  Gemm gemm;
  gemm.transpose_b = true;
  return {graph_.add(name, gemm, {x.value, weight, bias}), out, 1};
}

Feature NetworkBuilder::global_average_pool(const Feature& x, const std::string& name) {
  const ValueId mean = graph_.add(name, Reduce{ReduceKind::mean, {2, 3}, true}, {x.value});
  return flatten({mean, x.channels, 1}, name + ".flatten");
}

Feature NetworkBuilder::subsample_and_pad(const Feature& x, const std::string& name, std::int64_t stride, std::int64_t channels) {
  Feature y = x;
  const auto constant = [&](const char* what, const Ints& values) {
    return graph_.add_constant(fmt::format("{}.{}", name, what), make_i64({static_cast<std::int64_t>(values.size())}, values));
  };
  if (stride != 1) {
    y.value = graph_.add(name + ".subsample", Slice{},
                         {x.value, constant("starts", {0, 0}), constant("ends", {INT64_MAX, INT64_MAX}), constant("axes", {2, 3}),
                          constant("steps", {stride, stride})});
    y.side = (x.side + stride - 1) / stride;
  }
  const std::int64_t missing = channels - x.channels;
  if (missing > 0) {
    const std::int64_t front = missing / 2, behind = missing - front;
    y.value = graph_.add(name + ".pad", Pad{}, {y.value, constant("pads", {0, front, 0, 0, 0, behind, 0, 0})});
    y.channels = channels;
  }
  return y;
}

Graph NetworkBuilder::finish(const Feature& logits) {
  for (const auto& [name, tensor] : weights_) {
    if (!used_.contains(name)) problems_.push_back(fmt::format("{} is unexpected ({})", printable(name), to_string(tensor.dims)));
  }
  if (!problems_.empty()) {
    const std::size_t count = problems_.size();
    if (count > kMostProblems) {
      problems_.resize(kMostProblems);
      problems_.push_back(fmt::format("and {} more", count - kMostProblems));
    }
    fail(fmt::format("{} of the checkpoint do{} not fit: {}", count == 1 ? "1 tensor" : fmt::format("{} tensors", count),
                     count == 1 ? "es" : "", fmt::join(problems_, "; ")));
  }
  graph_.rename_value(logits.value, "logits");
  graph_.add_output(logits.value);
  verify(graph_);
  return std::move(graph_);
}

std::string classifier_name(const NetworkBuilder& network) {
  return !network.has_any("linear.") && network.has_any("fc.") ? "fc" : "linear";
}

}  // namespace konv::models
