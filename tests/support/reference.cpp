#include "tests/support/reference.h"

#include <algorithm>
#include <cmath>
#include <konv/error.hpp>

#include "tests/support/reference_ops.h"

namespace konv::test {

namespace {

/// Pruned weights [Cout, Kkept] with zeros where rows were taken out.
Data with_pruned_rows(const Data& kept, const KeptRows& pruned) {
  Data dense = real_data(pruned.dense_dims);
  const std::int64_t outputs = dense.dim(0), all = product(dense.dims) / outputs, few = static_cast<std::int64_t>(pruned.rows.size());
  for (std::int64_t o = 0; o < outputs; ++o) {
    for (std::int64_t k = 0; k < few; ++k) dense.real[o * all + pruned.rows[k]] = kept.real[o * few + k];
  }
  return dense;
}

Data from_tensor(const Tensor& tensor) {
  Data data{tensor.dtype, tensor.dims, {}, {}};
  if (tensor.dtype == DType::float64) {
    data.real.assign(tensor.as<double>().begin(), tensor.as<double>().end());
  } else if (data.floating()) {
    const std::vector<float> values = to_f32(tensor);
    data.real.assign(values.begin(), values.end());
  } else {
    data.ints = to_i64(tensor);
  }
  return data;
}

template <class T>
Tensor narrowed(const Data& data) {
  MutableTensor tensor(data.dtype, data.dims);
  for (std::size_t i = 0; i < data.ints.size(); ++i) tensor.as<T>()[i] = static_cast<T>(data.ints[i]);
  return tensor;
}

Tensor to_tensor(const Data& data) {
  if (data.floating()) {
    MutableTensor tensor(DType::float32, data.dims);
    for (std::size_t i = 0; i < data.real.size(); ++i) tensor.f32()[i] = static_cast<float>(data.real[i]);
    return tensor;
  }
  switch (bits(data.dtype)) {
    case 64: return narrowed<std::int64_t>(data);
    case 32: return narrowed<std::int32_t>(data);
    case 16: return narrowed<std::int16_t>(data);
    case 8: return narrowed<std::int8_t>(data);
    default: throw Error("reference: an output of packed " + std::string(name(data.dtype)) + "; expected a type of whole bytes");
  }
}

Data constant_data(const Value& value) {
  if (value.quantization) throw Error("reference: '" + value.name + "' is quantized; expected a float graph");
  const Data data = from_tensor(*value.constant);
  return value.kept_rows ? with_pruned_rows(data, *value.kept_rows) : data;
}

}  // namespace

Data real_data(Dims dims) {
  Data data;
  data.real.assign(static_cast<std::size_t>(product(dims)), 0.0);
  data.dims = std::move(dims);
  return data;
}

double activate(const Activation& a, double x) {
  const auto unit = [](double y) { return y < 0 ? 0.0 : (y > 1 ? 1.0 : y); };
  switch (a.kind) {
    case ActivationKind::none: return x;
    case ActivationKind::relu: return x < 0 ? 0 : x;
    case ActivationKind::leaky_relu: return x < 0 ? static_cast<double>(a.alpha) * x : x;
    case ActivationKind::clip: return std::min<double>(a.beta, std::max<double>(a.alpha, x));
    case ActivationKind::sigmoid: return 1 / (1 + std::exp(-x));
    case ActivationKind::hard_sigmoid: return unit(static_cast<double>(a.alpha) * x + static_cast<double>(a.beta));
    case ActivationKind::hard_swish: return x * unit(x / 6 + 0.5);
    case ActivationKind::tanh: return std::tanh(x);
    case ActivationKind::silu: return x / (1 + std::exp(-x));
    case ActivationKind::elu: return x < 0 ? static_cast<double>(a.alpha) * (std::exp(x) - 1) : x;
    case ActivationKind::selu: return static_cast<double>(a.beta) * (x > 0 ? x : static_cast<double>(a.alpha) * (std::exp(x) - 1));
    case ActivationKind::softplus: return std::log(1 + std::exp(x));
    case ActivationKind::gelu: return x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
    case ActivationKind::gelu_tanh: return x / 2 * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
    case ActivationKind::mish: return x * std::tanh(std::log(1 + std::exp(x)));
    case ActivationKind::erf: return std::erf(x);
    case ActivationKind::sqrt: return std::sqrt(x);
    case ActivationKind::exp: return std::exp(x);
    case ActivationKind::log: return std::log(x);
    case ActivationKind::abs: return std::abs(x);
    case ActivationKind::neg: return -x;
  }
  return x;
}

std::int64_t product(const Dims& sizes, std::int64_t first, std::int64_t last) {
  std::int64_t n = 1;
  for (std::int64_t i = first; i < last; ++i) n *= sizes[static_cast<std::size_t>(i)];
  return n;
}

std::int64_t position(const Dims& dims, const Ints& index) {
  std::int64_t at = 0;
  for (std::size_t i = 0; i < dims.size(); ++i) at = at * dims[i] + index[i];
  return at;
}

Ints index_of(const Dims& dims, std::int64_t position) {
  Ints index(dims.size());
  for (std::size_t i = dims.size(); i-- > 0; position /= dims[i]) index[i] = position % dims[i];
  return index;
}

Dims broadcast_dims(const Dims& a, const Dims& b) {
  const std::size_t rank = a.size() > b.size() ? a.size() : b.size();
  Dims dims(rank, 1);
  for (std::size_t i = 0; i < rank; ++i) {  // from the back
    const std::int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1, y = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (x != y && x != 1 && y != 1) throw Error("reference: " + to_string(a) + " and " + to_string(b) + " do not broadcast");
    dims[rank - 1 - i] = x == 1 ? y : x;
  }
  return dims;
}

std::int64_t broadcast_position(const Dims& dims, const Ints& index) {
  std::int64_t at = 0;
  const std::size_t missing = index.size() - dims.size();
  for (std::size_t i = 0; i < dims.size(); ++i) at = at * dims[i] + (dims[i] == 1 ? 0 : index[missing + i]);
  return at;
}

std::vector<Tensor> run_reference(const Graph& graph, const std::map<std::string, Tensor>& inputs) {
  std::vector<Data> values(static_cast<std::size_t>(graph.value_count()));
  for (int i = 0; i < graph.value_count(); ++i) {
    const ValueId id{i};
    if (graph.value(id).constant) values[i] = constant_data(graph.value(id));
  }
  for (const ValueId id : graph.inputs()) {
    const auto found = inputs.find(graph.value(id).name);
    if (found == inputs.end()) throw Error("reference: input '" + graph.value(id).name + "' is missing");
    values[id.index] = from_tensor(found->second);
  }
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    Inputs in;
    for (const ValueId value : node.inputs) in.push_back(value ? &values[value.index] : nullptr);
    values[node.output().index] = std::visit([&](const auto& op) { return run_op(op, in); }, node.op);
  }
  std::vector<Tensor> outputs;
  for (const ValueId id : graph.outputs()) outputs.push_back(to_tensor(values[id.index]));
  return outputs;
}

}  // namespace konv::test
