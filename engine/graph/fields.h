// The attributes of every operator, listed once: describe(op, visitor) calls visitor(name, field) for each field, const or not.
// Field types: bool, std::int64_t, float, double, Ints and the enums named in enum_names().
#pragma once

#include <span>

#include "engine/graph/ops.h"

namespace konv {

/// Names of an enum's values in order; files and JSON spell them so.
std::span<const char* const> enum_names(ActivationKind);
std::span<const char* const> enum_names(AutoPad);
std::span<const char* const> enum_names(BinaryKind);
std::span<const char* const> enum_names(PoolKind);
std::span<const char* const> enum_names(ReduceKind);
std::span<const char* const> enum_names(PadMode);
std::span<const char* const> enum_names(TopKPart);
std::span<const char* const> enum_names(DepthOrder);
std::span<const char* const> enum_names(ResizeMode);
std::span<const char* const> enum_names(ResizeCoordinates);
std::span<const char* const> enum_names(ResizeRounding);
std::span<const char* const> enum_names(ResizePolicy);
std::span<const char* const> enum_names(DType);

namespace fields {

template <class T, class U>
concept like = std::is_same_v<std::remove_const_t<T>, U>;

template <class W, class V>
requires like<W, Window>
void window(W& w, V& visit) {
  visit("strides", w.strides);
  visit("pads", w.pads);
  visit("dilations", w.dilations);
  visit("auto_pad", w.auto_pad);
}

template <class A, class V>
requires like<A, Activation>
void activation(A& a, V& visit) {
  visit("activation", a.kind);
  visit("activation_alpha", a.alpha);
  visit("activation_beta", a.beta);
}

}  // namespace fields

template <class T, class V>
void describe(T& op, V&& visit) {
  using fields::like;
  if constexpr (like<T, Conv>) {
    fields::window(op.window, visit);
    visit("groups", op.groups);
    fields::activation(op.activation, visit);
  } else if constexpr (like<T, ConvTranspose>) {
    fields::window(op.window, visit);
    visit("output_padding", op.output_padding);
    visit("output_shape", op.output_shape);
    visit("groups", op.groups);
    fields::activation(op.activation, visit);
  } else if constexpr (like<T, Gemm>) {
    visit("transpose_a", op.transpose_a);
    visit("transpose_b", op.transpose_b);
    visit("alpha", op.alpha);
    visit("beta", op.beta);
    fields::activation(op.activation, visit);
  } else if constexpr (like<T, BatchNorm>) {
    visit("epsilon", op.epsilon);
  } else if constexpr (like<T, Unary>) {
    fields::activation(op.function, visit);
  } else if constexpr (like<T, Binary>) {
    visit("kind", op.kind);
    fields::activation(op.activation, visit);
  } else if constexpr (like<T, Softmax>) {
    visit("axis", op.axis);
    visit("flatten", op.flatten);
    visit("log", op.log);
  } else if constexpr (like<T, LayerNorm>) {
    visit("axis", op.axis);
    visit("epsilon", op.epsilon);
  } else if constexpr (like<T, InstanceNorm>) {
    visit("epsilon", op.epsilon);
  } else if constexpr (like<T, Lrn>) {
    visit("size", op.size);
    visit("alpha", op.alpha);
    visit("beta", op.beta);
    visit("bias", op.bias);
  } else if constexpr (like<T, Pool>) {
    visit("kind", op.kind);
    visit("kernel", op.kernel);
    fields::window(op.window, visit);
    visit("ceil_mode", op.ceil_mode);
    visit("count_include_pad", op.count_include_pad);
    visit("order", op.order);
    visit("column_major", op.column_major);
  } else if constexpr (like<T, Reduce>) {
    visit("kind", op.kind);
    visit("axes", op.axes);
    visit("keep_dims", op.keep_dims);
    visit("none_is_none", op.none_is_none);
  } else if constexpr (like<T, TopK>) {
    visit("axis", op.axis);
    visit("largest", op.largest);
    visit("last_first", op.last_first);
    visit("part", op.part);
  } else if constexpr (like<T, DepthToSpace> || like<T, SpaceToDepth>) {
    visit("block", op.block);
    visit("order", op.order);
  } else if constexpr (like<T, Resize>) {
    visit("mode", op.mode);
    visit("coordinates", op.coordinates);
    visit("rounding", op.rounding);
    visit("policy", op.policy);
    visit("cubic_a", op.cubic_a);
    visit("exclude_outside", op.exclude_outside);
    visit("antialias", op.antialias);
    visit("extrapolation", op.extrapolation);
    visit("axes", op.axes);
  } else if constexpr (like<T, Quantize> || like<T, Dequantize>) {
    visit("axis", op.axis);
    visit("block", op.block);
    visit("to", op.to);
  } else if constexpr (like<T, ConvInteger>) {
    fields::window(op.window, visit);
    visit("groups", op.groups);
  } else if constexpr (like<T, Concat> || like<T, Flatten> || like<T, Gather>) {
    visit("axis", op.axis);
  } else if constexpr (like<T, Pad>) {
    visit("mode", op.mode);
    visit("value", op.value);
  } else if constexpr (like<T, Reshape>) {
    visit("allow_zero", op.allow_zero);
  } else if constexpr (like<T, Transpose>) {
    visit("permutation", op.permutation);
  } else if constexpr (like<T, Squeeze> || like<T, Unsqueeze>) {
    visit("axes", op.axes);
  } else if constexpr (like<T, ShapeOf>) {
    visit("start", op.start);
    visit("end", op.end);
  } else if constexpr (like<T, Cast>) {
    visit("to", op.to);
  } else if constexpr (like<T, ConstantOfShape>) {
    visit("dtype", op.dtype);
    visit("value", op.value);
  } else {
    static_assert(like<T, MatMul> || like<T, Where> || like<T, Slice> || like<T, Identity> || like<T, Expand> || like<T, Tile> ||
                      like<T, Arange> || like<T, MatMulInteger>,
                  "an operator without a list of fields");
  }
}

}  // namespace konv
