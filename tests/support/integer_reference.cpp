#include "tests/support/integer_reference.h"

#include <cfloat>
#include <cmath>
#include <konv/error.hpp>

#include "engine/graph/weights.h"
#include "tests/support/reference_ops.h"

namespace konv::test {
namespace {

static_assert(FLT_EVAL_METHOD == 0, "float arithmetic rounds to float32");

/// float32 operations one by one: the compiler must not see through two of them.
float rounded(float x) {
  volatile float y = x;
  return y;
}

/// A value while the graph runs: real numbers as doubles that are float32, or integers with their scale.
struct Slot {
  Data data;
  const Value* value = nullptr;
  bool integer() const { return value->quantization.has_value() && !value->constant; }
  float scale() const { return value->quantization->scale.front(); }
  std::int64_t zero() const { return value->quantization->zero_point.front(); }
};

Data reals(const Tensor& tensor) {
  Data data{DType::float32, tensor.dims, {}, {}};
  const std::vector<float> values = to_f32(tensor);
  data.real.assign(values.begin(), values.end());
  return data;
}

/// x - zero, as doubles: sums of their products are exact.
Data centred(const Slot& slot) {
  Data data = real_data(slot.data.dims);
  for (std::size_t i = 0; i < data.real.size(); ++i) data.real[i] = static_cast<double>(slot.data.ints[i] - slot.zero());
  return data;
}

Data weight_integers(const Value& weight) {
  const std::vector<std::int64_t> integers = integer_weights(weight);
  Data data = real_data(weight.kept_rows ? weight.kept_rows->dense_dims : weight.constant->dims);
  for (std::size_t i = 0; i < integers.size(); ++i) data.real[i] = static_cast<double>(integers[i]);
  return data;
}

/// The output's side of the formula.
class Writer {
 public:
  Writer(const Value& value, const Activation& activation) : value_(value), activation_(activation) {
    const ActivationKind kind = activation.kind;
    clamps_ = kind == ActivationKind::none || kind == ActivationKind::relu || kind == ActivationKind::clip;
  }

  bool integer() const { return value_.quantization.has_value(); }
  float scale() const { return integer() ? value_.quantization->scale.front() : 1.0f; }
  /// What v is counted in.
  float unit() const { return integer() && clamps_ ? scale() : 1.0f; }

  Data empty(const Dims& dims) const {
    if (!integer()) return real_data(dims);
    return {value_.dtype == DType::int16 ? DType::int16 : DType::uint8,
            dims,
            {},
            std::vector<std::int64_t>(static_cast<std::size_t>(product(dims)))};
  }

  void write(Data& to, std::size_t at, float v) const {
    if (!integer()) {
      to.real[at] = activation_.kind == ActivationKind::none ? static_cast<double>(v) : static_cast<double>(apply(activation_, v));
      return;
    }
    if (!clamps_) v = rounded(apply(activation_, v) * rounded(1.0f / scale()));
    const std::int64_t zero = value_.quantization->zero_point.front();
    const int width = bits(value_.dtype);
    const bool is_signed = value_.dtype == DType::int16;
    const std::int64_t least = is_signed ? -(1 << (width - 1)) : 0, most = least + (std::int64_t{1} << width) - 1;
    float low = static_cast<float>(least - zero), high = static_cast<float>(most - zero);
    if (activation_.kind == ActivationKind::relu) low = std::fmax(low, 0.0f);
    if (activation_.kind == ActivationKind::clip) {
      low = std::fmax(low, rounded(activation_.alpha / scale()));
      high = std::fmax(low, std::fmin(high, rounded(activation_.beta / scale())));
    }
    const float clamped = std::isnan(v) ? low : std::fmin(std::fmax(v, low), high);
    to.ints[at] = zero + static_cast<std::int64_t>(std::nearbyint(clamped));  // the default mode: nearest, ties to even
  }

