// Data movement. Reshapes are views; transpose, slice, concat, expand and pad are strided copies between views of the same sizes.
#include <algorithm>

#include <konv/error.hpp>

#include "engine/plan/lower.h"

namespace konv::plan {

int element_bytes(const Builder& b, const Node& node, ValueId id) {
  const int size = bits(b.dtype(id)) / 8;
  if (size == 0)
    throw Error(
        fmt::format("{}: '{}' is {}; expected elements of whole bytes", describe_node(node), b.graph.value(id).name, name(b.dtype(id))));
  return size;
}

namespace {

CopyStep copy_of(const Builder& b, const Node& node) {
  return {{.count = element_count(b.dims(node.output())), .element_bytes = element_bytes(b, node, node.output())}, {}};
}

/// Repetition that takes a copy for each time has its limit: files could ask for any number.
void expect_pieces(const Node& node, std::size_t count) {
  constexpr std::size_t kMost = 1 << 16;
  if (count > kMost) throw Error(fmt::format("{}: repeats its input {} times; expected at most {}", describe_node(node), count, kMost));
}

/// The number as the value stores it: quantized where it is.
double stored(const Builder& b, ValueId id, float real) {
  const auto& q = b.graph.value(id).quantization;
  if (!q) return static_cast<double>(real);
  const Requantize range = full_range(b.graph, id);
  return requantize(range, real / q->scale.front());
}

/// Along one dimension: `count` output elements from `out` on come from input elements `in`, `in + step`, ...
struct Segment {
  std::int64_t out, count, in, step;
};

/// Output dimension of `size` from an input of `in_size` with `before` elements of padding (negative: cropped).
std::vector<Segment> pad_segments(const std::string& who, PadMode mode, std::int64_t in_size, std::int64_t before, std::int64_t size) {
  const std::int64_t first = std::max<std::int64_t>(0, before);  // first output element that is data
  const std::int64_t in_first = std::max<std::int64_t>(0, -before);
  const std::int64_t count = std::max<std::int64_t>(0, std::min(in_size - in_first, size - first));
  std::vector<Segment> segments = {{first, count, in_first, 1}};
  const std::int64_t after = size - first - count;
  if (mode == PadMode::constant) return segments;
  if (mode == PadMode::wrap) {
    if (size > 0 && in_size <= 0) throw Error(who + ": pads an empty dimension by repeating it; expected elements to repeat");
    segments.clear();
    if (size / in_size > 1 << 16) throw Error(fmt::format("{}: repeats {} elements to {}; expected fewer repetitions", who, in_size, size));
    for (std::int64_t out = 0, in = ((-before) % in_size + in_size) % in_size; out < size; in = 0) {
      const std::int64_t length = std::min(in_size - in, size - out);
      segments.push_back({out, length, in, 1});
      out += length;
    }
    return segments;
  }
  if (mode == PadMode::edge) {
    if ((first > 0 || after > 0) && in_size == 0) throw Error(who + ": pads an empty dimension by its edge; expected elements to repeat");
    if (first > 0) segments.push_back({0, first, 0, 0});
    if (after > 0) segments.push_back({first + count, after, in_size - 1, 0});
    return segments;
  }
  if (first >= in_size + (first == 0) || after >= in_size + (after == 0))
    throw Error(fmt::format("{}: reflects {} and {} elements of {}; expected fewer than there are", who, first, after, in_size));
  if (first > 0) segments.push_back({0, first, first, -1});
  if (after > 0) segments.push_back({first + count, after, in_size - 2, -1});
  return segments;
}

}  // namespace

void lower(Builder& b, NodeId id, const Node& node, const Flatten&) { b.alias(node, id, node.input(0)); }
void lower(Builder& b, NodeId id, const Node& node, const Reshape&) { b.alias(node, id, node.input(0)); }
void lower(Builder& b, NodeId id, const Node& node, const Squeeze&) { b.alias(node, id, node.input(0)); }
void lower(Builder& b, NodeId id, const Node& node, const Unsqueeze&) { b.alias(node, id, node.input(0)); }
void lower(Builder& b, NodeId id, const Node& node, const Identity&) { b.alias(node, id, node.input(0)); }

void lower(Builder&, NodeId, const Node& node, const ShapeOf&) {
  throw Error(fmt::format("{}: its input's sizes are not known when planning; expected sizes that follow from the input shapes",
                          describe_node(node)));
}

void lower(Builder& b, NodeId id, const Node& node, const Concat& op) {
  const Dims& out = b.dims(node.output());
  const auto axis = static_cast<std::size_t>(normalize_axis(node.name, op.axis, std::ssize(out)));
  const int output = b.define(node.output());
  CopyStep work = copy_of(b, node);
  work.shape.count = 0;
  std::vector<int> inputs;
  const Ints out_strides = dense_strides(out);
  std::int64_t index = 0;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const ValueId part = node.inputs[i];
    const Dims& sizes = b.dims(part);
    const bool once = std::count(node.inputs.begin(), node.inputs.end(), part) == 1;
    if (!once || b.graph.is_output(part) || !b.place_inside(part, output, static_cast<int>(axis), index)) {
      const std::int64_t count = element_count(sizes);
      if (count > 0) {
        work.pieces.push_back({.input = static_cast<int>(inputs.size()),
                               .dims = sizes,
                               .in_strides = {},
                               .out_strides = out_strides,
                               .out_start = index * out_strides[axis]});
        inputs.push_back(b.read(part));
        work.shape.count += count;
      }
    }
    index += sizes[axis];
  }
  if (!work.pieces.empty()) b.add(id, std::move(work), copy_kernels(), std::move(inputs), output);
}

