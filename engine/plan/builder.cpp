#include "engine/plan/builder.h"

#include <algorithm>

#include <konv/error.hpp>

#include "engine/graph/weights.h"
#include "engine/plan/copies.h"
#include "engine/plan/memory.h"
#include "engine/plan/pipelines.h"

namespace konv::plan {

bool stands_for_reals(const konv::Value& value) { return value.constant && (value.quantization || value.kept_rows); }

const char* refuse_unasked(const Builder& b, const Node& node, const char* kernel) {
  const auto asked_for = b.options.asked_for.find(node.name);
  return asked_for == b.options.asked_for.end() || asked_for->second == kernel ? nullptr : "another was asked for";
}

const char* refuse_rounding(const Builder& b, ValueId weight, DType weight_type, DType input_type) {
  if (b.options.bfloat16) return nullptr;
  if (input_type == DType::bfloat16) return "rounds inputs to bfloat16 (--precision)";
  if (weight_type == DType::bfloat16 && !is_bfloat16(b.graph.value(weight))) return "rounds weights to bfloat16 (--precision)";
  return nullptr;
}

std::string describe_node(const Node& node) { return fmt::format("node '{}' ({})", node.name, display_name(node.op)); }

Builder::Builder(const Graph& g, std::vector<Fact> facts, const Machine& m, const Options& o)
    : graph(g), machine(m), options(o), facts_(std::move(facts)), dims_(facts_.size()), index_(facts_.size(), -1) {
  for (std::size_t v = 0; v < facts_.size(); ++v) {
    if (facts_[v].shape && fully_known(*facts_[v].shape)) dims_[v] = to_dims(*facts_[v].shape);
    const konv::Value& value = graph.value({static_cast<std::int32_t>(v)});
    if (value.kept_rows) dims_[v] = value.kept_rows->dense_dims;
    if (stands_for_reals(value)) facts_[v].dtype = DType::float32;
    if (!value.constant && value.quantization && bits(value.dtype) < 8) facts_[v].dtype = DType::uint8;
  }
  plan_.isa = machine.isa;
}

bool Builder::is_literal(ValueId id) const {
  const Fact& fact = facts_[static_cast<std::size_t>(id.index)];
  return fact.ints && fact.shape && fully_known(*fact.shape) &&
         std::all_of(fact.ints->begin(), fact.ints->end(), [](const Dim& d) { return d.known(); });
}

Ints Builder::ints(const Node& node, ValueId id) const {
  if (!is_literal(id)) {
    throw Error(fmt::format("{}: '{}' is known only when the network runs; expected a size that follows from the input shapes",
                            describe_node(node), graph.value(id).name));
  }
  Ints values;
  for (const Dim& d : *facts_[static_cast<std::size_t>(id.index)].ints) values.push_back(d.value());
  return values;
}

std::optional<std::vector<double>> Builder::reals(const Node& node, ValueId id) const {
  if (!id) return {};
  const Fact& fact = facts_[static_cast<std::size_t>(id.index)];
  if (!fact.reals) {
    throw Error(fmt::format("{}: '{}' is known only when the network runs; expected numbers that follow from the input shapes",
                            describe_node(node), graph.value(id).name));
  }
  return fact.reals;
}

int Builder::new_value(Value value) {
  plan_.values.push_back(std::move(value));
  extra_.emplace_back();
  return static_cast<int>(plan_.values.size()) - 1;
}

int Builder::define(ValueId id, const Need& as) {
  Value value;
  value.name = graph.value(id).name;
  value.origin = id;
  value.dims = dims(id);
  value.layout = {.format = as.format, .block = as.block, .dtype = dtype(id)};
  if (const auto& q = graph.value(id).quantization) value.layout.fill = q->zero_point.front();
  if (value.dims.size() == 2 && as.row_block > 1) value.layout.padded_channels = round_up(value.dims[1], as.row_block);
  if (value.dims.size() == 4 || as.format == Format::blocked) value.layout.padded_channels = round_up(value.dims.at(1), as.block);
  return index_[static_cast<std::size_t>(id.index)] = new_value(std::move(value));
}

void Builder::define_input(ValueId id) { plan_.inputs.push_back(define(id)); }

int Builder::source(ValueId id) {
  int& index = index_[static_cast<std::size_t>(id.index)];
  if (index >= 0) return index;
  Value value;
  value.name = graph.value(id).name;
  value.origin = id;
  value.dims = dims(id);
  value.layout.dtype = dtype(id);
  value.strides = dense_strides(value.dims);
  if (graph.constant(id)) {
    value.storage = Storage::constant;
  } else if (is_literal(id)) {
    value.storage = Storage::literal;
    for (const Dim& d : *facts_[static_cast<std::size_t>(id.index)].ints) value.ints.push_back(d.value());
  } else {
    throw Error(fmt::format("value '{}': has no producer; expected a node or a constant", value.name));
  }
  value.bytes = graph.constant(id) ? graph.constant(id)->size_bytes() : storage_bytes(value.layout.dtype, element_count(value.dims));
  return index = new_value(std::move(value));
}

bool Builder::satisfies(int v, const Need& need) {
  Value& value = plan_.values[static_cast<std::size_t>(v)];
  Extra& extra = extra_[static_cast<std::size_t>(v)];
  if (value.layout.format != need.format || value.layout.block != need.block) return false;
  if (need.row_block > 1 && value.dims.at(1) % need.row_block != 0) {
    if (value.storage != Storage::arena || extra.dense) return false;
    value.layout.padded_channels = round_up(value.dims[1], need.row_block);
  }
  if (!need.halo.empty()) {
    if (value.storage != Storage::arena || extra.dense) return false;
    Halo& halo = value.layout.halo;
    halo = {std::max(halo.top, need.halo.top), std::max(halo.left, need.halo.left), std::max(halo.bottom, need.halo.bottom),
            std::max(halo.right, need.halo.right)};
  }
  if (need.dense) {
    if (value.storage == Storage::view && extra.axis >= 0) return false;
    if (!value.layout.halo.empty()) return false;
    if (value.dims.size() == 2 && value.layout.padded_channels > value.dims[1]) return false;
    extra.dense = true;
  }
  return true;
}

int Builder::copy_as(int from, const Need& need) {
  for (const auto& [original, copy] : copies_) {
    if (original == from && satisfies(copy, need)) return copy;
  }
  Value value = plan_.values[static_cast<std::size_t>(from)];
  value.origin = {};
  value.name += need.format == Format::blocked ? fmt::format(":nchw{}c", need.block) : need.halo.empty() ? ":dense" : ":halo";
  value.storage = Storage::arena;
  value.parent = -1;
  value.ints.clear();
  value.layout.format = need.format;
  value.layout.block = need.block;
  value.layout.halo = need.halo;
  value.layout.padded_channels = 0;
  const Dims sizes = value.dims;
  Ints out_strides = dense_strides(sizes);
  if (sizes.size() == 2 && need.row_block > 1) {
    value.layout.padded_channels = round_up(sizes[1], need.row_block);
    out_strides[0] = value.layout.padded_channels;
  }
  if (value.layout.format == Format::blocked) value.layout.padded_channels = round_up(sizes.at(1), need.block);
  const Layout from_layout = plan_.values[static_cast<std::size_t>(from)].layout;
  const int element_bytes = bits(value.layout.dtype) / 8;
  const int to = new_value(std::move(value));
  extra_[static_cast<std::size_t>(to)].dense = need.dense;
  copies_.emplace_back(from, to);

  const bool image = sizes.size() == 3 || sizes.size() == 4;
  if (image && element_bytes > 0) {
    const bool flat = sizes.size() == 3;
    ReorderStep work{{.batch = sizes[0],
                      .channels = sizes[1],
                      .height = flat ? 1 : sizes[2],
                      .width = sizes.back(),
                      .in_block = from_layout.block,
                      .out_block = need.block,
                      .element_bytes = element_bytes}};
    Step& step = add({}, work, reorder_kernels(), {from}, to);
    step.name = plan_.values[static_cast<std::size_t>(to)].name;
    step.op = "Reorder";
  } else {
    CopyStep work{{.count = element_count(sizes), .element_bytes = element_bytes},
                  {{.dims = sizes, .in_strides = {}, .out_strides = out_strides}}};
    Step& step = add({}, work, copy_kernels(), {from}, to);
    step.name = plan_.values[static_cast<std::size_t>(to)].name;
    step.op = "Copy";
  }
  return to;
}

Need Builder::lies(ValueId id, bool whole) {
  const Value& value = plan_.values[static_cast<std::size_t>(source(id))];
  const int block = value.layout.block;
  return block == 1 || (whole && value.dims[1] % block != 0) ? Need{} : blocks_of(block);
}

double Builder::reorder_seconds(ValueId id, const Need& need) {
  if (!id) return 0;
  const Value& value = plan_.values[static_cast<std::size_t>(source(id))];
  const Layout& layout = value.layout;
  if ((layout.format == need.format && layout.block == need.block) || value.dims.size() != 4) return 0;
  const ReorderShape shape{.batch = value.dims[0],
                           .channels = value.dims[1],
                           .height = value.dims[2],
                           .width = value.dims[3],
                           .in_block = layout.block,
                           .out_block = need.block,
                           .element_bytes = std::max(1, bits(layout.dtype) / 8)};
  return choose(reorder_kernels(), shape, machine).cost;
}

int Builder::read(ValueId id, const Need& need) {
  if (!id) return -1;
  const int value = source(id);
  return satisfies(value, need) ? value : copy_as(value, need);
}

void Builder::alias(const Node& node, NodeId id, ValueId input) {
  const int from = source(input);
  const Storage storage = plan_.values[static_cast<std::size_t>(from)].storage;
  const bool in_arena = storage == Storage::arena || storage == Storage::view;
  if (in_arena && satisfies(from, {.dense = true})) {
    const int v = define(node.output());
    plan_.values[static_cast<std::size_t>(v)].storage = Storage::view;
    plan_.values[static_cast<std::size_t>(v)].parent = from;
    extra_[static_cast<std::size_t>(v)].dense = true;
    return;
  }
  // A copy in row-major order; the output is dense, so its dims may be the input's here.
  const int to_value = read(input);
  const Dims sizes = dims(input);
  const int output = define(node.output());
  extra_[static_cast<std::size_t>(output)].dense = true;
  CopyStep work{{.count = element_count(sizes), .element_bytes = bits(dtype(input)) / 8},
                {{.dims = sizes, .in_strides = {}, .out_strides = dense_strides(sizes)}}};
  add(id, std::move(work), copy_kernels(), {to_value}, output);
}

bool Builder::place_inside(ValueId part, int whole, int axis, std::int64_t index) {
  if (graph.is_input(part) || graph.constant(part) || is_literal(part)) return false;
  const int v = source(part);
  Value& value = plan_.values[static_cast<std::size_t>(v)];
  Extra& extra = extra_[static_cast<std::size_t>(v)];
  if (value.storage != Storage::arena || extra.dense || value.layout.format != Format::plain || !value.layout.halo.empty()) return false;
  const auto producer = std::find_if(plan_.steps.begin(), plan_.steps.end(), [&](const Step& s) { return s.output == v; });
  if (producer == plan_.steps.end()) return false;
  const Work& work = producer->work;
  const bool writes_strided = std::holds_alternative<ConvStep>(work) || std::holds_alternative<ConvTransposeStep>(work) ||
                              std::holds_alternative<PoolStep>(work) || std::holds_alternative<UnaryStep>(work) ||
                              std::holds_alternative<BinaryStep>(work) || std::holds_alternative<BatchNormStep>(work);
  if (!writes_strided) return false;
  value.storage = Storage::view;
  value.parent = whole;
  extra.axis = axis;
  extra.index = index;
  return true;
}

namespace {

/// Channels keep their distance, so a block's lanes land in one block or in two neighbouring ones.
void append_pieces(const BlockedPiece& p, const Value& in, const Value& out, std::vector<Piece>& pieces) {
  const std::int64_t block = in.layout.block, first_lane = p.out_first[1] % block;
  const Ints &is = in.strides, &os = out.strides;
  const auto append = [&](std::int64_t in_lane, std::int64_t out_block, std::int64_t out_lane, std::int64_t lanes) {
    Piece piece;
    piece.dims = {p.dims[0], p.dims[1] / block, p.dims[2], p.dims[3], lanes};
    piece.in_strides = {is[0] * p.in_step[0], is[1], is[2] * p.in_step[2], is[3] * p.in_step[3], 1};
    piece.out_strides = {os[0], os[1], os[2], os[3], 1};
    piece.in_start = p.in_first[0] * is[0] + p.in_first[1] / block * is[1] + p.in_first[2] * is[2] + p.in_first[3] * is[3] + in_lane;
    piece.out_start = p.out_first[0] * os[0] + out_block * os[1] + p.out_first[2] * os[2] + p.out_first[3] * os[3] + out_lane;
    pieces.push_back(std::move(piece));
  };
  append(0, p.out_first[1] / block, first_lane, block - first_lane);
  if (first_lane > 0) append(block - first_lane, p.out_first[1] / block + 1, 0, first_lane);
}

}  // namespace

void Builder::settle_views() {
  for (Value& value : plan_.values) {
    if (value.storage == Storage::arena) lay_out(value);
  }
  // A parent may come before or after its view in the list, so each view looks up its chain.
  const auto settle = [&](auto&& self, int v) -> void {
    Value& value = plan_.values[static_cast<std::size_t>(v)];
    if (value.storage != Storage::view || !value.strides.empty() || value.dims.empty()) return;
    self(self, value.parent);
    const Value& parent = plan_.values[static_cast<std::size_t>(value.parent)];
    const Extra& extra = extra_[static_cast<std::size_t>(v)];
    value.start = parent.start;
    if (extra.axis >= 0) {
      value.strides = parent.strides;
      value.start += extra.index * parent.strides[static_cast<std::size_t>(extra.axis)];
    } else {
      value.strides = dense_strides(value.dims);
    }
    value.bytes = storage_bytes(value.layout.dtype, element_count(value.dims));
  };
  for (std::size_t v = 0; v < plan_.values.size(); ++v) settle(settle, static_cast<int>(v));
  for (Step& step : plan_.steps) {
    if (auto* copy = std::get_if<CopyStep>(&step.work)) {
      const Value& out = plan_.values[static_cast<std::size_t>(step.output)];
      for (const BlockedPiece& piece : std::exchange(copy->blocked, {})) {
        append_pieces(piece, plan_.values[static_cast<std::size_t>(step.inputs[0])], out, copy->pieces);
      }
      for (Piece& piece : copy->pieces) {  // an empty side means: as the value lies
        if (piece.in_strides.empty())
          piece.in_strides = plan_.values[static_cast<std::size_t>(step.inputs[static_cast<std::size_t>(piece.input)])].strides;
      }
    }
  }
}

void Builder::insert_halo_fills() {
  std::vector<Step> steps;
  std::vector<bool> filled(plan_.values.size());
  const auto fill = [&](int v) {
    const Value& value = plan_.values[static_cast<std::size_t>(v)];
    if (value.layout.halo.empty() || value.storage == Storage::band || filled[static_cast<std::size_t>(v)]) return;
    filled[static_cast<std::size_t>(v)] = true;
    HaloStep work{{.batch = value.dims[0],
                   .channels = value.dims[1],
                   .height = value.dims[2],
                   .width = value.dims[3],
                   .in_block = value.layout.block,
                   .out_block = value.layout.block,
                   .element_bytes = bits(value.layout.dtype) / 8}};
    const Choice<HaloKernel> choice = choose(halo_kernels(), work.shape, machine);
    Step step;
    step.name = value.name + ":ring";
    step.op = "Halo";
    step.kernel = choice.kernel->name;
    step.chunks = choice.kernel->code->chunks(work.shape);
    step.output = v;
    step.cost = choice.cost;
    step.work = work;
    steps.push_back(std::move(step));
  };
  for (int input : plan_.inputs) fill(input);
  for (std::size_t i = 0; i < plan_.steps.size(); ++i) {
    fill(plan_.steps[i].output);
    for (std::size_t j = i + 1; !plan_.steps[i].with_previous && j < plan_.steps.size() && plan_.steps[j].with_previous; ++j)
      fill(plan_.steps[j].output);  // the steps of a pipeline stay together
    steps.push_back(std::move(plan_.steps[i]));
  }
  plan_.steps = std::move(steps);
}

Plan Builder::finish() {
  for (ValueId output : graph.outputs()) plan_.outputs.push_back(read(output));
  join_copies(plan_);
  settle_views();
  join_pipelines(plan_, machine, options);
  insert_halo_fills();
  share_slots(plan_);
  // What stays near. Not for a batch: arenas would be larger and slices of it smaller, whose calls cost more than the fills.
  const bool one_image = !plan_.inputs.empty() && plan_.values[static_cast<std::size_t>(plan_.inputs[0])].dims.size() == 4 &&
                         plan_.values[static_cast<std::size_t>(plan_.inputs[0])].dims[0] == 1;
  assign_offsets(plan_, one_image && !options.spare_memory ? machine.l2_bytes / 4 * 3 : 0);
  drop_halo_fills(plan_);
  for (const Step& step : plan_.steps) {
    plan_.workspace_bytes = std::max(plan_.workspace_bytes, step.workspace);
    plan_.packed_bytes += step.packed;
  }
  return std::move(plan_);
}

}  // namespace konv::plan