 private:
  const Value& value_;
  Activation activation_;
  bool clamps_;
};

float residual_term(const Slot& residual, std::size_t at, const Writer& writer) {
  return rounded(static_cast<float>(residual.data.ints[at] - residual.zero()) * rounded(residual.scale() / writer.unit()));
}

Data run_conv(const Conv& op, const std::vector<const Slot*>& in, const Value& out) {
  const Data x = centred(*in[Conv::kInput]), w = weight_integers(*in[Conv::kWeight]->value);
  Conv plain = op;
  plain.activation = {};
  const Data sums = run_op(plain, {&x, &w});
  const Writer writer(out, op.activation);
  Data y = writer.empty(sums.dims);
  const std::int64_t pixels = product(sums.dims, 2, sums.rank()), outputs = sums.dim(1);
  const std::vector<float>& scale = in[Conv::kWeight]->value->quantization->scale;
  const Slot* bias = in.size() > Conv::kBias ? in[Conv::kBias] : nullptr;
  const Slot* residual = in.size() > Conv::kResidual ? in[Conv::kResidual] : nullptr;
  for (std::size_t i = 0; i < sums.real.size(); ++i) {
    const auto o = static_cast<std::size_t>(static_cast<std::int64_t>(i) / pixels % outputs);
    const double unit = writer.unit();
    const auto multiplier =
        static_cast<float>(static_cast<double>(in[Conv::kInput]->scale()) * static_cast<double>(scale[scale.size() == 1 ? 0 : o]) / unit);
    const auto offset = bias ? static_cast<float>(bias->data.real[o] / unit) : 0.0f;
    float v = rounded(rounded(static_cast<float>(sums.real[i])) * multiplier);
    v = rounded(v + offset);
    if (residual) v = rounded(v + residual_term(*residual, i, writer));
    writer.write(y, i, v);
  }
  return y;
}

/// [rows, K] by [N, K] or [K, N] as a convolution of one-pixel images.
Data run_gemm(const Gemm& op, const std::vector<const Slot*>& in, const Value& out) {
  Slot x = *in[Gemm::kA];
  x.data.dims = {x.data.dims[0], x.data.dims[1], 1};
  Value weight = *in[Gemm::kB]->value;
  const Dims dims = weight.constant->dims;
  const std::int64_t n = op.transpose_b ? dims[0] : dims[1], k = op.transpose_b ? dims[1] : dims[0];
  const std::vector<std::int64_t> integers = integer_weights(weight);
  MutableTensor turned(DType::int16, {n, k, 1});
  for (std::int64_t o = 0; o < n; ++o) {
    for (std::int64_t i = 0; i < k; ++i)
      turned.as<std::int16_t>()[static_cast<std::size_t>(o * k + i)] =
          static_cast<std::int16_t>(integers[static_cast<std::size_t>(op.transpose_b ? o * k + i : i * n + o)]);
  }
  weight.constant = turned;
  weight.quantization->axis = 0;
  weight.quantization->zero_point.assign(weight.quantization->scale.size(), 0);  // taken off already
  const Slot w{{}, &weight};
  Data y = run_conv({.activation = op.activation}, {&x, &w, in.size() > Gemm::kC ? in[Gemm::kC] : nullptr}, out);
  y.dims.pop_back();
  return y;
}

/// Sums or maxima of x - zero, and how many elements each is of.
Data run_pool(const Pool& op, const std::vector<const Slot*>& in, const Value& out) {
  const Data x = centred(*in[0]);
  Data ones = real_data({1, 1});
  ones.dims.insert(ones.dims.end(), x.dims.begin() + 2, x.dims.end());
  ones.real.assign(static_cast<std::size_t>(product(ones.dims)), 1.0);
  Data kernel = real_data({1, 1});
  kernel.dims.insert(kernel.dims.end(), op.kernel.begin(), op.kernel.end());
  kernel.real.assign(static_cast<std::size_t>(product(kernel.dims)), 1.0);
  const Data results = run_op(op, {&x});
  Data counts = run_op(Conv{.window = op.window}, {&ones, &kernel});
  if (op.count_include_pad) counts.real.assign(counts.real.size(), static_cast<double>(product(op.kernel)));
  const Writer writer(out, {});
  Data y = writer.empty(results.dims);
  const std::size_t pixels = counts.real.size();
  const float multiplier = rounded(in[0]->scale() / writer.unit());
  for (std::size_t i = 0; i < results.real.size(); ++i) {
    const double count = counts.real[i % pixels];
    const double a = op.kind == PoolKind::max ? results.real[i] : std::nearbyint(results.real[i] * count);
    const float m = op.kind == PoolKind::max ? multiplier : rounded(multiplier / static_cast<float>(count));
    writer.write(y, i, rounded(rounded(static_cast<float>(a)) * m));
  }
  return y;
}

Data run_mean(const Reduce& op, const std::vector<const Slot*>& in, const Value& out) {
  const Dims& dims = in[0]->data.dims;
  Data y = run_pool({.kind = PoolKind::average, .kernel = {dims[2], dims[3]}}, in, out);
  if (!op.keep_dims) y.dims.resize(2);
  return y;
}

Data run_add(const Binary& op, const std::vector<const Slot*>& in, const Value& out) {
  const Slot &a = *in[0], &b = *in[1];
  const Writer writer(out, op.activation);
  Data y = writer.empty(a.data.dims);
  const float multiplier = rounded(a.scale() / writer.unit());
  for (std::size_t i = 0; i < a.data.ints.size(); ++i) {
    const float v = rounded(static_cast<float>(a.data.ints[i] - a.zero()) * multiplier);
    writer.write(y, i, rounded(v + residual_term(b, i, writer)));
  }
  return y;
}

Data run_identity(const std::vector<const Slot*>& in, const Value& out) {
  const Slot& x = *in[0];
  const Writer writer(out, {});
  Data y = writer.empty(x.data.dims);
  for (std::size_t i = 0; i < static_cast<std::size_t>(product(x.data.dims)); ++i) {
    const float v = x.integer() ? rounded(static_cast<float>(x.data.ints[i] - x.zero()) * rounded(x.scale() / writer.unit()))
                                : rounded(static_cast<float>(x.data.real[i]) / writer.unit());
    writer.write(y, i, v);
  }
  return y;
}

Data run_integers(const Node& node, const std::vector<const Slot*>& in, const Value& out) {
  if (const auto* conv = std::get_if<Conv>(&node.op)) return run_conv(*conv, in, out);
  if (const auto* gemm = std::get_if<Gemm>(&node.op)) return run_gemm(*gemm, in, out);
  if (const auto* pool = std::get_if<Pool>(&node.op)) return run_pool(*pool, in, out);
  if (const auto* mean = std::get_if<Reduce>(&node.op)) return run_mean(*mean, in, out);
  if (const auto* binary = std::get_if<Binary>(&node.op)) return run_add(*binary, in, out);
  if (std::holds_alternative<Identity>(node.op)) return run_identity(in, out);
  Inputs inputs;
  for (const Slot* slot : in) inputs.push_back(slot ? &slot->data : nullptr);
  Op op = node.op;
  if (auto* pad = std::get_if<Pad>(&op)) {  // the padding is a real number, too
    Data y = Writer(out, {}).empty({1});
    Writer(out, {}).write(y, 0, rounded(pad->value / out.quantization->scale.front()));
    pad->value = static_cast<float>(y.ints[0]);
  }
  return std::visit([&](const auto& o) { return run_op(o, inputs); }, op);
}

Tensor to_tensor(const Data& data) {
  MutableTensor tensor(data.dtype, data.dims);
  for (std::size_t i = 0; i < static_cast<std::size_t>(product(data.dims)); ++i) {
    switch (data.dtype) {
      case DType::float32: tensor.f32()[i] = static_cast<float>(data.real[i]); break;
      case DType::int16: tensor.as<std::int16_t>()[i] = static_cast<std::int16_t>(data.ints[i]); break;
      default: tensor.as<std::uint8_t>()[i] = static_cast<std::uint8_t>(data.ints[i]); break;
    }
  }
  return tensor;
}

}  // namespace

std::vector<Tensor> run_integer_reference(const Graph& graph, const std::map<std::string, Tensor>& inputs) {
  std::vector<Slot> slots(static_cast<std::size_t>(graph.value_count()));
  for (int i = 0; i < graph.value_count(); ++i) {
    const Value& value = graph.value({i});
    slots[static_cast<std::size_t>(i)].value = &value;
    if (!value.constant) continue;
    Data& data = slots[static_cast<std::size_t>(i)].data;
    if (is_float(value.constant->dtype)) {
      data = reals(*value.constant);
    } else if (!value.quantization) {
      data = {value.dtype, value.constant->dims, {}, to_i64(*value.constant)};
    }
  }
  const auto slot = [&](ValueId id) -> Slot& { return slots[static_cast<std::size_t>(id.index)]; };
  for (const ValueId id : graph.inputs()) slot(id).data = reals(inputs.at(graph.value(id).name));
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    std::vector<const Slot*> in;
    bool integers = slot(node.output()).integer();
    for (const ValueId value : node.inputs) {
      in.push_back(value ? &slot(value) : nullptr);
      integers = integers || (value && slot(value).integer());
    }
    if (integers) {
      slot(node.output()).data = run_integers(node, in, graph.value(node.output()));
      continue;
    }
    Inputs data;
    for (const Slot* s : in) data.push_back(s ? &s->data : nullptr);
    slot(node.output()).data = std::visit([&](const auto& op) { return run_op(op, data); }, node.op);
  }
  std::vector<Tensor> outputs;
  for (const ValueId id : graph.outputs()) outputs.push_back(to_tensor(slot(id).data));
  return outputs;
}

}  // namespace konv::test