void lower(Builder& b, NodeId id, const Node& node, const Transpose& op) {
  const Dims& in = b.dims(node.input(0));
  const Dims& out = b.dims(node.output());
  Ints permutation = op.permutation;
  if (permutation.empty()) {
    for (std::int64_t i = std::ssize(in); i-- > 0;) permutation.push_back(i);
  }
  const int input = b.read(node.input(0), {.dense = true});
  const Ints strides = dense_strides(in);
  CopyStep work = copy_of(b, node);
  Piece piece{.dims = out, .in_strides = Ints(out.size()), .out_strides = dense_strides(out)};
  for (std::size_t i = 0; i < out.size(); ++i) piece.in_strides[i] = strides[static_cast<std::size_t>(permutation[i])];
  work.pieces.push_back(std::move(piece));
  b.add(id, std::move(work), copy_kernels(), {input}, b.define(node.output()));
}

void lower(Builder& b, NodeId id, const Node& node, const Slice&) {
  const Dims& in = b.dims(node.input(Slice::kInput));
  const auto list = [&](int i) { return node.input(i) ? b.ints(node, node.input(i)) : Ints{}; };
  const SliceGeometry g = slice_geometry(node.name, in, list(Slice::kStarts), list(Slice::kEnds), list(Slice::kAxes), list(Slice::kSteps));
  const Need lies = b.lies(node.input(Slice::kInput));
  if (lies.block > 1 && g.step[1] == 1 && g.first[1] % lies.block == 0 && g.count[1] % lies.block == 0) {
    CopyStep work = copy_of(b, node);
    work.blocked.push_back({.dims = g.count, .in_first = g.first, .in_step = g.step, .out_first = Ints(4, 0)});
    const int input = b.read(node.input(Slice::kInput), lies);
    b.add(id, std::move(work), copy_kernels(), {input}, b.define(node.output(), lies));
    return;
  }
  const int input = b.read(node.input(Slice::kInput), {.dense = true});
  const Ints strides = dense_strides(in);
  CopyStep work = copy_of(b, node);
  Piece piece{.dims = g.count, .in_strides = Ints(in.size()), .out_strides = dense_strides(g.count)};
  for (std::size_t i = 0; i < in.size(); ++i) {
    piece.in_strides[i] = strides[i] * g.step[i];
    piece.in_start += strides[i] * g.first[i];
  }
  work.pieces.push_back(std::move(piece));
  b.add(id, std::move(work), copy_kernels(), {input}, b.define(node.output()));
}

