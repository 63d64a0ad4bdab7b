#include "engine/plan/json.h"

#include <nlohmann/json.hpp>

#include <konv/error.hpp>

namespace konv {

// Enums travel as numbers: a plan belongs to one build, which its kernels' names already tie it to.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Activation, kind, alpha, beta)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Halo, top, left, bottom, right)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Layout, format, block, dtype, padded_channels, halo, fill)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ConvShape, batch, in_channels, in_h, in_w, out_channels, kernel_h, kernel_w, stride_h, stride_w,
                                   dilation_h, dilation_w, pad_top, pad_left, pad_bottom, pad_right, groups, kept_rows, nonzeros)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ConvTransposeShape, batch, in_channels, in_h, in_w, out_channels, out_h, out_w, kernel_h, kernel_w,
                                   stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left, groups)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(GemmShape, batch, m, n, k, has_c, unit_stride_a, unit_stride_b, unit_stride_out)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PoolShape, average, count_include_pad, batch, channels, in_h, in_w, out_h, out_w, kernel_h, kernel_w,
                                   stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left, pad_bottom, pad_right, block)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(UnaryShape, function, count, dtype)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Requantize, low, high, zero, residual_multiplier, residual_zero, activation, rescale)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ImageShape, batch, channels, height, width)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(IntegerConvShape, conv, in, out, weight_bits, kept_quads)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RequantizeShape, image, in, out, in_block, out_block)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(IntegerAddShape, image, in, out, block)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(IntegerPoolShape, pool, in, out, out_block)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(BinaryShape, kind, dtype, count)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(BatchNormShape, batch, channels, pixels)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(SoftmaxShape, outer, size, inner, log)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ReduceShape, kind, outputs, reduced, dtype)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(CopyShape, count, element_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(GatherShape, outer, axis_size, indices, inner, element_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(CastShape, from, to, count)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ReorderShape, batch, channels, height, width, in_block, out_block, element_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(WindowShape, kind, dtype, weight, count_include_pad, column_major, order, batch, in_channels,
                                   out_channels, groups, in, out, kernel, stride, dilation, pad, pad_end)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(SelectShape, count, element_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RangeShape, count, dtype)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(NormalizeShape, rows, size, channels)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(LrnShape, batch, channels, pixels, size)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ResizeShape, dtype, rows, width, taps)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(QuantizeShape, dequantize, in, out, scale, outer, size, inner, per_axis, block)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(IntegerGemmShape, batch, m, n, k, a, b)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(TopKShape, dtype, outer, size, inner, k, largest, last_first, indices)

void to_json(nlohmann::json& j, const ValueId& id) { j = id.index; }
void from_json(const nlohmann::json& j, ValueId& id) { j.get_to(id.index); }
void to_json(nlohmann::json& j, const NodeId& id) { j = id.index; }
void from_json(const nlohmann::json& j, NodeId& id) { j.get_to(id.index); }

namespace plan {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Value, name, origin, dims, layout, storage, bytes, offset, parent, start, strides, ints)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ConvStep, shape, activation)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ConvTransposeStep, shape, activation)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(GemmStep, shape, transpose_a, transpose_b, alpha, beta, activation)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PoolStep, shape)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(UnaryStep, shape)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(BinaryStep, shape, activation)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(BatchNormStep, shape, epsilon)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(SoftmaxStep, shape)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ReduceStep, shape, axes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Piece, input, dims, in_strides, out_strides, in_start, out_start)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(CopyStep, shape, pieces, fill_first, fill)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(GatherStep, shape)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(CastStep, shape)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ReorderStep, shape)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(HaloStep, shape)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(WindowStep, shape, activation)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(SelectStep, shape)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RangeStep, shape)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(NormalizeStep, shape, epsilon)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(LrnStep, shape, alpha, beta, bias)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(TopKStep, shape)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ResizeAxis, taps, index, weight, outside)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ResizeStep, shape, axes, extrapolation)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(QuantizeStep, shape)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(IntegerGemmStep, shape)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(IntegerConvStep, shape, in_scale, out_scale, output, in_zero, transposed)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RequantizeStep, shape, divisor, multiplier, in_zero, output)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(IntegerAddStep, shape, multiplier, zero, output)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(IntegerPoolStep, shape, multiplier, in_zero, output)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Candidate, kernel, refused, cost)

