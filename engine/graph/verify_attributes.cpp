#include <cmath>

#include <fmt/format.h>
#include <konv/error.hpp>

#include "engine/graph/fields.h"
#include "engine/graph/verify.h"
#include "kernels/base/tensor_view.h"

namespace konv {
namespace {

/// Sizes, strides and paddings beyond this are mistakes, and arithmetic below it stays within 64 bits.
constexpr std::int64_t kLargest = INT32_MAX;

/// Looks at every field of an operator: the enums lie in their range, the floats are numbers, the lists are short.
struct FieldChecks {
  const Node& node;

  [[noreturn]] void fail(const std::string& fact, const std::string& expected) const {
    throw Error(fmt::format("{}: {}; expected {}", label(node), fact, expected));
  }

  template <class E>
  requires std::is_enum_v<E>
  void operator()(const char* field, E value) const {
    const std::size_t count = enum_names(value).size();
    if (static_cast<std::size_t>(value) >= count)
      fail(fmt::format("{} is {}", field, static_cast<int>(value)), fmt::format("0 to {}", count - 1));
  }
  void operator()(const char* field, float value) const {
    if (std::isnan(value)) fail(fmt::format("{} is NaN", field), "a number");
  }
  void operator()(const char* field, const Ints& values) const {
    const std::size_t most = 2 * static_cast<std::size_t>(kMaxRank);
    if (values.size() > most) fail(fmt::format("{} has {} entries", field, values.size()), fmt::format("at most {}", most));
  }
  void operator()(const char*, double) const {}  // ConstantOfShape fills with what it likes
  void operator()(const char*, std::int64_t) const {}
  void operator()(const char*, bool) const {}

  void range(const char* field, std::int64_t value, std::int64_t least) const {
    if (value < least || value > kLargest) fail(fmt::format("{} {}", field, value), fmt::format("{} to {}", least, kLargest));
  }
  void range(const char* field, const Ints& values, std::int64_t least) const {
    for (const std::int64_t value : values) range(field, value, least);
  }

  void window(const Window& w) const {
    range("stride", w.strides, 1);
    range("dilation", w.dilations, 1);
    range("padding", w.pads, 0);
    if (w.auto_pad == AutoPad::explicit_pads) return;
    for (const std::int64_t pad : w.pads) {
      if (pad != 0) fail(fmt::format("padding {} beside auto_pad", pad), "one or the other");
    }
  }

  void sanity(const Conv& op) const {
    window(op.window);
    range("groups", op.groups, 1);
  }
  void sanity(const ConvTranspose& op) const {
    window(op.window);
    range("groups", op.groups, 1);
    range("output padding", op.output_padding, 0);
    range("output size", op.output_shape, 1);
  }
  void sanity(const Pool& op) const {
    window(op.window);
    if (op.kernel.empty()) fail("kernel is missing", "one size per spatial dimension");
    range("kernel size", op.kernel, 1);
    range("order", op.order, 1);
  }
  void epsilon(float value) const {
    if (!(value >= 0) || std::isinf(value)) fail(fmt::format("epsilon {}", value), "0 or a small positive number");
  }
  void sanity(const BatchNorm& op) const { epsilon(op.epsilon); }
  void sanity(const ConvInteger& op) const {
    window(op.window);
    range("groups", op.groups, 1);
  }
  void sanity(const Quantize& op) const { range("block", op.block, 0); }
  void sanity(const Dequantize& op) const { range("block", op.block, 0); }
  void sanity(const LayerNorm& op) const { epsilon(op.epsilon); }
  void sanity(const InstanceNorm& op) const { epsilon(op.epsilon); }
  void sanity(const Lrn& op) const { range("size", op.size, 1); }
  void sanity(const DepthToSpace& op) const { range("block", op.block, 1); }
  void sanity(const SpaceToDepth& op) const { range("block", op.block, 1); }
  template <class T>
  void sanity(const T&) const {}
};

}  // namespace

void verify_attributes(const Node& node) {
  const FieldChecks checks{node};
  std::visit(
      [&](const auto& op) {
        describe(op, checks);
        checks.sanity(op);
      },
      node.op);
}

}  // namespace konv