void lower(Builder& b, NodeId id, const Node& node, const Pad& op) {
  const Dims& in = b.dims(node.input(Pad::kInput));
  const Dims& out = b.dims(node.output());
  const ValueId axes = node.input(Pad::kAxes);
  const Ints pads = spread_pads(describe_node(node), b.ints(node, node.input(Pad::kPads)),
                                axes ? std::optional(b.ints(node, axes)) : std::nullopt, in.size());
  const Need lies = b.lies(node.input(Pad::kInput));
  const ValueId value = node.input(Pad::kValue);
  if (lies.block > 1 && op.mode == PadMode::constant && !value && pads[1] >= 0 && pads[5] >= 0 && out[1] % lies.block == 0) {
    CopyStep work = copy_of(b, node);
    work.fill_first = true;
    work.fill = stored(b, node.output(), op.value);
    BlockedPiece piece{.dims = {}, .in_first = {}, .in_step = Ints(4, 1), .out_first = {}};
    for (std::size_t i = 0; i < 4; ++i) {
      const Segment s = pad_segments(describe_node(node), op.mode, in[i], pads[i], out[i]).front();
      piece.dims.push_back(s.count);
      piece.in_first.push_back(s.in);
      piece.out_first.push_back(s.out);
    }
    if (element_count(piece.dims) > 0) work.blocked.push_back(std::move(piece));
    const int input = b.read(node.input(Pad::kInput), lies);
    b.add(id, std::move(work), copy_kernels(), {input}, b.define(node.output(), lies));
    return;
  }
  const int input = b.read(node.input(Pad::kInput), {.dense = true});
  const Ints in_strides = dense_strides(in), out_strides = dense_strides(out);
  CopyStep work = copy_of(b, node);
  work.fill_first = op.mode == PadMode::constant && !value;
  work.fill = stored(b, node.output(), op.value);
  std::vector<int> inputs = {input};
  // The product of the segments of all dimensions: one copy for the interior, and for the other modes one per side and corner.
  std::vector<Piece> pieces = {{.dims = {}, .in_strides = {}, .out_strides = {}}};
  for (std::size_t i = 0; i < in.size(); ++i) {
    std::vector<Piece> next;
    for (const Piece& piece : pieces) {
      for (const Segment& s : pad_segments(describe_node(node), op.mode, in[i], pads[i], out[i])) {
        if (s.count == 0) continue;
        Piece p = piece;
        p.dims.push_back(s.count);
        p.in_strides.push_back(in_strides[i] * s.step);
        p.out_strides.push_back(out_strides[i]);
        p.in_start += in_strides[i] * s.in;
        p.out_start += out_strides[i] * s.out;
        next.push_back(std::move(p));
      }
      expect_pieces(node, next.size());
    }
    pieces = std::move(next);
  }
  if (op.mode == PadMode::constant && value) {  // the whole output gets the value, then the data lands in it
    inputs.push_back(b.read(value, {.dense = true}));
    pieces.insert(pieces.begin(), {.input = 1, .dims = out, .in_strides = Ints(out.size(), 0), .out_strides = out_strides});
  }
  work.pieces = std::move(pieces);
  b.add(id, std::move(work), copy_kernels(), std::move(inputs), b.define(node.output()));
}

void lower(Builder& b, NodeId id, const Node& node, const Expand&) {
  const Dims& in = b.dims(node.input(Expand::kInput));
  const Dims& out = b.dims(node.output());
  const int input = b.read(node.input(Expand::kInput), {.dense = true});
  const Ints strides = dense_strides(in);
  CopyStep work = copy_of(b, node);
  Piece piece{.dims = out, .in_strides = Ints(out.size(), 0), .out_strides = dense_strides(out)};
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (in[i] != 1) piece.in_strides[out.size() - in.size() + i] = strides[i];
  }
  work.pieces.push_back(std::move(piece));
  b.add(id, std::move(work), copy_kernels(), {input}, b.define(node.output()));
}

void lower(Builder& b, NodeId id, const Node& node, const Gather& op) {
  const Dims& in = b.dims(node.input(Gather::kInput));
  const auto axis = static_cast<std::size_t>(normalize_axis(node.name, op.axis, std::ssize(in)));
  GatherStep work{{.axis_size = in[axis],
                   .indices = element_count(b.dims(node.input(Gather::kIndices))),
                   .element_bytes = element_bytes(b, node, node.output())}};
  for (std::size_t i = 0; i < axis; ++i) work.shape.outer *= in[i];
  for (std::size_t i = axis + 1; i < in.size(); ++i) work.shape.inner *= in[i];
  std::vector<int> inputs = {b.read(node.input(Gather::kInput), {.dense = true}), b.read(node.input(Gather::kIndices), {.dense = true})};
  b.add(id, work, gather_kernels(), std::move(inputs), b.define(node.output()));
}