namespace {

/// Reads alternative number `index` of Work.
template <std::size_t I = 0>
Work read_work(const nlohmann::json& j, std::size_t index) {
  if constexpr (I < std::variant_size_v<Work>) {
    if (index == I) return j.get<std::variant_alternative_t<I, Work>>();
    return read_work<I + 1>(j, index);
  }
  throw Error("plan: names an unknown kernel family; expected a plan of this build");
}

std::size_t family_index(const std::string& name) {
  const auto matches = [&]<std::size_t... I>(std::index_sequence<I...>) {
    std::size_t found = std::variant_size_v<Work>;
    ((name == family(Work(std::in_place_index<I>)) ? void(found = I) : void()), ...);
    return found;
  };
  return matches(std::make_index_sequence<std::variant_size_v<Work>>());
}

}  // namespace

void to_json(nlohmann::json& j, const Step& s) {
  j = {{"name", s.name},
       {"op", s.op},
       {"kernel", s.kernel},
       {"family", family(s.work)},
       {"nodes", s.nodes},
       {"inputs", s.inputs},
       {"output", s.output},
       {"chunks", s.chunks},
       {"workspace", s.workspace},
       {"packed", s.packed},
       {"macs", s.macs},
       {"cost", s.cost},
       {"candidates", s.candidates},
       {"weight_type", s.weight_type},
       {"input_type", s.input_type},
       {"far_weights", s.far_weights},
       {"with_previous", s.with_previous},
       {"rows_at_once", s.rows_at_once}};
  std::visit([&](const auto& work) { j["work"] = work; }, s.work);
}

void from_json(const nlohmann::json& j, Step& s) {
  j.at("name").get_to(s.name);
  j.at("op").get_to(s.op);
  j.at("kernel").get_to(s.kernel);
  j.at("nodes").get_to(s.nodes);
  j.at("inputs").get_to(s.inputs);
  j.at("output").get_to(s.output);
  j.at("chunks").get_to(s.chunks);
  j.at("workspace").get_to(s.workspace);
  j.at("packed").get_to(s.packed);
  j.at("macs").get_to(s.macs);
  j.at("cost").get_to(s.cost);
  j.at("candidates").get_to(s.candidates);
  j.at("weight_type").get_to(s.weight_type);
  j.at("input_type").get_to(s.input_type);
  j.at("far_weights").get_to(s.far_weights);
  j.at("with_previous").get_to(s.with_previous);
  j.at("rows_at_once").get_to(s.rows_at_once);
  s.work = read_work(j.at("work"), family_index(j.at("family")));
}

std::string to_json(const Plan& p) {
  nlohmann::json j = {{"device", p.device},
                      {"isa", name(p.isa)},
                      {"values", p.values},
                      {"steps", p.steps},
                      {"once", p.once},
                      {"inputs", p.inputs},
                      {"outputs", p.outputs},
                      {"arena_bytes", p.arena_bytes},
                      {"workspace_bytes", p.workspace_bytes},
                      {"packed_bytes", p.packed_bytes}};
  return j.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

Plan from_json(const std::string& text) {
  try {
    const nlohmann::json j = nlohmann::json::parse(text);
    Plan p;
    j.at("device").get_to(p.device);
    const std::optional<Isa> isa = isa_from_name(j.at("isa").get<std::string>());
    if (!isa) throw Error("plan: names an unknown instruction set; expected a plan of this build");
    p.isa = *isa;
    j.at("values").get_to(p.values);
    j.at("steps").get_to(p.steps);
    j.at("once").get_to(p.once);
    j.at("inputs").get_to(p.inputs);
    j.at("outputs").get_to(p.outputs);
    j.at("arena_bytes").get_to(p.arena_bytes);
    j.at("workspace_bytes").get_to(p.workspace_bytes);
    j.at("packed_bytes").get_to(p.packed_bytes);
    return p;
  } catch (const nlohmann::json::exception& e) {
    throw Error(std::string("plan: cannot be read (") + e.what() + "); expected JSON that konv wrote");
  }
}

}  // namespace plan
}  // namespace konv