void lower(Builder& b, NodeId id, const Node& node, const ConstantOfShape& op) {
  CopyStep work = copy_of(b, node);
  work.fill_first = true;
  work.fill = op.value;
  b.add(id, std::move(work), copy_kernels(), {}, b.define(node.output()));
}

namespace {

/// One copy between dense tensors seen with other sizes: `dims` as the output counts them, and the input's stride for each.
void add_copy(Builder& b, NodeId id, const Node& node, Ints dims, Ints in_strides) {
  CopyStep work = copy_of(b, node);
  const int input = b.read(node.input(0), {.dense = true});
  Ints out_strides = dense_strides(dims);
  work.pieces.push_back({.dims = std::move(dims), .in_strides = std::move(in_strides), .out_strides = std::move(out_strides)});
  b.add(id, std::move(work), copy_kernels(), {input}, b.define(node.output()));
}

}  // namespace

// Every repeated dimension becomes two: the repeats, with stride 0, and the size. Where that are too many dimensions, the outermost repeats are
// pieces of their own.
void lower(Builder& b, NodeId id, const Node& node, const Tile&) {
  const Dims& in = b.dims(node.input(Tile::kInput));
  const Ints repeats = b.ints(node, node.input(Tile::kRepeats));
  const Ints strides = dense_strides(in), out_strides = dense_strides(b.dims(node.output()));
  CopyStep work = copy_of(b, node);
  const int input = b.read(node.input(Tile::kInput), {.dense = true});
  std::vector<Piece> pieces = {{.dims = {}, .in_strides = {}, .out_strides = {}}};
  std::size_t free = static_cast<std::size_t>(kMaxRank) - in.size();
  for (std::size_t i = in.size(); i-- > 0;) {  // inner repeats get dimensions first
    std::vector<Piece> next;
    const bool as_dimension = repeats[i] > 1 && free > 0;
    if (as_dimension) --free;
    if (!as_dimension) expect_pieces(node, pieces.size() * static_cast<std::size_t>(repeats[i]));
    for (const Piece& piece : pieces) {
      for (std::int64_t r = 0; r < (as_dimension ? std::min<std::int64_t>(1, repeats[i]) : repeats[i]); ++r) {
        Piece p = piece;
        p.dims.insert(p.dims.begin(), in[i]);
        p.in_strides.insert(p.in_strides.begin(), strides[i]);
        p.out_strides.insert(p.out_strides.begin(), out_strides[i]);
        p.out_start += r * in[i] * out_strides[i];
        if (as_dimension) {
          p.dims.insert(p.dims.begin(), repeats[i]);
          p.in_strides.insert(p.in_strides.begin(), 0);
          p.out_strides.insert(p.out_strides.begin(), in[i] * out_strides[i]);
        }
        next.push_back(std::move(p));
      }
    }
    pieces = std::move(next);
  }
  work.pieces = std::move(pieces);
  b.add(id, std::move(work), copy_kernels(), {input}, b.define(node.output()));
}

void lower(Builder& b, NodeId id, const Node& node, const DepthToSpace& op) {
  const Dims& out = b.dims(node.output());
  const std::int64_t block = op.block, channels = out[1], height = out[2] / block, width = out[3] / block;
  const std::int64_t pixels = height * width;
  // Input channels as [block, block, channels] (dcr) or [channels, block, block] (crd).
  const std::int64_t channel = op.order == DepthOrder::dcr ? pixels : block * block * pixels;
  const std::int64_t inner = op.order == DepthOrder::dcr ? channels * pixels : pixels;
  add_copy(b, id, node, {out[0], channels, height, block, width, block},
           {channels * block * block * pixels, channel, width, block * inner, 1, inner});
}

void lower(Builder& b, NodeId id, const Node& node, const SpaceToDepth& op) {
  const Dims &in = b.dims(node.input(0)), &out = b.dims(node.output());
  const std::int64_t block = op.block, row = in[3], plane = in[2] * in[3];
  if (op.order == DepthOrder::dcr) {
    return add_copy(b, id, node, {out[0], block, block, in[1], out[2], out[3]}, {in[1] * plane, row, 1, plane, block * row, block});
  }
  add_copy(b, id, node, {out[0], in[1], block, block, out[2], out[3]}, {in[1] * plane, plane, row, 1, block * row, block});
}

}  // namespace konv::plan
